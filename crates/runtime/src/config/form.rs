//! The forms that a text among the settings may have to have.

use std::net::IpAddr;

use crate::{proxies::Proxies, redis::Redis};

/// The form of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// An address with its scheme.
    Url,
    /// Such addresses, with commas between them.
    Urls,
    /// An address with its scheme, or that of a machine alone.
    UrlOrIp,
    /// An address of Redis.
    RedisUrl,
    /// IP addresses, alone or as networks, with commas between them.
    Networks,
    /// A name that may stand in a log, a path or a message.
    Id,
    /// The key of a signature.
    Secret,
}

/// The shortest key that HS256 allows (RFC 7518, section 3.2).
pub const SECRET_BYTES_MIN: usize = 32;
/// Of these the scheme is enough; the driver looks at the rest.
const REDIS_SCHEMES: [&str; 4] = ["redis://", "rediss://", "redis+unix://", "unix://"];
/// Of these all of it is looked at.
const REDIS_GROUP_SCHEMES: [&str; 4] =
    ["redis+sentinel://", "redis+cluster://", "rediss+sentinel://", "rediss+cluster://"];

// === impl Form ===

impl Form {
    /// The form that a schema calls so.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "url" => Some(Self::Url),
            "urls" => Some(Self::Urls),
            "url_or_ip" => Some(Self::UrlOrIp),
            "redis_url" => Some(Self::RedisUrl),
            "networks" => Some(Self::Networks),
            "id" => Some(Self::Id),
            "secret" => Some(Self::Secret),
            _ => None,
        }
    }

    /// What goes after "must be".
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Url => "a URL like http://host:port",
            Self::Urls => "URLs like http://host:port, with commas between them",
            Self::UrlOrIp => "a URL like http://host:port, or an IP address",
            Self::RedisUrl => {
                "a URL like redis://host:6379, redis+sentinel://host:26379,host/primary or \
                 redis+cluster://host:6379,host, or the same with rediss for TLS"
            }
            Self::Networks => "networks like 10.0.0.0/8 or IP addresses, with commas between them",
            Self::Id => "1 to 64 of A-Z a-z 0-9 _ -",
            Self::Secret => "32 bytes at least",
        }
    }

    /// Whether a text has the form.
    #[must_use]
    pub fn fits(self, text: &str) -> bool {
        match self {
            Self::Url => text.parse::<http::Uri>().is_ok_and(|uri| uri.scheme().is_some()),
            Self::Urls => text.split(',').all(|url| Self::Url.fits(url.trim())),
            Self::UrlOrIp => Self::Url.fits(text) || text.parse::<IpAddr>().is_ok(),
            Self::RedisUrl => {
                let begins = |scheme: &&str| text.starts_with(*scheme);
                REDIS_SCHEMES.iter().any(begins)
                    || REDIS_GROUP_SCHEMES.iter().any(begins) && Redis::connect(text).is_ok()
            }
            Self::Networks => !text.trim().is_empty() && text.parse::<Proxies>().is_ok(),
            Self::Id => {
                let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
                (1..=64).contains(&text.len()) && text.bytes().all(fine)
            }
            Self::Secret => text.len() >= SECRET_BYTES_MIN,
        }
    }
}

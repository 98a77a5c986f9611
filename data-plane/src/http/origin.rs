//! Which web pages may use a node. A browser sends a page's scripts to any
//! server they name, with the user's address and network behind them, and says
//! in `Origin` whose they are; nothing but the server holds them back.

use axum::http::{HeaderMap, header};

#[cfg(test)]
mod tests;

/// The pages that may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AllowedOrigins {
    /// Every page, also one without an origin of its own.
    Any,
    /// Those of the host that a request is for, and of these origins.
    Listed(Vec<String>),
}

/// Whose page asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker<'h> {
    /// None: who is no browser sends no `Origin`.
    NoPage,
    /// One that may, of this origin.
    Page(&'h str),
}

/// A page of an origin that is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("pages of this origin may not use this node: see http.allowed_origins")]
pub(crate) struct ForeignPage;

// === impl AllowedOrigins ===

impl AllowedOrigins {
    /// Those of a setting that has been checked, and of the node's own URL.
    pub(crate) fn new(setting: &str, public_url: &str) -> Self {
        if setting.trim() == "*" {
            return Self::Any;
        }
        let listed = setting.split(',').chain([public_url]);
        Self::Listed(listed.filter_map(|one| normal(one.trim())).collect())
    }

    /// Whose page asks, if it may.
    ///
    /// # Errors
    /// [`ForeignPage`] if it may not, or says more than one thing.
    pub(crate) fn check<'h>(&self, headers: &'h HeaderMap) -> Result<Asker<'h>, ForeignPage> {
        let mut given = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = given.next() else { return Ok(Asker::NoPage) };
        let origin = origin.to_str().map_err(|_| ForeignPage)?;
        if given.next().is_some() || !self.allow(origin, headers) {
            return Err(ForeignPage);
        }
        Ok(Asker::Page(origin))
    }

    fn allow(&self, origin: &str, headers: &HeaderMap) -> bool {
        let Self::Listed(listed) = self else { return true };
        // Browsers write it in one way only, and what is written in another is no browser's.
        if normal(origin).as_deref() != Some(origin) {
            return false;
        }
        listed.iter().any(|one| one == origin) || is_of_host(origin, headers)
    }
}

/// Whether a page comes from the host that its request is for. The scheme of the
/// request is not known behind a proxy, so either will do.
fn is_of_host(origin: &str, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Some((scheme, _)) = origin.split_once("://") else { return false };
    let host = host.to_str().ok().and_then(|host| normal(&format!("{scheme}://{host}")));
    host.as_deref() == Some(origin)
}

/// An origin as browsers write it (RFC 6454, section 6.2): in small letters, and
/// without a port that the scheme implies. None for what is no origin of a page.
fn normal(text: &str) -> Option<String> {
    let text = text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
    let (scheme, authority) = text.split_once("://")?;
    let implied = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return None,
    };
    let parsed: http::uri::Authority = authority.parse().ok()?;
    let (host, port) = authority.split_at_checked(parsed.host().len())?;
    let is_port =
        |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let is_whole = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    if host.is_empty() || host.contains(['@', '*']) || !is_whole {
        return None;
    }
    Some(format!("{scheme}://{}", authority.strip_suffix(implied).unwrap_or(authority)))
}

/// Whether a setting names origins, or all of them.
pub(crate) fn is_setting(text: &str) -> bool {
    let names = |one: &str| normal(one.trim()).is_some();
    text.trim() == "*" || text.split(',').all(names)
}

//! Whose certificates a verb believes, and which one it shows.

use crate::failure::Failure;
use gavel_runtime::tls::{Tls, TlsConfig};

/// Certificates for `https://` and `wss://`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Trust {
    /// PEM file with the authorities whose certificates are good; needed for https:// and wss://.
    #[arg(long, global = true, value_name = "FILE", env = "GAVEL_CA_FILE")]
    ca: Option<String>,
    /// PEM file with a certificate to show, such as that of an operator.
    #[arg(long, global = true, value_name = "FILE", env = "GAVEL_CERT_FILE")]
    cert: Option<String>,
    /// PEM file with the key of --cert.
    #[arg(long, global = true, value_name = "FILE", env = "GAVEL_KEY_FILE")]
    key: Option<String>,
}

// === impl Trust ===

impl Trust {
    /// Reads the files.
    pub(crate) fn open(&self) -> Result<Tls, Failure> {
        let file = |path: &Option<String>| path.clone().unwrap_or_default();
        let config = TlsConfig {
            ca_file: file(&self.ca),
            cert_file: file(&self.cert),
            key_file: file(&self.key),
            ..TlsConfig::default()
        };
        if config.cert_file.is_empty() != config.key_file.is_empty() {
            return Err(Failure::Usage("--cert and --key go together".to_owned()));
        }
        Tls::open(&config).map_err(|error| {
            let flag = error.key.trim_start_matches("tls.").trim_end_matches("_file").to_owned();
            Failure::Usage(format!("--{flag} {}", error.message))
        })
    }
}

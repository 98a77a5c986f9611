//! An authority of a test, and the certificates that it signs.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType,
    date_time_ymd,
};
use std::{fs, path::PathBuf};
use tempfile::TempDir;

/// Whoever trusts its file believes what it signs. Its files go with it.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

/// Where a certificate and its key are.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate, as PEM.
    pub cert_file: String,
    /// Its key, as PEM.
    pub key_file: String,
}

// === impl Authority ===

impl Authority {
    /// An authority that nobody knows yet.
    ///
    /// # Panics
    /// If it cannot be written down.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let directory = tempfile::tempdir().expect("a directory");
        // Of its own, as authorities are told apart by their names.
        params.distinguished_name.push(DnType::CommonName, directory.path().display().to_string());
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        fs::write(directory.path().join("ca.pem"), issuer.pem()).expect("a file");
        Self { issuer, directory }
    }

    /// What others are to trust.
    #[must_use]
    pub fn ca_file(&self) -> String {
        self.path("ca.pem")
    }

    /// A certificate for this machine with these URIs, in files of this name;
    /// what was there is replaced.
    #[must_use]
    pub fn issue(&self, name: &str, uris: &[&str]) -> Issued {
        self.sign(name, uris, |_| {})
    }

    /// One whose time is over.
    #[must_use]
    pub fn issue_expired(&self, name: &str, uris: &[&str]) -> Issued {
        self.sign(name, uris, |params| {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2001, 1, 2);
        })
    }

    fn sign(&self, name: &str, uris: &[&str], change: impl Fn(&mut CertificateParams)) -> Issued {
        let hosts = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut params = CertificateParams::new(hosts).expect("good names");
        let uris = uris.iter().map(|uri| SanType::URI((*uri).try_into().expect("a URI")));
        params.subject_alt_names.extend(uris);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let issued = Issued {
            cert_file: self.path(&format!("{name}.pem")),
            key_file: self.path(&format!("{name}.key")),
        };
        fs::write(&issued.cert_file, certificate.pem()).expect("a file");
        fs::write(&issued.key_file, key.serialize_pem()).expect("a file");
        issued
    }

    fn path(&self, file: &str) -> String {
        let path: PathBuf = self.directory.path().join(file);
        path.to_str().expect("a path that is text").to_owned()
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

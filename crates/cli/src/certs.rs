//! `gavel certs`: an authority for development, and what it signs.

use crate::{failure::Failure, output};
use gavel_rules::id::NodeId;
use gavel_runtime::{
    clock,
    tls::{Names, Role},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// Anybody may read a certificate.
const PUBLIC: u32 = 0o644;
/// Only its owner may read a key.
const PRIVATE: u32 = 0o600;
/// Clocks may differ by as much.
const EARLIER: Duration = Duration::from_secs(24 * 60 * 60);

/// Make certificates.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum CertsVerb {
    /// Make an authority of development, and certificates for the control plane, for nodes and for
    /// an operator of each role.
    Dev(DevCerts),
}

/// What is made, and for whom.
#[derive(Debug, clap::Args)]
pub(crate) struct DevCerts {
    /// Where to; made where there is none. Nothing in it is overwritten.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Ids of nodes, each of which gets a certificate.
    #[arg(long, value_name = "ID", value_delimiter = ',', default_value = "node-1,node-2")]
    nodes: Vec<NodeId>,
    /// Names and addresses under which the processes are called.
    #[arg(
        long,
        value_name = "HOST",
        value_delimiter = ',',
        default_value = "localhost,127.0.0.1,::1"
    )]
    hosts: Vec<String>,
    /// How long they are good for.
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
}

/// Whoever signs, and where its work is kept.
struct Authority<'a> {
    issuer: CertifiedIssuer<'static, KeyPair>,
    args: &'a DevCerts,
}

/// What a certificate is for.
enum Purpose<'a> {
    /// To be called and to call.
    Process(Option<&'a NodeId>),
    /// To administer.
    Operator(Role),
}

// === impl CertsVerb ===

impl CertsVerb {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let Self::Dev(args) = self;
        fs::create_dir_all(&args.directory).map_err(|error| failed(&args.directory, &error))?;
        let mut wanted = vec!["ca".to_owned(), "control-plane".to_owned()];
        wanted.extend(args.nodes.iter().map(NodeId::to_string));
        wanted.extend(Role::ALL.map(operator));
        for (n, name) in wanted.iter().enumerate() {
            if wanted.iter().take(n).any(|other| other == name) {
                return Err(Failure::Usage(format!("--nodes: {name} would be there twice")));
            }
            for path in [args.path(name, "pem"), args.path(name, "key")] {
                if path.exists() {
                    let what = "is there already, and nothing is overwritten";
                    return Err(Failure::Refused(format!("{} {what}", path.display())));
                }
            }
        }
        let authority = Authority::new(&args)?;
        authority.sign("control-plane", &Purpose::Process(None))?;
        for node in &args.nodes {
            authority.sign(node.as_ref(), &Purpose::Process(Some(node)))?;
        }
        for role in Role::ALL {
            authority.sign(&operator(role), &Purpose::Operator(role))?;
        }
        let named = wanted.join(", ");
        output::text(format_args!("{}: .pem and .key of {named}\n", args.directory.display()))
    }
}

fn operator(role: Role) -> String {
    format!("operator-{role}")
}

// === impl DevCerts ===

impl DevCerts {
    fn path(&self, name: &str, extension: &str) -> PathBuf {
        self.directory.join(format!("{name}.{extension}"))
    }

    fn write(&self, name: &str, cert: &str, key: &KeyPair) -> Result<(), Failure> {
        let files = [("pem", cert.to_owned(), PUBLIC), ("key", key.serialize_pem(), PRIVATE)];
        for (extension, text, mode) in files {
            let path = self.path(name, extension);
            let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
            let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
            written.map_err(|error| failed(&path, &error))?;
        }
        Ok(())
    }

    fn params(&self, name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        let now = date_time_ymd(1970, 1, 1) + Duration::from_millis(clock::now_ms());
        params.not_before = now - EARLIER;
        params.not_after = now + Duration::from_secs(24 * 60 * 60) * self.days;
        params
    }
}

// === impl Authority ===

impl<'a> Authority<'a> {
    fn new(args: &'a DevCerts) -> Result<Self, Failure> {
        let drawn = clock::now_ms();
        let mut params = args.params(&format!("Gavel development {drawn}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().map_err(broken)?;
        let issuer = CertifiedIssuer::self_signed(params, key).map_err(broken)?;
        args.write("ca", &issuer.pem(), issuer.key())?;
        Ok(Self { issuer, args })
    }

    fn sign(&self, name: &str, purpose: &Purpose<'_>) -> Result<(), Failure> {
        let mut params = self.args.params(name);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let uri = match purpose {
            Purpose::Process(node) => {
                params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
                let hosts = CertificateParams::new(self.args.hosts.clone());
                let hosts = hosts.map_err(|error| Failure::Usage(format!("--hosts: {error}")))?;
                params.subject_alt_names = hosts.subject_alt_names;
                node.map(|node| Names::uri_of_node(node.as_ref()))
            }
            Purpose::Operator(role) => Some(Names::uri_of_operator(*role, role.as_str())),
        };
        if let Some(uri) = uri {
            params.subject_alt_names.push(SanType::URI(uri.try_into().map_err(broken)?));
        }
        let key = KeyPair::generate().map_err(broken)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(broken)?;
        self.args.write(name, &certificate.pem(), &key)
    }
}

fn broken(error: rcgen::Error) -> Failure {
    Failure::internal("no certificate could be made", error)
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Refused(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gavel_runtime::tls::{Tls, TlsConfig};
    use std::os::unix::fs::PermissionsExt as _;

    fn args(directory: &Path, nodes: &[&str]) -> DevCerts {
        DevCerts {
            directory: directory.join("certs"),
            nodes: nodes.iter().map(|id| id.parse().unwrap()).collect(),
            hosts: vec!["localhost".to_owned()],
            days: 1,
        }
    }

    #[test]
    fn all_are_usable_and_keys_are_private() {
        let directory = tempfile::tempdir().unwrap();
        CertsVerb::Dev(args(directory.path(), &["node-1"])).run().unwrap();
        let path = |file: &str| directory.path().join("certs").join(file);
        for name in ["control-plane", "node-1", "operator-viewer", "operator-admin"] {
            let text = |file: PathBuf| file.to_str().unwrap().to_owned();
            let config = TlsConfig {
                cert_file: text(path(&format!("{name}.pem"))),
                key_file: text(path(&format!("{name}.key"))),
                ca_file: text(path("ca.pem")),
                client_ca_file: text(path("ca.pem")),
                ..TlsConfig::default()
            };
            Tls::open(&config).unwrap();
        }
        for entry in fs::read_dir(path("")).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            let key = entry.path().extension().is_some_and(|extension| extension == "key");
            assert_eq!(mode & 0o077 == 0, key, "{:?} has {mode:o}", entry.path());
        }
    }

    #[test]
    fn nothing_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        CertsVerb::Dev(args(directory.path(), &["a"])).run().unwrap();
        let ca = directory.path().join("certs/ca.pem");
        let before = fs::read(&ca).unwrap();
        let again = CertsVerb::Dev(args(directory.path(), &["b"])).run();
        assert!(matches!(again, Err(Failure::Refused(_))), "{again:?}");
        assert_eq!(fs::read(&ca).unwrap(), before);
        assert!(!directory.path().join("certs/b.pem").exists());
        for nodes in [&["x", "x"][..], &["ca"], &["operator-admin"]] {
            let elsewhere = tempfile::tempdir().unwrap();
            let refused = CertsVerb::Dev(args(elsewhere.path(), nodes)).run();
            assert!(matches!(refused, Err(Failure::Usage(_))), "{refused:?}");
        }
    }
}

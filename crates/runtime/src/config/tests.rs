//! Where settings come from, and what is refused.

use std::io::Write;

use serde::Deserialize;

use super::*;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    http: Http,
    redis: Store,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Http {
    listen: String,
    timeout_ms: u64,
    token: String,
    peers: Vec<String>,
    trusted: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Store {
    url: String,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: "0.0.0.0:80".into(),
            timeout_ms: 5,
            token: String::new(),
            peers: Vec::new(),
            trusted: false,
        }
    }
}

#[expect(clippy::derivable_impls, reason = "the derive would not name what is defaulted")]
impl Default for Settings {
    fn default() -> Self {
        Self { http: Http::default(), redis: Store::default() }
    }
}

fn read(
    toml: Option<&str>,
    variables: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Settings, ConfigError> {
    let file = toml.map(|text| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    });
    let flags: Vec<_> = flags.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
    load_from(
        file.as_ref().map(tempfile::NamedTempFile::path),
        PREFIX,
        variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())),
        &flags,
    )
}

#[test]
fn later_sources_win() {
    let toml = "[http]\nlisten = 'file:1'\ntimeout_ms = 7\ntoken = 'file'";
    let variables = [("GAVEL_HTTP__LISTEN", "env:1"), ("GAVEL_HTTP__TOKEN", "e")];
    let got = read(Some(toml), &variables, &[("http.token", "flag")]).unwrap();
    assert_eq!(got.http.timeout_ms, 7);
    assert_eq!(got.http.listen, "env:1");
    assert_eq!(got.http.token, "flag");
    assert_eq!(read(None, &[], &[]).unwrap(), Settings::default());
}

#[test]
fn text_is_read_as_the_type_of_its_default() {
    let variables = [
        ("GAVEL_HTTP__TOKEN", "123"),
        ("GAVEL_HTTP__TIMEOUT_MS", "9"),
        ("GAVEL_HTTP__PEERS", "[a, b]"),
        ("GAVEL_HTTP__TRUSTED", "true"),
    ];
    let got = read(None, &variables, &[]).unwrap().http;
    assert_eq!((got.token.as_str(), got.timeout_ms), ("123", 9));
    assert_eq!(got.peers, ["a", "b"]);
    assert!(got.trusted);
}

#[test]
fn the_seed_s_redis_url_counts_but_loses_to_the_own_name() {
    let seed = ("REDIS_URL", "redis://seed");
    let own = ("GAVEL_REDIS__URL", "redis://own");
    assert_eq!(read(None, &[seed], &[]).unwrap().redis.url, "redis://seed");
    for variables in [[seed, own], [own, seed]] {
        assert_eq!(read(None, &variables, &[]).unwrap().redis.url, "redis://own");
    }
    assert_eq!(read(None, &[("REDIS_URL", "")], &[]).unwrap().redis.url, "");
}

#[test]
fn switches_of_the_process_are_no_settings() {
    let variables = [("GAVEL_LOG_FORMAT", "json"), ("OTHER_HTTP__X", "1")];
    assert!(read(None, &variables, &[]).is_ok());
}

#[test]
fn an_unknown_key_is_named_with_its_source() {
    let error = read(Some("[http]\nlisen = 'x'"), &[], &[]).unwrap_err();
    assert_eq!(error.key, "http.lisen");
    assert!(error.message.contains("unknown field"), "{error}");

    let error = read(None, &[("GAVEL_HTP__LISTEN", "x")], &[]).unwrap_err();
    assert_eq!(error.key, "htp");
    assert_eq!(error.source, "variable GAVEL_HTP__LISTEN");
}

#[test]
fn a_wrong_type_is_named_with_its_source() {
    let error = read(None, &[("GAVEL_HTTP__TIMEOUT_MS", "soon")], &[]).unwrap_err();
    assert_eq!(error.key, "http.timeout_ms");
    assert_eq!(error.source, "variable GAVEL_HTTP__TIMEOUT_MS");
    let error = read(None, &[], &[("http.timeout_ms", "soon")]).unwrap_err();
    assert_eq!(error.source, "flag for http.timeout_ms");
}

#[test]
fn a_missing_or_broken_file_is_named() {
    let error = load::<Settings>(Some(Path::new("no/such.toml")), PREFIX, &[]).unwrap_err();
    assert!(error.to_string().contains("no/such.toml"), "{error}");
    assert!(read(Some("[http\n"), &[], &[]).is_err());
}

#[test]
fn bounds_are_named() {
    assert!(within("a.b", &3, &(1..=3)).is_ok());
    let error = within("a.b", &4, &(1..=3)).unwrap_err();
    assert_eq!(error.to_string(), "a.b (settings): 4 is not between 1 and 3");
}

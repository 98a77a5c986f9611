//! Where settings come from, and what is refused.

use std::io::Write;

use schemars::JsonSchema;
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

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Bounded {
    /// About
    /// lines.
    line: Line,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Line {
    /// How long
    /// at most.
    #[schemars(range(min = 2, max = 9))]
    length_ms: u64,
    /// Half of that.
    #[schemars(extend("below_half_of" = "line.length_ms"))]
    half_ms: u64,
    /// Where from.
    #[schemars(extend("format" = "url"))]
    from: String,
    /// Where to.
    #[schemars(extend("format" = "url"))]
    to: String,
}

impl Default for Line {
    fn default() -> Self {
        Self { length_ms: 5, half_ms: 1, from: String::new(), to: "http://there:1".to_owned() }
    }
}

fn refusal(change: impl FnOnce(&mut Line)) -> String {
    let mut settings = Bounded::default();
    change(&mut settings.line);
    check(&settings).err().map_or_else(String::new, |error| error.to_string())
}

#[test]
fn a_setting_tells_its_meaning_default_and_bounds() {
    let [line] = sections::<Bounded>().unwrap().try_into().unwrap();
    assert_eq!((line.name.as_str(), line.meaning.as_str()), ("line", "About lines."));
    let keys: Vec<_> = line.settings.iter().map(|setting| setting.key.as_str()).collect();
    assert_eq!(keys, ["line.from", "line.half_ms", "line.length_ms", "line.to"]);
    let length = &line.settings[2];
    assert_eq!((length.meaning.as_str(), &length.default), ("How long at most.", &5.into()));
    assert_eq!(length.bounds, [Bound::Within(2, 9)]);
}

#[test]
fn what_is_out_of_its_bounds_is_named() {
    assert_eq!(refusal(|_| {}), "");
    assert_eq!(refusal(|l| (l.length_ms, l.half_ms) = (9, 3)), "");
    let long = refusal(|l| l.length_ms = 10);
    assert_eq!(long, "line.length_ms (settings): 10 is not within 2 to 9");
    assert!(refusal(|l| (l.length_ms, l.half_ms) = (1, 0)).contains("line.half_ms"));
    let half = refusal(|l| l.half_ms = 2);
    assert_eq!(half, "line.half_ms (settings): 2 is not less than half of line.length_ms, 5");
}

#[test]
fn only_a_text_that_is_empty_by_default_may_be() {
    assert_eq!(refusal(|l| l.from.clear()), "");
    let hidden = refusal(|l| "hush".clone_into(&mut l.from));
    assert_eq!(hidden, "line.from (settings): must be a URL like http://host:port");
    assert!(refusal(|l| l.to.clear()).starts_with("line.to"));
}

#[test]
fn a_bound_that_nobody_checks_is_refused() {
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema counts")]
    struct Odd {
        line: Length,
    }
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema counts")]
    struct Length {
        #[schemars(length(max = 3))]
        text: String,
    }
    let error = sections::<Odd>().unwrap_err();
    assert_eq!(error.to_string(), "line.text (settings): nobody checks maxLength = 3");
    // A setting at the top would have no table to be in.
    let error = sections::<Length>().unwrap_err();
    assert_eq!(error.to_string(), "text (settings): is no section");
}

#[test]
fn each_form_takes_what_it_says() {
    for (form, fine, wrong) in [
        (Form::Url, "http://host:1", "host:1"),
        (Form::Urls, "http://host:1, http://other:1", "http://host:1,"),
        (Form::UrlOrIp, "http://host:1", "host:1"),
        (Form::UrlOrIp, "fd00::1", "10.0.0"),
        (Form::RedisUrl, "rediss://host", "http://host"),
        (Form::RedisUrl, "redis+sentinel://one,two:1/main", "redis+sentinel://one,two:1"),
        (Form::RedisUrl, "redis+cluster://one,two:1", "redis+cluster://one,two:x"),
        (Form::Networks, "10.0.0.0/8, ::1", "10.0.0.0/33"),
        (Form::Id, "a-Z_9", "a b"),
        (Form::Secret, "12345678901234567890123456789012", "1234567890123456789012345678901"),
    ] {
        assert!(form.fits(fine) && !form.fits(wrong) && !form.fits(""), "{form:?}");
    }
    assert!(Form::Id.fits(&"a".repeat(64)) && !Form::Id.fits(&"a".repeat(65)));
}

#[test]
fn the_variable_of_a_setting_sets_it() {
    let name = variable_of("http.timeout_ms");
    assert_eq!(name, "GAVEL_HTTP__TIMEOUT_MS");
    assert_eq!(read(None, &[(&name, "9")], &[]).unwrap().http.timeout_ms, 9);
}

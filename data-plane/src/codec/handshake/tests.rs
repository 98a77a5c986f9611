//! Which requests may become sockets.

use super::*;

/// A request line by line; the first is the method and version.
fn request(extra: &[(&str, &str)], without: &[&str]) -> HeaderMap {
    let usual = [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let mut headers = HeaderMap::new();
    let kept = usual.iter().filter(|(name, _)| !without.contains(name));
    for (name, value) in kept.chain(extra) {
        let name = HeaderName::try_from(*name).unwrap();
        headers.append(name, value.parse().unwrap());
    }
    headers
}

fn checked(headers: &HeaderMap) -> Result<Upgrade, HandshakeError> {
    check(headers, &Method::GET, Version::HTTP_11)
}

#[test]
fn the_example_of_the_rfc() {
    assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    let upgrade = checked(&request(&[], &[])).unwrap();
    assert_eq!(upgrade.key, "dGhlIHNhbXBsZSBub25jZQ==");
    assert!(upgrade.protocols.is_empty());
}

#[test]
fn each_header_is_judged() {
    use HandshakeError as E;
    let replaced: &[(&str, &str, Option<E>)] = &[
        ("upgrade", "WebSocket", None),
        ("upgrade", "h2c, websocket", None),
        ("upgrade", "websocket2", Some(E::Upgrade)),
        ("upgrade", "", Some(E::Upgrade)),
        ("connection", "keep-alive, Upgrade", None),
        ("connection", "keep-alive,UPGRADE", None),
        ("connection", "keep-alive", Some(E::Connection)),
        ("connection", "upgraded", Some(E::Connection)),
        ("sec-websocket-version", "8", Some(E::Version)),
        ("sec-websocket-version", "13, 8", Some(E::Version)),
        ("sec-websocket-version", "013", Some(E::Version)),
        ("sec-websocket-key", "", Some(E::Key)),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZR==", None),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ", Some(E::Key)),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25j", Some(E::Key)),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZSE=", Some(E::Key)),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub2 jZQ==", Some(E::Key)),
        ("sec-websocket-key", "!!!!!!!!!!!!!!!!!!!!!!==", Some(E::Key)),
    ];
    for (name, value, expected) in replaced {
        let found = checked(&request(&[(name, value)], &[name])).err();
        assert_eq!(found, *expected, "{name}: {value}");
    }
    let missing = [
        ("upgrade", E::Upgrade),
        ("connection", E::Connection),
        ("sec-websocket-version", E::Version),
        ("sec-websocket-key", E::Key),
    ];
    for (name, expected) in missing {
        assert_eq!(checked(&request(&[], &[name])), Err(expected), "no {name}");
    }
}

#[test]
fn headers_that_must_be_single_are() {
    let twice = request(&[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")], &[]);
    assert_eq!(checked(&twice), Err(HandshakeError::Key));
    let twice = request(&[("sec-websocket-version", "13")], &[]);
    assert_eq!(checked(&twice), Err(HandshakeError::Version));
}

#[test]
fn connection_may_span_lines() {
    let lines = [("connection", "keep-alive"), ("connection", "upgrade")];
    assert!(checked(&request(&lines, &["connection"])).is_ok());
}

#[test]
fn only_get_over_http_1_1() {
    let headers = request(&[], &[]);
    let post = check(&headers, &Method::POST, Version::HTTP_11);
    assert_eq!(post.map_err(HandshakeError::status), Err(StatusCode::METHOD_NOT_ALLOWED));
    for version in [Version::HTTP_09, Version::HTTP_10, Version::HTTP_2] {
        let refused = check(&headers, &Method::GET, version);
        assert_eq!(refused, Err(HandshakeError::HttpVersion));
    }
}

#[test]
fn protocols_are_distinct_tokens() {
    let name = "sec-websocket-protocol";
    let upgrade =
        checked(&request(&[(name, "gavel.v1.json, other"), (name, "bearer.a.b-c_d")], &[]));
    assert_eq!(upgrade.unwrap().protocols, ["gavel.v1.json", "other", "bearer.a.b-c_d"]);
    let many = (0..=PROTOCOLS_MAX).map(|n| format!("p{n}")).collect::<Vec<_>>().join(",");
    for bad in ["", "a,,b", "a b", "a,a", "a/b", "\"a\"", "caf\u{e9}", many.as_str()] {
        let refused = checked(&request(&[(name, bad)], &[]));
        assert_eq!(refused, Err(HandshakeError::Protocol), "{bad}");
    }
}

#[test]
fn a_token_is_found_and_never_chosen() {
    let offered =
        ["chat", "bearer.secret", "gavel.v1.json", "bearer.other", "guest.one", "guest.two", "v9"];
    let selection = select_protocol(&offered).unwrap();
    assert_eq!(selection.protocol, Some(PROTOCOL_JSON));
    assert_eq!(selection.bearer, Some("secret"));
    assert_eq!(selection.guest, Some("one"));
    assert_eq!(select_protocol::<&str>(&[]), Ok(Selection::default()));
}

#[test]
fn a_browser_that_offers_no_dialect_is_told_so() {
    for offered in ["bearer.secret", "guest.secret", "bearer.gavel.v1.json", "gavel.v9.json"] {
        let refused = select_protocol(&[offered]).err();
        assert_eq!(refused, Some(HandshakeError::NoDialect), "{offered}");
    }
    assert_eq!(HandshakeError::NoDialect.status(), StatusCode::BAD_REQUEST);
    assert!(HandshakeError::NoDialect.to_string().contains(PROTOCOL_JSON));
}

#[test]
fn debug_output_keeps_the_token_secret() {
    let protocols = ["gavel.v1.json", "bearer.secret", "guest.secret"].map(str::to_owned).to_vec();
    let upgrade = Upgrade { key: "key".to_owned(), protocols };
    let shown = format!("{upgrade:?} {:?}", select_protocol(&upgrade.protocols));
    assert!(!shown.contains("secret"), "{shown}");
}

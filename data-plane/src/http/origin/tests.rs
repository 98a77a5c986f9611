//! Origins as browsers send them, and as those who are not let in would write them.

use super::*;
use axum::http::HeaderValue;

const SETTING: &str = "https://shop.example, http://localhost:5173,HTTPS://Bids.Example:443/";

fn headers(host: &str, origins: &[&[u8]]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
    for origin in origins {
        headers.append(header::ORIGIN, HeaderValue::from_bytes(origin).unwrap());
    }
    headers
}

fn allowed(setting: &str, host: &str, origin: &str) -> bool {
    let origins = AllowedOrigins::new(setting, "https://gavel.example:8443");
    origins.check(&headers(host, &[origin.as_bytes()])).is_ok()
}

#[test]
fn a_page_is_let_in_by_its_exact_origin() {
    for (origin, may) in [
        ("https://shop.example", true),
        ("http://localhost:5173", true),
        ("https://bids.example", true),
        ("https://gavel.example:8443", true),
        ("https://node.example", true),
        ("http://node.example", true),
        // Another scheme, port or host.
        ("http://shop.example", false),
        ("https://shop.example:8443", false),
        ("https://shop.example:443", false),
        ("http://localhost", false),
        ("http://localhost:5174", false),
        ("http://127.0.0.1:5173", false),
        ("https://gavel.example", false),
        ("https://www.shop.example", false),
        ("https://example", false),
        // Names that begin, end or look like one that may.
        ("https://shop.example.evil.example", false),
        ("https://evilshop.example", false),
        ("https://shop.example@evil.example", false),
        ("https://evil.example#https://shop.example", false),
        ("https://evil.example/https://shop.example", false),
        ("https://evil.example?https://shop.example", false),
        ("https://shop.example\\.evil.example", false),
        ("https://shop.example.", false),
        ("https://shop%2eexample", false),
        ("https://xn--shp-0na.example", false),
        // No browser writes these.
        ("null", false),
        ("NULL", false),
        ("", false),
        ("*", false),
        ("https://*", false),
        ("https://", false),
        ("://shop.example", false),
        ("shop.example", false),
        ("https:shop.example", false),
        ("https:/shop.example", false),
        ("https://shop.example/", false),
        ("https://shop.example:", false),
        ("HTTPS://shop.example", false),
        ("https://SHOP.example", false),
        ("https://shop.example https://evil.example", false),
        ("https://shop.example,https://evil.example", false),
        (" https://shop.example", false),
        ("file://", false),
        ("data:text/html", false),
        ("chrome-extension://shop.example", false),
        ("ws://shop.example", false),
        ("wss://node.example", false),
        ("javascript://shop.example", false),
        ("https://[::1]", false),
    ] {
        assert_eq!(allowed(SETTING, "node.example", origin), may, "{origin:?}");
    }
}

#[test]
fn a_page_of_the_host_itself_is_let_in() {
    for (host, origin, may) in [
        ("node.example", "https://node.example", true),
        ("Node.Example", "https://node.example", true),
        ("node.example:443", "https://node.example", true),
        ("node.example:80", "http://node.example", true),
        ("localhost:3000", "http://localhost:3000", true),
        ("[::1]:3000", "http://[::1]:3000", true),
        ("node.example:80", "https://node.example", false),
        ("localhost:3000", "http://localhost:3001", false),
        ("localhost:3000", "http://localhost", false),
        ("localhost", "http://localhost:3000", false),
        ("evil.example@node.example", "https://node.example", false),
        ("", "https://", false),
        ("*", "https://*", false),
    ] {
        assert_eq!(allowed("", host, origin), may, "{host:?} {origin:?}");
    }
    let twice = {
        let mut headers = headers("node.example", &[b"https://node.example"]);
        headers.append(header::HOST, HeaderValue::from_static("other.example"));
        headers
    };
    assert_eq!(AllowedOrigins::new("", "").check(&twice), Err(ForeignPage));
}

#[test]
fn whoever_is_no_page_needs_no_origin_and_a_page_has_one() {
    let origins = AllowedOrigins::new(SETTING, "");
    assert_eq!(origins.check(&headers("n", &[])), Ok(Asker::NoPage));
    let page = headers("n", &[b"https://shop.example"]);
    assert_eq!(origins.check(&page), Ok(Asker::Page("https://shop.example")));
    let twice: [&[u8]; 2] = [b"https://shop.example", b"https://shop.example"];
    assert_eq!(origins.check(&headers("n", &twice)), Err(ForeignPage));
    assert_eq!(origins.check(&headers("n", &[b"https://shop.example\xff"])), Err(ForeignPage));
}

#[test]
fn a_star_lets_every_page_in() {
    for origin in ["null", "https://evil.example", "file://"] {
        assert!(allowed(" * ", "node.example", origin), "{origin}");
    }
}

#[test]
fn a_setting_names_origins_or_all_of_them() {
    for good in ["*", "https://a.example", " http://a:1 , https://b ", "https://[::1]:3000/"] {
        assert!(is_setting(good), "{good:?}");
    }
    for bad in [
        "",
        ",",
        "a.example",
        "https://a.example/path",
        "https://*.example",
        "https://a,*",
        "wss://a.example",
        "https://user@a.example",
        "https://a.example:99999x",
        "null",
    ] {
        assert!(!is_setting(bad), "{bad:?}");
    }
}

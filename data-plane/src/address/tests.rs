//! Where a request is taken to come from, whatever its headers claim.

use super::*;
use http::HeaderValue;

/// Proxies of ours: 10.0.0.0/8 and fd00::/8. The request's peer is 10.0.0.1.
fn client(header: ForwardedHeader, peer: &str, lines: &[&[u8]]) -> String {
    let proxies = "10.0.0.0/8,fd00::/8".parse().unwrap();
    let name = match header {
        ForwardedHeader::XForwardedFor => X_FORWARDED_FOR,
        ForwardedHeader::Forwarded => header::FORWARDED,
    };
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(&name, HeaderValue::from_bytes(line).unwrap());
    }
    Origins { proxies, header }.client(peer.parse().unwrap(), &headers).to_string()
}

/// Lines of `X-Forwarded-For`, with | between them, and the client.
const LISTED: &[(&str, &str)] = &[
    // Who is named, in each form.
    ("192.0.2.1", "192.0.2.1"),
    ("  192.0.2.1\t", "192.0.2.1"),
    ("192.0.2.1:4711", "192.0.2.1"),
    ("192.0.2.1:_hidden", "192.0.2.1"),
    ("2001:db8::1", "2001:db8::1"),
    ("[2001:db8::1]", "2001:db8::1"),
    ("[2001:db8::1]:4711", "2001:db8::1"),
    ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
    ("fe80::1%eth0", "fe80::1"),
    ("[fe80::1%eth0.7]:80", "fe80::1"),
    ("::ffff:192.0.2.1", "192.0.2.1"),
    ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
    ("::ffff:c000:201", "192.0.2.1"),
    ("::1", "::1"),
    ("127.0.0.1", "127.0.0.1"),
    // What a client writes stands to the left of what a proxy saw.
    ("127.0.0.1, 192.0.2.1", "192.0.2.1"),
    ("10.0.0.9, 192.0.2.1", "192.0.2.1"),
    ("1.1.1.1, 2.2.2.2, 192.0.2.1", "192.0.2.1"),
    ("garbage, 192.0.2.1", "192.0.2.1"),
    ("\u{fc}ml\u{e4}ut, 192.0.2.1", "192.0.2.1"),
    ("<script>, 192.0.2.1", "192.0.2.1"),
    ("\", 192.0.2.1", "192.0.2.1"),
    (",,,, 192.0.2.1", "192.0.2.1"),
    // Proxies of ours may stand one behind the other.
    ("192.0.2.1, 10.0.0.2", "192.0.2.1"),
    ("192.0.2.1,10.0.0.3,10.0.0.2", "192.0.2.1"),
    ("192.0.2.1, fd00::2, 10.0.0.2", "192.0.2.1"),
    ("192.0.2.1, [fd00::2]:80, ::ffff:10.0.0.2", "192.0.2.1"),
    ("10.0.0.9, 192.0.2.1, 10.0.0.2", "192.0.2.1"),
    ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
    // Several lines are one list.
    ("1.1.1.1|192.0.2.1", "192.0.2.1"),
    ("192.0.2.1|10.0.0.2", "192.0.2.1"),
    ("1.1.1.1|192.0.2.1, 10.0.0.3|10.0.0.2", "192.0.2.1"),
    // What cannot be read is the word of the last proxy that can be believed.
    ("", "10.0.0.1"),
    (" ", "10.0.0.1"),
    (",", "10.0.0.1"),
    ("192.0.2.1,", "10.0.0.1"),
    ("192.0.2.1|", "10.0.0.1"),
    ("192.0.2.1, garbage", "10.0.0.1"),
    ("192.0.2.1, garbage, 10.0.0.2", "10.0.0.2"),
    ("unknown", "10.0.0.1"),
    ("_hidden", "10.0.0.1"),
    ("for=192.0.2.1", "10.0.0.1"),
    ("\"192.0.2.1\"", "10.0.0.1"),
    ("192.0.2.1 10.0.0.2", "10.0.0.1"),
    ("192.0.2.1;10.0.0.2", "10.0.0.1"),
    ("192.0.2", "10.0.0.1"),
    ("192.0.2.256", "10.0.0.1"),
    ("192.0.2.01", "10.0.0.1"),
    ("0300.0.2.1", "10.0.0.1"),
    ("3221225985", "10.0.0.1"),
    ("0xc0000201", "10.0.0.1"),
    ("192.0.2.1:", "10.0.0.1"),
    ("192.0.2.1:65536", "10.0.0.1"),
    ("192.0.2.1:+80", "10.0.0.1"),
    ("192.0.2.1:8o", "10.0.0.1"),
    ("192.0.2.1:_", "10.0.0.1"),
    ("192.0.2.1/24", "10.0.0.1"),
    ("[192.0.2.1]", "10.0.0.1"),
    ("[2001:db8::1", "10.0.0.1"),
    ("2001:db8::1]", "10.0.0.1"),
    ("[2001:db8::1]80", "10.0.0.1"),
    ("[2001:db8::1]:", "10.0.0.1"),
    ("[[2001:db8::1]]", "10.0.0.1"),
    ("2001:db8::1::2", "10.0.0.1"),
    ("2001:db8::g", "10.0.0.1"),
    ("fe80::1%", "10.0.0.1"),
    ("fe80::1%a%b", "10.0.0.1"),
    ("192.0.2.1\u{a0}", "10.0.0.1"),
    ("example.com", "10.0.0.1"),
];

#[test]
fn x_forwarded_for_is_read_from_the_right() {
    for (lines, wanted) in LISTED {
        let lines: Vec<_> = lines.split('|').map(str::as_bytes).collect();
        let found = client(ForwardedHeader::XForwardedFor, "10.0.0.1", &lines);
        assert_eq!(found, *wanted, "{:?}", lines.join(&b'|').escape_ascii().to_string());
    }
}

#[test]
fn only_so_much_of_a_header_is_read() {
    let zone = format!("fe80::1%{}", "z".repeat(ZONE_BYTES_MAX + 1));
    let many = "10.0.0.2,".repeat(HOPS_MAX) + "10.0.0.2";
    let long = "9".repeat(9_000) + ", 192.0.2.1";
    let forwarded = format!("for=192.0.2.1;by={}", "x".repeat(5_000));
    for (header, line, wanted) in [
        (ForwardedHeader::XForwardedFor, zone, "10.0.0.1"),
        (ForwardedHeader::XForwardedFor, format!("192.0.2.1,{many}"), "10.0.0.2"),
        (ForwardedHeader::XForwardedFor, long, "192.0.2.1"),
        (ForwardedHeader::Forwarded, forwarded, "10.0.0.1"),
    ] {
        assert_eq!(client(header, "10.0.0.1", &[line.as_bytes()]), wanted);
    }
}

/// The same of `Forwarded`.
const ELEMENTS: &[(&str, &str)] = &[
    ("for=192.0.2.1", "192.0.2.1"),
    ("FOR=192.0.2.1", "192.0.2.1"),
    ("for=\"192.0.2.1\"", "192.0.2.1"),
    ("for=\"192.0.2.1:4711\"", "192.0.2.1"),
    ("for=192.0.2.1:4711", "192.0.2.1"),
    ("for=\"[2001:db8::1]\"", "2001:db8::1"),
    ("for=\"[2001:db8::1]:4711\"", "2001:db8::1"),
    ("for=[2001:db8::1]", "2001:db8::1"),
    ("For=\"[::ffff:192.0.2.1]:_p\"", "192.0.2.1"),
    ("by=10.0.0.1;for=192.0.2.1;proto=https", "192.0.2.1"),
    ("for=192.0.2.1; proto=https ;host=\"a,b;c=d\"", "192.0.2.1"),
    ("host=\"a \\\" b\";for=192.0.2.1", "192.0.2.1"),
    ("for=1.1.1.1, for=192.0.2.1", "192.0.2.1"),
    ("for=192.0.2.1, for=10.0.0.2", "192.0.2.1"),
    ("for=192.0.2.1;host=x, for=\"[fd00::2]\";by=_y, for=10.0.0.2", "192.0.2.1"),
    ("for=1.1.1.1|for=192.0.2.1", "192.0.2.1"),
    ("for=192.0.2.1|for=10.0.0.2", "192.0.2.1"),
    ("for=\"_hidden\", for=192.0.2.1", "192.0.2.1"),
    // Who hides, or is not named once.
    ("for=unknown", "10.0.0.1"),
    ("for=_hidden", "10.0.0.1"),
    ("for=192.0.2.1, for=_hidden, for=10.0.0.2", "10.0.0.2"),
    ("proto=https", "10.0.0.1"),
    ("for=192.0.2.1, proto=https", "10.0.0.1"),
    ("for=192.0.2.1;for=10.0.0.2", "10.0.0.1"),
    ("for=192.0.2.1;for=192.0.2.1", "10.0.0.1"),
    // A quote that a client leaves open hides nothing.
    ("for=1.1.1.1;x=\", for=192.0.2.1", "10.0.0.1"),
    ("for=1.1.1.1;x=\", for=\"[2001:db8::1]\"", "10.0.0.1"),
    ("for=\", for=192.0.2.1", "10.0.0.1"),
    ("for=1.1.1.1;x=\"\\\", for=\"192.0.2.1\"", "10.0.0.1"),
    ("for=1.1.1.1;x=\"a\"b, for=192.0.2.1", "10.0.0.1"),
    // What is against the grammar.
    ("", "10.0.0.1"),
    ("192.0.2.1", "10.0.0.1"),
    ("for", "10.0.0.1"),
    ("for=", "10.0.0.1"),
    ("for=\"\"", "10.0.0.1"),
    ("for =192.0.2.1", "10.0.0.1"),
    ("for= 192.0.2.1", "10.0.0.1"),
    ("=192.0.2.1", "10.0.0.1"),
    ("for=192.0.2.1,", "10.0.0.1"),
    ("for=192.0.2.1;", "10.0.0.1"),
    (",for=192.0.2.1", "10.0.0.1"),
    ("for=192.0.2.1 for=10.0.0.2", "10.0.0.1"),
    ("for=\"192.0.2.1", "10.0.0.1"),
    ("for=\"192.0\\.2.1\"", "10.0.0.1"),
];

#[test]
fn forwarded_is_read_whole_or_not_at_all() {
    for (lines, wanted) in ELEMENTS {
        let lines: Vec<_> = lines.split('|').map(str::as_bytes).collect();
        let found = client(ForwardedHeader::Forwarded, "10.0.0.1", &lines);
        assert_eq!(found, *wanted, "{:?}", lines.join(&b'|').escape_ascii().to_string());
    }
}

#[test]
fn a_stranger_is_not_believed_and_only_one_header_is_read() {
    for (header, peer, lines, wanted) in [
        (ForwardedHeader::XForwardedFor, "192.0.2.9", "192.0.2.1", "192.0.2.9"),
        (ForwardedHeader::XForwardedFor, "192.0.2.9", "10.0.0.2", "192.0.2.9"),
        (ForwardedHeader::XForwardedFor, "::ffff:192.0.2.9", "192.0.2.1", "192.0.2.9"),
        (ForwardedHeader::XForwardedFor, "::ffff:10.0.0.1", "192.0.2.1", "192.0.2.1"),
        (ForwardedHeader::XForwardedFor, "fd00::1", "192.0.2.1", "192.0.2.1"),
        (ForwardedHeader::Forwarded, "2001:db8::9", "for=192.0.2.1", "2001:db8::9"),
    ] {
        assert_eq!(client(header, peer, &[lines.as_bytes()]), wanted, "{peer} {lines}");
    }
    let mut headers = HeaderMap::new();
    headers.append(header::FORWARDED, HeaderValue::from_static("for=192.0.2.1"));
    headers.append("x-real-ip", HeaderValue::from_static("192.0.2.2"));
    let origins = Origins { proxies: "10.0.0.0/8".parse().unwrap(), ..Origins::default() };
    let peer = "10.0.0.1".parse().unwrap();
    assert_eq!(origins.client(peer, &headers), peer);
    // Nobody is believed unless the settings say so.
    headers.append(X_FORWARDED_FOR, HeaderValue::from_static("192.0.2.1"));
    assert_eq!(Origins::default().client(peer, &headers), peer);
    assert_eq!(origins.client(peer, &headers).to_string(), "192.0.2.1");
}

#[test]
fn a_customer_is_an_ipv4_address_or_a_64() {
    for (one, other, same) in [
        ("192.0.2.1", "::ffff:192.0.2.1", true),
        ("192.0.2.1", "192.0.2.2", false),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true),
        ("2001:db8::1", "2001:db8:0:1::1", false),
    ] {
        let [one, other] = [one, other].map(|address| customer(address.parse().unwrap()));
        assert_eq!(one == other, same, "{one} {other}");
    }
}

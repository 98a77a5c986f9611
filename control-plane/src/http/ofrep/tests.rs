//! What is asked and answered, without a socket.

use super::*;
use crate::grpc::Tokens;
use crate::store::{Document, DocumentName};
use axum::body::Body;
use std::net::IpAddr;
use tower::ServiceExt as _;

const NEAR: [u8; 4] = [127, 0, 0, 1];

struct Asked {
    status: u16,
    tag: Option<String>,
    body: Value,
}

fn ofrep(token: &str) -> Ofrep {
    let listed = if token.is_empty() { String::new() } else { format!("ann viewer {token}") };
    let tokens = Tokens::listed("admin.tokens", &listed).unwrap();
    Ofrep { documents: Documents::new(), readers: Readers::new(tokens, false) }
}

/// Puts a document in force.
fn store(ofrep: &Ofrep, version: u64, document: &Value) {
    let document = Document { version: Version::new(version), body: document.to_string() };
    ofrep.documents.changed(DocumentName::Flags, document);
}

async fn ask(
    ofrep: &Ofrep,
    key: &str,
    body: &str,
    headers: &[(&str, &str)],
    from: [u8; 4],
) -> Asked {
    let mut request = Request::post(format!("/ofrep/v1/evaluate/flags{key}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::from(body.to_owned())).unwrap();
    request.extensions_mut().insert(Peer(IpAddr::from(from)));
    let response = router(ofrep.clone()).oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let tag = response.headers().get(header::ETAG).map(|tag| tag.to_str().unwrap().to_owned());
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    Asked { status, tag, body: serde_json::from_slice(&body).unwrap_or_default() }
}

async fn answer_to(ofrep: &Ofrep, key: &str, body: &str) -> (u16, Value) {
    let asked = ask(ofrep, key, body, &[], NEAR).await;
    (asked.status, asked.body)
}

fn document() -> Value {
    json!({"flags": {
        "colour": {"state": "ENABLED", "variants": {"r": "red", "g": "green"}, "defaultVariant": "g",
            "targeting": {"if": [{"==": [{"var": "plan"}, "gold"]}, "r"]}},
        "size": {"state": "ENABLED", "variants": {"x": 3}, "defaultVariant": "x"},
        "off": {"state": "DISABLED", "variants": {"x": 3}, "defaultVariant": "x"},
        "broken": {"state": "ENABLED", "variants": {"x": 3}, "defaultVariant": "x",
            "targeting": {"cat": ["y"]}},
    }})
}

#[tokio::test]
async fn each_flag_is_answered_with_its_reason() {
    let ofrep = ofrep("");
    store(&ofrep, 7, &document());
    let metadata = json!({"version": 7});
    let rows = [
        (
            "/size",
            "{}",
            200,
            json!({"key": "size", "reason": "STATIC", "variant": "x", "value": 3, "metadata": metadata}),
        ),
        (
            "/colour",
            r#"{"context":{"targetingKey":"u","plan":"gold"}}"#,
            200,
            json!({"key": "colour", "reason": "TARGETING_MATCH", "variant": "r", "value": "red", "metadata": metadata}),
        ),
        (
            "/colour",
            r#"{"context":{}}"#,
            200,
            json!({"key": "colour", "reason": "DEFAULT", "variant": "g", "value": "green", "metadata": metadata}),
        ),
        ("/off", "{}", 200, json!({"key": "off", "reason": "DISABLED", "metadata": metadata})),
    ];
    for (key, body, status, wanted) in rows {
        assert_eq!(answer_to(&ofrep, key, body).await, (status, wanted), "{key} {body}");
    }
    let rows = [
        ("/none", "{}", 404, "FLAG_NOT_FOUND"),
        ("/broken", "{}", 400, "GENERAL"),
        ("/size", "", 400, "PARSE_ERROR"),
        ("/size", "[1]", 400, "PARSE_ERROR"),
        ("/size", r#"{"context":"u"}"#, 400, "INVALID_CONTEXT"),
        ("/size", r#"{"context":{"targetingKey":1}}"#, 400, "INVALID_CONTEXT"),
    ];
    for (key, body, status, code) in rows {
        let (told, answer) = answer_to(&ofrep, key, body).await;
        assert_eq!((told, &answer["errorCode"]), (status, &json!(code)), "{key} {body}");
        assert_eq!(answer["key"], key[1..]);
        assert!(answer["errorDetails"].is_string(), "{answer}");
    }
    let large = format!(r#"{{"context":{{"x":"{}"}}}}"#, "x".repeat(BODY_BYTES_MAX));
    assert_eq!(answer_to(&ofrep, "/size", &large).await.0, 413);
}

#[tokio::test]
async fn all_flags_come_with_a_tag_that_changes_when_an_answer_does() {
    let ofrep = ofrep("");
    store(&ofrep, 7, &document());
    let (gold, other) = (r#"{"context":{"plan":"gold"}}"#, r#"{"context":{"plan":"none"}}"#);
    let first = ask(&ofrep, "", gold, &[], NEAR).await;
    assert_eq!((first.status, &first.body["metadata"]), (200, &json!({"version": 7})));
    let told: Vec<_> = first.body["flags"].as_array().unwrap().iter().collect();
    let by_key = |key: &str| *told.iter().find(|flag| flag["key"] == key).unwrap();
    assert_eq!(told.len(), 4);
    assert_eq!(
        (&by_key("colour")["value"], &by_key("broken")["errorCode"]),
        (&json!("red"), &json!("GENERAL"))
    );
    assert_eq!(by_key("off").get("value"), None);

    let tag = first.tag.unwrap();
    let listed = format!("\"other\", W/{tag}");
    for given in [tag.as_str(), &listed, "*"] {
        let again = ask(&ofrep, "", gold, &[("if-none-match", given)], NEAR).await;
        assert_eq!(
            (again.status, again.body, again.tag.as_ref()),
            (304, Value::Null, Some(&tag)),
            "{given}"
        );
    }
    let known = [("if-none-match", tag.as_str())];
    assert_eq!(ask(&ofrep, "", other, &known, NEAR).await.status, 200, "another subject");
    let mut changed = document();
    changed["flags"]["size"]["variants"]["x"] = 4.into();
    store(&ofrep, 8, &changed);
    let after = ask(&ofrep, "", gold, &known, NEAR).await;
    assert_eq!(after.status, 200, "another document");
    assert_ne!(after.tag, Some(tag));
    let (status, refused) = answer_to(&ofrep, "", "nonsense").await;
    assert_eq!((status, &refused["errorCode"]), (400, &json!("PARSE_ERROR")));
    assert_eq!(refused.get("key"), None);
}

#[tokio::test]
async fn who_may_ask_is_who_may_administer() {
    let (good, bad) = (Some("Bearer hush"), Some("Bearer hus"));
    let far = [10, 0, 0, 1];
    let rows = [
        ("", None, NEAR, 200),
        ("", good, far, 403),
        ("hush", None, NEAR, 401),
        ("hush", bad, NEAR, 401),
        ("hush", good, NEAR, 200),
        ("hush", good, far, 200),
    ];
    for (token, given, from, status) in rows {
        let headers: Vec<_> = given.into_iter().map(|given| ("authorization", given)).collect();
        for key in ["", "/batching"] {
            let asked = ask(&ofrep(token), key, "{}", &headers, from).await;
            assert_eq!(asked.status, status, "{token:?} {headers:?} {from:?}");
            assert!(status == 200 || asked.body["errorDetails"].is_string());
        }
    }
}

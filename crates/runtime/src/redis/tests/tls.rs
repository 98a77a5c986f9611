//! Redis by TLS, whose certificate has to be good.

use super::*;
use gavel_testkit::Authority;

#[tokio::test]
async fn a_server_must_show_a_certificate_of_an_authority_that_is_believed() {
    let (ours, other) = (Authority::new(), Authority::new());
    let server = RedisServer::with_tls(ours.issue("redis", &[])).await;
    let address = server.tls_address();
    let trusting = |url: &str, ca_file: &str| Redis::connect_trusting(url, ca_file).unwrap();
    let url = format!("rediss://{address}");
    let redis = trusting(&url, &ours.ca_file());
    until_ready(&redis).await;
    redis.cmd::<()>(cmd("SET").arg("k").arg("v")).await.unwrap();
    let got: Option<String> = redis.cmd(cmd("GET").arg("k")).await.unwrap();
    assert_eq!(got.as_deref(), Some("v"));
    for (url, ca_file) in [
        (url.as_str(), other.ca_file()),
        (&url, String::new()),
        (&format!("redis://{address}"), String::new()),
    ] {
        let refused = trusting(url, &ca_file).ping().await;
        assert!(matches!(refused, Err(RedisError::Unavailable(_))), "{url} {refused:?}");
    }
    let missing = Redis::connect_trusting(&url, "no-such-file");
    assert!(matches!(missing, Err(RedisError::Refused(_))));
}

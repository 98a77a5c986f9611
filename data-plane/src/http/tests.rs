//! What is answered while a node sheds.

use super::*;
use crate::{config::Config, metrics::Shed, node, store};
use axum::{body::Body, extract::Request};
use gavel_rules::id::Incarnation;
use gavel_runtime::http::Peer;
use std::net::{IpAddr, Ipv4Addr};
use tower::ServiceExt as _;

#[tokio::test]
async fn what_is_shed_is_refused_with_a_time_to_come_again() {
    let store = store::open(None).unwrap();
    let shell = Arc::new(node::shell(Config::default(), store, Incarnation::new(1)).unwrap());
    let ask = async |path: &str| {
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        request.extensions_mut().insert(Peer(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        let answer = routes::router(Arc::clone(&shell)).oneshot(request).await.unwrap();
        let later = answer.headers().get(header::RETRY_AFTER).cloned();
        (answer.status().as_u16(), later.map(|later| later.to_str().unwrap().to_owned()))
    };
    let later = (503, Some("1".to_owned()));
    let pages = ["/api/websocket/metrics", "/api/rooms/1/snapshot", "/api/rooms/1/events"];
    let always = ["/livez", "/metrics"];

    shell.metrics.shedding.inc(Shed::Pages);
    for path in pages {
        assert_eq!(ask(path).await, later, "{path}");
    }
    assert_eq!(ask("/readyz").await.0, 200, "sockets are welcome");
    assert_eq!(ask("/ws").await.0, 426, "no handshake, but not shed");

    shell.metrics.shedding.inc(Shed::Sockets);
    assert_eq!(ask("/ws").await, later);
    assert_eq!(ask("/readyz").await.0, 503);
    for path in always {
        assert_eq!(ask(path).await.0, 200, "{path}");
    }
    assert_eq!(
        (shell.metrics.shed.get(Shed::Pages), shell.metrics.shed.get(Shed::Sockets)),
        (3, 1)
    );

    shell.metrics.shedding.dec(Shed::Sockets);
    shell.metrics.shedding.dec(Shed::Pages);
    assert_eq!(ask("/readyz").await.0, 200);
    assert_eq!(ask("/api/websocket/metrics").await.0, 200);
}

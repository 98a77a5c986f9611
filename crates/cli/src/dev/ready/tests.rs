//! A control plane, and a node that answers as slowly as the test wants.

use super::*;
use gavel_control_plane::ControlPlane;
use gavel_proto::{
    config::v1::{Held, StreamConfigRequest, config_service_client::ConfigServiceClient},
    fleet::v1::{
        Register, SessionRequest, fleet_service_client::FleetServiceClient,
        session_request::Kind as Up,
    },
};
use gavel_testkit::until;
use tokio::sync::mpsc;

/// Short enough to find out what is missing.
const SHORT: Duration = Duration::from_millis(50);

async fn start() -> (ControlPlane, String) {
    let mut config = gavel_control_plane::Config::default();
    config.http.listen = ([127, 0, 0, 1], 0).into();
    config.grpc.listen = ([127, 0, 0, 1], 0).into();
    // The node below has no heart.
    config.cluster.lease_ms = 60_000;
    let control = ControlPlane::start(config).await.expect("it starts");
    let endpoint = format!("http://{}", control.grpc_addr());
    (control, endpoint)
}

/// A stream of requests that stays open after these.
fn stream<T: Send + 'static>(
    first: T,
) -> (mpsc::Sender<T>, impl futures::Stream<Item = T> + Send + 'static) {
    let (sender, receiver) = mpsc::channel(4);
    sender.try_send(first).expect("a place");
    let stream = futures::stream::unfold(receiver, async |mut receiver: mpsc::Receiver<T>| {
        receiver.recv().await.map(|next| (next, receiver))
    });
    (sender, Box::pin(stream))
}

#[tokio::test]
async fn a_node_is_ready_when_both_documents_are_in_force() {
    let (control, endpoint) = start().await;
    let until_it_lacks = async |what: &str| {
        let lack = async || match nodes(&endpoint, &["node-1"], SHORT).await {
            Ok(()) => panic!("it is ready, but lacks: {what}"),
            Err(failure) => (failure.to_string() == what).then_some(()),
        };
        until(what, lack).await;
    };
    until_it_lacks("node-1 has not registered with the control plane").await;

    let register = Register {
        node_id: "node-1".to_owned(),
        incarnation: 1,
        relay_url: "http://127.0.0.1:1".to_owned(),
        public_url: "http://127.0.0.1:1".to_owned(),
        version: "0".to_owned(),
        ..Register::default()
    };
    let mut fleet = FleetServiceClient::new(channel(&endpoint).expect("a channel"));
    let first = SessionRequest { kind: Some(Up::Register(register)) };
    let (_session, requests) = stream(first);
    let _told = fleet.session(requests).await.expect("a session");
    until_it_lacks("node-1 has version 0 of the limits in force and not 1").await;

    let answer = |nonce, held: &[(&str, u64)]| StreamConfigRequest {
        node_id: "node-1".to_owned(),
        nonce,
        held: held
            .iter()
            .map(|(name, version)| Held { name: (*name).to_owned(), version: *version })
            .collect(),
        refused: Vec::new(),
    };
    let mut config = ConfigServiceClient::new(channel(&endpoint).expect("a channel"));
    let (answers, requests) = stream(answer(0, &[]));
    let _pushes = config.stream_config(requests).await.expect("a stream");
    answers.send(answer(1, &[("limits", 1)])).await.expect("it listens");
    until_it_lacks("node-1 has version 0 of the flags in force and not 1").await;

    // The answer is on its way when the wait begins.
    answers.send(answer(1, &[("limits", 1), ("flags", 1)])).await.expect("it listens");
    let ready = nodes(&endpoint, &["node-1"], PATIENCE).await;
    assert!(ready.is_ok(), "{ready:?}");
    control.stop().await;
}

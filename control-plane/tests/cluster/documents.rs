//! Limits, flags and denials on their way to the nodes.

use crate::world::{Node, channel, start, until};
use gavel_control_plane::ControlPlane;
use gavel_proto::{
    admin::v1::{
        GetFlagsRequest, ListNodesRequest, UpdateFlagsRequest, UpdateLimitsRequest,
        flag_service_client::FlagServiceClient, limit_service_client::LimitServiceClient,
        node_service_client::NodeServiceClient,
    },
    config::v1::{self as wire, config_service_client::ConfigServiceClient, resource::Kind},
    limits,
};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};
use tonic_types::StatusExt as _;

/// The configuration stream of a node.
pub(crate) struct Stream {
    up: mpsc::Sender<wire::StreamConfigRequest>,
    down: Streaming<wire::StreamConfigResponse>,
}

pub(crate) fn answer(
    nonce: u64,
    held: &[(&str, u64)],
    refused: &[(&str, u64)],
) -> wire::StreamConfigRequest {
    let held = held.iter().map(|(name, version)| (name.to_string(), *version));
    let refused = refused.iter().map(|(name, version)| (name.to_string(), *version));
    wire::StreamConfigRequest {
        node_id: "n1".to_owned(),
        nonce,
        held: held.map(|(name, version)| wire::Held { name, version }).collect(),
        refused: refused
            .map(|(name, version)| wire::Refusal { name, version, error: "no".to_owned() })
            .collect(),
    }
}

impl Stream {
    pub(crate) async fn open(control: &ControlPlane, hello: wire::StreamConfigRequest) -> Self {
        let (up, requests) = mpsc::channel(8);
        up.send(hello).await.expect("a place");
        let mut client = ConfigServiceClient::new(channel(control));
        let down = client.stream_config(ReceiverStream::new(requests)).await.expect("a stream");
        Self { up, down: down.into_inner() }
    }

    /// The next push: its nonce, and each document's version.
    pub(crate) async fn push(&mut self) -> (u64, Vec<(&'static str, u64)>) {
        let push = tokio::time::timeout(Duration::from_secs(10), self.down.message()).await;
        let push = push.expect("a push in time").expect("a stream").expect("a push");
        let named = push.resources.into_iter().map(|resource| match resource.kind {
            Some(Kind::Limits(_)) => ("limits", resource.version),
            Some(Kind::Flags(_)) => ("flags", resource.version),
            Some(Kind::Denials(_)) => ("denials", resource.version),
            None => ("nothing", resource.version),
        });
        (push.nonce, named.collect())
    }
}

async fn bids_per_user(control: &ControlPlane, max: u32, version: u64) -> Result<u64, Code> {
    let limits = wire::Limits { bids_per_user_max: max, ..limits::defaults() };
    let update = UpdateLimitsRequest { limits: Some(limits), version };
    let updated = LimitServiceClient::new(channel(control)).update_limits(update).await;
    updated.map(|updated| updated.into_inner().version).map_err(|status| status.code())
}

/// Versions of limits and flags on n1, and how often nodes refused.
async fn in_force(control: &ControlPlane) -> (u64, u64) {
    let mut nodes = NodeServiceClient::new(channel(control));
    let nodes = nodes.list_nodes(ListNodesRequest {}).await.expect("nodes").into_inner().nodes;
    nodes.first().map(|node| (node.limits_version, node.flags_version)).expect("a node")
}

#[tokio::test]
async fn a_change_is_pushed_once_and_its_answer_noted() {
    let control = start(3_000).await;
    let _n1 = Node::register(&control, "n1", 1, &[]).await;
    let mut stream = Stream::open(&control, answer(0, &[], &[])).await;
    assert_eq!(stream.push().await, (1, vec![("limits", 1), ("flags", 1), ("denials", 1)]));
    stream.up.send(answer(1, &[("limits", 1), ("flags", 1)], &[])).await.unwrap();
    until("the ACK", async || (in_force(&control).await == (1, 1)).then_some(())).await;

    assert_eq!(bids_per_user(&control, 9, 1).await, Ok(2));
    assert_eq!(stream.push().await, (2, vec![("limits", 2)]), "only what changed");
    stream.up.send(answer(2, &[("limits", 1), ("flags", 1)], &[("limits", 2)])).await.unwrap();
    until("the NACK", async || {
        let page = crate::metrics::page(&control).await;
        page.contains("\ngavel_control_config_refused_total 1\n").then_some(())
    })
    .await;
    assert_eq!(in_force(&control).await, (1, 1), "a refused document is not held");

    // The node comes back: what it refused is not sent again until it changes.
    let hello = answer(0, &[("limits", 1), ("flags", 1)], &[("limits", 2)]);
    let mut again = Stream::open(&control, hello).await;
    drop(stream);
    assert_eq!(again.push().await, (1, vec![("flags", 1), ("denials", 1)]));
    assert_eq!(bids_per_user(&control, 8, 0).await, Ok(3));
    assert_eq!(again.push().await, (2, vec![("limits", 3)]));
    again.up.send(answer(2, &[("limits", 3), ("flags", 1)], &[])).await.unwrap();
    until("the ACK", async || (in_force(&control).await == (3, 1)).then_some(())).await;
    control.stop().await;
}

#[tokio::test]
async fn limits_out_of_range_or_outdated_change_nothing() {
    let control = start(3_000).await;
    let mut client = LimitServiceClient::new(channel(&control));
    let limits = wire::Limits { batch_messages_max: 0, ..limits::defaults() };
    let update = UpdateLimitsRequest { limits: Some(limits), version: 0 };
    let refused = client.update_limits(update).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(refused.message(), "batch_messages_max: 0 is not within 1 to 256");
    assert_eq!(bids_per_user(&control, 9, 1).await, Ok(2));
    assert_eq!(bids_per_user(&control, 7, 1).await, Err(Code::Aborted));
    assert_eq!(bids_per_user(&control, 7, 0).await, Ok(3));
    control.stop().await;
}

#[tokio::test]
async fn bad_flags_are_refused_with_the_path_of_the_fault() {
    let control = start(3_000).await;
    let mut client = FlagServiceClient::new(channel(&control));
    let before = client.get_flags(GetFlagsRequest {}).await.unwrap().into_inner();
    let document = before.document.replacen("ENABLED", "PERHAPS", 1);
    let update = UpdateFlagsRequest { document, version: before.version };
    let refused = client.update_flags(update).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("$.flags.batching.state"), "{}", refused.message());
    assert_eq!(refused.get_error_details().error_info().unwrap().reason, "INVALID");
    let after = client.get_flags(GetFlagsRequest {}).await.unwrap().into_inner();
    assert_eq!(after, before, "the last good document stays");
    control.stop().await;
}

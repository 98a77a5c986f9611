//! What KEDA is told, over gRPC as it asks.

use crate::world::{Node, channel, config, start, until};
use gavel_control_plane::ControlPlane;
use gavel_proto::{
    fleet::v1::{
        self as wire, fleet_service_client::FleetServiceClient, session_request::Kind as Up,
    },
    keda::{GetMetricsRequest, ScaledObjectRef, external_scaler_client::ExternalScalerClient},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

fn scaled(target: Option<&str>) -> ScaledObjectRef {
    let metadata = target.map(|target| ("socketsPerNode".to_owned(), target.to_owned()));
    ScaledObjectRef {
        name: "gavel".to_owned(),
        namespace: "auctions".to_owned(),
        scaler_metadata: metadata.into_iter().collect(),
    }
}

async fn sockets(control: &ControlPlane, name: &str) -> Result<(i64, f64), Status> {
    let request =
        GetMetricsRequest { scaled_object_ref: Some(scaled(None)), metric_name: name.to_owned() };
    let told = ExternalScalerClient::new(channel(control)).get_metrics(request).await?;
    let value = told.into_inner().metric_values.pop().expect("a value");
    assert_eq!(value.metric_name, name);
    Ok((value.metric_value, value.metric_value_float))
}

/// A node that has registered and says nothing more by itself.
async fn silent(
    control: &ControlPlane,
    id: &str,
) -> (mpsc::Sender<wire::SessionRequest>, Streaming<wire::SessionResponse>) {
    let (up, requests) = mpsc::channel(4);
    let register = wire::Register { node_id: id.to_owned(), incarnation: 1, ..Default::default() };
    let first = wire::SessionRequest { kind: Some(Up::Register(register)) };
    up.send(first).await.expect("a place");
    let mut client = FleetServiceClient::new(channel(control));
    let session = client.session(ReceiverStream::new(requests)).await;
    let mut down = session.expect("a session").into_inner();
    assert!(down.message().await.expect("a session").is_some(), "it is welcome");
    (up, down)
}

#[tokio::test]
async fn the_sockets_of_all_nodes_are_told_once_each_has_told_its_own() {
    let control = start(3_000).await;
    let nobody = sockets(&control, "gavel_sockets").await.unwrap_err();
    assert_eq!(nobody.code(), Code::Unavailable, "none is not the same as no sockets");
    let _first = Node::register(&control, "n1", 1, &[]).await;
    let _second = Node::register(&control, "n2", 1, &[]).await;
    until("both to be counted", async || {
        (sockets(&control, "gavel_sockets").await.ok()? == (6, 6.0)).then_some(())
    })
    .await;
    // One that has said nothing yet may hold any number.
    let (third, _welcomed) = silent(&control, "n3").await;
    let unknown = sockets(&control, "gavel_sockets").await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unavailable);
    let heartbeat = Up::Heartbeat(wire::Heartbeat { sockets: 5, ..Default::default() });
    third.send(wire::SessionRequest { kind: Some(heartbeat) }).await.expect("a session");
    until("the third to be counted", async || {
        (sockets(&control, "gavel_sockets").await.ok()? == (11, 11.0)).then_some(())
    })
    .await;
    let other = sockets(&control, "gavel_bids").await.unwrap_err();
    assert_eq!(other.code(), Code::InvalidArgument);
    control.stop().await;
}

#[tokio::test]
async fn a_trigger_says_how_many_one_node_is_to_hold() {
    let control = start(3_000).await;
    let mut client = ExternalScalerClient::new(channel(&control));
    for (target, expected) in [(None, 20_000), (Some("2"), 2)] {
        let told = client.get_metric_spec(scaled(target)).await.unwrap().into_inner();
        let [spec] = told.metric_specs.as_slice() else { panic!("{told:?}") };
        assert_eq!((spec.metric_name.as_str(), spec.target_size), ("gavel_sockets", expected));
        let mut stream = client.stream_metric_spec(scaled(target)).await.unwrap().into_inner();
        assert_eq!(stream.message().await.unwrap().as_ref(), Some(&told));
        assert!(client.is_active(scaled(target)).await.unwrap().into_inner().result);
    }
    for bad in ["0", "-1", "many", "1.5", ""] {
        let refused = client.get_metric_spec(scaled(Some(bad))).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{bad:?}");
    }
    control.stop().await;
}

#[tokio::test]
async fn keda_hears_at_once_when_more_nodes_are_needed() {
    let control = start(3_000).await;
    let _first = Node::register(&control, "n1", 1, &[]).await;
    until("the first to be counted", async || sockets(&control, "gavel_sockets").await.ok()).await;
    let mut client = ExternalScalerClient::new(channel(&control));
    let mut active = client.stream_is_active(scaled(Some("4"))).await.unwrap().into_inner();
    assert!(active.message().await.unwrap().expect("at once").result);
    // Three sockets need one node, six need two.
    let _second = Node::register(&control, "n2", 1, &[]).await;
    assert!(active.message().await.unwrap().expect("again").result);
    control.stop().await;
}

#[tokio::test]
async fn keda_needs_no_token() {
    let mut config = config(3_000);
    "a-token".clone_into(&mut config.admin.token);
    let control = ControlPlane::start(config).await.expect("a control plane");
    let mut client = ExternalScalerClient::new(channel(&control));
    assert!(client.is_active(scaled(None)).await.is_ok());
    control.stop().await;
}

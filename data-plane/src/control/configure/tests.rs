//! A node against a control plane that pushes what the test tells it to.

use super::*;
use crate::{Config, Node, store};
use gavel_proto::config::v1::config_service_server::{ConfigService, ConfigServiceServer};
use gavel_proto::limits::defaults;
use gavel_runtime::tasks;
use std::{net::Ipv4Addr, time::Duration};
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::{Request, Response, Status, Streaming, transport::server::TcpIncoming};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(10);

type Pushes = mpsc::Sender<Result<wire::StreamConfigResponse, Status>>;
type Opened = (Streaming<wire::StreamConfigRequest>, Pushes);

/// Hands each stream of the node to the test.
struct Control(mpsc::Sender<Opened>);

#[tonic::async_trait]
impl ConfigService for Control {
    type StreamConfigStream = ReceiverStream<Result<wire::StreamConfigResponse, Status>>;

    async fn stream_config(
        &self,
        request: Request<Streaming<wire::StreamConfigRequest>>,
    ) -> Result<Response<Self::StreamConfigStream>, Status> {
        let (pushes, receiver) = mpsc::channel(4);
        let opened = self.0.send((request.into_inner(), pushes)).await;
        opened.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

async fn next<T>(what: &str, coming: impl Future<Output = Option<T>>) -> T {
    let came = tokio::time::timeout(PATIENCE, coming).await;
    came.ok().flatten().unwrap_or_else(|| panic!("no {what}"))
}

/// The next message of a stream: what is held, and what is refused.
async fn told(stream: &mut Streaming<wire::StreamConfigRequest>) -> (Vec<u64>, Vec<String>) {
    let message = async { stream.message().await.ok().flatten() };
    let message = next("message of the node", message).await;
    let refused = message.refused.into_iter();
    (
        message.held.into_iter().map(|held| held.version).collect(),
        refused.map(|one| format!("{} {}: {}", one.name, one.version, one.error)).collect(),
    )
}

fn push(nonce: u64, resources: Vec<(u64, Kind)>) -> Result<wire::StreamConfigResponse, Status> {
    let resources = resources.into_iter();
    let resources = resources.map(|(version, kind)| wire::Resource { version, kind: Some(kind) });
    Ok(wire::StreamConfigResponse { nonce, resources: resources.collect() })
}

fn ban(user: &str) -> wire::Denial {
    let (room_id, reason) = (String::new(), String::new());
    let ban = wire::Ban { user_id: user.to_owned(), room_id, reason };
    wire::Denial { what: Some(wire::denial::What::Ban(ban)), until: 0 }
}

/// Good to flagd, but no window that there can be.
const WRONG: &str = r#"{"flags":{"batch-window":{
    "state":"ENABLED","variants":{"x":-1},"defaultVariant":"x"}}}"#;

/// A control plane with its streams, and the settings of a node for it.
async fn control() -> (JoinHandle<()>, mpsc::Receiver<Opened>, Config) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut config = Config::default();
    config.control.endpoint = format!("http://{}", listener.local_addr().unwrap());
    config.http.listen = (Ipv4Addr::LOCALHOST, 0).into();
    config.relay.listen = (Ipv4Addr::LOCALHOST, 0).into();
    let (sender, streams) = mpsc::channel(1);
    let served = grpc::server()
        .add_service(ConfigServiceServer::new(Control(sender)))
        .serve_with_incoming(TcpIncoming::from(listener));
    let control = tasks::spawn("test.control", async move { served.await.unwrap() });
    (control, streams, config)
}

async fn start(config: &Config) -> Node {
    Node::start(config.clone(), store::open(None).unwrap()).await.unwrap()
}

#[tokio::test]
async fn what_a_node_refused_it_tells_the_next_control_plane_until_it_gets_a_good_one() {
    let (control, mut streams, config) = control().await;
    let node = start(&config).await;

    let (mut node_says, pushes) = next("stream", streams.recv()).await;
    assert_eq!(told(&mut node_says).await, (vec![0, 0, 0], vec![]));
    let good = wire::Limits { sockets_per_ip_max: 7, ..defaults() };
    pushes.send(push(1, vec![(3, Kind::Limits(good))])).await.unwrap();
    assert_eq!(told(&mut node_says).await, (vec![3, 0, 0], vec![]));
    let bad = wire::Limits { bids_window_ms: 0, ..defaults() };
    pushes
        .send(push(2, vec![(4, Kind::Limits(bad)), (9, Kind::Flags(WRONG.into()))]))
        .await
        .unwrap();
    let (held, refused) = told(&mut node_says).await;
    assert_eq!(held, [3, 0, 0]);
    assert!(refused[0].starts_with("limits 4: bids_window_ms: "), "{refused:?}");
    let flags = "flags 9: $.flags.batch-window.variants.x: ";
    assert!(refused[1].starts_with(flags), "{refused:?}");
    drop((node_says, pushes));

    let (mut node_says, pushes) = next("stream", streams.recv()).await;
    let (held, again) = told(&mut node_says).await;
    assert_eq!(held, [3, 0, 0]);
    assert_eq!(again.iter().filter(|one| refused.contains(one)).count(), 2, "{again:?}");
    // An answer tells what the push it answers brought, and nothing twice.
    let banned = Kind::Denials(wire::Denials { denials: vec![ban("bob")] });
    pushes.send(push(1, vec![(5, Kind::Limits(defaults())), (2, banned)])).await.unwrap();
    assert_eq!(told(&mut node_says).await, (vec![5, 0, 2], vec![]));
    let twice = Kind::Denials(wire::Denials { denials: vec![ban("ann"), ban("ann")] });
    pushes.send(push(2, vec![(3, twice)])).await.unwrap();
    let wrong = "denials 3: denials[1]: ban:ann is there twice".to_owned();
    assert_eq!(told(&mut node_says).await, (vec![5, 0, 2], vec![wrong.clone()]));
    drop((node_says, pushes));

    let (mut node_says, _pushes) = next("stream", streams.recv()).await;
    assert_eq!(told(&mut node_says).await, (vec![5, 0, 2], vec![wrong, refused[1].clone()]));
    node.stop().await;
    control.abort();
}

#[tokio::test]
async fn who_was_banned_is_banned_before_a_control_plane_says_anything() {
    let (control, mut streams, mut config) = control().await;
    let directory = tempfile::tempdir().unwrap();
    config.node.id = "n1".to_owned();
    config.node.state_dir = directory.path().display().to_string();
    let node = start(&config).await;
    let (mut node_says, pushes) = next("stream", streams.recv()).await;
    assert_eq!(told(&mut node_says).await, (vec![0, 0, 0], vec![]));
    let banned = Kind::Denials(wire::Denials { denials: vec![ban("bob")] });
    pushes.send(push(1, vec![(2, banned)])).await.unwrap();
    assert_eq!(told(&mut node_says).await, (vec![0, 0, 2], vec![]));
    node.stop().await;

    let node = start(&config).await;
    let (mut node_says, _pushes) = next("stream", streams.recv()).await;
    assert_eq!(told(&mut node_says).await, (vec![0, 0, 2], vec![]));
    node.stop().await;
    control.abort();
}

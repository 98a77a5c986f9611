//! A control plane and nodes that speak to it, for tests.

use gavel_control_plane::{Config, ControlPlane, config::ClusterConfig, store::ClusterStore};
use gavel_proto::{
    admin::v1::{self as admin, room_service_client::RoomServiceClient},
    common::v1 as common,
    fleet::v1::{
        self as wire, fleet_service_client::FleetServiceClient, session_request::Kind as Up,
        session_response::Kind as Down,
    },
};
use gavel_runtime::{clock, grpc, tasks, tls::Tls};
use gavel_testkit::{PATIENCE, RedisServer};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};

pub(crate) fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

pub(crate) use gavel_testkit::until;

/// Settings of a control plane on free ports, whose leases are short.
pub(crate) fn config(lease_ms: u64) -> Config {
    let mut config = Config::default();
    config.http.listen = loopback(0);
    config.grpc.listen = loopback(0);
    config.cluster =
        ClusterConfig { lease_ms, heartbeat_ms: lease_ms / 4, ..ClusterConfig::default() };
    config
}

pub(crate) async fn start(lease_ms: u64) -> ControlPlane {
    ControlPlane::start(config(lease_ms)).await.expect("a control plane")
}

pub(crate) async fn start_with(lease_ms: u64, store: Arc<dyn ClusterStore>) -> ControlPlane {
    ControlPlane::start_with(config(lease_ms), store).await.expect("a control plane")
}

pub(crate) fn channel(control: &ControlPlane) -> Channel {
    grpc::channel(&format!("http://{}", control.grpc_addr()), &Tls::default()).expect("an endpoint")
}

pub(crate) fn rules(title: &str) -> common::AuctionRules {
    let now = clock::now_ms();
    common::AuctionRules {
        title: title.to_owned(),
        currency: "EUR".to_owned(),
        opening_price: 100,
        increments: vec![common::IncrementBand { from: 0, step: 100 }],
        reserve: None,
        opens_at: now,
        closes_at: now + 3_600_000,
        extension: None,
        guests: common::GuestAccess::Bid.into(),
        seller: None,
        reopen_after_ms: None,
        outage_credit: None,
    }
}

pub(crate) async fn create(
    control: &ControlPlane,
    id: &str,
    rules: common::AuctionRules,
) -> Result<admin::Room, Status> {
    let request = admin::CreateRoomRequest { id: id.to_owned(), rules: Some(rules) };
    let created = RoomServiceClient::new(channel(control)).create_room(request).await?;
    Ok(created.into_inner().room.expect("a room"))
}

pub(crate) async fn list(control: &ControlPlane) -> Vec<admin::Room> {
    let request = admin::ListRoomsRequest { page_size: 0, page_token: String::new() };
    let listed = RoomServiceClient::new(channel(control)).list_rooms(request).await;
    listed.expect("the rooms").into_inner().rooms
}

/// The fleet stream of a node.
pub(crate) struct Node {
    id: String,
    up: mpsc::Sender<wire::SessionRequest>,
    down: Streaming<wire::SessionResponse>,
    /// What it was told last of each room; none where it is unknown.
    pub(crate) rooms: BTreeMap<String, Option<wire::Assignment>>,
    pub(crate) commands: Vec<wire::Command>,
    /// The relays of the nodes that it was told of.
    pub(crate) peers: BTreeMap<String, String>,
    pub(crate) superseded_by: Option<u64>,
    /// The replica that it was sent to.
    pub(crate) redirected_to: Option<String>,
    heart: Option<tokio::task::JoinHandle<()>>,
}

impl Node {
    /// Registers; its heart beats until [`Self::fall_silent`].
    pub(crate) async fn register(
        control: &ControlPlane,
        id: &str,
        incarnation: u64,
        held: &[(&str, u64)],
    ) -> Self {
        Self::register_over(channel(control), id, incarnation, held).await.expect("a session")
    }

    /// The same by a channel of the test's own.
    pub(crate) async fn register_over(
        channel: Channel,
        id: &str,
        incarnation: u64,
        held: &[(&str, u64)],
    ) -> Result<Self, Status> {
        let held = held.iter().map(|(room, epoch)| (room.to_string(), *epoch));
        let register = wire::Register {
            node_id: id.to_owned(),
            incarnation,
            relay_url: format!("http://{id}:8090"),
            public_url: format!("http://{id}:8080"),
            zone: "z".to_owned(),
            version: "0".to_owned(),
            weight: 0,
            held: held.map(|(room_id, epoch)| wire::HeldRoom { room_id, epoch }).collect(),
        };
        let (up, requests) = mpsc::channel(64);
        let first = wire::SessionRequest { kind: Some(Up::Register(register)) };
        up.send(first).await.expect("a place");
        let mut client = FleetServiceClient::new(channel);
        let down = client.session(ReceiverStream::new(requests)).await?;
        let (rooms, commands, peers) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        let (id, down) = (id.to_owned(), down.into_inner());
        let (superseded_by, redirected_to) = (None, None);
        let mut node = Self {
            id,
            up,
            down,
            rooms,
            commands,
            peers,
            superseded_by,
            redirected_to,
            heart: None,
        };
        let every = node.hear().await;
        let Some(Down::Welcome(wire::Welcome { heartbeat_ms, .. })) = every else {
            return Ok(node);
        };
        let up = node.up.clone();
        node.heart = Some(tasks::spawn("test.heart", async move {
            let mut every = tokio::time::interval(Duration::from_millis(heartbeat_ms));
            loop {
                every.tick().await;
                let beat = Up::Heartbeat(wire::Heartbeat {
                    sockets: 3,
                    rooms: 1,
                    ..wire::Heartbeat::default()
                });
                if up.send(wire::SessionRequest { kind: Some(beat) }).await.is_err() {
                    return;
                }
            }
        }));
        Ok(node)
    }

    /// Stops the heart; the stream stays.
    pub(crate) fn fall_silent(&mut self) {
        if let Some(heart) = self.heart.take() {
            heart.abort();
        }
    }

    pub(crate) async fn say(&self, kind: Up) {
        self.up.send(wire::SessionRequest { kind: Some(kind) }).await.expect("a session");
    }

    pub(crate) async fn interest(&self, add: &[&str], remove: &[&str]) {
        let text = |rooms: &[&str]| rooms.iter().map(ToString::to_string).collect();
        self.say(Up::Interest(wire::Interest { add: text(add), remove: text(remove) })).await;
    }

    /// Takes the next message; none if the session ended.
    async fn hear(&mut self) -> Option<Down> {
        let next = tokio::time::timeout(PATIENCE, self.down.message()).await;
        let kind = next.expect("a message in time").ok()??.kind?;
        match &kind {
            Down::Assignments(told) => {
                for assigned in &told.assigned {
                    self.rooms.insert(assigned.room_id.clone(), Some(assigned.clone()));
                }
                for unknown in &told.unknown {
                    self.rooms.insert(unknown.clone(), None);
                }
            }
            Down::Command(command) => self.commands.push(command.clone()),
            Down::Superseded(superseded) => self.superseded_by = Some(superseded.incarnation),
            Down::Redirect(redirect) => self.redirected_to = Some(redirect.endpoint.clone()),
            Down::Peers(peers) => {
                let here = peers.here.iter();
                self.peers.extend(here.map(|one| (one.node_id.clone(), one.relay_url.clone())));
                self.peers.retain(|id, _| !peers.gone.contains(id));
            }
            Down::Alive(_) | Down::Welcome(_) | Down::Prepare(_) | Down::Drain(_) => {}
        }
        Some(kind)
    }

    /// Listens until something holds of what it was told.
    pub(crate) async fn listen(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = clock::monotonic() + PATIENCE;
        while !holds(self) {
            assert!(clock::monotonic() < deadline, "{} waited too long for {what}", self.id);
            assert!(self.hear().await.is_some(), "{}: its session ended", self.id);
        }
    }

    /// Listens until the session ends.
    pub(crate) async fn ends(&mut self) {
        while self.hear().await.is_some() {}
    }

    /// The owner of a room and its epoch, as this node was told.
    pub(crate) fn told(&self, room: &str) -> Option<(&str, u64)> {
        let assigned = self.rooms.get(room)?.as_ref()?;
        Some((assigned.owner.as_str(), assigned.epoch))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.fall_silent();
    }
}

/// The store in a redis-server of a test's own.
pub(crate) fn store(redis: &RedisServer) -> Arc<dyn ClusterStore> {
    gavel_control_plane::store::open(Some(&redis.url())).expect("a URL")
}

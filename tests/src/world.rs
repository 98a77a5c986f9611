//! A cluster in this process: a control plane and some nodes, on free ports.

use crate::{cable::Cable, http, token};
use gavel_control_plane::ControlPlane;
use gavel_data_plane::{
    Node,
    config::RedisConfig,
    store::{self, Appended, RoomStore},
};
use gavel_proto::{
    admin::v1 as admin,
    admin::v1::{
        flag_service_client::FlagServiceClient, limit_service_client::LimitServiceClient,
        node_service_client::NodeServiceClient, rollout_service_client::RolloutServiceClient,
        room_service_client::RoomServiceClient, user_service_client::UserServiceClient,
    },
    common::v1::AuctionState,
    config::v1::Limits,
};
use gavel_rules::{
    auction::{self, AuctionRules, Bid, StoredEvent},
    audit,
    order::Version,
};
use gavel_runtime::{clock, grpc, tls::Tls};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};
use tonic::{Status, transport::Channel};

mod rules;

pub use rules::{minor, rules};

/// The admin token of every node, unless a test wants another.
pub const ADMIN_TOKEN: &str = "tests";

/// How a world is to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where Redis is; memory without.
    pub redis_url: Option<String>,
    /// Where rooms are, if not there; the control plane's state stays.
    pub rooms: Option<RedisConfig>,
    /// The store of rooms itself, in the place of all that.
    pub store: Option<Arc<dyn RoomStore>>,
    /// How many nodes.
    pub nodes: usize,
    /// Whether nodes reach each other by a [`Cable`] that can be cut.
    pub cables: bool,
    /// How long a request head may take.
    pub header_timeout_ms: u64,
    /// The admin token of every node; empty is none.
    pub admin_token: String,
    /// Keep the limits of production; else none that a test would run into.
    pub production_limits: bool,
    /// Where nodes keep what they have been told; empty is nowhere.
    pub state_dir: String,
    /// Who is believed about whom it connects for.
    pub trusted_proxies: String,
    /// Whose pages may use the nodes.
    pub allowed_origins: String,
    /// How long a socket may take to show a token; none where guests are let in.
    pub token_within_ms: Option<u64>,
}

/// A running cluster.
#[derive(Debug)]
pub struct World {
    control: Option<ControlPlane>,
    options: Options,
    grpc: SocketAddr,
    store: Arc<dyn RoomStore>,
    nodes: Vec<Node>,
    /// What leads to each node's relay.
    cables: Vec<(SocketAddr, Cable)>,
}

/// A room with its place.
#[derive(Debug, Clone)]
pub struct Room {
    /// Its id.
    pub id: String,
    /// The node that decides its bids.
    pub owner: SocketAddr,
    /// Another node; the same where there is only one.
    pub edge: SocketAddr,
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self {
            redis_url: None,
            rooms: None,
            store: None,
            nodes: 2,
            cables: false,
            header_timeout_ms: 5_000,
            admin_token: ADMIN_TOKEN.to_owned(),
            production_limits: false,
            state_dir: String::new(),
            trusted_proxies: String::new(),
            allowed_origins: String::new(),
            token_within_ms: None,
        }
    }
}

impl Options {
    fn room_config(&self) -> RedisConfig {
        let url = self.redis_url.clone().unwrap_or_default();
        self.rooms.clone().unwrap_or(RedisConfig { url, ..Default::default() })
    }
}

// === impl World ===

impl World {
    /// Two nodes, memory, no limits in the way.
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    /// Starts a cluster and waits until its nodes have their limits.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn with(options: Options) -> Self {
        let control = start_control(&options, 0).await;
        let grpc = control.grpc_addr();
        let opened = || store::configured(&options.room_config()).expect("a store");
        let store = options.store.clone().unwrap_or_else(opened);
        let mut world = Self {
            control: Some(control),
            store,
            nodes: Vec::new(),
            cables: Vec::new(),
            options,
            grpc,
        };
        for n in 1..=world.options.nodes {
            world.start_node(n).await;
        }
        world.until_nodes("their start", |_| true).await;
        if !world.options.production_limits {
            world
                .limits(|limits| {
                    limits.sockets_per_ip_max = 0;
                    limits.handshakes_per_ip_rate = 0;
                    limits.bids_per_user_max = 0;
                    limits.messages_per_session_rate = 0;
                    // A crowded machine is late with everything.
                    limits.shed_target_ms = 0;
                })
                .await;
        }
        world
    }

    /// Starts a node under this number, which may have run before.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start_node(&mut self, n: usize) -> SocketAddr {
        let mut config = self.node_config(n);
        let cable = if self.options.cables { Some(Cable::new().await) } else { None };
        if let Some((cable, _)) = &cable {
            config.relay.advertise = cable.url();
        }
        let node = Node::start(config, Arc::clone(&self.store)).await.expect("a node starts");
        let addr = node.http_addr();
        if let Some((cable, plug)) = cable {
            plug.send_replace(Some(node.relay_addr()));
            self.cables.push((addr, cable));
        }
        self.nodes.push(node);
        addr
    }

    /// Ends a node that nobody was asked to follow; tells its number.
    ///
    /// # Panics
    /// If it is none of ours.
    pub async fn lose_node(&mut self, node: SocketAddr) -> usize {
        let node = self.take_node(node);
        let n = node.id().as_ref().strip_prefix("node-").and_then(|n| n.parse().ok());
        node.stop().await;
        n.expect("a number")
    }

    fn take_node(&mut self, node: SocketAddr) -> Node {
        let position = self.nodes.iter().position(|other| other.http_addr() == node);
        self.nodes.remove(position.expect("one of ours"))
    }

    fn node_config(&self, n: usize) -> gavel_data_plane::Config {
        let mut config = gavel_data_plane::Config::default();
        config.node.id = format!("node-{n}");
        config.node.state_dir = self.options.state_dir.clone();
        config.http.listen = loopback(0);
        config.http.header_timeout_ms = self.options.header_timeout_ms;
        config.http.trusted_proxies = self.options.trusted_proxies.clone();
        config.relay.listen = loopback(0);
        config.control.endpoint = self.endpoint();
        config.redis = self.options.room_config();
        config.admin.token = self.options.admin_token.clone();
        config.http.allowed_origins = self.options.allowed_origins.clone();
        config.auth.secret = token::SECRET.to_owned();
        if let Some(deadline_ms) = self.options.token_within_ms {
            (config.auth.guests, config.auth.deadline_ms) = (false, deadline_ms);
        }
        config.shutdown.spread_ms = 100;
        config.shutdown.grace_ms = 1_000;
        config
    }

    /// Where the control plane's gRPC is.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// The HTTP addresses of the nodes.
    #[must_use]
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Node::http_addr).collect()
    }

    /// The HTTP address of the first node.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn first(&self) -> SocketAddr {
        self.nodes.first().expect("a node").http_addr()
    }

    fn channel(&self) -> Channel {
        grpc::channel(&self.endpoint(), &Tls::default()).expect("an endpoint")
    }

    /// Operates rooms.
    #[must_use]
    pub fn rooms(&self) -> RoomServiceClient<Channel> {
        RoomServiceClient::new(self.channel())
    }

    /// Operates nodes.
    #[must_use]
    pub fn node_service(&self) -> NodeServiceClient<Channel> {
        NodeServiceClient::new(self.channel())
    }

    /// What leads to a node's relay.
    ///
    /// # Panics
    /// If the world has no cables.
    #[must_use]
    pub fn cable(&self, node: SocketAddr) -> &Cable {
        let cable = self.cables.iter().find(|(at, _)| *at == node);
        &cable.expect("a cable").1
    }

    /// A node's metrics.
    ///
    /// # Panics
    /// If it does not tell them.
    pub async fn metrics(&self, node: SocketAddr) -> String {
        let (status, body) = http::get(node, "/metrics", None).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    /// What a node reads in the store of a room, without a fault.
    ///
    /// # Panics
    /// If there is one.
    pub async fn audited(&self, node: SocketAddr, room: &str) -> audit::Report {
        let bearer = Some(self.options.admin_token.as_str());
        let (status, body) = http::get(node, &format!("/api/rooms/{room}/snapshot"), bearer).await;
        assert_eq!(status, 200, "{body}");
        let mut stream: audit::Stream = serde_json::from_str(&body).expect("a state");
        loop {
            let after = stream.events.last().map_or(0, |last| last.event.seq.get());
            let path = format!("/api/rooms/{room}/events?after={after}");
            let (_, body) = http::get(node, &path, bearer).await;
            if body.is_empty() {
                return audit::audit(&stream, &[], false).expect("nothing is wrong");
            }
            let events = body.lines().map(serde_json::from_str::<StoredEvent>);
            stream.events.extend(events.map(|event| event.expect("an event")));
        }
    }

    /// Stores a bid in a room as a node would that its owner cannot hear of.
    ///
    /// # Panics
    /// If it is not accepted.
    pub async fn append_unseen(&self, room: &str, bidder: &str, amount: u64, bid_id: &str) {
        let room = room.parse().expect("an id");
        let mut loaded = self.store.load(&room).await.expect("a store");
        let bid = Bid {
            bidder: bidder.parse().expect("an id"),
            bid_id: bid_id.parse().expect("an id"),
            amount: minor(amount),
            flags: Version::new(0),
            limits: Version::new(0),
        };
        let seq = loaded.auction.view().seq;
        let mut actions = Vec::new();
        loaded.auction.step(auction::Input::Bid { bid, token: 0 }, loaded.now, &mut actions);
        let events = actions.into_iter().filter_map(|action| match action {
            auction::Action::Append(event) => Some(event),
            auction::Action::Answer { .. } | auction::Action::Refused(_) => None,
        });
        let (guard, events) = (loaded.auction.guard(), events.collect::<Vec<_>>());
        let appended = self.store.append(&room, loaded.epoch, seq, guard, &events).await;
        assert!(matches!(appended, Ok(Appended::Stored { .. })), "{appended:?}");
    }

    /// The owner of a room and its epoch, as the store of rooms holds them.
    ///
    /// # Panics
    /// If it cannot be read, or nobody ever owned the room.
    pub async fn claimed_by(&self, room: &str) -> (String, u64) {
        let loaded = self.store.load(&room.parse().expect("an id")).await.expect("a store");
        (loaded.owner.expect("an owner").to_string(), loaded.epoch.get())
    }

    /// Operates limits.
    #[must_use]
    pub fn limit_service(&self) -> LimitServiceClient<Channel> {
        LimitServiceClient::new(self.channel())
    }

    /// Operates flags.
    #[must_use]
    pub fn flag_service(&self) -> FlagServiceClient<Channel> {
        FlagServiceClient::new(self.channel())
    }

    /// Bans users and lets them in again.
    #[must_use]
    pub fn user_service(&self) -> UserServiceClient<Channel> {
        UserServiceClient::new(self.channel())
    }

    /// Rollouts of flags.
    #[must_use]
    pub fn rollouts(&self) -> RolloutServiceClient<Channel> {
        RolloutServiceClient::new(self.channel())
    }

    /// Creates a room and waits until it takes bids.
    ///
    /// # Panics
    /// If it never does.
    pub async fn room(&self, id: &str, rules: AuctionRules) -> Room {
        self.create(id, rules).await.expect("the room is created");
        self.placed(id).await
    }

    /// Creates a room.
    ///
    /// # Errors
    /// What the control plane says.
    pub async fn create(&self, id: &str, rules: AuctionRules) -> Result<admin::Room, Status> {
        let request = admin::CreateRoomRequest { id: id.to_owned(), rules: Some(rules.into()) };
        let created = self.rooms().create_room(request).await?.into_inner();
        Ok(created.room.unwrap_or_default())
    }

    /// Waits until a room has an owner that tells its state.
    ///
    /// # Panics
    /// If that takes too long.
    pub async fn placed(&self, id: &str) -> Room {
        let room = crate::until("an owner of the room", async || {
            let room = self.inspect(id).await.ok()?;
            let view = room.view.as_ref()?;
            (view.state() != AuctionState::Scheduled || view.opens_at > clock::now_ms())
                .then_some(room)
        })
        .await;
        let owner = self.nodes.iter().find(|node| node.id().as_ref() == room.owner);
        let edge = self.nodes.iter().find(|node| node.id().as_ref() != room.owner);
        let owner = owner.expect("the owner is one of ours").http_addr();
        Room { id: id.to_owned(), owner, edge: edge.map_or(owner, Node::http_addr) }
    }

    /// A room with its state.
    ///
    /// # Errors
    /// What the control plane says.
    pub async fn inspect(&self, id: &str) -> Result<admin::Room, Status> {
        let request = admin::GetRoomRequest { id: id.to_owned() };
        Ok(self.rooms().get_room(request).await?.into_inner().room.unwrap_or_default())
    }

    /// Every node as the control plane sees it.
    ///
    /// # Errors
    /// What the control plane says.
    pub async fn list_nodes(&self) -> Result<Vec<admin::Node>, Status> {
        let mut client = self.node_service();
        Ok(client.list_nodes(admin::ListNodesRequest {}).await?.into_inner().nodes)
    }

    /// Waits until every node is a live member for which `wanted` holds.
    ///
    /// # Panics
    /// If that takes too long.
    pub async fn until_nodes(&self, what: &str, wanted: impl Fn(&admin::Node) -> bool) {
        crate::until(&format!("nodes: {what}"), async || {
            let nodes = self.list_nodes().await.ok()?;
            let live = nodes.iter().filter(|node| node.live && wanted(node)).count();
            (live == self.nodes.len()).then_some(())
        })
        .await;
    }

    /// Changes limits and waits until every node has them.
    ///
    /// # Panics
    /// If they are refused.
    pub async fn limits(&self, change: impl FnOnce(&mut Limits)) {
        let mut client = self.limit_service();
        let now = client.get_limits(admin::GetLimitsRequest {}).await.expect("limits");
        let mut limits = now.into_inner().limits.expect("limits");
        change(&mut limits);
        let request = admin::UpdateLimitsRequest { limits: Some(limits), version: 0 };
        let stored = client.update_limits(request).await.expect("good limits").into_inner();
        self.until_nodes("new limits", |node| node.limits_version >= stored.version).await;
    }

    /// Changes the flags and waits until every node has them.
    ///
    /// # Panics
    /// If they are refused.
    pub async fn flags(&self, document: &serde_json::Value) {
        let request = admin::UpdateFlagsRequest { document: document.to_string(), version: 0 };
        let stored = self.flag_service().update_flags(request).await.expect("good flags");
        let version = stored.into_inner().version;
        self.until_nodes("new flags", |node| node.flags_version >= version).await;
    }

    /// Stops the control plane; the nodes stay.
    ///
    /// # Panics
    /// If it does not run.
    pub async fn stop_control(&mut self) {
        self.control.take().expect("it runs").stop().await;
    }

    /// Starts a control plane where the last one was.
    pub async fn start_control(&mut self) {
        self.control = Some(start_control(&self.options, self.grpc.port()).await);
    }

    /// Lets a node leave as a process does that is asked to stop.
    ///
    /// # Panics
    /// If it is none of ours.
    pub async fn leave(&mut self, node: SocketAddr) {
        let node = self.take_node(node);
        node.leave().await;
        node.stop().await;
    }

    /// Stops everything.
    pub async fn stop(self) {
        futures::future::join_all(self.nodes.into_iter().map(Node::stop)).await;
        if let Some(control) = self.control {
            control.stop().await;
        }
    }
}

async fn start_control(options: &Options, port: u16) -> ControlPlane {
    let mut config = gavel_control_plane::Config::default();
    config.http.listen = loopback(0);
    config.grpc.listen = loopback(port);
    config.redis.url = options.redis_url.clone().unwrap_or_default();
    ControlPlane::start(config).await.expect("the control plane starts")
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

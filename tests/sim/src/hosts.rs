//! The hosts of a cluster: the code of both planes, as processes run it.

use crate::{
    machine,
    store::{Link, Shared},
};
use gavel_control_plane::{Config as ControlConfig, ControlPlane};
use gavel_data_plane::{Config as NodeConfig, Node, store::RoomStore};
use parking_lot::Mutex;
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};
use tokio::sync::Notify;

pub(crate) const NODES: [&str; 3] = ["node-1", "node-2", "node-3"];
pub(crate) const CONTROLS: [&str; 2] = ["control-1", "control-2"];

/// Where nodes listen for browsers.
pub(crate) const WEB_PORT: u16 = 3_000;
const RELAY_PORT: u16 = 4_000;
const GRPC_PORT: u16 = 7_001;

/// What an operator shows the control plane.
pub(crate) const ADMIN_TOKEN: &str = "operator";
/// The secret of every token.
pub(crate) const SECRET: &str = "a secret of the simulation, 32 bytes";

/// A process that was asked to stop is started anew after this.
const RESTART: Duration = Duration::from_millis(300);

/// What the world does to hosts, as far as they have to take part in it.
#[derive(Debug, Default)]
pub(crate) struct Strings {
    /// How far the wall clock of each is off, in milliseconds.
    off_ms: Mutex<BTreeMap<&'static str, i64>>,
    /// Asks a node to stop in an orderly way.
    stop: BTreeMap<&'static str, Notify>,
    /// Told when a clock is set.
    set: Notify,
}

// === impl Strings ===

impl Strings {
    pub(crate) fn new() -> Arc<Self> {
        let stop = NODES.into_iter().map(|node| (node, Notify::new())).collect();
        Arc::new(Self { stop, ..Self::default() })
    }

    /// Sets the wall clock of a host.
    pub(crate) fn set_clock_off(&self, host: &'static str, ms: i64) {
        self.off_ms.lock().insert(host, ms);
        self.set.notify_waiters();
    }

    /// Asks a node to leave its rooms, stop, and start anew.
    pub(crate) fn restart(&self, node: &str) {
        if let Some(stop) = self.stop.get(node) {
            stop.notify_one();
        }
    }

    /// Sets this host's clock whenever it is set, for ever.
    async fn keep_clock(&self, host: &str) {
        loop {
            let set = self.set.notified();
            machine::set_clock_off(self.off_ms.lock().get(host).copied().unwrap_or(0));
            set.await;
        }
    }
}

/// A node, until the host crashes.
pub(crate) async fn node(
    host: &'static str,
    shared: Arc<Shared>,
    strings: Arc<Strings>,
) -> turmoil::Result {
    let life = async {
        loop {
            let store = Arc::new(Link::new(host, &shared));
            // As the process does.
            while RoomStore::now(&*store).await.is_err() {
                tokio::time::sleep(RESTART).await;
            }
            let node = Node::start(node_config(host), store).await?;
            if let Some(stop) = strings.stop.get(host) {
                stop.notified().await;
            }
            node.leave().await;
            node.stop().await;
            tokio::time::sleep(RESTART).await;
        }
    };
    tokio::select! {
        ended = life => ended,
        () = strings.keep_clock(host) => Ok(()),
    }
}

/// A replica of the control plane, until the host crashes.
pub(crate) async fn control(
    host: &'static str,
    shared: Arc<Shared>,
    strings: Arc<Strings>,
) -> turmoil::Result {
    let life = async {
        let store = Arc::new(Link::new(host, &shared));
        // As the process does, until the store answers.
        let _plane = loop {
            match ControlPlane::start_with(control_config(host), store.clone()).await {
                Ok(plane) => break plane,
                Err(_) => tokio::time::sleep(RESTART).await,
            }
        };
        std::future::pending().await
    };
    tokio::select! {
        ended = life => ended,
        () = strings.keep_clock(host) => Ok(()),
    }
}

/// Where replicas of the control plane are reached.
pub(crate) fn endpoint(control: &str) -> String {
    format!("http://{control}:{GRPC_PORT}")
}

fn node_config(host: &str) -> NodeConfig {
    let mut config = NodeConfig::default();
    config.node.id = host.to_owned();
    config.http.listen = everywhere(WEB_PORT);
    config.http.public_url = format!("http://{host}:{WEB_PORT}");
    config.relay.listen = everywhere(RELAY_PORT);
    config.relay.advertise = format!("http://{host}:{RELAY_PORT}");
    config.control.endpoint = CONTROLS.map(endpoint).join(",");
    config.auth.secret = SECRET.to_owned();
    config.shutdown.spread_ms = 100;
    config.shutdown.grace_ms = 1_000;
    config
}

fn control_config(host: &str) -> ControlConfig {
    let mut config = ControlConfig::default();
    config.http.listen = everywhere(7_000);
    config.grpc.listen = everywhere(GRPC_PORT);
    config.grpc.advertise = endpoint(host);
    config.cluster.replica_id = host.to_owned();
    config.admin.token = ADMIN_TOKEN.to_owned();
    config
}

fn everywhere(port: u16) -> SocketAddr {
    ([0, 0, 0, 0], port).into()
}

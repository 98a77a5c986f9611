//! `gavel nodes`.

use super::target::Target;
use crate::{
    failure::Failure,
    output::{self, Table},
};
use gavel_proto::admin::v1::{
    DrainNodeRequest, ListNodesRequest, Node, ReleaseBrakeRequest, UndrainNodeRequest,
    node_service_client::NodeServiceClient,
};
use gavel_runtime::clock;
use serde_json::{Value, json};
use std::time::Duration;

/// How often a drain is looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(200);

/// Look at the data-plane nodes.
#[derive(Debug, clap::Args)]
pub(crate) struct Nodes {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    verb: NodesVerb,
}

#[derive(Debug, clap::Subcommand)]
enum NodesVerb {
    /// Every node that the control plane knows.
    List,
    /// Move all rooms off a node and give it no new ones; its sockets stay.
    Drain {
        /// Which.
        id: String,
        /// Show the rooms that are left, until none is.
        #[arg(long)]
        watch: bool,
    },
    /// Let a node have rooms again.
    Undrain {
        /// Which.
        id: String,
    },
    /// Give the rooms of silent nodes to others although suspiciously many fell
    /// silent at once.
    Release,
}

// === impl Nodes ===

impl Nodes {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.verb {
            NodesVerb::List => self.list().await,
            NodesVerb::Drain { ref id, watch } => self.drain(id, watch).await,
            NodesVerb::Undrain { ref id } => self.undrain(id).await,
            NodesVerb::Release => self.release().await,
        }
    }

    async fn drain(&self, id: &str, watch: bool) -> Result<(), Failure> {
        let mut client = NodeServiceClient::new(self.target.connect()?);
        let request = DrainNodeRequest { id: id.to_owned() };
        self.target.answer(client.drain_node(request)).await?;
        let mut shown = None;
        loop {
            let listed = self.target.answer(client.list_nodes(ListNodesRequest {})).await?;
            let node = listed.nodes.into_iter().find(|node| node.id == id);
            let gone = || Failure::Refused(format!("node {id} is gone"));
            let node = node.filter(|node| node.live).ok_or_else(gone)?;
            if shown != Some(node.rooms) {
                shown = Some(node.rooms);
                self.say_left(&node)?;
            }
            if node.rooms == 0 || !watch {
                return Ok(());
            }
            tokio::time::sleep(WATCH_INTERVAL).await;
        }
    }

    fn say_left(&self, node: &Node) -> Result<(), Failure> {
        if self.target.json {
            return output::json(&json!({"id": node.id, "rooms": node.rooms}));
        }
        output::text(format_args!("{} rooms left on {}\n", node.rooms, node.id))
    }

    async fn undrain(&self, id: &str) -> Result<(), Failure> {
        let mut client = NodeServiceClient::new(self.target.connect()?);
        let request = UndrainNodeRequest { id: id.to_owned() };
        self.target.answer(client.undrain_node(request)).await?;
        if self.target.json {
            return output::json(&json!({"id": id}));
        }
        output::text(format_args!("{id} takes rooms again\n"))
    }

    async fn release(self) -> Result<(), Failure> {
        let mut client = NodeServiceClient::new(self.target.connect()?);
        let released = self.target.answer(client.release_brake(ReleaseBrakeRequest {})).await?;
        if self.target.json {
            return output::json(&json!({"nodes": released.nodes}));
        }
        output::text(format_args!("{} nodes lose their rooms\n", released.nodes))
    }

    async fn list(self) -> Result<(), Failure> {
        let mut client = NodeServiceClient::new(self.target.connect()?);
        let listed = self.target.answer(client.list_nodes(ListNodesRequest {})).await?;
        let nodes = listed.nodes;
        if self.target.json {
            return output::json(&nodes.iter().map(to_json).collect());
        }
        let mut table =
            Table::new(["NODE", "LIVE", "ZONE", "SOCKETS", "ROOMS", "LOAD", "URL", "VERSION"]);
        for node in nodes {
            let live = live(&node).to_owned();
            table.row([
                node.id,
                live,
                node.zone,
                node.sockets.to_string(),
                node.rooms.to_string(),
                format!("{:.1} %", f64::from(node.load_ppm) / 10_000.0),
                node.public_url,
                node.version,
            ]);
        }
        let Some(brake) = listed.brake else { return output::text(table) };
        let left = brake.until.saturating_sub(clock::now_ms()) / 1_000;
        output::text(format_args!(
            "{table}\nSo many nodes fell silent at once that none of them loses its rooms yet. In \
             {left} s they do,\nunless they are back by then; `gavel nodes release` does it now.\n"
        ))
    }
}

fn live(node: &Node) -> &'static str {
    match (node.live, node.held) {
        (true, _) if node.draining => "draining",
        (true, _) => "yes",
        (false, true) => "held",
        (false, false) => "no",
    }
}

fn to_json(node: &Node) -> Value {
    json!({
        "id": node.id,
        "incarnation": node.incarnation,
        "zone": node.zone,
        "version": node.version,
        "publicUrl": node.public_url,
        "relayUrl": node.relay_url,
        "live": node.live,
        "held": node.held,
        "draining": node.draining,
        "loadPpm": node.load_ppm,
        "sockets": node.sockets,
        "rooms": node.rooms,
        "heartbeatAt": node.heartbeat_at,
        "limitsVersion": node.limits_version,
        "flagsVersion": node.flags_version,
        "denialsVersion": node.denials_version,
    })
}

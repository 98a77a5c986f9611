//! `gavel nodes`.

use super::target::Target;
use crate::{
    failure::Failure,
    output::{self, Table},
};
use gavel_proto::admin::v1::{ListNodesRequest, Node, node_service_client::NodeServiceClient};
use serde_json::{Value, json};

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
}

// === impl Nodes ===

impl Nodes {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let NodesVerb::List = self.verb;
        let mut client = NodeServiceClient::new(self.target.connect()?);
        let nodes = self.target.answer(client.list_nodes(ListNodesRequest {})).await?.nodes;
        if self.target.json {
            return output::json(&nodes.iter().map(to_json).collect());
        }
        let mut table = Table::new(["NODE", "LIVE", "ZONE", "SOCKETS", "ROOMS", "URL", "VERSION"]);
        for node in nodes {
            table.row([
                node.id,
                if node.live { "yes" } else { "no" }.to_owned(),
                node.zone,
                node.sockets.to_string(),
                node.rooms.to_string(),
                node.public_url,
                node.version,
            ]);
        }
        output::text(table)
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
        "sockets": node.sockets,
        "rooms": node.rooms,
        "heartbeatAt": node.heartbeat_at,
        "limitsVersion": node.limits_version,
        "flagsVersion": node.flags_version,
    })
}

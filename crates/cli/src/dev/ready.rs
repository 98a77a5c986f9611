//! Waits until every node has the newest limits and flags in force, as
//! `gavel nodes list` shows it. A node serves sockets before its first push has
//! come; whoever reads the addresses must not meet it with its defaults.

#[cfg(test)]
mod tests;

use super::seed::{channel, failed};
use crate::failure::Failure;
use gavel_proto::admin::v1::{
    GetFlagsRequest, GetLimitsRequest, ListNodesRequest, Node,
    flag_service_client::FlagServiceClient, limit_service_client::LimitServiceClient,
    node_service_client::NodeServiceClient,
};
use gavel_runtime::clock;
use std::time::Duration;

/// How long the nodes may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How often to look.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The versions that a node has to have, or a later one.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    limits: u64,
    flags: u64,
}

/// Waits until the nodes of these ids are ready, or `patience` is over.
pub(super) async fn nodes(endpoint: &str, ids: &[&str], patience: Duration) -> Result<(), Failure> {
    let deadline = clock::monotonic() + patience;
    let wanted = Wanted::newest(endpoint).await?;
    let mut client = NodeServiceClient::new(channel(endpoint)?);
    loop {
        let listed = client.list_nodes(ListNodesRequest {}).await.map_err(failed)?.into_inner();
        let Some(late) = ids.iter().find_map(|id| wanted.missing(id, &listed.nodes)) else {
            return Ok(());
        };
        if clock::monotonic() >= deadline {
            return Err(Failure::Unavailable(late));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

// === impl Wanted ===

impl Wanted {
    /// The newest documents.
    async fn newest(endpoint: &str) -> Result<Self, Failure> {
        let mut limits = LimitServiceClient::new(channel(endpoint)?);
        let mut flags = FlagServiceClient::new(channel(endpoint)?);
        Ok(Self {
            limits: limits
                .get_limits(GetLimitsRequest {})
                .await
                .map_err(failed)?
                .into_inner()
                .version,
            flags: flags.get_flags(GetFlagsRequest {}).await.map_err(failed)?.into_inner().version,
        })
    }

    /// What the node of this id lacks; nothing if it is ready.
    fn missing(self, id: &str, listed: &[Node]) -> Option<String> {
        let Some(node) = listed.iter().find(|node| node.id == id && node.live) else {
            return Some(format!("{id} has not registered with the control plane"));
        };
        let documents = [
            ("limits", node.limits_version, self.limits),
            ("flags", node.flags_version, self.flags),
        ];
        documents.into_iter().find(|(_, held, wanted)| held < wanted).map(|(name, held, wanted)| {
            format!("{id} has version {held} of the {name} in force and not {wanted}")
        })
    }
}

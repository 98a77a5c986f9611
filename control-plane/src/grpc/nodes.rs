//! Nodes, as operators see them.

use super::{Services, audited::Change, status::CallError};
use crate::driver::Request as Ask;
use gavel_proto::admin::v1::{self as wire, node_service_server::NodeService};
use gavel_rules::id::NodeId;
use serde_json::json;
use tonic::{Request, Response, Status};

impl Services {
    async fn drain(&self, id: &str, draining: bool, change: &Change) -> Result<(), CallError> {
        let node: NodeId = id.parse().map_err(CallError::id("id"))?;
        let (_, driver) = self.leading()?;
        let (nodes, _) = driver.ask(|answer| Ask::Nodes { answer }).await?;
        if let Some(known) = nodes.iter().find(|known| known.id == id) {
            change.old(json!({ "draining": known.draining, "rooms": known.rooms }));
            change.new_is(json!({ "draining": draining }));
        }
        let known = driver.ask(|answer| Ask::Drain { node, draining, answer }).await?;
        known.then_some(()).ok_or_else(|| CallError::NoNode(id.to_owned()))
    }
}

#[tonic::async_trait]
impl NodeService for Services {
    #[tracing::instrument(name = "nodes.list", skip_all)]
    async fn list_nodes(
        &self,
        _: Request<wire::ListNodesRequest>,
    ) -> Result<Response<wire::ListNodesResponse>, Status> {
        let driver = self.driver().ok_or(CallError::NoLeader)?;
        let asked = driver.ask(|answer| Ask::Nodes { answer }).await;
        let (mut nodes, brake) = asked.map_err(CallError::from)?;
        for node in &mut nodes {
            // A node has its stream of documents here or with another replica;
            // its heartbeats come here, but later than the stream.
            let held = self.holders.of(&node.id);
            node.limits_version = node.limits_version.max(held.limits);
            node.flags_version = node.flags_version.max(held.flags);
            node.denials_version = node.denials_version.max(held.denials);
        }
        let (term, replica_id) = (self.replica.term(), self.replica.id.to_string());
        Ok(Response::new(wire::ListNodesResponse { nodes, brake, replica_id, term }))
    }

    #[tracing::instrument(name = "nodes.drain", skip_all, fields(node.id = request.get_ref().id))]
    async fn drain_node(
        &self,
        request: Request<wire::DrainNodeRequest>,
    ) -> Result<Response<wire::DrainNodeResponse>, Status> {
        self.drain(&request.get_ref().id, true, &Change::of(&request)).await?;
        Ok(Response::new(wire::DrainNodeResponse {}))
    }

    #[tracing::instrument(name = "nodes.undrain", skip_all, fields(node.id = request.get_ref().id))]
    async fn undrain_node(
        &self,
        request: Request<wire::UndrainNodeRequest>,
    ) -> Result<Response<wire::UndrainNodeResponse>, Status> {
        self.drain(&request.get_ref().id, false, &Change::of(&request)).await?;
        Ok(Response::new(wire::UndrainNodeResponse {}))
    }

    #[tracing::instrument(name = "nodes.release_brake", skip_all)]
    async fn release_brake(
        &self,
        request: Request<wire::ReleaseBrakeRequest>,
    ) -> Result<Response<wire::ReleaseBrakeResponse>, Status> {
        let change = Change::of(&request);
        let (_, driver) = self.leading()?;
        let (_, brake) =
            driver.ask(|answer| Ask::Nodes { answer }).await.map_err(CallError::from)?;
        change.old(json!({ "brake_until": brake.map(|brake| brake.until) }));
        let asked = driver.ask(|answer| Ask::ReleaseBrake { answer }).await;
        let nodes = u32::try_from(asked.map_err(CallError::from)?).unwrap_or(u32::MAX);
        change.new_is(json!({ "nodes_released": nodes }));
        Ok(Response::new(wire::ReleaseBrakeResponse { nodes }))
    }
}

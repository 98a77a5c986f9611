//! Nodes, as operators see them.

use super::{Services, status::CallError};
use crate::driver::Request as Ask;
use gavel_proto::admin::v1::{self as wire, node_service_server::NodeService};
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl NodeService for Services {
    #[tracing::instrument(name = "nodes.list", skip_all)]
    async fn list_nodes(
        &self,
        _: Request<wire::ListNodesRequest>,
    ) -> Result<Response<wire::ListNodesResponse>, Status> {
        let asked = self.driver.ask(|answer| Ask::Nodes { answer }).await;
        let mut nodes = asked.map_err(CallError::from)?;
        for node in &mut nodes {
            (node.limits_version, node.flags_version) = self.holders.of(&node.id);
        }
        Ok(Response::new(wire::ListNodesResponse { nodes }))
    }
}

//! Both planes in this process. They talk gRPC over loopback, exactly as in a
//! cluster; only their stores are shared.

use crate::{failure::Failure, stores::Stores};
use gavel_control_plane::ControlPlane;
use gavel_data_plane::Node;
use gavel_runtime::grpc;
use std::sync::Arc;

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// The control plane.
    pub(crate) control: ControlPlane,
    /// The nodes, by id.
    pub(crate) nodes: Vec<(String, Node)>,
    stores: Stores,
    scheme: &'static str,
}

// === impl Cluster ===

impl Cluster {
    /// Starts the control plane.
    pub(crate) async fn start(
        config: gavel_control_plane::Config,
        stores: Stores,
    ) -> Result<Self, Failure> {
        let scheme = config.tls.grpc_scheme();
        let control = ControlPlane::start_with(config, Arc::clone(&stores.cluster))
            .await
            .map_err(|error| Failure::internal("the control plane cannot start", error))?;
        Ok(Self { control, nodes: Vec::new(), stores, scheme })
    }

    /// Where the control plane's gRPC is reached from this machine.
    pub(crate) fn endpoint(&self) -> String {
        grpc::reachable(self.scheme, self.control.grpc_addr())
    }

    /// Starts a node of that control plane.
    pub(crate) async fn add(
        &mut self,
        mut config: gavel_data_plane::Config,
    ) -> Result<(), Failure> {
        config.control.endpoint = self.endpoint();
        let id = config.node.id.clone();
        let node = Node::start(config, Arc::clone(&self.stores.rooms))
            .await
            .map_err(|error| Failure::internal(&format!("{id} cannot start"), error))?;
        self.nodes.push((id, node));
        Ok(())
    }

    /// Nodes first: a node that leaves tells the control plane.
    pub(crate) async fn stop(self) {
        futures::future::join_all(self.nodes.into_iter().map(|(_, node)| node.stop())).await;
        self.control.stop().await;
    }
}

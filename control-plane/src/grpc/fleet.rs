//! The sessions of nodes.

use super::Services;
use crate::driver::{Registered, Request as Ask};
use gavel_proto::fleet::v1::{
    self as wire, fleet_service_server::FleetService, session_request::Kind as Up,
};
use gavel_rules::{id::Incarnation, order::Epoch};
use gavel_runtime::tasks;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, adapters::Map, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

/// Messages that may wait for a node.
const QUEUE_MAX: usize = 16_384;

type Answer = fn(wire::SessionResponse) -> Result<wire::SessionResponse, Status>;

#[tonic::async_trait]
impl FleetService for Services {
    type SessionStream = Map<ReceiverStream<wire::SessionResponse>, Answer>;

    async fn session(
        &self,
        request: Request<Streaming<wire::SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut requests = request.into_inner();
        let first = requests.message().await?.and_then(|first| first.kind);
        let Some(Up::Register(about)) = first else {
            return Err(Status::invalid_argument("the first message must be register"));
        };
        let register = registered(about)?;
        let (outgoing, receiver) = mpsc::channel(QUEUE_MAX);
        let (node, incarnation) = (register.node.clone(), register.incarnation);
        tracing::info!(node.id = %node, incarnation = incarnation.get(), "a node registers");
        let opened = Ask::Opened { register, outgoing: outgoing.clone() };
        let gone = |_| Status::unavailable("the control plane is stopping");
        self.driver.tell(opened).await.map_err(gone)?;

        let (driver, stop) = (self.driver.clone(), self.stop.clone());
        drop(tasks::spawn("fleet.session", async move {
            loop {
                let message = tokio::select! {
                    message = requests.message() => message,
                    () = outgoing.closed() => break,
                    () = stop.cancelled() => break,
                };
                let Ok(Some(message)) = message else { break };
                let Some(kind) = message.kind else { continue };
                let said = Ask::Said { node: node.clone(), incarnation, kind };
                if driver.tell(said).await.is_err() {
                    break;
                }
            }
            tracing::info!(node.id = %node, "a node's session ended");
            let ended = Ask::Ended { node, incarnation, outgoing };
            // A driver that stops needs no such news.
            driver.tell(ended).await.unwrap_or_default();
        }));
        Ok(Response::new(ReceiverStream::new(receiver).map(Ok as Answer)))
    }
}

fn registered(about: wire::Register) -> Result<Registered, Status> {
    let node = about
        .node_id
        .parse()
        .map_err(|error| Status::invalid_argument(format!("register.node_id: {error}")))?;
    let held = about
        .held
        .iter()
        .filter_map(|held| Some((held.room_id.parse().ok()?, Epoch::new(held.epoch))))
        .collect();
    Ok(Registered { node, incarnation: Incarnation::new(about.incarnation), about, held })
}

//! The sessions of nodes.

use super::{Services, first_message, status::CallError};
use crate::driver::{Outgoing, Registered, Request as Ask, Stopped};
use futures::{StreamExt as _, stream::BoxStream};
use gavel_proto::fleet::v1::{
    self as wire, fleet_service_server::FleetService, session_request::Kind as Up,
};
use gavel_rules::{id::Incarnation, order::Epoch};
use gavel_runtime::tasks;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

/// Messages that may wait for a node.
const QUEUE_MAX: usize = 16_384;

#[tonic::async_trait]
impl FleetService for Services {
    type SessionStream = BoxStream<'static, Result<wire::SessionResponse, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<wire::SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut requests = request.into_inner();
        let Some(Up::Register(about)) = first_message(&mut requests).await?.kind else {
            return Err(CallError::invalid("register", "must be the first message").into());
        };
        let register = registered(about)?;
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let outgoing = Outgoing { sender, end: CancellationToken::new() };
        let end = outgoing.end.clone();
        let (node, incarnation) = (register.node.clone(), register.incarnation);
        tracing::info!(node.id = %node, incarnation = incarnation.get(), "a node registers");
        let opened = Ask::Opened { register, outgoing: outgoing.clone() };
        self.driver.tell(opened).await.map_err(CallError::from)?;

        let (driver, stop) = (self.driver.clone(), self.stop.clone());
        drop(tasks::spawn("fleet.session", async move {
            loop {
                let message = tokio::select! {
                    message = requests.message() => message,
                    () = outgoing.sender.closed() => break,
                    () = outgoing.end.cancelled() => break,
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
            let (Ok(()) | Err(Stopped)) = driver.tell(ended).await;
        }));
        let answers = ReceiverStream::new(receiver).map(Ok);
        Ok(Response::new(answers.take_until(end.cancelled_owned()).boxed()))
    }

    async fn resolve_room(
        &self,
        request: Request<wire::ResolveRoomRequest>,
    ) -> Result<Response<wire::ResolveRoomResponse>, Status> {
        let id = request.into_inner().room_id;
        let room = id.parse().map_err(CallError::id("room_id"))?;
        let asked = self.driver.ask(|answer| Ask::Room { room, answer }).await;
        let found = asked.map_err(CallError::from)?.ok_or(CallError::NoRoom(id))?;
        let (owner, epoch) = (found.owner, found.epoch);
        Ok(Response::new(wire::ResolveRoomResponse { owner, epoch }))
    }
}

fn registered(about: wire::Register) -> Result<Registered, CallError> {
    let node = about.node_id.parse().map_err(CallError::id("register.node_id"))?;
    let held = about
        .held
        .iter()
        .filter_map(|held| Some((held.room_id.parse().ok()?, Epoch::new(held.epoch))))
        .collect();
    Ok(Registered { node, incarnation: Incarnation::new(about.incarnation), about, held })
}

//! The sessions of nodes.

use super::{Services, caller::Caller, first_message, status::CallError};
use crate::{
    driver::{Outgoing, Registered, Request as Ask, Stopped},
    replica::Standing,
    store::StoredRoom,
};
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
        let caller = Caller::of(&request)?;
        let mut requests = request.into_inner();
        let Some(Up::Register(about)) = first_message(&mut requests).await?.kind else {
            return Err(CallError::invalid("register", "must be the first message").into());
        };
        let register = registered(about)?;
        caller.must_be_node(register.node.as_ref())?;
        let driver = match self.leading() {
            Ok((_, driver)) => driver,
            Err(error) => return self.redirect(error),
        };
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let outgoing = Outgoing { sender, end: CancellationToken::new() };
        let end = outgoing.end.clone();
        let (node, incarnation) = (register.node.clone(), register.incarnation);
        let opened = Ask::Opened { register, outgoing: outgoing.clone() };
        driver.tell(opened).await.map_err(CallError::from)?;
        tracing::info!(node.id = %node, incarnation = incarnation.get(), "a node registers");

        let (over, stop) = (driver.over(), self.stop.clone());
        drop(tasks::spawn("fleet.session", async move {
            loop {
                let message = tokio::select! {
                    message = requests.message() => message,
                    () = outgoing.sender.closed() => break,
                    () = outgoing.end.cancelled() => break,
                    () = over.cancelled() => break,
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
        let found = self.store.room(&room).await.map_err(CallError::from)?;
        let StoredRoom { owner, epoch, .. } = found.ok_or(CallError::NoRoom(id))?;
        let owner = owner.map(|owner| owner.to_string()).unwrap_or_default();
        Ok(Response::new(wire::ResolveRoomResponse { owner, epoch: epoch.get() }))
    }
}

impl Services {
    /// Sends a node to the leader, if one is known.
    fn redirect(
        &self,
        error: CallError,
    ) -> Result<Response<<Self as FleetService>::SessionStream>, Status> {
        let Standing::Follows(Some(leader)) = self.replica.standing() else {
            return Err(error.into());
        };
        let redirect = wire::Redirect { endpoint: leader.endpoint, term: leader.term.get() };
        let kind = Some(wire::session_response::Kind::Redirect(redirect));
        let answer = futures::stream::iter([Ok(wire::SessionResponse { kind })]);
        Ok(Response::new(answer.boxed()))
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

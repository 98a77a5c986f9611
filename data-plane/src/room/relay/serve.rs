//! The owner's end of the relay.

use super::*;
use crate::room::Edge;
use gavel_proto::relay::v1::relay_service_server::{RelayService, RelayServiceServer};
use gavel_rules::order::{Generation, Position, Seq};
use gavel_runtime::grpc::Peer;
use std::sync::atomic::{AtomicU64, Ordering};
use tonic::{Request, Response, Status, Streaming};

/// How long an edge may take to say who it is.
const HELLO_WAIT: Duration = Duration::from_secs(5);

/// Serves other nodes.
#[derive(Debug)]
pub(crate) struct Relay {
    shell: Arc<Shell>,
    streams: AtomicU64,
}

/// One edge's stream, as its task holds it.
struct Attached {
    shell: Arc<Shell>,
    edge: Edge,
    watched: HashSet<RoomId>,
}

// === impl Relay ===

impl Relay {
    /// The service for this node's rooms.
    #[must_use]
    pub(crate) fn service(shell: Arc<Shell>) -> RelayServiceServer<Self> {
        RelayServiceServer::new(Self { shell, streams: AtomicU64::new(0) })
    }

    /// Hears who attaches, which where nodes show certificates is whom they name.
    async fn greet(
        &self,
        peer: Option<Peer>,
        requests: &mut Streaming<wire::AttachRequest>,
    ) -> Result<(), Status> {
        let first = tokio::time::timeout(HELLO_WAIT, requests.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("no hello came in time"))??;
        let Some(Up::Hello(hello)) = first.and_then(|first| first.kind) else {
            return Err(Status::invalid_argument("hello must be the first message"));
        };
        let names = peer.and_then(|peer| peer.names);
        let named = names.is_some_and(|names| names.is_node(&hello.node_id));
        if self.shell.tls.is_mutual() && !named {
            tracing::warn!(node.id = hello.node_id, "an edge has another node's certificate");
            return Err(Status::permission_denied("the certificate is not that of this node"));
        }
        tracing::debug!(node.id = hello.node_id, "an edge attached");
        Ok(())
    }
}

#[tonic::async_trait]
impl RelayService for Relay {
    type AttachStream = tokio_stream::adapters::Map<
        ReceiverStream<wire::AttachResponse>,
        fn(wire::AttachResponse) -> Result<wire::AttachResponse, Status>,
    >;

    async fn attach(
        &self,
        request: Request<Streaming<wire::AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        let mut requests = request.into_inner();
        self.greet(peer, &mut requests).await?;
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let stream = self.streams.fetch_add(1, Ordering::Relaxed);
        let attached = Attached {
            shell: Arc::clone(&self.shell),
            edge: Edge { stream, sender, wants: Watch::default() },
            watched: HashSet::new(),
        };
        drop(self.shell.tasks.spawn("relay.serve", attached.run(requests)));
        let stream = tokio_stream::StreamExt::map(ReceiverStream::new(receiver), Ok as fn(_) -> _);
        Ok(Response::new(stream))
    }
}

// === impl Attached ===

impl Attached {
    async fn run(mut self, mut requests: Streaming<wire::AttachRequest>) {
        let stop = self.shell.stop.clone();
        loop {
            let request = tokio::select! {
                request = requests.message() => request,
                () = self.edge.sender.closed() => break,
                () = stop.cancelled() => break,
            };
            let Ok(Some(request)) = request else { break };
            if self.take(request).is_none() {
                tracing::warn!("a relay request makes no sense; its stream is closed");
                break;
            }
        }
        for room in &self.watched {
            self.shell.rooms.deliver(room, Input::EdgeLost(self.edge.stream)).await;
        }
    }

    fn take(&mut self, request: wire::AttachRequest) -> Option<()> {
        match request.kind? {
            // It has been heard.
            Up::Hello(_) => {}
            Up::Watch(watch) => {
                let room: RoomId = watch.room_id.parse().ok()?;
                let (generation, seq) = (Generation::new(watch.generation), Seq::new(watch.seq));
                let wants = Watch { since: Position { generation, seq }, whole: watch.whole };
                let attach = Input::Attach(Edge { wants, ..self.edge.clone() });
                self.shell.rooms.send(&self.shell, &room, attach).ok()?;
                self.watched.insert(room);
            }
            Up::Unwatch(unwatch) => {
                let room: RoomId = unwatch.room_id.parse().ok()?;
                self.watched.remove(&room);
                let detach = Input::Detach(self.edge.stream);
                self.shell.rooms.send(&self.shell, &room, detach).ok()?;
            }
            Up::PlaceBid(bid) => self.place(bid)?,
            Up::Command(command) => {
                command::obey(&self.shell, self.edge.sender.clone(), command)?;
            }
            Up::Heartbeat(heartbeat) => {
                let kind = Some(wire::attach_response::Kind::Heartbeat(heartbeat));
                // Where there is no place for it the edge is too slow, and soon finds out.
                drop(self.edge.sender.try_send(wire::AttachResponse { kind }));
            }
        }
        Some(())
    }

    fn place(&self, placed: wire::PlaceBid) -> Option<()> {
        let RelayedBid { token, room, bid, guest, limited, traceparent } =
            RelayedBid::try_from(placed).ok()?;
        let span = tracing::info_span!("room.bid", room.id = %room, bid.id = %bid.bid_id);
        telemetry::parent_of(&span, &traceparent);
        let now = self.shell.now();
        let ask = Ask {
            bid,
            guest,
            limited,
            reply: Reply::Relay { edge: self.edge.sender.clone(), token },
            traceparent: telemetry::inject_from(&span),
            since: now,
            queued: now,
            attempts: 0,
        };
        // A full room answers nothing; the edge's deadline tells its bidder.
        if self.shell.rooms.send(&self.shell, &room, Input::Ask(ask)).is_err() {
            tracing::debug!(room.id = %room, "no place for a relayed bid");
        }
        Some(())
    }
}

//! From an HTTP request to a socket at work.

use super::{
    come_later,
    visitor::{self, Arrival, Unproven},
};
use crate::{
    admission::{NodePlace, TurnedAway},
    close::CloseCode,
    codec::{
        handshake::{self, HandshakeError, Upgrade},
        json::{self, Dialect},
    },
    limit::{Action, Exceeded},
    metrics::{Opened, Shed},
    node::Shell,
    places::Place,
    room::Member,
    seats::Seats,
    session::Session,
    socket::{self, Pump, Socket},
};
use axum::{
    extract::{Extension, Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use gavel_rules::id::SessionId;
use gavel_runtime::{http::Peer, net::Stream, tasks};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32},
};

/// What one socket's task may hold while idle. It is the largest part of a socket's memory.
const FUTURE_BYTES_MAX: usize = 512;

/// `GET /ws`.
pub(super) async fn upgrade(
    State(shell): State<Arc<Shell>>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request,
) -> Response {
    if shell.sheds(Shed::Sockets) {
        shell.metrics.sockets_opened.inc(Opened::Shed);
        return come_later();
    }
    let client = shell.origins.client(peer, request.headers());
    if let Err(foreign) = shell.allowed_origins.check(request.headers()) {
        shell.metrics.sockets_opened.inc(Opened::Forbidden);
        return (StatusCode::FORBIDDEN, foreign.to_string()).into_response();
    }
    if let Err(turned) = shell.admission.ask(&shell, client) {
        return refuse_for_now(&shell, turned);
    }
    let checked = handshake::check(request.headers(), request.method(), request.version());
    let Upgrade { key, protocols, .. } = match checked {
        Ok(upgrade) => upgrade,
        Err(error) => return refuse(&shell, error),
    };
    let selection = match handshake::select_protocol(&protocols) {
        Ok(selection) => selection,
        Err(error) => return refuse(&shell, error),
    };
    if visitor::shows_secret(request.uri()) {
        return refuse(&shell, HandshakeError::SecretInUrl);
    }
    let arrival = match visitor::identify(&shell, selection).await {
        Ok(arrival) => arrival,
        Err(error) => return refuse_unproven(&shell, error),
    };
    let dialect = if selection.protocol.is_some() { Dialect::V1 } else { Dialect::Seed };
    let protocol = selection.protocol.map(HeaderValue::from_static);
    let admitted = match shell.admission.admit(&shell, client, &arrival.visitor.identity).await {
        Err(turned) if turned.action == Action::Refuse => return refuse_for_now(&shell, turned),
        admitted => admitted,
    };
    let upgraded = hyper::upgrade::on(request);
    drop(tasks::spawn("socket.upgrade", async move {
        match upgraded.await {
            Ok(upgraded) => start(&shell, upgraded, admitted, arrival, dialect),
            Err(error) => tracing::debug!(%error, "the upgrade did not happen"),
        }
    }));
    switching_protocols(&key, protocol)
}

fn refuse(shell: &Shell, error: HandshakeError) -> Response {
    shell.metrics.sockets_opened.inc(Opened::BadHandshake);
    (error.status(), error.to_string()).into_response()
}

/// Refuses whoever showed something that proves nobody.
fn refuse_unproven(shell: &Shell, error: Unproven) -> Response {
    shell.metrics.sockets_opened.inc(Opened::Unauthenticated);
    let status = match error.is_passing() {
        true => StatusCode::SERVICE_UNAVAILABLE,
        false => StatusCode::UNAUTHORIZED,
    };
    (status, error.to_string()).into_response()
}

/// Refuses a socket before there is one; it may come again later.
fn refuse_for_now(shell: &Shell, turned: TurnedAway) -> Response {
    shell.metrics.sockets_opened.inc(opened(turned));
    let is_ours = turned.exceeded == Exceeded::SocketsPerNode;
    let status =
        if is_ours { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::TOO_MANY_REQUESTS };
    let seconds = turned.retry_after.get().div_ceil(1_000).max(1);
    let later = [(header::RETRY_AFTER, seconds.to_string())];
    (status, later, turned.error().message).into_response()
}

fn opened(turned: TurnedAway) -> Opened {
    let is_shed = turned.action == Action::Shed || turned.exceeded == Exceeded::SocketsPerNode;
    if is_shed { Opened::Shed } else { Opened::Limited }
}

fn switching_protocols(key: &str, protocol: Option<HeaderValue>) -> Response {
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::try_from(handshake::accept_key(key)) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(protocol) = protocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

/// Starts the pump of an upgraded connection, as a small task of its own: the
/// upgrade's task is large and ends here.
fn start(
    shell: &Arc<Shell>,
    upgraded: hyper::upgrade::Upgraded,
    admitted: Result<(NodePlace, Place), TurnedAway>,
    arrival: Arrival,
    dialect: Dialect,
) {
    let Ok(parts) = upgraded.downcast::<TokioIo<Stream>>() else {
        tracing::error!("an upgraded connection is none of ours");
        return;
    };
    // An empty rest of hyper's buffer would keep the whole buffer.
    let (stream, early) = (parts.io.into_inner(), parts.read_buf.to_vec());
    drop(parts.read_buf);
    let places = match admitted {
        Ok(places) => places,
        Err(turned) => {
            shell.metrics.sockets_opened.inc(opened(turned));
            let code = turned.action.close_code(turned.exceeded);
            let why = json::error(dialect, &turned.error());
            let refused = socket::refuse(stream, why, code.unwrap_or(CloseCode::ConnectionLimit));
            drop(tasks::spawn("socket.refuse", refused));
            return;
        }
    };
    shell.metrics.sockets_opened.inc(Opened::Accepted);
    drop(tasks::spawn("socket", serve(shell, stream, early, places, arrival, dialect)));
}

/// Everything is made before the future is, which then holds it only once:
/// there is one for every socket, see [`FUTURE_BYTES_MAX`].
fn serve(
    shell: &Arc<Shell>,
    stream: Stream,
    mut early: Vec<u8>,
    (node, place): (NodePlace, Place),
    Arrival { visitor, guest }: Arrival,
    dialect: Dialect,
) -> impl Future<Output = ()> + use<> {
    let session = draw_session();
    let socket = Arc::new(Socket::new(stream));
    let opened_for = visitor.identity.user.clone();
    let machine = Session::new(session.clone(), dialect, visitor, &shell.live.get().limits);
    let member = Arc::new(Member {
        socket,
        session,
        opened_for,
        dialect,
        refused_by: Mutex::default(),
        refusals: AtomicU32::default(),
        woken: AtomicBool::default(),
        seats: Mutex::new(Seats::of(place)),
    });
    shell.wheel.add(&member, shell);
    let entry = Entry::new(shell, &member, node);
    if shell.stop.is_cancelled() {
        member.socket.close(CloseCode::GoingAway);
    }
    let mut pump = Pump::new(Arc::clone(shell), member, machine, guest, &mut early);
    let future = async move {
        pump.run().await;
        drop(pump);
        drop(entry);
    };
    debug_assert!(size_of_val(&future) <= FUTURE_BYTES_MAX, "{}", size_of_val(&future));
    future
}

/// A socket's place on the node, its line in [`Sockets`] and in the gauge, for as long as it lives.
struct Entry {
    shell: Arc<Shell>,
    session: SessionId,
    _place: NodePlace,
}

impl Entry {
    fn new(shell: &Arc<Shell>, member: &Arc<Member>, place: NodePlace) -> Self {
        shell.metrics.sockets.inc();
        let session = member.session.clone();
        shell.sockets.add(member);
        Self { shell: Arc::clone(shell), session, _place: place }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.shell.metrics.sockets.dec();
        self.shell.sockets.remove(&self.session);
    }
}

/// An id that nobody can guess and that has not been drawn before.
fn draw_session() -> SessionId {
    let text = format!("s{:016x}", rand::random::<u64>());
    text.parse().unwrap_or_else(|_| unreachable!("hex digits make an id"))
}

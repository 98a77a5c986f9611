//! What Gavel is compared with: a plain broadcast server on axum's WebSocket,
//! with default and with small buffers, and a loop of bare writes, below which
//! no server can get. They have no rooms, no state and no store, and send on
//! whatever they are sent.

use super::{bare, process::Process};
use crate::Outcome;
use axum::{
    Router,
    extract::{
        State,
        ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade},
    },
    response::Response,
    routing::get,
    serve::ListenerExt as _,
};
use std::{io::Write as _, net::SocketAddr, process::Command};
use tokio::{net::TcpListener, sync::broadcast};

/// The argument that makes this program the server.
pub(crate) const SERVE: &str = "--serve";

/// Which baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    DefaultBuffers,
    SmallBuffers,
    BareWrites,
}

/// A baseline server in a process of its own.
#[derive(Debug)]
pub(crate) struct Baseline {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

#[derive(Debug, Clone)]
struct Shared {
    kind: Kind,
    messages: broadcast::Sender<Utf8Bytes>,
}

// === impl Kind ===

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::BareWrites, Self::SmallBuffers, Self::DefaultBuffers];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::DefaultBuffers => "axum, default buffers",
            Self::SmallBuffers => "axum, 1 KiB buffers",
            Self::BareWrites => "bare writes, the floor",
        }
    }
}

// === impl Baseline ===

impl Baseline {
    pub(crate) fn start(kind: Kind) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let process = Process::start(command.args([SERVE, kind.name()]))?;
        let address = process.first_line().parse()?;
        Ok(Self { process, address })
    }
}

/// Serves until it is killed; the first line says where.
pub(crate) async fn serve(name: &str) -> Outcome<()> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or("no such baseline")?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    if kind == Kind::BareWrites {
        return bare::serve(listener).await;
    }
    let shared = Shared { kind, messages: broadcast::Sender::new(1024) };
    let router = Router::new().route("/ws", get(upgrade)).with_state(shared);
    // As Gavel does: no answer waits for company.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    Ok(axum::serve(listener, router).await?)
}

async fn upgrade(State(shared): State<Shared>, upgrade: WebSocketUpgrade) -> Response {
    let upgrade = match shared.kind {
        Kind::SmallBuffers => {
            upgrade.read_buffer_size(1024).write_buffer_size(1024).max_write_buffer_size(64 * 1024)
        }
        Kind::DefaultBuffers | Kind::BareWrites => upgrade,
    };
    upgrade.on_upgrade(move |socket| pass_on(socket, shared.messages))
}

async fn pass_on(mut socket: WebSocket, messages: broadcast::Sender<Utf8Bytes>) {
    let mut others = messages.subscribe();
    // From here on it hears everything.
    if socket.send(Message::text("welcome")).await.is_err() {
        return;
    }
    loop {
        tokio::select! {
            mine = socket.recv() => match mine {
                Some(Ok(Message::Text(text))) => drop(messages.send(text)),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            text = others.recv() => {
                let Ok(text) = text else { return };
                if socket.send(Message::Text(text)).await.is_err() {
                    return;
                }
            }
        }
    }
}

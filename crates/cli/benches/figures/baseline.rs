//! What Gavel is compared with: a plain broadcast server on axum's WebSocket,
//! as its documentation suggests, with default and with small buffers. It has
//! no rooms, no state and no store, and sends on whatever it is sent.

use super::process::Process;
use crate::Outcome;
use axum::{
    Router,
    extract::{
        State,
        ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade},
    },
    routing::get,
    serve::ListenerExt as _,
};
use std::{io::Write as _, net::SocketAddr, process::Command};
use tokio::{net::TcpListener, sync::broadcast};

/// The argument that makes this program the server.
pub(crate) const SERVE: &str = "--serve";

/// How axum's buffers are sized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Buffers {
    Default,
    Small,
}

/// A baseline server in a process of its own.
#[derive(Debug)]
pub(crate) struct Baseline {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

#[derive(Debug, Clone)]
struct Shared {
    buffers: Buffers,
    messages: broadcast::Sender<Utf8Bytes>,
}

// === impl Buffers ===

impl Buffers {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Default => "axum, default buffers",
            Self::Small => "axum, 1 KiB buffers",
        }
    }

    const fn argument(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Small => "small",
        }
    }
}

// === impl Baseline ===

impl Baseline {
    pub(crate) fn start(buffers: Buffers) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let process = Process::start(command.args([SERVE, buffers.argument()]))?;
        let address = process.first_line().parse()?;
        Ok(Self { process, address })
    }
}

/// Serves until it is killed; the first line says where.
pub(crate) async fn serve(buffers: &str) -> Outcome<()> {
    let small = buffers == Buffers::Small.argument();
    let buffers = if small { Buffers::Small } else { Buffers::Default };
    let shared = Shared { buffers, messages: broadcast::Sender::new(1024) };
    let router = Router::new().route("/ws", get(upgrade)).with_state(shared);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    // As Gavel does: no answer waits for company.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    Ok(axum::serve(listener, router).await?)
}

async fn upgrade(
    State(shared): State<Shared>,
    upgrade: WebSocketUpgrade,
) -> axum::response::Response {
    let upgrade = match shared.buffers {
        Buffers::Default => upgrade,
        Buffers::Small => {
            upgrade.read_buffer_size(1024).write_buffer_size(1024).max_write_buffer_size(64 * 1024)
        }
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

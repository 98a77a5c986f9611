//! A TCP connection that a test can cut, or make silent, and mend.

use gavel_runtime::tasks;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Bytes pass.
    Whole,
    /// Connections are closed, and new ones at once.
    Cut,
    /// Connections stay and nothing passes, as when packets are dropped.
    Silent,
}

/// Everything that connects to it is passed on to one address.
#[derive(Debug)]
pub struct Cable {
    listen: SocketAddr,
    state: watch::Sender<State>,
    task: JoinHandle<()>,
}

// === impl Cable ===

impl Cable {
    /// A cable that is not plugged in yet: what it leads to comes with the
    /// returned sender.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn new() -> (Self, watch::Sender<Option<SocketAddr>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let listen = listener.local_addr().expect("its address");
        let (plug, to) = watch::channel(None);
        let (state, states) = watch::channel(State::Whole);
        let task = tasks::spawn("cable", accept(listener, to, states));
        (Self { listen, state, task }, plug)
    }

    /// Where to connect.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// Closes every connection and refuses new ones.
    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Lets nothing pass; nobody is told.
    pub fn silence(&self) {
        self.state.send_replace(State::Silent);
    }

    /// Lets everything pass again.
    pub fn mend(&self) {
        self.state.send_replace(State::Whole);
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    mut to: watch::Receiver<Option<SocketAddr>>,
    states: watch::Receiver<State>,
) {
    loop {
        let Ok((near, _)) = listener.accept().await else { return };
        let Ok(to) = to.wait_for(Option::is_some).await.map(|to| *to) else { return };
        let states = states.clone();
        drop(tasks::spawn("cable.connection", async move {
            if *states.borrow() == State::Cut {
                return;
            }
            let Some(to) = to else { return };
            let Ok(far) = TcpStream::connect(to).await else { return };
            drop(far.set_nodelay(true).and_then(|()| near.set_nodelay(true)));
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::join!(pass(near_in, far_out, states.clone()), pass(far_in, near_out, states));
        }));
    }
}

/// Passes bytes one way until it is cut or an end closes.
async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut states: watch::Receiver<State>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let state = *states.borrow_and_update();
        let silent = state == State::Silent;
        if state == State::Cut {
            return;
        }
        tokio::select! {
            changed = states.changed() => if changed.is_err() { return },
            read = from.read(&mut buffer), if !silent => {
                let Ok(read @ 1..) = read else { return };
                let bytes = buffer.get(..read).unwrap_or_default();
                if to.write_all(bytes).await.is_err() {
                    return;
                }
            }
        }
    }
}

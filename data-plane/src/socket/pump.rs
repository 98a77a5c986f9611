//! The loop of one socket.

use super::Want;
use crate::{
    auth::GuestToken,
    close::CloseCode,
    codec::frame::{self, Decoder, Incoming},
    heartbeat,
    node::Shell,
    room::Member,
    seats,
    session::{Action, Input, Session},
    settings::{Limits, Settings},
};
use std::{
    cell::RefCell,
    io,
    sync::{Arc, atomic::Ordering},
};
use tokio::io::Interest;

/// What a socket may say before it is another's turn. One that floods always has more: to wait for
/// it would give nobody else a turn.
const READ_BYTES: usize = 1024;
/// In how many reads it may say that: small ones take time, too.
const READS_MAX: u8 = 8;

thread_local! {
    /// Every socket of a thread reads through this one buffer.
    static READ_BUFFER: RefCell<Box<[u8]>> =
        RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

/// One socket at work; dropping it takes the socket out of every room.
pub(crate) struct Pump {
    shell: Arc<Shell>,
    member: Arc<Member>,
    session: Session,
    decoder: Decoder,
    shown: Option<Box<Shown>>,
}

/// What a read came to.
enum Read {
    /// Nothing is there for now.
    Nothing,
    /// There may be more.
    Some,
    /// There is, or the buffer was just large enough.
    Full,
    /// The stream has ended.
    End,
}

/// A token that waits for its key.
struct Shown {
    token: String,
    /// What the client said behind it, as it came: the answers depend on who that is.
    behind: Vec<u8>,
}

// === impl Pump ===

impl Pump {
    /// Opens the session; `early` is what the client sent behind its handshake.
    pub(crate) fn new(
        shell: Arc<Shell>,
        member: Arc<Member>,
        session: Session,
        guest: Option<GuestToken>,
        early: &mut [u8],
    ) -> Self {
        let decoder = Decoder::new(shell.live.get().limits.message_bytes_max);
        let mut pump = Self { shell, member, session, decoder, shown: None };
        pump.step(Input::Opened(guest));
        pump.take(early);
        pump
    }

    /// Serves the socket until it ends.
    pub(crate) async fn run(&mut self) {
        let socket = Arc::clone(&self.member.socket);
        // Which read of its turn the next one is.
        let mut turn = 1;
        loop {
            if let Some(shown) = self.shown.take() {
                // Most sockets never wait here: it must not be a part of every socket's future.
                Box::pin(self.identify(*shown)).await;
            }
            if self.member.woken.swap(false, Ordering::Relaxed) {
                self.step(Input::Woken);
            }
            let interest = match socket.wants() {
                Want::Wait(interest) => interest,
                Want::Finish(code) => {
                    self.closed(code.code());
                    // Its buffer must not be part of every socket's future.
                    return Box::pin(socket.finish()).await;
                }
                Want::End => return self.closed(1006),
            };
            let reads = interest == Interest::READABLE;
            if !(reads && socket.stream.has_unread()) {
                let ready = tokio::select! {
                    ready = socket.stream.ready(interest) => ready,
                    () = socket.wake.notified() => continue,
                };
                if ready.is_err() {
                    return self.closed(1006);
                }
            }
            if !reads {
                socket.flush();
                continue;
            }
            match self.read() {
                Read::Nothing => turn = 1,
                Read::Some if turn < READS_MAX => turn += 1,
                Read::Some | Read::Full => {
                    turn = 1;
                    tokio::task::yield_now().await;
                }
                Read::End => return self.closed(1006),
            }
        }
    }

    /// Waits for the key of a token, and goes on with what was said behind it.
    async fn identify(&mut self, Shown { token, mut behind }: Shown) {
        let identified = self.shell.verifier.identify(&token, self.shell.now()).await;
        self.step(Input::Identified(identified));
        self.take(&mut behind);
    }

    fn closed(&self, code: u16) {
        let Self { shell, member, session, .. } = self;
        shell.metrics.socket_closed(code);
        let (user, rooms) = (&session.identity().user, session.joined());
        shell.live.get().trials.socket_closed(user, &member.session, &shell.id, rooms, code);
    }

    /// Reads once, and acts on it.
    fn read(&mut self) -> Read {
        READ_BUFFER.with_borrow_mut(|buffer| match self.member.socket.stream.try_read(buffer) {
            Ok(0) => Read::End,
            Ok(read) => {
                self.take(buffer.get_mut(..read).unwrap_or_default());
                if read == buffer.len() { Read::Full } else { Read::Some }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Read::Nothing,
            Err(_) => Read::End,
        })
    }

    /// Decodes what came and acts on each message.
    fn take(&mut self, mut input: &mut [u8]) {
        // The decoder lends out messages while the session works on them.
        let mut decoder = std::mem::replace(&mut self.decoder, Decoder::new(0));
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(incoming)) => {
                    self.incoming(incoming);
                    // What is said to a socket that closes is not looked at.
                    if self.member.socket.is_closing() {
                        break;
                    }
                    if let Some(shown) = &mut self.shown {
                        shown.behind.extend_from_slice(input);
                        break;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    self.member.socket.close(match error.close_code() {
                        1007 => CloseCode::Invalid,
                        1009 => CloseCode::TooBig,
                        _ => CloseCode::Protocol,
                    });
                    break;
                }
            }
        }
        self.decoder = decoder;
    }

    fn incoming(&mut self, incoming: Incoming<'_>) {
        let refused_by = std::mem::take(&mut *self.member.refused_by.lock());
        for room in &refused_by {
            self.step(Input::NotJoined(room));
        }
        match self.member.refusals.swap(0, Ordering::Relaxed) {
            0 => {}
            refusals => self.step(Input::Refused(refusals)),
        }
        match incoming {
            Incoming::Text(text) => self.step(Input::Text(text)),
            Incoming::Binary(_) => self.step(Input::Binary),
            Incoming::Ping(payload) => self.member.socket.send(&frame::pong(payload)),
            Incoming::Pong(_) => self.member.socket.answered.store(true, Ordering::Relaxed),
            Incoming::Close { .. } => self.member.socket.close(CloseCode::Normal),
        }
    }

    fn step(&mut self, input: Input<'_>) {
        let settings = self.shell.live.get();
        let mut actions = Vec::new();
        if let Input::NotJoined(room) = input {
            seats::not_joined(&self.member, room);
        }
        if matches!(input, Input::Opened(_) | Input::Identified(_)) {
            // The welcome tells what is this socket's own.
            let heartbeat_interval = heartbeat::interval(&self.shell, &self.member);
            let limits = Limits { heartbeat_interval, ..settings.limits.clone() };
            let settings = Settings { limits, ..(*settings).clone() };
            self.session.step(input, self.shell.now(), &settings, &mut actions);
        } else {
            self.session.step(input, self.shell.now(), &settings, &mut actions);
        }
        for action in actions {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        let socket = &self.member.socket;
        match action {
            Action::Send(json) => socket.send_text(&json),
            Action::Join(room, since) => {
                let identity = self.session.identity().clone();
                seats::enter(&self.shell, &self.member, identity, room, since);
            }
            Action::Leave(room) => seats::leave(&self.shell, &self.member, &room),
            Action::Bid { room, bid } => {
                let identity = self.session.identity().clone();
                crate::bid::place(&self.shell, &self.member, identity, room, bid);
            }
            Action::Conduct(room, conduct) => {
                let user = self.session.identity().user.clone();
                crate::conduct::ask(&self.shell, &self.member, user, room, conduct);
            }
            Action::Verify(token) if self.shell.verifier.would_wait(&token) => {
                self.shown = Some(Box::new(Shown { token, behind: Vec::new() }));
            }
            Action::Verify(token) => {
                let identified = self.shell.verifier.verify(&token, self.shell.now());
                self.step(Input::Identified(identified));
            }
            Action::SignedIn => {
                let user = self.session.identity().user.clone();
                seats::sign_in(&self.shell, &self.member, user);
            }
            Action::WakeAt(at) => self.shell.sockets.wake_at(&self.member.session, at),
            Action::Exceeded(exceeded, action) => {
                self.shell.metrics.exceeded(exceeded, action);
                // There may be thousands a second.
                tracing::debug!(limit = exceeded.word(), session.id = %self.member.session,
                    action = action.word(), "a limit is exceeded");
            }
            Action::Close(code) => socket.close(code),
        }
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.member.socket.terminate();
        seats::end(&self.shell, &self.member);
    }
}

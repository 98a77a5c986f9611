//! The open sockets of a node: for when all of them have to go, for when the
//! time of one has come, and for when the settings deny somebody.

use crate::{close::CloseCode, node::Shell, room::Member};
use gavel_rules::{id::SessionId, time::Timestamp};
use parking_lot::Mutex;
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Weak},
    time::Duration,
};

/// How late a socket may notice that its token has expired.
const TICK: Duration = Duration::from_millis(250);

/// The open sockets.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    by_session: HashMap<SessionId, (Weak<Member>, Option<Timestamp>)>,
    /// Those that want to be woken, the first first.
    due: BTreeSet<(Timestamp, SessionId)>,
}

// === impl Sockets ===

impl Sockets {
    /// A socket is open.
    pub(super) fn add(&self, member: &Arc<Member>) {
        let entry = (Arc::downgrade(member), None);
        self.open.lock().by_session.insert(member.session.clone(), entry);
    }

    /// It is no more.
    pub(super) fn remove(&self, session: &SessionId) {
        let mut open = self.open.lock();
        open.wake_at(session, None);
        open.by_session.remove(session);
    }

    /// Wakes a socket then, and at no time that it asked for before.
    pub(crate) fn wake_at(&self, session: &SessionId, at: Option<Timestamp>) {
        self.open.lock().wake_at(session, at);
    }

    /// Every socket, in no order.
    pub(crate) fn all(&self) -> Vec<Weak<Member>> {
        self.open.lock().by_session.values().map(|(member, _)| Weak::clone(member)).collect()
    }

    /// Closes every socket.
    pub(crate) fn close_all(&self, code: CloseCode) {
        for member in self.all().iter().filter_map(Weak::upgrade) {
            member.socket.close(code);
        }
    }

    /// Open sockets; each acts for one user.
    pub(crate) fn len(&self) -> usize {
        self.open.lock().by_session.len()
    }
}

// === impl Open ===

impl Open {
    fn wake_at(&mut self, session: &SessionId, at: Option<Timestamp>) {
        let Some((_, wakes)) = self.by_session.get_mut(session) else { return };
        let before = std::mem::replace(wakes, at);
        if let Some(before) = before {
            self.due.remove(&(before, session.clone()));
        }
        if let Some(at) = at {
            self.due.insert((at, session.clone()));
        }
    }

    /// Takes the sockets whose time has come.
    fn take_due(&mut self, now: Timestamp) -> Vec<Weak<Member>> {
        let mut members = Vec::new();
        while let Some((at, session)) = self.due.first().cloned() {
            if at > now {
                break;
            }
            self.wake_at(&session, None);
            members.extend(self.by_session.get(&session).map(|(member, _)| Weak::clone(member)));
        }
        members
    }
}

/// Wakes the sockets whose time has come, and all of them when somebody is denied something.
pub(crate) async fn run(shell: Arc<Shell>) {
    let mut changes = shell.live.watch();
    let mut denied = changes.borrow_and_update().denials_version;
    let mut tick = tokio::time::interval(TICK);
    loop {
        let mut woken = Vec::new();
        tokio::select! {
            _ = tick.tick() => woken = shell.sockets.open.lock().take_due(shell.now()),
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                let version = changes.borrow_and_update().denials_version;
                if std::mem::replace(&mut denied, version) != version {
                    woken = shell.sockets.all();
                }
            }
            () = shell.stop.cancelled() => return,
        }
        woken.iter().filter_map(Weak::upgrade).for_each(|member| member.wake());
    }
}

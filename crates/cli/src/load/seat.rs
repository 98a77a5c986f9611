//! A bidder: one socket, and where that is wished another whenever it is lost.

use super::{
    schedule::Order,
    shared::Shared,
    socket::{self, Lost, Socket},
    stats::Fault,
};
use gavel_rules::id::RoomId;
use gavel_runtime::backoff::Backoff;
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How long one attempt to come back may take: a node that stands still
/// accepts connections and never answers.
const REJOIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Waits between attempts, short since the run measures how long bids wait.
const REJOIN_WAITS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// Who bids in one place of the run.
#[derive(Debug)]
pub(crate) struct Bidder {
    /// Where to connect when the socket is lost; empty if that is the end.
    pub(crate) urls: Vec<String>,
    /// Which of them is next, counted on and on.
    pub(crate) turn: usize,
    /// Where it bids.
    pub(crate) room_id: RoomId,
    /// What it is to send.
    pub(crate) inbox: mpsc::Receiver<Order>,
    /// What all share.
    pub(crate) shared: Arc<Shared>,
}

// === impl Bidder ===

impl Bidder {
    /// Bids as ordered and takes what comes, until told to stop.
    pub(crate) async fn run(mut self, mut socket: Socket, stop: CancellationToken) {
        loop {
            let Err(why) = socket.live(&mut self.inbox, &stop).await else {
                socket.record_unanswered();
                return socket.leave().await;
            };
            let mut lost = socket.lose();
            let back = stop.run_until_cancelled(self.come_back(&mut lost)).await.flatten();
            let Some(next) = back else {
                return self.shared.fault(Fault::Disconnected, || why);
            };
            socket = next;
            self.shared.reconnects.fetch_add(1, Relaxed);
            // If this one is lost as well, `live` will find out.
            drop(socket.take_over(lost).await);
        }
    }

    /// Tries one URL after the other; none if there is nowhere to go.
    async fn come_back(&mut self, lost: &mut Lost) -> Option<Socket> {
        let (first, longest) = REJOIN_WAITS;
        let mut backoff = Backoff::try_new(first, longest).expect("the bounds are constants");
        loop {
            tokio::time::sleep(backoff.next_delay()).await;
            let turn = self.turn.checked_rem(self.urls.len())?;
            self.turn = turn + 1;
            let url = self.urls.get(turn)?;
            let token = lost.guest_token.as_deref();
            let joining = socket::join(url, &self.room_id, lost.place, token, &self.shared);
            if let Ok(Ok(socket)) = tokio::time::timeout(REJOIN_TIMEOUT, joining).await {
                return Some(socket);
            }
            // What it was shown before it failed is a viewer of its own.
            lost.place.lost += 1;
        }
    }
}

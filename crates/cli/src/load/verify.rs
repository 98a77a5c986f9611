//! After the run: whoever joins now must find what was acknowledged.

use super::{
    LoadArgs,
    shared::Shared,
    socket::{self, JoinError, Place},
    stats::Fault,
};
use std::sync::Arc;

/// Joins each room anew on each node and compares its state with the ledger.
pub(crate) async fn run(args: &LoadArgs, shared: &Arc<Shared>) {
    // Latencies and positions of these late sockets are no part of the run.
    let mut aside = Shared::new(0, 0);
    aside.tls = shared.tls.clone();
    let aside = Arc::new(aside);
    let acked = shared.ledger.acked_up_to();
    for (room, (id, acked)) in args.room_ids.iter().zip(acked).enumerate() {
        let last = shared.ledger.last_seen(room);
        if last.is_none() && acked == 0 {
            continue;
        }
        let mut found = false;
        let mut away = None;
        for url in &args.url {
            match socket::join(url, id, Place::default(), None, &aside).await {
                Ok(socket) => {
                    found = true;
                    let track = socket.track();
                    if let Some(fault) = compare(track.seq, track.price, last, acked) {
                        shared.fault(Fault::Snapshot, || format!("room {id} at {url}: {fault}"));
                    }
                    socket.leave().await;
                }
                // A node may stay away where sockets may look for another.
                Err(JoinError::Handshake(error)) if args.reconnect => away = Some((url, error)),
                Err(error) => {
                    shared.fault(Fault::Snapshot, || format!("room {id} at {url}: {error}"));
                }
            }
        }
        if let Some((url, error)) = away.filter(|_| !found) {
            shared.fault(Fault::Snapshot, || format!("room {id} at {url}: {error}"));
        }
    }
}

fn compare(seq: u64, price: u64, last: Option<(u64, u64)>, acked: u64) -> Option<String> {
    if seq < acked {
        return Some(format!("the state is at seq {seq}, and {acked} was acknowledged"));
    }
    match last {
        Some((last, _)) if seq < last => {
            Some(format!("the state is at seq {seq}, and {last} was sent"))
        }
        Some((last, seen)) if seq == last && price != seen => {
            Some(format!("the state says {price} at seq {seq}, and the update said {seen}"))
        }
        Some(_) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_must_hold_what_was_told() {
        assert_eq!(compare(5, 10, Some((5, 10)), 5), None);
        assert_eq!(compare(6, 11, Some((5, 10)), 5), None);
        assert!(compare(4, 10, Some((4, 10)), 5).is_some());
        assert!(compare(4, 10, Some((5, 10)), 0).is_some());
        assert!(compare(5, 9, Some((5, 10)), 5).is_some());
    }
}

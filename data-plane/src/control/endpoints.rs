//! Where the replicas of the control plane are, and which of them leads.

use parking_lot::Mutex;

/// The replicas that the settings name, in turn, and the leader that one of
/// them named.
#[derive(Debug)]
pub(super) struct Endpoints {
    urls: Vec<String>,
    first: usize,
    leader: Mutex<Option<Leader>>,
}

/// Which replica is the next for one caller. Each has its own: of one for all,
/// those who call at the same pace would get the same replica each time.
#[derive(Debug)]
pub(super) struct Turn(usize);

/// A replica that is said to lead.
#[derive(Debug, Clone)]
struct Leader {
    endpoint: String,
    term: u64,
}

// === impl Endpoints ===

impl Endpoints {
    /// The endpoints of a list with commas; `first` is the place in it to
    /// begin at, so that not all nodes turn to the same replica.
    pub(super) fn new(list: &str, first: usize) -> Self {
        let urls = list.split(',').map(|url| url.trim().to_owned()).collect();
        Self { urls, first, leader: Mutex::new(None) }
    }

    /// The turn of somebody who begins to call.
    pub(super) fn turn(&self) -> Turn {
        Turn(self.first)
    }

    /// Any replica: another one at each call.
    pub(super) fn any(&self, turn: &mut Turn) -> String {
        let place = turn.0.checked_rem(self.urls.len()).unwrap_or_default();
        turn.0 = place + 1;
        self.urls.get(place).cloned().unwrap_or_default()
    }

    /// The leader where one is known, else any replica.
    pub(super) fn leader_or_any(&self, turn: &mut Turn) -> String {
        let leader = self.leader.lock().as_ref().map(|leader| leader.endpoint.clone());
        leader.unwrap_or_else(|| self.any(turn))
    }

    /// Takes a replica's word for who leads; false if a later leader is known
    /// already.
    pub(super) fn follow(&self, endpoint: String, term: u64) -> bool {
        let mut leader = self.leader.lock();
        if endpoint.is_empty() || leader.as_ref().is_some_and(|known| known.term > term) {
            return false;
        }
        *leader = Some(Leader { endpoint, term });
        true
    }

    /// Notes that the leader did not answer, or no longer leads.
    pub(super) fn lost(&self, endpoint: &str) {
        let mut leader = self.leader.lock();
        if leader.as_ref().is_some_and(|known| known.endpoint == endpoint) {
            *leader = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_come_in_turn_until_one_is_said_to_lead() {
        let endpoints = Endpoints::new("http://a:1, http://b:1,http://c:1", 2);
        let (mut turn, mut other) = (endpoints.turn(), endpoints.turn());
        let in_turn: Vec<_> = (0..4)
            .map(|_| {
                // What others call in between makes no difference.
                endpoints.any(&mut other);
                endpoints.leader_or_any(&mut turn)
            })
            .collect();
        assert_eq!(in_turn, ["http://c:1", "http://a:1", "http://b:1", "http://c:1"]);
        assert!(endpoints.follow("http://x:1".to_owned(), 5));
        assert_eq!(endpoints.leader_or_any(&mut turn), "http://x:1");
        assert_eq!(endpoints.any(&mut turn), "http://a:1");
        assert!(!endpoints.follow("http://y:1".to_owned(), 4), "a leader of the past");
        assert!(!endpoints.follow(String::new(), 9), "it does not know");
        assert!(endpoints.follow("http://x:1".to_owned(), 5), "the same again");
        endpoints.lost("http://b:1");
        assert_eq!(endpoints.leader_or_any(&mut turn), "http://x:1");
        endpoints.lost("http://x:1");
        assert_eq!(endpoints.leader_or_any(&mut turn), "http://b:1");
    }
}

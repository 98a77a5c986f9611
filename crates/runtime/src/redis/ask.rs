//! Asking several servers that may not agree: the sentinels of a primary, or
//! the nodes of a cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::redis::{Pipeline, Value};
use futures::{StreamExt as _, stream::FuturesUnordered};

use super::RedisError;
use super::link::Link;

/// A server that may be asked.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) address: String,
    pub(super) link: Arc<Link>,
}

/// What a server said, and how new that is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer<T> {
    pub(super) epoch: u64,
    pub(super) said: T,
}

/// The newest answer there ever was to one question.
#[derive(Debug, Default)]
pub(super) struct Newest(AtomicU64);

// === impl Newest ===

impl Newest {
    /// Asks all at once, until a majority has answered; the newest answer
    /// counts.
    ///
    /// A server that was cut off may tell of the past for as long as that
    /// lasts. What is older than an answer before is therefore not believed,
    /// unless everybody says so: then the servers themselves began anew.
    pub(super) async fn ask<T>(
        &self,
        peers: &[Peer],
        question: &Pipeline,
        read: impl Fn(&Peer, Vec<Value>) -> Result<Answer<T>, String>,
    ) -> Result<T, RedisError> {
        let mut asked: FuturesUnordered<_> = peers
            .iter()
            .map(|peer| async move { (peer, peer.link.pipeline::<Vec<Value>>(question).await) })
            .collect();
        let (mut answers, mut complaints) = (Vec::new(), Vec::new());
        while let Some((peer, reply)) = asked.next().await {
            let answer = reply.map_err(|failure| failure.error.text().to_owned());
            match answer.and_then(|values| read(peer, values)) {
                Ok(answer) => answers.push(answer),
                Err(text) => complaints.push(format!("{} says: {text}", peer.address)),
            }
            if answers.len() > peers.len() / 2 && self.is_new(&answers) {
                break;
            }
        }
        let unanimous = answers.len() == peers.len();
        let told = answers.len();
        if let Some(newest) = self.choose(answers, unanimous) {
            return Ok(newest);
        }
        if told > 0 {
            complaints.push(format!("{told} of {} tell of the past", peers.len()));
        }
        Err(RedisError::Unavailable(complaints.join("; ")))
    }

    fn is_new<T>(&self, answers: &[Answer<T>]) -> bool {
        let seen = self.0.load(Ordering::Relaxed);
        answers.iter().any(|answer| answer.epoch >= seen)
    }

    fn choose<T>(&self, answers: Vec<Answer<T>>, unanimous: bool) -> Option<T> {
        let believed = unanimous || self.is_new(&answers);
        let newest = answers.into_iter().max_by_key(|answer| answer.epoch)?;
        if !believed {
            return None;
        }
        if unanimous {
            self.0.store(newest.epoch, Ordering::Relaxed);
        } else {
            self.0.fetch_max(newest.epoch, Ordering::Relaxed);
        }
        Some(newest.said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(epoch: u64) -> Answer<u64> {
        Answer { epoch, said: epoch }
    }

    #[test]
    fn the_newest_counts_and_the_past_only_if_all_say_so() {
        let newest = Newest::default();
        assert_eq!(newest.choose(vec![answer(4), answer(5), answer(3)], true), Some(5));
        assert_eq!(newest.choose(vec![answer(4)], false), None, "it was cut off");
        assert_eq!(newest.choose(vec![answer(4), answer(4)], false), None);
        assert_eq!(newest.choose(vec![answer(5)], false), Some(5));
        assert_eq!(newest.choose(vec![answer(1), answer(1), answer(1)], true), Some(1));
        assert_eq!(newest.choose(vec![answer(2)], false), Some(2), "it began anew");
        assert_eq!(newest.choose(Vec::<Answer<u64>>::new(), true), None);
    }
}

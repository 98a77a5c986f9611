//! Places on Redis. What is counted and the heartbeats of nodes are on different servers of a
//! cluster, so they cannot be looked at in one script. Only who would otherwise be refused has the
//! heartbeats read, and asks again without the runs that are gone.

use gavel_rules::{Incarnation, Timestamp};

use super::RedisStore;
use crate::store::{Counted, Held, Holder, PLACES_KEPT, StoreError, Wanted};

/// What `hold.lua` replies: held now, held by others, the time, and other runs with the times of
/// their notes.
type Reply = (u32, u32, u64, Vec<String>);

// === impl RedisStore ===

impl RedisStore {
    pub(super) async fn hold_places(
        &self,
        counted: &Counted,
        holder: &Holder,
        wanted: Wanted,
    ) -> Result<Held, StoreError> {
        let (held, others) = self.note(counted, holder, wanted, &[]).await?;
        let gone = self.gone(&others, wanted.buries).await?;
        if gone.is_empty() {
            return Ok(held);
        }
        Ok(self.note(counted, holder, wanted, &gone).await?.0)
    }

    async fn note(
        &self,
        counted: &Counted,
        holder: &Holder,
        wanted: Wanted,
        gone: &[(String, Timestamp)],
    ) -> Result<(Held, Others), StoreError> {
        let key = format!("gavel:limit:sockets:{{{counted}}}");
        let (least, most, max) = (wanted.least, wanted.most, wanted.max);
        let mut args = vec![name(holder)];
        args.extend([least, most, max].map(|number| number.to_string()));
        args.push(PLACES_KEPT.get().to_string());
        args.extend(gone.iter().flat_map(|(run, at)| [run.clone(), at.as_millis().to_string()]));
        let (mine, others, now, told): Reply = self.run(&self.scripts.hold, &[&key], args).await?;
        let told = told.chunks_exact(2).filter_map(|pair| match pair {
            [run, at] => Some((run.clone(), Timestamp::new(at.parse().ok()?))),
            _ => None,
        });
        Ok((Held { mine, others }, Others { now: Timestamp::new(now), noted: told.collect() }))
    }

    /// The runs among these that hold nothing any more.
    async fn gone(
        &self,
        others: &Others,
        buries: bool,
    ) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let mut gone = Vec::new();
        for (run, noted_at) in &others.noted {
            // A name that nobody gives is no run.
            let is_gone = match parsed(run) {
                Some(holder) => {
                    let heard = self.heartbeats(&holder.node).await?;
                    holder.is_gone(*noted_at, heard, others.now, buries)
                }
                None => true,
            };
            if is_gone {
                gone.push((run.clone(), *noted_at));
            }
        }
        Ok(gone)
    }
}

/// The runs that hold places beside the asking one, if that did not get what it wants.
struct Others {
    now: Timestamp,
    noted: Vec<(String, Timestamp)>,
}

/// No id of a node holds a slash.
fn name(holder: &Holder) -> String {
    format!("{}/{}", holder.node, holder.incarnation.get())
}

fn parsed(name: &str) -> Option<Holder> {
    let (node, incarnation) = name.split_once('/')?;
    let incarnation = Incarnation::new(incarnation.parse().ok()?);
    Some(Holder { node: node.parse().ok()?, incarnation })
}

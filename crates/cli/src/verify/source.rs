//! The ways to a room's stream.

use super::node::NodeClient;
use crate::{failure::Failure, serve};
use gavel_data_plane::store::{self, RoomStore, StoreError};
use gavel_rules::{
    audit::{Stream, StreamFormat},
    id::RoomId,
    order::{Generation, Seq},
};
use std::{collections::BTreeMap, sync::Arc};

/// Events asked for at a time.
const PAGE_EVENTS: usize = 4_096;

/// Where streams are read.
#[derive(Debug)]
pub(super) enum Source {
    /// A node, which answers for every room of its store.
    Node(NodeClient),
    /// The store itself.
    Store(Arc<dyn RoomStore>),
    /// A file that was kept.
    File(BTreeMap<RoomId, Stream>),
}

// === impl Source ===

impl Source {
    /// A node at a URL.
    pub(super) async fn node(url: &str, token: Option<&str>) -> Result<Self, Failure> {
        Ok(Self::Node(NodeClient::connect(url, token).await?))
    }

    /// A Redis at a URL.
    pub(super) fn redis(url: &str) -> Result<Self, Failure> {
        serve::redis_url(url)?;
        let store = store::open(Some(url)).map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(Self::Store(store))
    }

    /// Reads one room: first as it is loaded, then its events to the end, so
    /// that those of the load are among them.
    pub(super) async fn stream(&mut self, room: &RoomId) -> Result<Stream, Failure> {
        match self {
            Self::Node(node) => node.stream(room).await,
            Self::Store(store) => stored(&**store, room)
                .await
                .map_err(|error| trouble(room, &error))?
                .ok_or_else(|| Failure::Refused(format!("Redis holds no room {room}"))),
            Self::File(streams) => streams
                .remove(room)
                .ok_or_else(|| Failure::Refused(format!("the file holds no room {room}"))),
        }
    }
}

async fn stored(store: &dyn RoomStore, room: &RoomId) -> Result<Option<Stream>, StoreError> {
    let loaded = store.load(room).await?;
    if loaded.generation == Generation::default() {
        return Ok(None);
    }
    let mut stream = Stream {
        format: StreamFormat::V1,
        room: room.clone(),
        generation: loaded.generation,
        epoch: loaded.epoch,
        snapshot: Some(loaded.auction.to_snapshot()),
        events: Vec::new(),
    };
    loop {
        let after = stream.events.last().map_or(Seq::default(), |last| last.event.seq);
        let page = store.range(room, after, PAGE_EVENTS).await?;
        if page.is_empty() {
            return Ok(Some(stream));
        }
        stream.events.extend(page);
    }
}

fn trouble(room: &RoomId, error: &StoreError) -> Failure {
    let about = format!("room {room}: {error}");
    match error {
        StoreError::Unknown | StoreError::Unavailable => Failure::Unavailable(about),
        StoreError::Corrupt(_) => Failure::Refused(about),
    }
}

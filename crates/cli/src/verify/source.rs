//! The ways to a room's stream.

use super::node::NodeClient;
use crate::{failure::Failure, serve, stores::Stores};
use gavel_control_plane::store::StoreError as ClusterError;
use gavel_data_plane::store::{self, RoomStore, StoreError};
use gavel_rules::{
    audit::{Stream, StreamFormat},
    id::RoomId,
    order::{Generation, Seq},
};
use gavel_runtime::tls::Tls;
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// Events asked for at a time.
const PAGE_EVENTS: usize = 4_096;

/// Where streams are read.
#[derive(Debug)]
pub(super) enum Source {
    /// A node, which answers for every room of its store.
    Node(NodeClient),
    /// A Redis that nodes share.
    Redis(Arc<dyn RoomStore>),
    /// The file of a process that has stopped.
    Data(Stores),
    /// A file that was kept.
    File(BTreeMap<RoomId, Stream>),
}

// === impl Source ===

impl Source {
    /// A node at a URL.
    pub(super) async fn node(url: &str, token: Option<&str>, tls: &Tls) -> Result<Self, Failure> {
        Ok(Self::Node(NodeClient::connect(url, token, tls).await?))
    }

    /// A Redis at a URL.
    pub(super) fn redis(url: &str) -> Result<Self, Failure> {
        serve::redis_url(url)?;
        let store = store::open(Some(url)).map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(Self::Redis(store))
    }

    /// The store in a directory, which is kept from all others until the end.
    pub(super) fn data(directory: &Path) -> Result<Self, Failure> {
        Ok(Self::Data(Stores::existing(directory)?))
    }

    /// The rooms it has a stream of, where it can tell.
    pub(super) async fn rooms(&self) -> Result<Option<Vec<RoomId>>, Failure> {
        match self {
            Self::Node(_) | Self::Redis(_) => Ok(None),
            Self::Data(stores) => owned(stores).await.map(Some),
            Self::File(streams) => Ok(Some(streams.keys().cloned().collect())),
        }
    }

    /// Reads one room: first as it is loaded, then its events to the end, so
    /// that those of the load are among them.
    pub(super) async fn stream(&mut self, room: &RoomId) -> Result<Stream, Failure> {
        match self {
            Self::Node(node) => node.stream(room).await,
            Self::Redis(store) => held(&**store, "Redis", room).await,
            Self::Data(stores) => held(&*stores.rooms, "the directory", room).await,
            Self::File(streams) => streams.remove(room).ok_or_else(|| missing("the file", room)),
        }
    }
}

/// A room that no node has owned yet has no stream.
async fn owned(stores: &Stores) -> Result<Vec<RoomId>, Failure> {
    let known = stores.cluster.rooms().await.map_err(|error| match error {
        ClusterError::Unavailable => Failure::Unavailable(error.to_string()),
        ClusterError::Fenced { .. } | ClusterError::Corrupt(_) => {
            Failure::Refused(error.to_string())
        }
    })?;
    let mut owned = Vec::new();
    for room in known.into_iter().map(|stored| stored.room) {
        let loaded = stores.rooms.load(&room).await.map_err(|error| trouble(&room, &error))?;
        if loaded.generation != Generation::default() {
            owned.push(room);
        }
    }
    Ok(owned)
}

async fn held(store: &dyn RoomStore, place: &str, room: &RoomId) -> Result<Stream, Failure> {
    let stream = stored(store, room).await.map_err(|error| trouble(room, &error))?;
    stream.ok_or_else(|| missing(place, room))
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

fn missing(place: &str, room: &RoomId) -> Failure {
    Failure::Refused(format!("{place} holds no room {room}"))
}

fn trouble(room: &RoomId, error: &StoreError) -> Failure {
    let about = format!("room {room}: {error}");
    match error {
        StoreError::Unknown | StoreError::Unavailable => Failure::Unavailable(about),
        StoreError::Corrupt(_) => Failure::Refused(about),
    }
}

//! Rooms, as operators make, see and command them.

use super::{Services, audited::Change, status::CallError};
use crate::{cluster::MoveRefused, driver::Request as Ask, store::StoredRoom};
use gavel_proto::{
    admin::v1::{self as wire, room_service_server::RoomService},
    fleet::v1::{self as fleet, command::Kind},
};
use gavel_rules::{
    auction::AuctionRules,
    id::{NodeId, RoomId},
};
use gavel_runtime::tasks;
use serde_json::{Value, json};
use std::{sync::atomic::Ordering, time::Duration};
use tonic::{Request, Response, Status};

/// How long the owner of a room may take to answer.
const OWNER_WAIT: Duration = Duration::from_secs(2);
/// How long a move may take; the cluster ends one after two seconds.
const MOVE_WAIT: Duration = Duration::from_secs(5);
/// Rooms that there may be.
const ROOMS_MAX: i64 = 100_000;
/// Rooms of one page.
const PAGE_MAX: u32 = 1000;
/// Rooms of one page, unless the caller says.
const PAGE_DEFAULT: u32 = 100;

impl Services {
    async fn known(&self, id: &str) -> Result<(RoomId, wire::Room), CallError> {
        let room: RoomId = id.parse().map_err(CallError::id("id"))?;
        let found = match self.driver() {
            Some(driver) => driver.ask(|answer| Ask::Room { room: room.clone(), answer }).await?,
            // Nobody leads; the store knows all but the room's state.
            None => self.store.room(&room).await?.map(described),
        };
        found.map(|found| (room, found)).ok_or_else(|| CallError::NoRoom(id.to_owned()))
    }

    /// Rooms after an id, by id.
    async fn page(&self, after: String, limit: usize) -> Result<Vec<wire::Room>, CallError> {
        if let Some(driver) = self.driver() {
            return Ok(driver.ask(|answer| Ask::Rooms { after, limit, answer }).await?);
        }
        let rooms = self.store.rooms().await?.into_iter();
        let rooms = rooms.filter(|stored| stored.room.as_ref() > after.as_str()).take(limit);
        Ok(rooms.map(described).collect())
    }

    /// Stores a room and has it placed.
    async fn create(self, room: RoomId, rules: AuctionRules) -> Result<(), CallError> {
        if self.state.rooms.load(Ordering::Relaxed) >= ROOMS_MAX {
            return Err(CallError::TooManyRooms { max: ROOMS_MAX });
        }
        let (term, driver) = self.leading()?;
        let mut stored = rules.clone();
        let created = self.store.create_room(term, &room, &rules).await;
        if !self.changed(created)? {
            let asked = driver.ask(|answer| Ask::Room { room: room.clone(), answer }).await?;
            if asked.is_some() {
                return Err(CallError::RoomExists(room.to_string()));
            }
            // Stored by a call whose answer from the store was lost: it must
            // not stay without an owner until the next start.
            let found = self.store.room(&room).await?.map(|found| found.rules);
            let lost = || CallError::Unavailable("the room came and went; try again".to_owned());
            stored = found.ok_or_else(lost)?;
        }
        let same = stored == rules;
        let created = driver.ask(|done| {
            let (room, rules) = (room.clone(), Box::new(stored));
            Ask::Created { room, rules, done }
        });
        // Without an owner in time the room is there all the same.
        drop(tokio::time::timeout(OWNER_WAIT, created).await);
        if same { Ok(()) } else { Err(CallError::RoomExists(room.to_string())) }
    }

    /// The same for a change, which is told with how the room was before.
    async fn change(&self, id: &str, kind: Kind, change: &Change) -> Result<wire::Room, CallError> {
        let before = self.command(id, Kind::Inspect(fleet::Inspect {})).await?;
        change.old(state(&before));
        let room = self.command(id, kind).await?;
        change.new_is(state(&room));
        Ok(room)
    }

    /// Has the owner of a room do something; returns the room after it.
    async fn command(&self, id: &str, kind: Kind) -> Result<wire::Room, CallError> {
        let (room, mut found) = self.known(id).await?;
        let (_, driver) = self.leading()?;
        let ask = driver.ask(|answer| Ask::Command { room, kind, answer });
        let away = || CallError::Unavailable(format!("the owner of room {id} does not answer"));
        let answered = tokio::time::timeout(OWNER_WAIT, ask).await;
        let result = answered.map_err(|_| away())?.map_err(|_| away())?;
        if !result.error.is_empty() {
            return Err(CallError::Refused(result.error));
        }
        found.view = result.view;
        found.viewers = result.viewers;
        Ok(found)
    }
}

/// What operators change of a room, as the audit log tells of it.
fn state(room: &wire::Room) -> Value {
    let view = room.view.as_ref();
    let state = view.map(|view| view.state().as_str_name());
    json!({ "state": state, "closes_at": view.map(|view| view.closes_at) })
}

/// Who owns a room, likewise.
fn owner(room: &wire::Room) -> Value {
    json!({ "owner": room.owner, "epoch": room.epoch })
}

/// A room as the store holds it.
fn described(stored: StoredRoom) -> wire::Room {
    let StoredRoom { room, rules, owner, epoch } = stored;
    wire::Room {
        id: room.to_string(),
        rules: Some(rules.into()),
        owner: owner.map(|owner| owner.to_string()).unwrap_or_default(),
        epoch: epoch.get(),
        view: None,
        viewers: 0,
    }
}

#[tonic::async_trait]
impl RoomService for Services {
    #[tracing::instrument(name = "rooms.create", skip_all, fields(room.id = request.get_ref().id))]
    async fn create_room(
        &self,
        request: Request<wire::CreateRoomRequest>,
    ) -> Result<Response<wire::CreateRoomResponse>, Status> {
        let wire::CreateRoomRequest { id, rules } = request.into_inner();
        let room: RoomId = id.parse().map_err(CallError::id("id"))?;
        let rules = rules.ok_or_else(|| CallError::invalid("rules", "is missing"))?;
        let rules = AuctionRules::try_from(rules).map_err(CallError::from)?;
        // On a task of its own, or a caller that hangs up would cut it in half.
        let created = tasks::spawn("rooms.create", self.clone().create(room, rules)).await;
        created.map_err(|_| CallError::Unavailable("creating the room failed".to_owned()))??;
        let (_, room) = self.known(&id).await?;
        Ok(Response::new(wire::CreateRoomResponse { room: Some(room) }))
    }

    #[tracing::instrument(name = "rooms.get", skip_all, fields(room.id = request.get_ref().id))]
    async fn get_room(
        &self,
        request: Request<wire::GetRoomRequest>,
    ) -> Result<Response<wire::GetRoomResponse>, Status> {
        let id = request.into_inner().id;
        let (_, known) = self.known(&id).await?;
        // A room without an owner that answers is shown without its state.
        let room = self.command(&id, Kind::Inspect(fleet::Inspect {})).await.unwrap_or(known);
        Ok(Response::new(wire::GetRoomResponse { room: Some(room) }))
    }

    #[tracing::instrument(name = "rooms.list", skip_all)]
    async fn list_rooms(
        &self,
        request: Request<wire::ListRoomsRequest>,
    ) -> Result<Response<wire::ListRoomsResponse>, Status> {
        let wire::ListRoomsRequest { page_size, page_token: after } = request.into_inner();
        let size = if page_size == 0 { PAGE_DEFAULT } else { page_size.min(PAGE_MAX) };
        let limit = usize::try_from(size).unwrap_or(usize::MAX);
        let rooms = self.page(after, limit).await?;
        let last = rooms.last().filter(|_| rooms.len() == limit).map(|room| room.id.clone());
        let next_page_token = last.unwrap_or_default();
        Ok(Response::new(wire::ListRoomsResponse { rooms, next_page_token }))
    }

    #[tracing::instrument(name = "rooms.pause", skip_all, fields(room.id = request.get_ref().id))]
    async fn pause_room(
        &self,
        request: Request<wire::PauseRoomRequest>,
    ) -> Result<Response<wire::PauseRoomResponse>, Status> {
        const REASON_BYTES_MAX: usize = 256;
        let change = Change::of(&request);
        let wire::PauseRoomRequest { id, reason } = request.into_inner();
        if reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control) {
            let message = "must be at most 256 bytes without control characters";
            return Err(CallError::invalid("reason", message).into());
        }
        let room = Some(self.change(&id, Kind::Pause(fleet::Pause { reason }), &change).await?);
        Ok(Response::new(wire::PauseRoomResponse { room }))
    }

    #[tracing::instrument(name = "rooms.resume", skip_all, fields(room.id = request.get_ref().id))]
    async fn resume_room(
        &self,
        request: Request<wire::ResumeRoomRequest>,
    ) -> Result<Response<wire::ResumeRoomResponse>, Status> {
        let change = Change::of(&request);
        let id = request.into_inner().id;
        let room = Some(self.change(&id, Kind::Resume(fleet::Resume {}), &change).await?);
        Ok(Response::new(wire::ResumeRoomResponse { room }))
    }

    #[tracing::instrument(name = "rooms.close", skip_all, fields(room.id = request.get_ref().id))]
    async fn close_room(
        &self,
        request: Request<wire::CloseRoomRequest>,
    ) -> Result<Response<wire::CloseRoomResponse>, Status> {
        let change = Change::of(&request);
        let id = request.into_inner().id;
        let room = Some(self.change(&id, Kind::Close(fleet::Close {}), &change).await?);
        Ok(Response::new(wire::CloseRoomResponse { room }))
    }

    #[tracing::instrument(name = "rooms.move", skip_all, fields(room.id = request.get_ref().id))]
    async fn move_room(
        &self,
        request: Request<wire::MoveRoomRequest>,
    ) -> Result<Response<wire::MoveRoomResponse>, Status> {
        let change = Change::of(&request);
        let wire::MoveRoomRequest { id, node_id } = request.into_inner();
        let room: RoomId = id.parse().map_err(CallError::id("id"))?;
        let to = (!node_id.is_empty()).then(|| node_id.parse()).transpose();
        let to: Option<NodeId> = to.map_err(CallError::id("node_id"))?;
        let (_, driver) = self.leading()?;
        change.old(owner(&self.known(&id).await?.1));
        let asked = driver.ask(|answer| Ask::Move { room, to, answer }).await;
        let told = asked.map_err(CallError::from)?.map_err(|refused| {
            if refused == MoveRefused::UnknownRoom {
                return CallError::NoRoom(id.clone());
            }
            CallError::Refused(refused.to_string())
        })?;
        // One that takes longer shows in the room that is returned.
        drop(tokio::time::timeout(MOVE_WAIT, told).await);
        let (_, room) = self.known(&id).await?;
        change.new_is(owner(&room));
        Ok(Response::new(wire::MoveRoomResponse { room: Some(room) }))
    }
}

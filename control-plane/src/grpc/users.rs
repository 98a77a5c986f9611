//! Users who may not take part, as operators say.

use super::{Services, audited::Change, status::CallError};
use crate::{
    denials,
    store::{Document, DocumentName},
};
use gavel_proto::{
    admin::v1::{self as wire, revoke_tokens_request::Tokens, user_service_server::UserService},
    config::v1 as config,
    convert::{self, ConvertError},
    denials::{Denial, Denials, Key, What},
};
use gavel_rules::{
    id::{RoomId, UserId},
    time::{Millis, Timestamp},
};
use gavel_runtime::clock;
use serde_json::{Value, json};
use tonic::{Request, Response, Status};

/// How long a kick is kept: nodes hear of it much sooner, or they are cut off.
const KICK_KEPT: Millis = Millis::new(60_000);
/// How long what is revoked is kept, unless told.
const REVOKED_KEPT: Millis = Millis::new(30 * 24 * 60 * 60 * 1_000);
/// How often a change is made anew where the document changed meanwhile. Edits
/// of one replica wait for each other, so it is only a leader before this one
/// that can come in between.
const TRIES: usize = 3;
/// The largest page.
const PAGE_MAX: u32 = 1000;
/// A page, unless told.
const PAGE_DEFAULT: u32 = 100;

impl Services {
    /// Changes the denials as stored, drops those that are over, and sends them
    /// to the nodes.
    async fn edit_denials<T>(
        &self,
        edit: impl Fn(&mut Denials) -> Result<T, CallError>,
    ) -> Result<(T, u64), CallError> {
        let _one_at_a_time = self.edits.lock().await;
        let mut tries = 1;
        loop {
            let stored = self.store.document(DocumentName::Denials).await?;
            // A leader stores documents where there are none before it leads.
            let stored = stored.ok_or(CallError::NoLeader)?;
            let mut denials = read(&stored)?;
            denials.prune(now());
            let done = edit(&mut denials)?;
            let body = denials::to_json(&denials);
            match self.put(DocumentName::Denials, stored.version.get(), body).await {
                Ok(version) => return Ok((done, version.get())),
                Err(CallError::Outdated { .. }) if tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Puts a denial in force, in place of the one that it replaces.
    async fn deny(
        &self,
        denial: Denial,
        change: &Change,
    ) -> Result<(config::Denial, u64), CallError> {
        let put = |denials: &mut Denials| Ok(denials.put(denial.clone())?);
        let (replaced, version) = self.edit_denials(put).await?;
        change.old(replaced.as_ref().map(told).unwrap_or_default());
        change.new_is(told(&denial));
        Ok((config::Denial::from(&denial), version))
    }
}

fn read(document: &Document) -> Result<Denials, CallError> {
    denials::from_json(&document.body).map_err(|error| CallError::Unavailable(error.to_string()))
}

/// A denial as the audit log tells of it.
fn told(denial: &Denial) -> Value {
    serde_json::to_value(denial).unwrap_or_default()
}

fn now() -> Timestamp {
    Timestamp::new(clock::now_ms())
}

/// When something is over; never, if that was not told.
fn until(asked: u64) -> Result<Option<Timestamp>, CallError> {
    let until = convert::until(asked);
    if until.is_some_and(|until| until <= now()) {
        return Err(CallError::invalid("until", "is over already"));
    }
    Ok(until)
}

fn user(id: &str) -> Result<UserId, CallError> {
    id.parse().map_err(CallError::id("user_id"))
}

fn room(id: &str) -> Result<Option<RoomId>, CallError> {
    let refused = |error: ConvertError| CallError::invalid(&error.field, error.message);
    convert::room_or_all("room_id", id).map_err(refused)
}

#[tonic::async_trait]
impl UserService for Services {
    #[tracing::instrument(name = "users.ban", skip_all)]
    async fn ban_user(
        &self,
        request: Request<wire::BanUserRequest>,
    ) -> Result<Response<wire::BanUserResponse>, Status> {
        let change = Change::of(&request);
        let asked = request.into_inner();
        let what = What::Ban {
            user: user(&asked.user_id)?,
            room: room(&asked.room_id)?,
            reason: asked.reason.parse().map_err(|error| CallError::invalid("reason", error))?,
        };
        let ban = Denial { what, until: until(asked.until)? };
        let (denial, version) = self.deny(ban, &change).await?;
        Ok(Response::new(wire::BanUserResponse { denial: Some(denial), version }))
    }

    #[tracing::instrument(name = "users.unban", skip_all)]
    async fn unban_user(
        &self,
        request: Request<wire::UnbanUserRequest>,
    ) -> Result<Response<wire::UnbanUserResponse>, Status> {
        let change = Change::of(&request);
        let wire::UnbanUserRequest { user_id, room_id } = request.into_inner();
        let key = Key::Ban(user(&user_id)?, room(&room_id)?);
        let place = if room_id.is_empty() { "all rooms" } else { &room_id };
        let lift = |denials: &mut Denials| {
            let none = || CallError::NoBan { user: user_id.clone(), place: place.to_owned() };
            denials.remove(&key).ok_or_else(none)
        };
        let (lifted, version) = self.edit_denials(lift).await?;
        change.old(told(&lifted));
        change.new_is(json!({ "banned": false }));
        Ok(Response::new(wire::UnbanUserResponse { version }))
    }

    #[tracing::instrument(name = "users.kick", skip_all)]
    async fn kick_user(
        &self,
        request: Request<wire::KickUserRequest>,
    ) -> Result<Response<wire::KickUserResponse>, Status> {
        let change = Change::of(&request);
        let (user, opened_before) = (user(&request.into_inner().user_id)?, now());
        let until = Some(opened_before.saturating_add(KICK_KEPT));
        let kick = Denial { what: What::Kick { user, opened_before }, until };
        let (denial, version) = self.deny(kick, &change).await?;
        Ok(Response::new(wire::KickUserResponse { denial: Some(denial), version }))
    }

    #[tracing::instrument(name = "users.revoke", skip_all)]
    async fn revoke_tokens(
        &self,
        request: Request<wire::RevokeTokensRequest>,
    ) -> Result<Response<wire::RevokeTokensResponse>, Status> {
        let change = Change::of(&request);
        let wire::RevokeTokensRequest { tokens, until: expired } = request.into_inner();
        let issued_before = now();
        let what = match tokens {
            Some(Tokens::UserId(id)) => What::User { user: user(&id)?, issued_before },
            Some(Tokens::TokenId(id)) => What::Token {
                token: id.parse().map_err(|error| CallError::invalid("token_id", error))?,
            },
            None => return Err(CallError::invalid("tokens", "is missing").into()),
        };
        let until = until(expired)?.or(Some(issued_before.saturating_add(REVOKED_KEPT)));
        let (denial, version) = self.deny(Denial { what, until }, &change).await?;
        Ok(Response::new(wire::RevokeTokensResponse { denial: Some(denial), version }))
    }

    #[tracing::instrument(name = "users.list", skip_all)]
    async fn list_denials(
        &self,
        request: Request<wire::ListDenialsRequest>,
    ) -> Result<Response<wire::ListDenialsResponse>, Status> {
        let wire::ListDenialsRequest { page_size, page_token } = request.into_inner();
        let size = if page_size == 0 { PAGE_DEFAULT } else { page_size.min(PAGE_MAX) };
        let limit = usize::try_from(size).unwrap_or(usize::MAX);
        let after: Option<Key> = match page_token.as_str() {
            "" => None,
            key => Some(key.parse().map_err(|error| CallError::invalid("page_token", error))?),
        };
        let document = self.documents.newest().denials;
        let (denials, now) = (read(&document)?, now());
        let lasting = denials.iter(after.as_ref()).filter(|denial| denial.lasts(now));
        let page: Vec<&Denial> = lasting.take(limit).collect();
        let last = page.last().filter(|_| page.len() == limit);
        Ok(Response::new(wire::ListDenialsResponse {
            next_page_token: last.map(|last| last.key().to_string()).unwrap_or_default(),
            denials: page.into_iter().map(config::Denial::from).collect(),
            version: document.version.get(),
        }))
    }
}

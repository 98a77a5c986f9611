//! Who sets the cluster up, and moves rooms about while it runs.

use crate::{
    hosts::{ADMIN_TOKEN, CONTROLS, NODES, endpoint},
    machine,
};
use gavel_proto::admin::v1::{
    self as admin, limit_service_client::LimitServiceClient, room_service_client::RoomServiceClient,
};
use gavel_rules::{auction::AuctionRules, id::RoomId};
use gavel_runtime::{grpc, tls::Tls};
use rand::{Rng as _, SeedableRng as _, rngs::SmallRng, seq::IndexedRandom as _};
use std::{sync::Arc, time::Duration};
use tonic::{Code, Request, Status, transport::Channel};

/// How long a call may take.
const CALL: Duration = Duration::from_secs(1);
/// Between two tries, and two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// What there is to set up.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) rooms: Vec<(RoomId, AuctionRules)>,
    pub(crate) seed: u64,
    /// Until when rooms are moved about.
    pub(crate) until: Duration,
    pub(crate) moves: bool,
}

// === impl Operator ===

impl Operator {
    pub(crate) async fn work(self: Arc<Self>) -> turmoil::Result {
        self.persist(async |channel| self.set_limits(channel).await).await;
        for (room, rules) in &self.rooms {
            self.persist(async |channel| create(channel, room, rules).await).await;
        }
        let mut chance = SmallRng::seed_from_u64(self.seed);
        while self.moves && machine::elapsed() < self.until {
            tokio::time::sleep(Duration::from_millis(chance.random_range(200..2_000))).await;
            let room = self.rooms.choose(&mut chance).map(|(room, _)| room.to_string());
            let node_id = NODES.choose(&mut chance).map(|node| (*node).to_owned());
            let request = admin::MoveRoomRequest {
                id: room.unwrap_or_default(),
                node_id: node_id.unwrap_or_default(),
            };
            let mut rooms = RoomServiceClient::new(some_control(&mut chance)?);
            // A move that cannot be now is not wrong.
            drop(tokio::time::timeout(CALL, rooms.move_room(allowed(request))).await);
        }
        std::future::pending().await
    }

    /// Asks one replica after the other until one does it.
    async fn persist(&self, call: impl AsyncFn(Channel) -> Result<(), Status>) {
        for control in CONTROLS.into_iter().cycle() {
            if let Ok(channel) = grpc::channel(&endpoint(control), &Tls::default())
                && let Ok(Ok(())) = tokio::time::timeout(CALL, call(channel)).await
            {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The limits of an honest crowd that works fast.
    async fn set_limits(&self, channel: Channel) -> Result<(), Status> {
        let mut client = LimitServiceClient::new(channel);
        let now = client.get_limits(allowed(admin::GetLimitsRequest {})).await?.into_inner();
        let mut limits = now.limits.unwrap_or_default();
        (limits.bids_per_user_max, limits.messages_per_session_rate) = (0, 0);
        let request = admin::UpdateLimitsRequest { limits: Some(limits), version: 0 };
        client.update_limits(allowed(request)).await.map(drop)
    }
}

async fn create(channel: Channel, room: &RoomId, rules: &AuctionRules) -> Result<(), Status> {
    let rules = Some(rules.clone().into());
    let request = admin::CreateRoomRequest { id: room.to_string(), rules };
    match RoomServiceClient::new(channel).create_room(allowed(request)).await {
        Err(status) if status.code() != Code::AlreadyExists => Err(status),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn allowed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {ADMIN_TOKEN}").parse().expect("a header");
    request.metadata_mut().insert("authorization", bearer);
    request
}

fn some_control(chance: &mut SmallRng) -> Result<Channel, grpc::EndpointError> {
    grpc::channel(&endpoint(CONTROLS.choose(chance).copied().unwrap_or_default()), &Tls::default())
}

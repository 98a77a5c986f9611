//! What `gavel dev` asks of its own control plane, by the admin API.

use super::rooms;
use crate::failure::Failure;
use gavel_proto::admin::v1::{
    CreateRoomRequest, GetLimitsRequest, ListRoomsRequest, UpdateLimitsRequest,
    limit_service_client::LimitServiceClient, room_service_client::RoomServiceClient,
};
use gavel_runtime::{clock, grpc, tls::Tls};
use std::time::Duration;
use tonic::{Code, Status, transport::Channel};

/// How long the demo rooms may take to find an owner.
const OWNERS_TIMEOUT: Duration = Duration::from_secs(10);
/// How often to look.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Lifts the limits of each address: in development all come from one.
pub(super) async fn limits(endpoint: &str) -> Result<(), Failure> {
    let mut client = LimitServiceClient::new(channel(endpoint)?);
    let now = client.get_limits(GetLimitsRequest {}).await.map_err(failed)?.into_inner();
    let mut limits = now.limits.unwrap_or_default();
    limits.sockets_per_ip_max = 0;
    limits.handshakes_per_ip_rate = 0;
    let request = UpdateLimitsRequest { limits: Some(limits), version: now.version };
    client.update_limits(request).await.map_err(failed)?;
    Ok(())
}

/// Creates the demo rooms, and waits until each has an owner.
pub(super) async fn rooms(endpoint: &str) -> Result<(), Failure> {
    let mut client = RoomServiceClient::new(channel(endpoint)?);
    let demo = rooms::all(clock::now_ms());
    for (id, rules) in demo.map_err(|error| Failure::internal("the demo rooms", error))? {
        let request = CreateRoomRequest { id, rules: Some(rules.into()) };
        match client.create_room(request).await {
            // The store may hold them from an earlier run.
            Err(status) if status.code() == Code::AlreadyExists => {}
            result => drop(result.map_err(failed)?),
        }
    }
    match tokio::time::timeout(OWNERS_TIMEOUT, owned(&mut client)).await {
        Ok(result) => result.map_err(failed),
        Err(_) => Err(Failure::Unavailable("the demo rooms found no owner".to_owned())),
    }
}

async fn owned(client: &mut RoomServiceClient<Channel>) -> Result<(), Status> {
    loop {
        let request = ListRoomsRequest { page_size: 1000, page_token: String::new() };
        let rooms = client.list_rooms(request).await?.into_inner().rooms;
        if rooms.len() >= rooms::COUNT && rooms.iter().all(|room| !room.owner.is_empty()) {
            return Ok(());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

pub(super) fn channel(endpoint: &str) -> Result<Channel, Failure> {
    grpc::channel(endpoint, &Tls::default())
        .map_err(|error| Failure::internal("the control plane", error))
}

pub(super) fn failed(status: Status) -> Failure {
    Failure::internal("the control plane refused", status.message())
}

//! What outlives a control plane on Redis, and what happens without Redis.

use crate::world::{Node, channel, create, list, rules, start_with, store, until};
use gavel_proto::{
    admin::v1::{GetLimitsRequest, UpdateLimitsRequest, limit_service_client::LimitServiceClient},
    fleet::v1::{ClaimRefused, session_request::Kind as Up},
};
use gavel_rules::order::{Epoch, Term};
use gavel_testkit::RedisServer;
use std::collections::BTreeMap;
use tonic::Code;
use tonic_types::StatusExt as _;

const LEASE_MS: u64 = 1_000;

#[tokio::test]
async fn rooms_owners_and_documents_outlive_a_restart() {
    let redis = RedisServer::start().await;
    let control = start_with(LEASE_MS, store(&redis)).await;
    let mut n1 = Node::register(&control, "n1", 1, &[]).await;
    let first = rules("kept");
    create(&control, "a", first.clone()).await.unwrap();
    create(&control, "b", rules("b")).await.unwrap();
    n1.listen("its rooms", |n1| n1.told("a").is_some() && n1.told("b").is_some()).await;
    let mut limits = LimitServiceClient::new(channel(&control));
    let mut changed = gavel_proto::limits::defaults();
    changed.bids_per_user_max = 77;
    let update = UpdateLimitsRequest { limits: Some(changed), version: 0 };
    limits.update_limits(update).await.unwrap();
    control.stop().await;
    drop(n1);
    let term = Term::new(u64::MAX);
    let (store, lost, n9) = (store(&redis), "lost".parse().unwrap(), "n9".parse().unwrap());
    store.create_room(term, &lost, &rules("lost").try_into().unwrap()).await.unwrap();
    store.assign(term, &lost, Epoch::new(0), Some(&n9), Epoch::new(3)).await.unwrap();

    let control = start_with(LEASE_MS, store).await;
    let rooms = list(&control).await;
    let [a, b, _] = rooms.as_slice() else { panic!("{rooms:?}") };
    assert_eq!((a.id.as_str(), a.owner.as_str(), a.epoch), ("a", "n1", 1));
    assert_eq!((a.rules.as_ref(), b.id.as_str()), (Some(&first), "b"));
    let mut limits = LimitServiceClient::new(channel(&control));
    let kept = limits.get_limits(GetLimitsRequest {}).await.unwrap().into_inner();
    assert_eq!((kept.limits.unwrap().bids_per_user_max, kept.version), (77, 2));

    // n2 is there first, and takes nothing from an owner that comes back.
    let mut n2 = Node::register(&control, "n2", 1, &[]).await;
    let mut n1 = Node::register(&control, "n1", 1, &[("a", 1), ("b", 1)]).await;
    n1.listen("its room", |n1| n1.told("a") == Some(("n1", 1))).await;
    create(&control, "c", rules("c")).await.unwrap();
    n2.listen("a new room at once", |n2| n2.told("c") == Some(("n2", 1))).await;
    // Once the owner of another room has lost it, the lease to come back in is
    // over, and nothing has moved.
    let away = until("the room of a node that never came", async || {
        list(&control).await.into_iter().find(|room| room.id == "lost" && room.epoch == 4)
    });
    assert_ne!(away.await.owner, "n9");
    let rooms = list(&control).await;
    let kept: Vec<_> = rooms.iter().filter(|room| ["a", "b"].contains(&room.id.as_str())).collect();
    assert!(kept.iter().all(|room| room.owner == "n1" && room.epoch == 1), "{kept:?}");
    control.stop().await;
}

#[tokio::test]
async fn an_owner_that_does_not_come_back_loses_its_rooms_after_one_lease() {
    let redis = RedisServer::start().await;
    let control = start_with(LEASE_MS, store(&redis)).await;
    let n1 = Node::register(&control, "n1", 1, &[]).await;
    create(&control, "a", rules("a")).await.unwrap();
    control.stop().await;
    drop(n1);
    let control = start_with(LEASE_MS, store(&redis)).await;
    let mut n2 = Node::register(&control, "n2", 1, &[]).await;
    n2.interest(&["a"], &[]).await;
    n2.listen("the owner as stored", |n2| n2.told("a") == Some(("n1", 1))).await;
    n2.listen("the room", |n2| n2.told("a") == Some(("n2", 2))).await;
    control.stop().await;
}

#[tokio::test]
async fn what_nodes_claimed_while_no_control_plane_was_there_counts() {
    let redis = RedisServer::start().await;
    let control = start_with(LEASE_MS, store(&redis)).await;
    let mut n1 = Node::register(&control, "n1", 1, &[]).await;
    let mut n2 = Node::register(&control, "n2", 1, &[]).await;
    let there = |id: &str| BTreeMap::from([(id.to_owned(), format!("http://{id}:8090"))]);
    n1.listen("n2", |n1| n1.peers == there("n2")).await;
    n2.listen("n1", |n2| n2.peers == there("n1")).await;
    create(&control, "a", rules("a")).await.unwrap();
    create(&control, "b", rules("b")).await.unwrap();
    control.stop().await;
    drop((n1, n2));

    // n3 holds a room now. Another one was claimed by a node that has gone since.
    let control = start_with(LEASE_MS, store(&redis)).await;
    let mut n3 = Node::register(&control, "n3", 1, &[("a", 2)]).await;
    n3.interest(&["b"], &[]).await;
    n3.listen("its room", |n3| n3.told("a") == Some(("n3", 2))).await;
    assert_eq!(store(&redis).room(&"a".parse().unwrap()).await.unwrap().unwrap().epoch.get(), 2);
    n3.listen("the other room", |n3| n3.told("b") == Some(("n3", 2))).await;
    n3.say(Up::ClaimRefused(ClaimRefused { room_id: "b".to_owned(), epoch: 5 })).await;
    n3.listen("a later epoch", |n3| n3.told("b") == Some(("n3", 6))).await;
    control.stop().await;
}

#[tokio::test]
async fn without_redis_changes_are_unavailable_and_say_when_to_retry() {
    let mut redis = RedisServer::start().await;
    let control = start_with(LEASE_MS, store(&redis)).await;
    create(&control, "a", rules("a")).await.unwrap();
    redis.kill();
    let refused = create(&control, "b", rules("b")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    let details = refused.get_error_details();
    assert!(details.retry_info().is_some_and(|retry| retry.retry_delay.is_some()));
    assert_eq!(details.error_info().unwrap().reason, "UNAVAILABLE");
    assert_eq!(list(&control).await.len(), 1, "what is known is still told");
    let mut limits = LimitServiceClient::new(channel(&control));
    let changed = Some(gavel_proto::limits::defaults());
    let update = UpdateLimitsRequest { limits: changed, version: 0 };
    assert_eq!(limits.update_limits(update).await.unwrap_err().code(), Code::Unavailable);
    control.stop().await;
}

//! Rooms: who is told of them, and what happens when their node goes.

use crate::world::{Node, channel, create, list, rules, start, start_with, until};
use gavel_control_plane::store::{ClusterStore as _, MemoryStore};
use gavel_proto::{
    admin::v1::{
        CloseRoomRequest, GetRoomRequest, ListNodesRequest, ListRoomsRequest, PauseRoomRequest,
        node_service_client::NodeServiceClient, room_service_client::RoomServiceClient,
    },
    common::v1::{AuctionRules as AuctionRulesWire, View},
    fleet::v1::{CommandResult, command::Kind, session_request::Kind as Up},
};
use gavel_rules::{auction::AuctionRules, order::Term};
use std::sync::Arc;
use tonic::Code;
use tonic_types::StatusExt as _;

const LEASE_MS: u64 = 3_000;
const SHORT_LEASE_MS: u64 = 400;

#[tokio::test]
async fn the_owner_gets_the_rules_and_whoever_asks_the_owner() {
    let control = start(LEASE_MS).await;
    let mut n1 = Node::register(&control, "n1", 1, &[]).await;
    let mut n2 = Node::register(&control, "n2", 1, &[]).await;
    n1.interest(&["r0", "r1", "never"], &[]).await;
    n1.listen("that they are unknown", |n1| n1.rooms.len() == 3).await;
    assert!(n1.rooms.values().all(Option::is_none));
    let mut owners = Vec::new();
    for n in 0..12 {
        let id = format!("r{n}");
        let room = create(&control, &id, rules(&id)).await.unwrap();
        assert_eq!(room.epoch, 1);
        owners.push((id, room.owner));
    }
    for (node, name) in [(&mut n1, "n1"), (&mut n2, "n2")] {
        let mine: Vec<_> = owners.iter().filter(|(_, owner)| owner == name).collect();
        assert!(mine.len() >= 4, "{owners:?}");
        for (id, _) in mine {
            node.listen("its room", |node| node.told(id) == Some((name, 1))).await;
            let assigned = node.rooms[id].as_ref().unwrap();
            assert_eq!(assigned.rules.as_ref().unwrap().title, *id);
            assert_eq!(assigned.relay_url, format!("http://{name}:8090"));
        }
    }
    // Asked for before they were there, and told when they came.
    n1.listen("r0 and r1", |n1| n1.told("r0").is_some() && n1.told("r1").is_some()).await;
    // A room of the other node, asked for now.
    let theirs = owners.iter().find(|(_, owner)| owner == "n2").unwrap().0.as_str();
    n1.interest(&[theirs], &[]).await;
    n1.listen("the owner", |n1| n1.told(theirs) == Some(("n2", 1))).await;
    assert_eq!(n1.rooms[theirs].as_ref().unwrap().rules, None, "the rules are the owner's");
    control.stop().await;
}

#[tokio::test]
async fn a_room_without_nodes_waits_for_one() {
    let control = start(LEASE_MS).await;
    let room = create(&control, "a", rules("a")).await.unwrap();
    assert_eq!((room.owner.as_str(), room.epoch), ("", 0));
    let mut n1 = Node::register(&control, "n1", 1, &[]).await;
    n1.listen("its room", |n1| n1.told("a") == Some(("n1", 1))).await;
    control.stop().await;
}

#[tokio::test]
async fn a_lapse_moves_rooms_under_the_next_epoch() {
    let control = start(SHORT_LEASE_MS).await;
    let mut n1 = Node::register(&control, "n1", 1, &[]).await;
    create(&control, "a", rules("a")).await.unwrap();
    n1.listen("its room", |n1| n1.told("a") == Some(("n1", 1))).await;
    let mut n2 = Node::register(&control, "n2", 1, &[]).await;
    n2.interest(&["a"], &[]).await;
    n2.listen("the owner", |n2| n2.told("a") == Some(("n1", 1))).await;
    n1.fall_silent();
    n2.listen("the room", |n2| n2.told("a") == Some(("n2", 2))).await;
    assert!(n2.rooms["a"].as_ref().unwrap().rules.is_some());
    n1.listen("the loss", |n1| n1.told("a") == Some(("n2", 2))).await;
    let mut nodes = NodeServiceClient::new(channel(&control));
    let nodes = nodes.list_nodes(ListNodesRequest {}).await.unwrap().into_inner().nodes;
    let seen: Vec<_> = nodes.iter().map(|node| (node.id.as_str(), node.live, node.rooms)).collect();
    assert_eq!(seen, [("n1", false, 0), ("n2", true, 1)]);
    control.stop().await;
}

#[tokio::test]
async fn a_broken_stream_lapses_sooner_than_the_lease() {
    let control = start(60_000).await;
    let n1 = Node::register(&control, "n1", 1, &[]).await;
    create(&control, "a", rules("a")).await.unwrap();
    let mut n2 = Node::register(&control, "n2", 1, &[]).await;
    drop(n1);
    n2.listen("the room", |n2| n2.told("a") == Some(("n2", 2))).await;
    control.stop().await;
}

#[tokio::test]
async fn of_two_runs_of_a_node_the_newer_is_the_member() {
    let control = start(LEASE_MS).await;
    let mut old = Node::register(&control, "n1", 5, &[]).await;
    create(&control, "a", rules("a")).await.unwrap();
    let mut new = Node::register(&control, "n1", 6, &[]).await;
    old.listen("the end", |old| old.superseded_by == Some(6)).await;
    new.listen("its room", |new| new.told("a") == Some(("n1", 2))).await;
    let older = Node::register(&control, "n1", 4, &[]).await;
    assert_eq!(older.superseded_by, Some(6));
    control.stop().await;
}

#[tokio::test]
async fn the_owner_carries_out_commands() {
    let control = start(LEASE_MS).await;
    let mut rooms = RoomServiceClient::new(channel(&control));
    let pause = || PauseRoomRequest { id: "a".to_owned(), reason: "a fault".to_owned() };
    assert_eq!(rooms.pause_room(pause()).await.unwrap_err().code(), Code::NotFound);
    create(&control, "a", rules("a")).await.unwrap();
    let alone = rooms.pause_room(pause()).await.unwrap_err();
    assert_eq!(alone.code(), Code::Unavailable);
    assert!(alone.get_error_details().retry_info().is_some());
    let got = rooms.get_room(GetRoomRequest { id: "a".to_owned() }).await.unwrap().into_inner();
    assert_eq!(got.room.unwrap().view, None, "it is shown without its state");

    let mut n1 = Node::register(&control, "n1", 1, &[]).await;
    n1.listen("its room", |n1| n1.told("a").is_some()).await;
    let owner = async {
        // Before a change its owner is asked how the room was.
        for (asks, error) in [(true, ""), (false, ""), (true, ""), (false, "the auction is closed")]
        {
            n1.listen("a command", |n1| !n1.commands.is_empty()).await;
            let command = n1.commands.pop().unwrap();
            assert_eq!(command.room_id, "a");
            match command.kind {
                Some(Kind::Inspect(_)) => assert!(asks),
                Some(Kind::Pause(_) | Kind::Close(_)) => assert!(!asks),
                other => panic!("{other:?}"),
            }
            let view = Some(View { bid_count: 7, ..View::default() });
            let (command_id, error) = (command.command_id, error.to_owned());
            n1.say(Up::CommandResult(CommandResult { command_id, error, view, viewers: 9 })).await;
        }
    };
    let operator = async {
        let paused = rooms.pause_room(pause()).await.unwrap().into_inner().room.unwrap();
        assert_eq!((paused.view.unwrap().bid_count, paused.viewers), (7, 9));
        let close = CloseRoomRequest { id: "a".to_owned() };
        let refused = rooms.close_room(close).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert_eq!(refused.message(), "the auction is closed");
    };
    tokio::join!(owner, operator);
    // Nobody answers this one.
    let silent = rooms.pause_room(pause()).await.unwrap_err();
    assert_eq!(silent.code(), Code::Unavailable);
    control.stop().await;
}

#[tokio::test]
async fn bad_rooms_are_refused_by_the_name_of_the_field() {
    let control = start(LEASE_MS).await;
    for (id, wrong, field, message) in [
        ("a b", rules("x"), "id", "id: "),
        (
            "a",
            AuctionRulesWire { opening_price: u64::MAX, ..rules("x") },
            "rules.opening_price",
            "",
        ),
        (
            "a",
            AuctionRulesWire { closes_at: 0, ..rules("x") },
            "rules.closes_at",
            "rules.closes_at: must come after",
        ),
        (
            "a",
            AuctionRulesWire { increments: Vec::new(), ..rules("x") },
            "rules.increments",
            "rules.increments: must ",
        ),
    ] {
        let refused = create(&control, id, wrong).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().starts_with(message), "{}", refused.message());
        let details = refused.get_error_details();
        assert_eq!(details.error_info().unwrap().domain, "gavel");
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, field);
    }
    create(&control, "a", rules("x")).await.unwrap();
    let again = create(&control, "a", rules("x")).await.unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);
    control.stop().await;
}

#[tokio::test]
async fn a_room_whose_creation_was_half_done_is_taken_up() {
    let store = Arc::new(MemoryStore::new());
    let control = start_with(LEASE_MS, Arc::<MemoryStore>::clone(&store)).await;
    let _n1 = Node::register(&control, "n1", 1, &[]).await;
    // The store did it, and then its answer was lost.
    for id in ["a", "b"] {
        let stored = AuctionRules::try_from(rules(id)).unwrap();
        assert_eq!(store.create_room(Term::new(1), &id.parse().unwrap(), &stored).await, Ok(true));
    }
    assert_eq!(list(&control).await, []);
    let stored = store.rooms().await.unwrap().remove(0).rules;
    let room = create(&control, "a", stored.into()).await.unwrap();
    assert_eq!((room.owner.as_str(), room.epoch), ("n1", 1));
    let other = create(&control, "b", rules("other")).await.unwrap_err();
    assert_eq!(other.code(), Code::AlreadyExists);
    until("an owner", async || {
        let rooms = list(&control).await;
        rooms.iter().all(|room| room.owner == "n1").then_some(rooms.len()).filter(|n| *n == 2)
    })
    .await;
    control.stop().await;
}

#[tokio::test]
async fn rooms_come_in_pages() {
    let control = start(LEASE_MS).await;
    for n in 0..5 {
        create(&control, &format!("r{n}"), rules("x")).await.unwrap();
    }
    let mut client = RoomServiceClient::new(channel(&control));
    let (mut ids, mut page_token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let request = ListRoomsRequest { page_size: 2, page_token };
        let page = client.list_rooms(request).await.unwrap().into_inner();
        ids.extend(page.rooms.into_iter().map(|room| room.id));
        page_token = page.next_page_token;
        pages += 1;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!((ids.join(" ").as_str(), pages), ("r0 r1 r2 r3 r4", 3));
    control.stop().await;
}

#[tokio::test]
async fn what_one_node_watches_in_vain_is_bounded() {
    const WATCHED_MAX: usize = 10_000;
    let control = start(LEASE_MS).await;
    let mut n1 = Node::register(&control, "n1", 1, &[]).await;
    let _n2 = Node::register(&control, "n2", 1, &[]).await;
    let ids: Vec<_> = (0..WATCHED_MAX + 8).map(|n| format!("r{n}")).collect();
    let watched: Vec<_> = ids.iter().map(String::as_str).collect();
    n1.interest(&watched, &[]).await;
    n1.listen("that all are unknown", |n1| n1.rooms.len() == ids.len()).await;
    let (noted, beyond) = ids.split_at(WATCHED_MAX);
    let mut theirs = Vec::new();
    for id in beyond.iter().chain(&noted[..8]) {
        let room = create(&control, id, rules(id)).await.unwrap();
        if room.owner == "n2" {
            theirs.push(id.as_str());
        }
    }
    let (late, soon): (Vec<_>, Vec<_>) =
        theirs.into_iter().partition(|id| beyond.iter().any(|beyond| beyond == id));
    assert!(!late.is_empty() && !soon.is_empty(), "{late:?} {soon:?}");
    n1.listen("the owners", |n1| soon.iter().all(|id| n1.told(id) == Some(("n2", 1)))).await;
    assert!(late.iter().all(|id| n1.told(id).is_none()), "it must ask again");
    n1.interest(&late, &[]).await;
    n1.listen("the answer", |n1| late.iter().all(|id| n1.told(id) == Some(("n2", 1)))).await;
    control.stop().await;
}

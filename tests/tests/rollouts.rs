//! Rollouts of flags go on by themselves, and back where the treatment does worse.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy knows tests by their attribute and not by their directory"
)]

use gavel_proto::admin::v1::{
    AbortRolloutRequest, GetFlagsRequest, ListRolloutsRequest, PauseRolloutRequest,
    ResumeRolloutRequest, Rollout, StartRolloutRequest,
};
use gavel_runtime::tasks;
use gavel_tests::{Client, Protocol, Room, World, token, until, world::rules};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tonic::Code;

const PAGES: usize = 40;
/// A guard must have found a fault, and nodes must have heard of it.
const ROLLED_BACK_WITHIN: Duration = Duration::from_secs(16);
/// Three steps must have gone by.
const COMPLETED_WITHIN: Duration = Duration::from_secs(30);

/// Pages of users who bid all the time, for as long as this value is there.
struct Pages {
    stop: Arc<AtomicBool>,
    /// How often a page has fallen over.
    falls: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// What a page can read.
#[derive(Clone, Copy, PartialEq)]
enum Reads {
    All,
    /// It falls over at an update with fields that did not change.
    ChangedFields,
}

impl Pages {
    fn open(room: &Room, reads: Reads) -> Self {
        let mut pages =
            Self { stop: Arc::default(), falls: Arc::default(), tasks: Vec::with_capacity(PAGES) };
        for n in 0..PAGES {
            let (stop, falls) = (Arc::clone(&pages.stop), Arc::clone(&pages.falls));
            let room = room.clone();
            let page = async move {
                while !stop.load(Ordering::Relaxed) {
                    page(&room, n, reads, &stop).await;
                    falls.fetch_add(1, Ordering::Relaxed);
                }
            };
            pages.tasks.push(tasks::spawn("page", page));
        }
        pages
    }

    async fn close(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("no page fails otherwise");
        }
    }
}

/// One visit, until the page falls over or is closed.
async fn page(room: &Room, n: usize, reads: Reads, stop: &AtomicBool) {
    let node = if n.is_multiple_of(2) { room.owner } else { room.edge };
    let user = token::bidder(&format!("user-{n}"));
    let mut client = Client::with_token(node, Protocol::V1, &user).await;
    client.join(&room.id).await;
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    let mut minimum = 100_u64;
    while !stop.load(Ordering::Relaxed) {
        let received = tokio::select! {
            received = client.next_or_end() => received.expect("the node lives"),
            _ = pace.tick() => {
                let bid = json!({"type": "bid", "auctionId": room.id, "amount": minimum + 100});
                client.send(&bid).await;
                continue;
            }
        };
        if let Some(asked) = received.json["minimumBid"].as_u64() {
            minimum = asked;
        }
        let whole =
            received.json["type"] == "auctionUpdate" && received.json.get("opensAt").is_some();
        if whole && reads == Reads::ChangedFields {
            return client.reset();
        }
    }
}

fn start(flag: &str, steps: &[u32], hold_ms: u64) -> StartRolloutRequest {
    StartRolloutRequest {
        flag: flag.to_owned(),
        treatment: "off".to_owned(),
        by: "user".to_owned(),
        steps: steps.to_vec(),
        hold_ms,
        bids_min: Some(20),
        ratio_max: 0.0,
    }
}

async fn of(world: &World, flag: &str) -> Option<Rollout> {
    let listed = world.rollouts().list_rollouts(ListRolloutsRequest {}).await.unwrap();
    listed.into_inner().rollouts.into_iter().find(|rollout| rollout.flag == flag)
}

/// Waits until a rollout runs no more; what it has become, and the shares that it had on the way.
async fn ended(world: &World, flag: &str, within: Duration) -> (Rollout, Vec<u32>) {
    let mut percents = Vec::new();
    let ended = tokio::time::timeout(within, async {
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        loop {
            tick.tick().await;
            let rollout = of(world, flag).await.unwrap();
            percents.push(rollout.percent);
            percents.dedup();
            if rollout.state != "running" {
                return rollout;
            }
        }
    });
    (ended.await.expect("it ends by itself"), percents)
}

async fn bid_count(world: &World) -> u64 {
    let room = world.inspect("chair").await.unwrap();
    room.view.map_or(0, |view| view.bid_count)
}

async fn document(world: &World) -> Value {
    let flags = world.flag_service().get_flags(GetFlagsRequest {}).await.unwrap().into_inner();
    serde_json::from_str(&flags.document).unwrap()
}

#[tokio::test]
async fn a_variant_that_breaks_pages_is_taken_back() {
    let world = World::start().await;
    let room = world.room("chair", rules()).await;
    let before = document(&world).await["flags"]["changed-fields"].clone();
    let pages = Pages::open(&room, Reads::ChangedFields);
    until("bids", async || (bid_count(&world).await > 10).then_some(())).await;
    assert_eq!(pages.falls.load(Ordering::Relaxed), 0);

    let request = start("changed-fields", &[30, 100], 3_600_000);
    let begun = world.rollouts().start_rollout(request).await.unwrap().into_inner().rollout;
    assert_eq!(begun.map(|begun| (begun.state, begun.percent)), Some(("running".to_owned(), 30)));
    let (back, _) = ended(&world, "changed-fields", ROLLED_BACK_WITHIN).await;
    assert_eq!((back.state.as_str(), back.percent), ("rolled_back", 0));
    assert!(back.reason.contains("disconnects"), "{}", back.reason);
    // Everybody has what he had before, and no page falls over any more.
    let after = document(&world).await["flags"]["changed-fields"].clone();
    assert_eq!(after.get("targeting"), before.get("targeting"));
    assert_eq!(after["defaultVariant"], before["defaultVariant"]);
    until("bids at which no page falls", async || {
        let (falls, bids) = (pages.falls.load(Ordering::Relaxed), bid_count(&world).await);
        until("more bids", async || (bid_count(&world).await > bids + PAGES as u64).then_some(()))
            .await;
        (pages.falls.load(Ordering::Relaxed) == falls).then_some(())
    })
    .await;
    pages.close().await;
    world.stop().await;
}

#[tokio::test]
async fn a_variant_that_harms_nobody_becomes_the_default() {
    let world = World::start().await;
    let room = world.room("chair", rules()).await;
    let pages = Pages::open(&room, Reads::All);
    world.rollouts().start_rollout(start("batching", &[20, 60, 100], 1)).await.unwrap();
    let (done, percents) = ended(&world, "batching", COMPLETED_WITHIN).await;
    assert_eq!((done.state.as_str(), done.reason.as_str()), ("completed", ""));
    assert_eq!(percents, [20, 60, 100]);
    let groups = (done.treatment_group.unwrap(), done.control_group.unwrap());
    assert!(groups.0.bids >= 60 && groups.1.bids > 0, "{groups:?}");
    let flag = document(&world).await["flags"]["batching"].clone();
    assert_eq!((&flag["defaultVariant"], flag.get("targeting")), (&json!("off"), None));
    pages.close().await;
    world.stop().await;
}

#[tokio::test]
async fn an_operator_may_pause_resume_and_abort_and_is_told_what_cannot_be() {
    let world = World::start().await;
    let mut rollouts = world.rollouts();
    for (request, code, words) in [
        (start("nope", &[], 1), Code::FailedPrecondition, "there is no flag \"nope\""),
        (start("batching", &[50, 10], 1), Code::FailedPrecondition, "steps must be"),
        (start("batching", &[300], 1), Code::InvalidArgument, "steps"),
        (
            StartRolloutRequest { by: "planet".to_owned(), ..start("batching", &[], 1) },
            Code::InvalidArgument,
            "by",
        ),
        (
            StartRolloutRequest { treatment: "on".to_owned(), ..start("batching", &[], 1) },
            Code::FailedPrecondition,
            "everybody has already",
        ),
    ] {
        let refused = rollouts.start_rollout(request).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
        assert!(refused.message().contains(words), "{refused}");
    }
    let pause = || PauseRolloutRequest { flag: "batching".to_owned() };
    let refused = rollouts.pause_rollout(pause()).await.unwrap_err();
    assert_eq!(refused.message(), "no rollout of batching was started");

    let request = StartRolloutRequest { bids_min: Some(0), ..start("batching", &[], 1) };
    rollouts.start_rollout(request.clone()).await.unwrap();
    let paused = rollouts.pause_rollout(pause()).await.unwrap().into_inner().rollout.unwrap();
    assert_eq!((paused.state.as_str(), paused.percent), ("paused", 1));
    assert_eq!(
        rollouts.start_rollout(request.clone()).await.unwrap_err().code(),
        Code::FailedPrecondition
    );
    let resume = ResumeRolloutRequest { flag: "batching".to_owned() };
    rollouts.resume_rollout(resume.clone()).await.unwrap();
    until("the next step", async || (of(&world, "batching").await?.percent >= 10).then_some(()))
        .await;
    let reason = "enough for today".to_owned();
    let abort = AbortRolloutRequest { flag: "batching".to_owned(), reason: reason.clone() };
    let aborted = rollouts.abort_rollout(abort).await.unwrap().into_inner().rollout.unwrap();
    assert_eq!((aborted.state.as_str(), aborted.reason, aborted.percent), ("aborted", reason, 0));
    let refused = rollouts.resume_rollout(resume).await.unwrap_err();
    assert_eq!(refused.message(), "the rollout of batching is aborted");

    // A document that somebody puts by hand says what holds, and knows of no rollout.
    rollouts.start_rollout(request).await.unwrap();
    let mut by_hand = document(&world).await;
    by_hand["flags"]["batching"].as_object_mut().unwrap().remove("metadata");
    world.flags(&by_hand).await;
    assert_eq!(of(&world, "batching").await, None);
    world.stop().await;
}

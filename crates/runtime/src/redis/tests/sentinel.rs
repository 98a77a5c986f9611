//! A primary behind real sentinels, which fails, moves or is cut off.

use gavel_testkit::{Sentinels, until};

use super::*;

const VALUE: &str = "tell-tale";

/// Sets a key at whichever server is in use, and tells which one has it.
async fn used(redis: &Redis, servers: &Sentinels) -> Option<usize> {
    redis.cmd::<()>(cmd("SET").arg(VALUE).arg("x")).await.ok()?;
    let has =
        |server: &gavel_testkit::Member| server.runs() && server.ask("DEL tell-tale") == "1\n";
    servers.servers.iter().position(has)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_end_of_a_primary_its_successor_is_used() {
    let mut servers = Sentinels::start().await;
    let redis = Redis::connect(&servers.url()).unwrap();
    let script = Script::new("return redis.call('INCR', KEYS[1])");
    let count = async || redis.script(&script).invoke::<u64>(&["n"], &[""; 0]).await;
    assert_eq!(count().await, Ok(1));
    assert_eq!(servers.primary(), Some(0));

    // Both replicas have it before the end, so that whichever follows counts on.
    let acked: u64 = redis.cmd(cmd("WAIT").arg(2).arg(200)).await.unwrap();
    assert_eq!(acked, 2);
    servers.may_fail_over();
    servers.servers[0].kill();
    let mut unknown = 0;
    let counted = until("a successor", async || match count().await {
        Ok(counted) => Some(counted),
        Err(RedisError::Unknown(_)) => {
            unknown += 1;
            None
        }
        Err(RedisError::Unavailable(_)) => None,
        Err(error) => panic!("{error}"),
    })
    .await;
    // The successor did not know the script, and nothing was sent to it twice.
    assert_eq!(counted, 2, "{unknown} without an answer");
    assert!(unknown <= 1, "{unknown}");
    assert!(servers.primary().is_some_and(|primary| primary > 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_none_any_more_is_left_though_it_answers() {
    let servers = Sentinels::start().await;
    let redis = Redis::connect(&servers.url()).unwrap();
    assert_eq!(used(&redis, &servers).await, Some(0));
    // The first goes on as if nothing had happened, and says it is the primary.
    servers.servers[1].tell("REPLICAOF NO ONE");
    servers.point_to(1);
    let start = clock::monotonic();
    until("the other primary", async || (used(&redis, &servers).await == Some(1)).then_some(()))
        .await;
    assert!(start.elapsed() <= Duration::from_secs(3), "{:?}", start.elapsed());
    assert!(servers.servers[0].ask("ROLE").starts_with("master"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_sentinels_the_primary_in_use_stays_and_a_new_handle_says_why() {
    let mut servers = Sentinels::start().await;
    let redis = Redis::connect(&servers.url()).unwrap();
    redis.ping().await.unwrap();
    for sentinel in &mut servers.sentinels {
        sentinel.kill();
    }
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..25 {
        tick.tick().await;
        redis.ping().await.unwrap();
    }
    let late = Redis::connect(&servers.url()).unwrap();
    let error = late.ping().await.unwrap_err();
    assert!(matches!(error, RedisError::Unavailable(_)), "{error:?}");
    for sentinel in &servers.sentinels {
        assert!(error.to_string().contains(&sentinel.address()), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_not_taken_for_a_primary() {
    let servers = Sentinels::start().await;
    let redis = Redis::connect(&servers.url()).unwrap();
    servers.point_to(2);
    let error = redis.cmd::<()>(cmd("SET").arg("k").arg("v")).await.unwrap_err();
    assert!(error.to_string().contains("should be the primary"), "{error}");

    // One that becomes a replica while it is in use is left at once.
    servers.point_to(0);
    until("the primary", async || redis.ping().await.ok()).await;
    servers.servers[0].tell(&format!("REPLICAOF 127.0.0.1 {}", servers.servers[1].port()));
    servers.servers[1].tell("REPLICAOF NO ONE");
    servers.point_to(1);
    until("the other primary", async || (used(&redis, &servers).await == Some(1)).then_some(()))
        .await;
}

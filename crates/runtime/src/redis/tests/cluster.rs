//! A real cluster, whose slots move and whose servers end.

use gavel_testkit::{RedisCluster, until};

use super::*;

fn incr() -> Script {
    Script::new("return redis.call('INCR', KEYS[1])")
}

async fn count(redis: &Redis, key: &str) -> Result<u64, RedisError> {
    redis.script(&incr()).invoke(&[key], &[""; 0]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_key_is_at_its_server_and_so_is_the_script() {
    let cluster = RedisCluster::start().await;
    // One server knows the others.
    let redis = Redis::connect(&format!("redis+cluster://{}", cluster.servers[4].address()));
    let redis = redis.unwrap();
    redis.ping().await.unwrap();
    let mut owners = std::collections::BTreeSet::new();
    for key in ["a", "b", "c", "d", "e", "{a}f"] {
        assert_eq!(count(&redis, key).await, Ok(1), "{key}");
        owners.extend(cluster.owner(key));
    }
    assert_eq!(owners.len(), 3, "keys at each of the servers");
    let both: (u64, u64) = redis.pipeline(pipe().incr("a", 1).incr("{a}f", 1)).await.unwrap();
    assert_eq!(both, (2, 2));
    let error = redis.pipeline::<(u64, u64)>(pipe().incr("a", 1).incr("b", 1)).await.unwrap_err();
    assert!(matches!(error, RedisError::Refused(_)), "{error:?}");
    let incr = incr();
    let behind = redis.script(&incr).invoke_then::<u64, u64>(&["a"], &[""; 0], &cmd("PING")).await;
    assert!(matches!(behind, Err(RedisError::Refused(_))), "{behind:?}");
    assert_eq!(redis.connections(), None, "there are three");
    let touched: Result<(), _> = redis.script(&incr).invoke(&["a", "b"], &[""; 0]).await;
    assert!(matches!(touched, Err(RedisError::Refused(_))), "keys of two slots: {touched:?}");

    let mut blocking = redis.dedicated("list", Duration::from_secs(5)).await.unwrap();
    redis.cmd::<()>(cmd("RPUSH").arg("list").arg("x")).await.unwrap();
    let got: (String, String) =
        cmd("BLPOP").arg("list").arg(4).query_async(&mut blocking).await.unwrap();
    assert_eq!(got.1, "x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_on_the_move_is_followed() {
    let cluster = RedisCluster::start().await;
    let redis = Redis::connect(&cluster.url()).unwrap();
    assert_eq!(count(&redis, "{a}1").await, Ok(1));
    let from = &cluster.servers[cluster.owner("a").unwrap()];
    let to = cluster.servers.iter().take(3).find(|server| server.port() != from.port()).unwrap();
    let id = |server: &gavel_testkit::Member| server.ask("CLUSTER MYID").trim().to_owned();
    let slot = from.ask("CLUSTER KEYSLOT a").trim().to_owned();
    to.tell(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", id(from)));
    from.tell(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", id(to)));

    // What is there stays there, what is new begins at the other; the script
    // is not known there yet.
    assert_eq!(count(&redis, "{a}1").await, Ok(2));
    assert_eq!(count(&redis, "{a}2").await, Ok(1));
    assert!(from.ask("EXISTS {a}2").starts_with("ASK "));
    // Keys on both sides: later, and nothing was done.
    let both = redis.script(&incr()).invoke::<u64>(&["{a}1", "{a}2"], &[""; 0]).await;
    assert!(matches!(both, Err(RedisError::Unavailable(_))), "{both:?}");

    from.tell(&format!("MIGRATE 127.0.0.1 {} {{a}}1 0 1000", to.port()));
    for server in [to, from] {
        server.tell(&format!("CLUSTER SETSLOT {slot} NODE {}", id(to)));
    }
    assert_eq!(count(&redis, "{a}1").await, Ok(3));
    assert_eq!(count(&redis, "{a}2").await, Ok(2));
    assert_eq!(to.ask("GET {a}1").trim(), "3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_got_no_answer_is_not_sent_again() {
    let cluster = RedisCluster::start().await;
    let redis = Redis::connect(&cluster.url()).unwrap();
    assert_eq!(count(&redis, "n").await, Ok(1));
    let owner = &cluster.servers[cluster.owner("n").unwrap()];
    owner.freeze();
    let start = clock::monotonic();
    let error = count(&redis, "n").await.unwrap_err();
    owner.thaw();
    assert!(error.may_have_applied(), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    // What came behind it on the same connection shows that it has been done.
    until("the thaw", async || redis.cmd::<u64>(cmd("GET").arg("n")).await.ok()).await;
    assert_eq!(owner.ask("GET n").trim(), "2");
    // Others were not disturbed.
    let other =
        ["a", "b", "c", "d"].into_iter().find(|key| cluster.owner(key) != cluster.owner("n"));
    assert_eq!(count(&redis, other.unwrap()).await, Ok(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_end_of_a_primary_its_replica_is_used() {
    let mut cluster = RedisCluster::start().await;
    let redis = Redis::connect(&cluster.url()).unwrap();
    assert_eq!(count(&redis, "n").await, Ok(1));
    let owner = cluster.owner("n").unwrap();
    let replica = &cluster.servers[owner + 3];
    until("a copy", async || (replica.ask("DBSIZE").trim() == "1").then_some(())).await;
    cluster.may_fail_over();
    cluster.servers[owner].kill();
    let counted = until("a successor", async || match count(&redis, "n").await {
        Ok(counted) => Some(counted),
        Err(RedisError::Unknown(_) | RedisError::Unavailable(_)) => {
            // A server that lives answers whatever is for none in particular.
            redis.ping().await.unwrap();
            None
        }
        Err(error) => panic!("{error}"),
    })
    .await;
    assert_eq!(counted, 2);
}

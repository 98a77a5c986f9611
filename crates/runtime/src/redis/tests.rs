//! The connection against a real Redis that comes and goes.

mod cluster;
mod sentinel;
mod tls;

use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use gavel_testkit::{RedisServer, until};

use super::*;
use crate::clock;

fn client(server: &RedisServer) -> Redis {
    Redis::connect(&server.url()).unwrap()
}

async fn until_ready(redis: &Redis) {
    until("an answer of the server", async || redis.ping().await.ok()).await;
}

#[tokio::test]
async fn commands_pipelines_and_scripts_answer() {
    let server = RedisServer::start().await;
    let redis = client(&server);
    redis.cmd::<()>(cmd("SET").arg("k").arg("v")).await.unwrap();
    let got: Option<String> = redis.cmd(cmd("GET").arg("k")).await.unwrap();
    assert_eq!(got.as_deref(), Some("v"));
    let (one, two): (u64, u64) =
        redis.pipeline(pipe().atomic().incr("n", 1).incr("n", 1)).await.unwrap();
    assert_eq!((one, two), (1, 2));

    let script = Script::new("return {KEYS[1], ARGV[1], ARGV[2]}");
    let reply: (String, String, u64) =
        redis.script(&script).invoke(&["key"], ("text", 7)).await.unwrap();
    assert_eq!(reply, ("key".to_owned(), "text".to_owned(), 7));
}

#[tokio::test]
async fn a_forgotten_script_is_loaded_again() {
    let server = RedisServer::start().await;
    let redis = client(&server);
    let script = Script::new("return redis.call('INCR', KEYS[1])");
    for expected in 1..=3_u64 {
        let got: u64 = redis.script(&script).invoke(&["n"], &[""; 0]).await.unwrap();
        assert_eq!(got, expected);
        redis.cmd::<()>(cmd("SCRIPT").arg("FLUSH")).await.unwrap();
    }
}

#[tokio::test]
async fn a_command_goes_right_behind_a_script_that_has_to_be_loaded_first() {
    let server = RedisServer::start().await;
    let redis = client(&server);
    let script = Script::new("return redis.call('INCR', KEYS[1])");
    for expected in 1..=2_u64 {
        let call = redis.script(&script);
        let then = call.invoke_then::<u64, u64>(&["n"], &[""; 0], cmd("GET").arg("n")).await;
        assert_eq!(then, Ok((expected, Ok(expected))));
    }
    let broken = Script::new("return redis.call('NONSENSE')");
    let call = redis.script(&broken);
    let refused = call.invoke_then::<u64, u64>(&["n"], &[""; 0], cmd("GET").arg("n")).await;
    assert!(matches!(refused, Err(RedisError::Refused(_))), "{refused:?}");
    let call = redis.script(&script);
    let refused = call.invoke_then::<u64, u64>(&["n"], &[""; 0], cmd("NONSENSE").arg("n")).await;
    assert!(matches!(refused, Ok((3, Err(RedisError::Refused(_))))), "{refused:?}");
    assert_eq!(redis.connections(), Some(1));
}

#[tokio::test]
async fn an_error_of_the_server_is_a_refusal_and_keeps_the_connection() {
    let server = RedisServer::start().await;
    let redis = client(&server);
    redis.cmd::<()>(cmd("SET").arg("k").arg("v")).await.unwrap();
    for command in [cmd("INCR").arg("k"), cmd("NONSENSE").arg("k")] {
        let error = redis.cmd::<u64>(command).await.unwrap_err();
        assert!(matches!(error, RedisError::Refused(_)), "{error:?}");
    }
    let broken = Script::new("return redis.call('NONSENSE')");
    let error = redis.script(&broken).invoke::<()>(&[""; 0], &[""; 0]).await.unwrap_err();
    assert!(matches!(error, RedisError::Refused(_)), "{error:?}");
    redis.ping().await.unwrap();
}

#[tokio::test]
async fn a_bad_address_is_refused_and_an_absent_server_is_unavailable_at_once() {
    assert!(matches!(Redis::connect("nonsense"), Err(RedisError::Refused(_))));
    let redis = Redis::connect("redis://127.0.0.1:1").unwrap();
    let start = clock::monotonic();
    for _ in 0..50 {
        let error = redis.ping().await.unwrap_err();
        assert!(matches!(error, RedisError::Unavailable(_)), "{error:?}");
    }
    assert!(clock::monotonic() - start < Duration::from_secs(2));
}

#[tokio::test]
async fn a_killed_server_is_found_again() {
    let mut server = RedisServer::start().await;
    let redis = client(&server);
    redis.ping().await.unwrap();
    server.kill();
    // The first call may find the old connection, the next ones must not.
    drop(redis.ping().await);
    let error = redis.ping().await.unwrap_err();
    assert!(matches!(error, RedisError::Unavailable(_)), "{error:?}");
    server.restart().await;
    until_ready(&redis).await;
}

#[tokio::test]
async fn a_frozen_server_leaves_the_outcome_unknown() {
    let server = RedisServer::start().await;
    let redis = client(&server);
    redis.ping().await.unwrap();
    server.freeze();
    let start = clock::monotonic();
    let error = redis.cmd::<u64>(cmd("INCR").arg("n")).await.unwrap_err();
    assert!(error.may_have_applied(), "{error:?}");
    assert!(clock::monotonic() - start < Duration::from_secs(2));

    // After a few lost answers the connection is given up, and since the
    // server does not greet a new one, calls fail without being sent.
    let mut last = error;
    for _ in 0..20 {
        last = redis.cmd::<u64>(cmd("INCR").arg("n")).await.unwrap_err();
        if !last.may_have_applied() {
            break;
        }
    }
    assert!(matches!(last, RedisError::Unavailable(_)), "{last:?}");
    // While one tries to connect, no other waits for that.
    assert_eq!(redis.breakers(), [BreakerState::Open]);
    let mut tries = FuturesUnordered::new();
    until("a try", async || {
        tries.push(redis.ping());
        drop(tries.next().now_or_never());
        (redis.breakers() == [BreakerState::HalfOpen]).then_some(())
    })
    .await;
    let another = redis.ping().now_or_never();
    assert!(matches!(another, Some(Err(RedisError::Unavailable(_)))), "{another:?}");

    server.thaw();
    drop(tries);
    until_ready(&redis).await;
    assert_eq!(redis.breakers(), [BreakerState::Closed]);
    let applied: u64 = redis.cmd(cmd("GET").arg("n")).await.unwrap();
    assert!(applied >= 1, "what was lost had been done");
}

#[tokio::test]
async fn a_connection_of_its_own_may_block() {
    let server = RedisServer::start().await;
    let redis = client(&server);
    let mut blocking = redis.dedicated("list", Duration::from_secs(5)).await.unwrap();
    let waiter = crate::tasks::spawn("test.waiter", async move {
        let reply: Option<(String, String)> =
            cmd("BLPOP").arg("list").arg(4).query_async(&mut blocking).await.unwrap();
        reply
    });
    redis.cmd::<()>(cmd("RPUSH").arg("list").arg("x")).await.unwrap();
    let got = waiter.await.unwrap().unwrap();
    assert_eq!(got.1, "x");
}

#[tokio::test]
async fn a_subscriber_receives_what_is_published() {
    let server = RedisServer::start().await;
    let redis = client(&server);
    let mut subscriber = redis.subscriber().await.unwrap();
    subscriber.subscribe("news").await.unwrap();
    let heard: u64 = redis.cmd(cmd("PUBLISH").arg("news").arg("x")).await.unwrap();
    assert_eq!(heard, 1);
    let message = subscriber.on_message().next().await.unwrap();
    assert_eq!(message.get_payload::<String>().unwrap(), "x");
}

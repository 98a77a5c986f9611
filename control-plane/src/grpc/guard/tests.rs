//! Who gets in, by what is shown.

use super::*;
use crate::store::MemoryStore;
use gavel_runtime::tls::Names;
use std::net::SocketAddr;
use tonic::Code;

const LIST: &str = "/gavel.admin.v1.RoomService/ListRooms";
const LIMITS: &str = "/gavel.admin.v1.LimitService/UpdateLimits";
const SESSION: &str = "/gavel.fleet.v1.FleetService/Session";

fn gate(tokens: &str, mutual: bool) -> Gate {
    let store = Arc::new(MemoryStore::new());
    let auditor = Auditor::new(Arc::<MemoryStore>::clone(&store), 100);
    Gate::new(Tokens::listed("admin.tokens", tokens).unwrap(), mutual, store, auditor)
}

fn parts(path: &str, header: Option<&str>, from: Option<&str>, uris: &[&str]) -> Parts {
    let mut request = Request::builder().uri(path);
    if let Some(header) = header {
        request = request.header(AUTHORIZATION, header);
    }
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    if let Some(from) = from {
        let names: Names = uris.iter().copied().collect();
        let names = (!uris.is_empty()).then(|| Arc::new(names));
        parts.extensions.insert(Peer { addr: from.parse::<SocketAddr>().unwrap(), names });
    }
    parts
}

/// As whom a call gets in, or the code of its refusal.
async fn call(
    gate: &Gate,
    path: &str,
    header: Option<&str>,
    from: &str,
    uris: &[&str],
) -> Result<String, Code> {
    let mut parts = parts(path, header, Some(from), uris);
    gate.admit(&mut parts).await.map_err(|error| Status::from(error).code())?;
    let caller = parts.extensions.get::<Caller>().unwrap();
    Ok(caller.operator.as_ref().map(|one| format!("{} {}", one.name, one.role)).unwrap_or_default())
}

#[tokio::test]
async fn where_nothing_is_asked_for_only_this_machine_may_administer() {
    let gate = gate("", false);
    for near in ["127.0.0.1:1", "127.8.9.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert_eq!(call(&gate, LIMITS, None, near, &[]).await.unwrap(), "local admin", "{near}");
    }
    for far in ["10.0.0.1:1", "[2001:db8::1]:1", "[::ffff:10.0.0.1]:1"] {
        for header in [None, Some("Bearer "), Some("Bearer x")] {
            let refused = call(&gate, LIST, header, far, &[]).await;
            assert_eq!(refused, Err(Code::PermissionDenied), "{far}");
        }
        assert!(call(&gate, SESSION, None, far, &[]).await.is_ok(), "nodes come from anywhere");
    }
    let mut unknown = parts(LIST, None, None, &[]);
    assert!(matches!(gate.admit(&mut unknown).await, Err(CallError::Far)));
}

#[tokio::test]
async fn a_token_is_needed_from_everywhere_and_a_wrong_one_helps_nobody() {
    let gate = gate("ann admin hush, eve viewer look", true);
    let admin = ["gavel:operator:admin:bob"];
    for from in ["127.0.0.1:1", "10.0.0.1:1"] {
        assert_eq!(call(&gate, LIMITS, Some("Bearer hush"), from, &[]).await.unwrap(), "ann admin");
        assert_eq!(call(&gate, LIST, Some("Bearer look"), from, &[]).await.unwrap(), "eve viewer");
        let more = call(&gate, LIMITS, Some("Bearer look"), from, &admin).await;
        assert_eq!(more, Err(Code::PermissionDenied), "the token is who it is");
        for wrong in ["hush", "Bearer ", "Bearer hus", "bearer hush", "Bearer hush "] {
            for uris in [&[][..], &admin] {
                let refused = call(&gate, LIST, Some(wrong), from, uris).await;
                assert_eq!(refused, Err(Code::Unauthenticated), "{wrong:?}");
            }
        }
        assert_eq!(call(&gate, LIST, None, from, &[]).await, Err(Code::Unauthenticated));
        assert_eq!(call(&gate, LIMITS, None, from, &admin).await.unwrap(), "bob admin");
    }
}

#[tokio::test]
async fn a_node_shows_a_certificate_that_names_one() {
    let gate = gate("", true);
    let from = "127.0.0.1:1";
    assert!(call(&gate, SESSION, None, from, &["gavel:node:n1"]).await.is_ok());
    for uris in [&[][..], &["gavel:operator:admin:bob"], &["https://n1"]] {
        assert_eq!(call(&gate, SESSION, None, from, uris).await, Err(Code::PermissionDenied));
    }
    let node = call(&gate, LIST, None, from, &["gavel:node:n1"]).await;
    assert_eq!(node, Err(Code::Unauthenticated), "nearness is nothing here");
    let unheard = call(&gate, "/gavel.admin.v1.RoomService/Unheard", None, from, &[]).await;
    assert_eq!(unheard, Err(Code::PermissionDenied));
}

#[tokio::test]
async fn the_word_of_a_replica_counts_for_what_the_caller_may_and_for_one_call() {
    let asks = gate("", true);
    let say = async |gate: &Gate, path: &str, of: &str, proof: Proof, role: Role| {
        let operator = Some(Operator { name: "bob".to_owned(), role, proof });
        let caller = Caller { peer: "10.0.0.9:1".to_owned(), operator, nodes: None };
        let mut parts = parts(path, None, Some("127.0.0.1:1"), &[]);
        vouch::give(&*gate.store, of, &caller, &mut parts.headers).await.unwrap();
        gate.admit(&mut parts).await.map_err(|error| Status::from(error).code())?;
        Ok(parts.extensions.get::<Caller>().unwrap().peer.clone())
    };
    let viewer = say(&asks, LIST, LIST, Proof::Certificate, Role::Viewer).await;
    assert_eq!(viewer.as_deref(), Ok("10.0.0.9:1"));
    let more = say(&asks, LIMITS, LIMITS, Proof::Certificate, Role::Viewer).await;
    assert_eq!(more, Err(Code::PermissionDenied), "its role is asked for here as well");
    let other = say(&asks, LIMITS, LIST, Proof::Certificate, Role::Admin).await;
    assert_eq!(other, Err(Code::PermissionDenied), "it was given for another call");
    // What is no proof here is none by way of a replica either, nor is a token that is not shown.
    for proof in [Proof::Nearness, Proof::Token] {
        let refused = say(&asks, LIST, LIST, proof, Role::Admin).await;
        assert_eq!(refused, Err(Code::Unauthenticated), "{proof:?}");
    }
}

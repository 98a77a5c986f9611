//! Flags as others get them: explained to people, and whole to programs that
//! evaluate them by themselves. Over HTTP they are tested with an SDK, see
//! tests/openfeature.

use gavel_proto::{
    admin::v1::{ExplainFlagRequest, ExplainFlagResponse, GetFlagsRequest},
    flagd::v1::{
        FetchAllFlagsRequest, GetMetadataRequest, SyncFlagsRequest,
        flag_sync_service_client::FlagSyncServiceClient,
    },
};
use gavel_tests::{Client, Protocol, World, token, world::rules};
use serde_json::{Value, json};
use tonic::{Code, Status};

async fn explain(world: &World, key: &str, context: &Value) -> Result<ExplainFlagResponse, Status> {
    let request = ExplainFlagRequest { key: key.to_owned(), context: context.to_string() };
    Ok(world.flag_service().explain_flag(request).await?.into_inner())
}

#[tokio::test]
async fn what_is_explained_is_what_nodes_do() {
    let world = World::start().await;
    let room = world.room("chair", rules()).await;
    let flag = json!({
        "state": "ENABLED",
        "variants": {"on": true, "off": false},
        "defaultVariant": "off",
        "targeting": {"if": [
            {"==": [{"var": "roomId"}, "chair"]},
            {"fractional": [["on", 50], ["off", 50]]},
            "off",
        ]},
    });
    world.flags(&json!({"flags": {"changed-fields": flag}})).await;
    let (mut shares, mut amount) = ([0, 0], 100_u64);
    for n in 0..12 {
        let user = format!("user-{n}");
        let context = json!({"userId": user, "roomId": "chair", "nodeId": "unknown"});
        let told = explain(&world, "changed-fields", &context).await.expect("an explanation");
        let on = told.variant.as_deref() == Some("on");
        shares[usize::from(on)] += 1;
        let share = usize::from(!on);
        assert_eq!(
            told.path,
            format!("$.flags.changed-fields.targeting.if[1].fractional[{share}]")
        );
        let [draw] = &told.draws[..] else { panic!("{told:?}") };
        assert_eq!((draw.subject.as_str(), draw.total), (&*format!("changed-fields{user}"), 100));
        assert_eq!((draw.from, draw.to), if on { (0, 50) } else { (50, 100) });
        assert!((draw.from..draw.to).contains(&draw.bucket));
        assert_eq!(
            (told.reason.as_str(), told.targeting_key.as_str()),
            ("TARGETING_MATCH", &*user)
        );

        let mut client = Client::with_token(room.edge, Protocol::V1, &token::bidder(&user)).await;
        client.join(&room.id).await;
        let ack = client.accepted(&room.id, amount, &format!("b{n}")).await;
        let update = client.update(ack["seq"].as_u64().expect("a seq")).await;
        assert_eq!(update.get("opensAt").is_none(), on, "{user}: {told:?}");
        amount += 100;
    }
    assert!(shares.iter().all(|share| *share > 0), "{shares:?}");

    let elsewhere = json!({"userId": "user-1", "roomId": "vase"});
    let told = explain(&world, "changed-fields", &elsewhere).await.expect("an explanation");
    assert_eq!(told.path, "$.flags.changed-fields.targeting.if[2]");
    assert_eq!((told.value.as_str(), told.draws.len()), ("false", 0));
    let told = explain(&world, "steering", &elsewhere).await.expect("an explanation");
    assert_eq!((told.variant, told.reason.as_str()), (None, "ERROR"), "nodes go by the default");
    let refused = explain(&world, "steering", &json!("user-1")).await.expect_err("no object");
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    world.stop().await;
}

#[tokio::test]
async fn who_evaluates_flags_by_himself_gets_each_document() {
    let world = World::start().await;
    let mut service = FlagSyncServiceClient::connect(world.endpoint()).await.expect("a service");
    let request = SyncFlagsRequest { provider_id: "test".to_owned(), selector: String::new() };
    let mut stream = service.sync_flags(request).await.expect("a stream").into_inner();
    let now = world.flag_service().get_flags(GetFlagsRequest {}).await.expect("flags").into_inner();
    let first = stream.message().await.expect("open").expect("a document");
    assert_eq!(first.flag_configuration, now.document);
    // Whatever else changes, nothing comes but flags.
    world.limits(|limits| limits.batch_window_ms = 17).await;
    for n in 0..3 {
        let flag = json!({"state": "ENABLED", "variants": {"x": n}, "defaultVariant": "x"});
        let document = json!({"flags": {"mine": flag}});
        world.flags(&document).await;
        let next = stream.message().await.expect("open").expect("a document");
        assert_eq!(next.flag_configuration, document.to_string());
        let whole = service.fetch_all_flags(FetchAllFlagsRequest::default()).await.expect("flags");
        assert_eq!(whole.into_inner().flag_configuration, document.to_string());
    }
    let some = SyncFlagsRequest { selector: "flagSetId=mine".to_owned(), ..Default::default() };
    let refused = service.sync_flags(some).await.expect_err("there are no parts");
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    let metadata = service.get_metadata(GetMetadataRequest {}).await.expect("an answer");
    assert_eq!(metadata.into_inner().metadata, None);
    world.stop().await;
}

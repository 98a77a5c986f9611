//! Bans, kicks and revoked tokens, as operators make them.

use crate::{
    documents::{Stream, answer},
    world::{channel, start, start_with},
};
use gavel_control_plane::{
    ControlPlane,
    store::{ClusterStore, DocumentName, MemoryStore},
};
use gavel_proto::{
    admin::v1::{
        BanUserRequest, KickUserRequest, ListDenialsRequest, ListDenialsResponse,
        RevokeTokensRequest, UnbanUserRequest, revoke_tokens_request::Tokens,
        user_service_client::UserServiceClient,
    },
    config::v1::{Denial, denial::What},
    denials::DENIALS_MAX,
};
use gavel_rules::order::Term;
use gavel_runtime::clock;
use std::{collections::BTreeSet, sync::Arc};
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt as _;

fn users(control: &ControlPlane) -> UserServiceClient<Channel> {
    UserServiceClient::new(channel(control))
}

fn ban(user: &str) -> BanUserRequest {
    BanUserRequest { user_id: user.to_owned(), ..BanUserRequest::default() }
}

async fn banned(control: &ControlPlane, request: BanUserRequest) -> Result<u64, Status> {
    users(control).ban_user(request).await.map(|done| done.into_inner().version)
}

async fn page(control: &ControlPlane, page_size: u32, token: &str) -> ListDenialsResponse {
    let request = ListDenialsRequest { page_size, page_token: token.to_owned() };
    users(control).list_denials(request).await.expect("a page").into_inner()
}

/// Each as its kind and whom it is about.
fn told(denials: &[Denial]) -> Vec<(&'static str, &str)> {
    let whats = denials.iter().filter_map(|denial| denial.what.as_ref());
    whats
        .map(|what| match what {
            What::Ban(ban) => ("ban", ban.user_id.as_str()),
            What::Token(token) => ("token", token.token_id.as_str()),
            What::User(user) => ("user", user.user_id.as_str()),
            What::Kick(kick) => ("kick", kick.user_id.as_str()),
        })
        .collect()
}

#[tokio::test]
async fn what_is_denied_is_sent_to_nodes_and_listed_until_it_is_taken_back() {
    let control = start(3_000).await;
    let mut stream = Stream::open(&control, answer(0, &[], &[])).await;
    assert_eq!(stream.push().await.1.last(), Some(&("denials", 1)));
    let in_room = BanUserRequest { room_id: "vase".to_owned(), ..ban("ann") };
    assert_eq!(banned(&control, in_room).await.unwrap(), 2);
    assert_eq!(stream.push().await.1, [("denials", 2)]);
    assert_eq!(banned(&control, ban("ann")).await.unwrap(), 3);
    let until = clock::now_ms() + 3_600_000;
    let again = BanUserRequest { until, reason: "spam".to_owned(), ..ban("ann") };
    assert_eq!(banned(&control, again).await.unwrap(), 4, "in place of the one before");

    let before = clock::now_ms();
    let kick = KickUserRequest { user_id: "bob".to_owned() };
    let kicked = users(&control).kick_user(kick).await.unwrap().into_inner().denial.unwrap();
    let Some(What::Kick(kick)) = &kicked.what else { panic!("{kicked:?}") };
    assert!((before..=clock::now_ms()).contains(&kick.opened_before));
    assert_eq!(kicked.until, kick.opened_before + 60_000);
    for tokens in [Tokens::UserId("ann".to_owned()), Tokens::TokenId("t:1".to_owned())] {
        let request = RevokeTokensRequest { tokens: Some(tokens), until: 0 };
        let revoked = users(&control).revoke_tokens(request).await.unwrap().into_inner();
        let days = (revoked.denial.unwrap().until - before) / 86_400_000;
        assert_eq!(days, 30);
    }
    let all = page(&control, 0, "").await;
    let expected =
        [("ban", "ann"), ("ban", "ann"), ("token", "t:1"), ("user", "ann"), ("kick", "bob")];
    assert_eq!(told(&all.denials), expected);
    assert_eq!((all.denials[0].until, all.version), (until, 7));

    let lift = UnbanUserRequest { user_id: "ann".to_owned(), room_id: String::new() };
    let lifted = users(&control).unban_user(lift.clone()).await.unwrap().into_inner();
    assert_eq!(lifted.version, 8);
    assert_eq!(told(&page(&control, 0, "").await.denials), expected[1..], "not that from the room");
    let none = users(&control).unban_user(lift).await.unwrap_err();
    assert_eq!((none.code(), none.message()), (Code::NotFound, "ann is not banned from all rooms"));
    control.stop().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_its_field() {
    let control = start(3_000).await;
    let of_ban = |edit: &dyn Fn(&mut BanUserRequest)| {
        let mut request = ban("ann");
        edit(&mut request);
        request
    };
    let mut refused = Vec::new();
    for request in [
        of_ban(&|ban| ban.user_id = "a b".to_owned()),
        of_ban(&|ban| ban.room_id = "*".to_owned()),
        of_ban(&|ban| ban.reason = "x".repeat(257)),
        of_ban(&|ban| ban.until = clock::now_ms() - 1),
    ] {
        refused.push(banned(&control, request).await.unwrap_err());
    }
    let wrong = |tokens| RevokeTokensRequest { tokens, until: 0 };
    for request in [wrong(None), wrong(Some(Tokens::TokenId(String::new())))] {
        refused.push(users(&control).revoke_tokens(request).await.unwrap_err());
    }
    let request = ListDenialsRequest { page_size: 0, page_token: "ann".to_owned() };
    refused.push(users(&control).list_denials(request).await.unwrap_err());
    assert!(refused.iter().all(|status| status.code() == Code::InvalidArgument), "{refused:?}");
    let fields = refused.iter().map(|status| {
        let details = status.get_error_details();
        details.bad_request().unwrap().field_violations[0].field.clone()
    });
    let fields: Vec<_> = fields.collect();
    assert_eq!(
        fields,
        ["user_id", "room_id", "reason", "until", "tokens", "token_id", "page_token"]
    );
    assert_eq!(page(&control, 0, "").await.version, 1, "nothing was changed");
    control.stop().await;
}

#[tokio::test]
async fn of_many_changes_at_once_none_is_lost() {
    let control = start(3_000).await;
    let names: BTreeSet<String> = (0..40).map(|n| format!("user-{n}")).collect();
    let bans = names.iter().map(|name| banned(&control, ban(name)));
    let mut versions = futures::future::try_join_all(bans).await.unwrap();
    versions.sort_unstable();
    assert_eq!(versions, (2..42).collect::<Vec<_>>(), "each is a change of its own");
    let (mut listed, mut token) = (BTreeSet::new(), String::new());
    let mut pages = 0;
    loop {
        let next = page(&control, 7, &token).await;
        listed.extend(told(&next.denials).into_iter().map(|(_, who)| who.to_owned()));
        pages += 1;
        token = next.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!((listed, pages), (names, 6));
    control.stop().await;
}

#[tokio::test]
async fn there_are_only_so_many_and_what_is_over_makes_room() {
    let store = Arc::new(MemoryStore::new());
    let stored = (0..DENIALS_MAX).map(|n| {
        let until = if n == 0 { "1" } else { "null" };
        format!(r#"{{"kind":"ban","user":"u{n}","room":null,"reason":"","until":{until}}}"#)
    });
    let body = format!("[{}]", stored.collect::<Vec<_>>().join(","));
    let name = DocumentName::Denials;
    store.put_document(Term::new(1), name, None, &body).await.unwrap();
    let control = start_with(3_000, store).await;
    assert!(banned(&control, ban("ann")).await.is_ok(), "one was over");
    let refused = banned(&control, ban("bob")).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(refused.get_error_details().error_info().unwrap().reason, "TOO_MANY_DENIALS");
    assert!(refused.message().starts_with("there are 5000 already"), "{refused}");
    assert!(banned(&control, ban("ann")).await.is_ok(), "it has its place");
    control.stop().await;
}

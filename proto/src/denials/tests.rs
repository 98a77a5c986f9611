//! Each kind by itself, and all of them together against a model that looks at
//! every denial there is.

use super::*;
use crate::{config::v1 as wire, convert::ConvertError};
use proptest::{collection::vec, option, prelude::*};

fn user(id: &str) -> UserId {
    id.parse().unwrap()
}

fn room(id: &str) -> RoomId {
    id.parse().unwrap()
}

fn at(ms: u64) -> Timestamp {
    Timestamp::new(ms)
}

fn ban(id: &str, where_: Option<&str>, until: Option<u64>) -> Denial {
    let what =
        What::Ban { user: user(id), room: where_.map(room), reason: "spam".parse().unwrap() };
    Denial { what, until: until.map(at) }
}

fn someone(user: &UserId) -> Subject<'_> {
    Subject { user, token_id: None, issued_at: None, guest: false, opened_at: None }
}

fn of(what: What) -> Denials {
    Denials::new([Denial { what, until: Some(at(100)) }]).unwrap()
}

#[test]
fn a_ban_is_for_its_room_or_for_all_until_it_is_over() {
    let (ann, bob) = (user("ann"), user("bob"));
    let denials =
        Denials::new([ban("ann", Some("vase"), Some(100)), ban("bob", None, None)]).unwrap();
    assert!(denials.bans(&ann, &room("vase"), at(99)));
    assert!(!denials.bans(&ann, &room("vase"), at(100)), "it is over");
    assert!(!denials.bans(&ann, &room("lamp"), at(0)));
    assert_eq!(denials.of_session(&someone(&ann), at(0)), None, "there are other rooms");
    assert!(denials.bans(&bob, &room("lamp"), at(u64::MAX)), "for ever");
    let guest = Subject { guest: true, ..someone(&bob) };
    assert_eq!(denials.of_session(&guest, at(0)), Some(Denied::Banned));
}

#[test]
fn a_revoked_token_is_void_and_others_of_its_user_are_not() {
    let denials = of(What::Token { token: "t:1".parse().unwrap() });
    let ann = user("ann");
    let with = |token_id| Subject { token_id: Some(token_id), ..someone(&ann) };
    assert_eq!(denials.of_session(&with("t:1"), at(99)), Some(Denied::Revoked));
    assert_eq!(denials.of_session(&with("t:1"), at(100)), None);
    assert_eq!(denials.of_session(&with("t"), at(0)), None);
    assert_eq!(denials.of_session(&with(&"t".repeat(300)), at(0)), None);
    assert_eq!(denials.of_session(&someone(&ann), at(0)), None);
}

#[test]
fn a_revoked_user_needs_a_token_of_a_later_time_and_a_guest_needs_none() {
    let ann = user("ann");
    let denials = of(What::User { user: ann.clone(), issued_before: at(50) });
    let issued = |ms: Option<u64>| Subject { issued_at: ms.map(at), ..someone(&ann) };
    assert_eq!(denials.of_session(&issued(Some(49)), at(60)), Some(Denied::Revoked));
    assert_eq!(denials.of_session(&issued(Some(50)), at(60)), None);
    assert_eq!(denials.of_session(&issued(None), at(60)), Some(Denied::Revoked));
    assert_eq!(denials.of_session(&issued(None), at(100)), None);
    let guest = Subject { guest: true, ..issued(None) };
    assert_eq!(denials.of_session(&guest, at(60)), None);
}

#[test]
fn a_kick_ends_what_is_open_and_nothing_that_is_opened_later() {
    let ann = user("ann");
    let denials = of(What::Kick { user: ann.clone(), opened_before: at(50) });
    let opened = |ms: Option<u64>| Subject { opened_at: ms.map(at), ..someone(&ann) };
    assert_eq!(denials.of_session(&opened(Some(49)), at(60)), Some(Denied::Kicked));
    assert_eq!(denials.of_session(&opened(Some(50)), at(60)), None);
    assert_eq!(denials.of_session(&opened(None), at(60)), None);
    assert_eq!(denials.of_session(&opened(Some(49)), at(100)), None);
}

#[test]
fn what_is_put_twice_is_replaced_and_what_is_over_is_pruned() {
    let mut denials = Denials::default();
    assert_eq!(denials.put(ban("ann", None, Some(10))), Ok(None));
    assert_eq!(denials.put(ban("ann", Some("vase"), Some(20))), Ok(None));
    assert_eq!(denials.put(ban("ann", None, None)), Ok(Some(ban("ann", None, Some(10)))));
    assert_eq!(denials.len(), 2);
    denials.prune(at(20));
    assert_eq!(denials, Denials::new([ban("ann", None, None)]).unwrap());
    assert!(denials.remove(&Key::Ban(user("ann"), None)).is_some());
    assert!(denials.is_empty());
    assert!(denials.remove(&Key::Ban(user("ann"), None)).is_none());
}

#[test]
fn there_are_only_so_many() {
    let each = (0..DENIALS_MAX).map(|n| ban(&n.to_string(), None, None));
    let mut denials = Denials::new(each).unwrap();
    assert_eq!(denials.put(ban("one-more", None, None)), Err(TooMany));
    let replaced = denials.put(ban("7", None, Some(1)));
    assert_eq!(replaced, Ok(Some(ban("7", None, None))), "takes no place of its own");
    let more = denials.iter(None).cloned().chain([ban("one-more", None, None)]);
    let error = Denials::new(more).unwrap_err();
    assert_eq!(error.field, "denials[5000]");
}

#[test]
fn a_fault_is_told_with_its_field() {
    let good = wire::Denials::from(&Denials::new([ban("ann", Some("vase"), Some(9))]).unwrap());
    let refused = |edit: &dyn Fn(&mut wire::Denials)| {
        let mut wrong = good.clone();
        edit(&mut wrong);
        let ConvertError { field, message } = Denials::try_from(wrong).unwrap_err();
        format!("{field}: {message}")
    };
    let double = refused(&|wrong| wrong.denials.push(wrong.denials[0].clone()));
    assert_eq!(double, "denials[1]: ban:ann:vase is there twice");
    assert_eq!(refused(&|wrong| wrong.denials[0].what = None), "denials[0].what: is missing");
    let with = |ban: wire::Ban| {
        refused(&move |wrong| {
            wrong.denials[0].what = Some(wire::denial::What::Ban(ban.clone()));
        })
    };
    let right =
        wire::Ban { user_id: "ann".to_owned(), room_id: String::new(), reason: String::new() };
    let wrong = with(wire::Ban { user_id: String::new(), ..right.clone() });
    assert!(wrong.starts_with("denials[0].ban.user_id: an id is"), "{wrong}");
    let wrong = with(wire::Ban { room_id: "a b".to_owned(), ..right.clone() });
    assert!(wrong.starts_with("denials[0].ban.room_id: an id is"), "{wrong}");
    let wrong = with(wire::Ban { reason: "a\nb".to_owned(), ..right });
    let must = "must be 0 to 256 bytes without control characters";
    assert_eq!(wrong, format!("denials[0].ban.reason: {must}"));
    assert_eq!("".parse::<TokenId>().unwrap_err().to_string(), must.replacen('0', "1", 1));
    assert!("t".repeat(257).parse::<TokenId>().is_err());
}

#[test]
fn a_text_that_is_no_key_is_refused() {
    for bad in ["", "ban", "ban:", "ban:a b", "ban:a:", "ban:a:b:c", "token:", "user:a:b", "x:a"] {
        assert_eq!(bad.parse::<Key>(), Err(KeyError), "{bad}");
    }
}

fn denial() -> impl Strategy<Value = Denial> {
    let ids = prop_oneof![Just("ann"), Just("bob")];
    let rooms = option::of(prop_oneof![Just("vase"), Just("lamp")]);
    let tokens = prop_oneof![Just("t"), Just("t:1:")];
    (0..4, ids, rooms, tokens, 0..6_u64, option::of(1..6_u64)).prop_map(
        |(kind, id, place, token, before, until)| {
            let (user, before) = (user(id), at(before));
            let what = match kind {
                0 => What::Ban { user, room: place.map(room), reason: token.parse().unwrap() },
                1 => What::Token { token: token.parse().unwrap() },
                2 => What::User { user, issued_before: before },
                _ => What::Kick { user, opened_before: before },
            };
            Denial { what, until: until.map(at) }
        },
    )
}

/// The same by looking at each, as the text of the wire messages has it.
fn model(denials: &[Denial], who: &Subject<'_>, now: u64) -> Option<Denied> {
    let lasting = denials.iter().filter(|one| one.until.is_none_or(|until| until > at(now)));
    let whats: Vec<_> = lasting.map(|one| one.what.clone()).collect();
    let any = |what: &dyn Fn(&What) -> bool| whats.iter().any(what);
    let me = |user: &UserId| user == who.user;
    if any(&|what| matches!(what, What::Ban { user, room: None, .. } if me(user))) {
        return Some(Denied::Banned);
    }
    let by_id = |what: &What| matches!(what, What::Token { token } if Some(token.to_string().as_str()) == who.token_id);
    let by_age = |what: &What| matches!(what, What::User { user, issued_before } if me(user) && who.issued_at.unwrap_or(at(0)) < *issued_before);
    if !who.guest && (any(&by_id) || any(&by_age)) {
        return Some(Denied::Revoked);
    }
    let kick = |what: &What| matches!(what, What::Kick { user, opened_before } if me(user) && who.opened_at.is_some_and(|opened| opened < *opened_before));
    any(&kick).then_some(Denied::Kicked)
}

proptest! {
    #[test]
    fn whoever_is_asked_for_gets_what_the_list_says(
        list in vec(denial(), 0..12),
        id in prop_oneof![Just("ann"), Just("bob"), Just("eve")],
        token_id in option::of(prop_oneof![Just("t"), Just("t:1:"), Just("")]),
        times in (option::of(0..6_u64), option::of(0..6_u64), 0..6_u64),
        guest in any::<bool>(),
    ) {
        let mut denials = Denials::default();
        let mut kept: Vec<Denial> = Vec::new();
        for one in list {
            kept.retain(|held| held.key() != one.key());
            kept.push(one.clone());
            denials.put(one).unwrap();
        }
        let user = user(id);
        let (issued_at, opened_at, now) = times;
        let (issued_at, opened_at) = (issued_at.map(at), opened_at.map(at));
        let who = Subject { user: &user, token_id, issued_at, guest, opened_at };
        prop_assert_eq!(denials.of_session(&who, at(now)), model(&kept, &who, now));
        for place in ["vase", "lamp"] {
            let banned = kept.iter().filter(|one| one.until.is_none_or(|until| until > at(now))).any(|one| {
                matches!(&one.what, What::Ban { user: whom, room: of, .. }
                    if *whom == user && of.as_ref().is_none_or(|of| of.as_ref() == place))
            });
            prop_assert_eq!(denials.bans(&user, &room(place), at(now)), banned);
        }

        // By the wire and by the store it stays what it is, and pages find every one.
        let wire = wire::Denials::from(&denials);
        prop_assert_eq!(Denials::try_from(wire), Ok(denials.clone()));
        let mut paged = Vec::new();
        while let Some(next) = denials.iter(paged.last().map(Denial::key).as_ref()).next() {
            let key = next.key();
            prop_assert_eq!(key.to_string().parse(), Ok(key));
            paged.push(next.clone());
        }
        prop_assert_eq!(Denials::new(paged), Ok(denials.clone()));
        let mut pruned = denials.clone();
        pruned.prune(at(now));
        prop_assert_eq!(pruned.of_session(&who, at(now)), denials.of_session(&who, at(now)));
        prop_assert!(pruned.iter(None).all(|one| one.lasts(at(now))));
    }
}

//! Whatever leaves comes back the same; whatever is wrong is named.

use super::*;
use crate::{common::v1 as common, fleet::v1 as fleet, relay::v1 as relay};
use gavel_rules::{
    auction::{
        Accepted, AuctionRules, AuctionState, Band, Bid, Extension, ExtensionMode, GuestAccess,
        IncrementTable, OutageCredit, Outcome, RejectReason, Rejected, Verdict, View,
    },
    id::{BidId, RoomId, UserId},
    order::{Epoch, Generation, Seq, Version},
    time::{Millis, Timestamp},
};
use proptest::{collection::vec, option, prelude::*, sample::select};

const REASONS: [RejectReason; 12] = [
    RejectReason::TooLow,
    RejectReason::Closed,
    RejectReason::Paused,
    RejectReason::NotOpen,
    RejectReason::OwnBid,
    RejectReason::InvalidAmount,
    RejectReason::Seller,
    RejectReason::TooManyBids,
    RejectReason::RateLimited,
    RejectReason::Forbidden,
    RejectReason::UnknownRoom,
    RejectReason::Unavailable,
];

fn money() -> impl Strategy<Value = Amount> {
    (0..=(1_u64 << 53) - 1).prop_map(|minor| Amount::new(minor).unwrap())
}

fn user() -> impl Strategy<Value = UserId> {
    "[A-Za-z0-9_-]{1,64}".prop_map(|id| id.parse().unwrap())
}

fn room() -> impl Strategy<Value = RoomId> {
    "[A-Za-z0-9_-]{1,64}".prop_map(|id| id.parse().unwrap())
}

fn bid_id() -> impl Strategy<Value = BidId> {
    "[A-Za-z0-9_-]{1,64}".prop_map(|id| id.parse().unwrap())
}

fn time() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp::new)
}

fn access() -> impl Strategy<Value = GuestAccess> {
    select(vec![GuestAccess::None, GuestAccess::View, GuestAccess::Bid])
}

fn increments() -> impl Strategy<Value = IncrementTable> {
    vec((1_u64..100_000, 1_u64..5_000), 1..6).prop_map(|rows| {
        let mut from = 0;
        let mut bands = Vec::new();
        for (width, step) in rows {
            let (at, step) = (Amount::new(from).unwrap(), Amount::new(step).unwrap());
            bands.push(Band { from: at, step });
            from += width;
        }
        IncrementTable::new(bands).unwrap()
    })
}

fn extension() -> impl Strategy<Value = Extension> {
    let mode = select(vec![ExtensionMode::Add, ExtensionMode::ResetTo]);
    (mode, 20_000_u64..60_000, 60_000_u64..120_000, 1_u32..100).prop_map(
        |(mode, window, by, extensions_max)| Extension {
            mode,
            window: Millis::new(window),
            by: Millis::new(by),
            extensions_max,
        },
    )
}

fn rules() -> impl Strategy<Value = AuctionRules> {
    let price = (1_u64..1_000_000, option::of(1_000_000_u64..2_000_000));
    let span = (1_u64..1 << 40, 600_000_u64..86_400_000);
    let credit = (2_000_u64..9_000, 9_000_u64..90_000);
    let more = (option::of(user()), option::of(1_000_u64..9_000), option::of(credit));
    let rest = (option::of(extension()), access(), more);
    ("[A-Za-z ]{0,40}x", increments(), price, span, rest).prop_map(
        |(title, increments, price, span, (extension, guests, (seller, reopen, credit)))| {
            AuctionRules {
                title,
                currency: "EUR".to_owned(),
                opening_price: Amount::new(price.0).unwrap(),
                increments,
                reserve: price.1.map(|minor| Amount::new(minor).unwrap()),
                opens_at: Timestamp::new(span.0),
                closes_at: Timestamp::new(span.0 + span.1),
                extension,
                guests,
                seller,
                reopen_after: reopen.map(Millis::new),
                outage_credit: credit.map(|(from, total_max)| OutageCredit {
                    from: Millis::new(from),
                    total_max: Millis::new(total_max),
                }),
            }
        },
    )
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        (user(), money()).prop_map(|(winner, amount)| Outcome::Sold { winner, amount }),
        Just(Outcome::ReserveNotMet),
        Just(Outcome::NoBids),
    ]
}

fn view() -> impl Strategy<Value = View> {
    let state = select(vec![
        AuctionState::Scheduled,
        AuctionState::Open,
        AuctionState::Paused,
        AuctionState::Closed,
    ]);
    let words = ("[a-z ]{0,20}", "[A-Z]{3}");
    let bids = (money(), option::of(user()), any::<u64>(), money(), option::of(any::<bool>()));
    let rest = (time(), time(), any::<u32>(), any::<u64>(), any::<u32>(), any::<u64>());
    (state, words, bids, rest, access(), option::of(outcome())).prop_map(
        |(state, (title, currency), bids, rest, guests, outcome)| View {
            state,
            title,
            currency,
            price: bids.0,
            high_bidder: bids.1,
            bid_count: bids.2,
            minimum: bids.3,
            reserve_met: bids.4,
            opens_at: rest.0,
            closes_at: rest.1,
            extensions: rest.2,
            seq: Seq::new(rest.3),
            round: rest.4,
            credited: Millis::new(rest.5),
            guests,
            outcome,
        },
    )
}

fn accepted() -> impl Strategy<Value = Accepted> {
    (bid_id(), user(), money(), any::<u64>(), time(), money()).prop_map(
        |(bid_id, bidder, amount, seq, at, minimum_next)| Accepted {
            bid_id,
            bidder,
            amount,
            seq: Seq::new(seq),
            at,
            minimum_next,
        },
    )
}

fn rejected() -> impl Strategy<Value = Rejected> {
    let rest = (any::<u64>(), time(), option::of(any::<u64>()));
    (bid_id(), select(REASONS.to_vec()), money(), money(), rest).prop_map(
        |(bid_id, reason, current, minimum, (seq, at, retry))| Rejected {
            bid_id,
            reason,
            current,
            minimum,
            seq: Seq::new(seq),
            at,
            retry_after: retry.map(Millis::new),
        },
    )
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![accepted().prop_map(Verdict::Accepted), rejected().prop_map(Verdict::Rejected)]
}

fn relayed() -> impl Strategy<Value = RelayedBid> {
    let versions = (any::<u64>(), any::<u64>());
    (any::<u64>(), room(), (user(), bid_id(), money()), versions, any::<bool>(), "[0-9a-f-]{0,55}")
        .prop_map(|(token, room, (bidder, bid_id, amount), versions, guest, traceparent)| {
            let (flags, limits) = (Version::new(versions.0), Version::new(versions.1));
            let bid = Bid { bidder, bid_id, amount, flags, limits };
            let limited = guest.then(|| Millis::new(versions.0));
            RelayedBid { token, room, bid, guest, limited, traceparent }
        })
}

proptest! {
    #[test]
    fn rules_come_back(rules in rules()) {
        let wire = common::AuctionRules::from(rules.clone());
        prop_assert_eq!(AuctionRules::try_from(wire), Ok(rules));
    }

    #[test]
    fn a_view_comes_back(view in view()) {
        let wire = common::View::from(view.clone());
        prop_assert_eq!(View::try_from(wire), Ok(view));
    }

    #[test]
    fn an_answer_comes_back(token: u64, verdict in verdict()) {
        let answer = RelayedAnswer { token, verdict, durability: "memory".to_owned() };
        let wire = relay::BidAnswer::from(answer.clone());
        prop_assert_eq!(RelayedAnswer::try_from(wire), Ok(answer));
    }

    #[test]
    fn a_bid_comes_back(bid in relayed()) {
        let wire = relay::PlaceBid::from(bid.clone());
        prop_assert_eq!(RelayedBid::try_from(wire), Ok(bid));
    }

    #[test]
    fn a_snapshot_and_an_update_come_back(
        room in room(), epoch: u64, generation: u64, view in view(), before in vec(view(), 0..3),
        traceparents in vec("[0-9a-f-]{0,55}", 0..3),
    ) {
        let (epoch, generation) = (Epoch::new(epoch), Generation::new(generation));
        let update = RoomUpdate { room: room.clone(), epoch, view: view.clone(), traceparents };
        let wire = relay::Update::from(update.clone());
        prop_assert_eq!(RoomUpdate::try_from(wire), Ok(update));
        let snapshot = RoomSnapshot { room, epoch, generation, view, before };
        let wire = relay::Snapshot::from(snapshot.clone());
        prop_assert_eq!(RoomSnapshot::try_from(wire), Ok(snapshot));
    }

    #[test]
    fn an_assignment_comes_back(
        room in room(), epoch: u64, owner in option::of("[A-Za-z0-9_-]{1,64}"),
        rules in option::of(rules()),
    ) {
        let epoch = Epoch::new(epoch);
        let owner = owner.map(|id| id.parse().unwrap());
        let held = HeldRoom { room: room.clone(), epoch };
        prop_assert_eq!(HeldRoom::try_from(fleet::HeldRoom::from(held.clone())), Ok(held));
        let assigned = AssignedRoom { room, epoch, owner, relay_url: "http://a:1".into(), rules };
        let wire = fleet::Assignment::from(assigned.clone());
        prop_assert_eq!(AssignedRoom::try_from(wire), Ok(assigned));
    }
}

fn some_bid() -> relay::PlaceBid {
    relay::PlaceBid {
        room_id: "r".into(),
        bidder: "u".into(),
        bid_id: "b".into(),
        amount: 1,
        ..Default::default()
    }
}

#[test]
fn a_fault_names_its_field() {
    let field = |wire: relay::PlaceBid| RelayedBid::try_from(wire).unwrap_err().field;
    assert_eq!(field(relay::PlaceBid { room_id: "a b".into(), ..some_bid() }), "room_id");
    assert_eq!(field(relay::PlaceBid { bidder: String::new(), ..some_bid() }), "bidder");
    assert_eq!(field(relay::PlaceBid { bid_id: "x".repeat(65), ..some_bid() }), "bid_id");
    assert_eq!(field(relay::PlaceBid { amount: 1 << 53, ..some_bid() }), "amount");
}

#[test]
fn a_nested_fault_names_its_path() {
    let sold = common::Sold { winner: "?".into(), amount: 1 };
    let kind = Some(common::outcome::Kind::Sold(sold));
    let view = common::View {
        state: common::AuctionState::Closed.into(),
        outcome: Some(common::Outcome { kind }),
        ..Default::default()
    };
    let update = relay::Update { room_id: "r".into(), view: Some(view), ..Default::default() };
    let error = RoomUpdate::try_from(update.clone()).unwrap_err();
    assert_eq!(error.field, "view.outcome.sold.winner");
    let error = RoomUpdate::try_from(relay::Update { view: None, ..update }).unwrap_err();
    assert_eq!(error.to_string(), "view: is missing");
}

#[test]
fn a_rule_that_cannot_be_is_named() {
    let band = |from, step| common::IncrementBand { from, step };
    let good = common::AuctionRules {
        title: "A lamp".into(),
        currency: "EUR".into(),
        opening_price: 100,
        increments: vec![band(0, 10)],
        closes_at: 1,
        ..Default::default()
    };
    assert!(AuctionRules::try_from(good.clone()).is_ok());
    let extension =
        common::Extension { mode: common::ExtensionMode::Add.into(), ..Default::default() };
    let wrong = [
        (common::AuctionRules { closes_at: 0, ..good.clone() }, "closes_at"),
        (common::AuctionRules { title: String::new(), ..good.clone() }, "title"),
        (common::AuctionRules { increments: vec![band(5, 10)], ..good.clone() }, "increments"),
        (common::AuctionRules { extension: Some(extension), ..good }, "extension.by"),
    ];
    for (rules, field) in wrong {
        let error = AuctionRules::try_from(rules.clone()).unwrap_err();
        assert_eq!(error.field, field);
        // Once, and not again within what is wrong.
        assert!(!error.message.contains(field), "{error}");
        let assignment =
            fleet::Assignment { room_id: "r".into(), rules: Some(rules), ..Default::default() };
        assert_eq!(AssignedRoom::try_from(assignment).unwrap_err().field, format!("rules.{field}"));
    }
}

#[test]
fn unknown_enum_values_are_refused() {
    let view = common::View { state: 99, ..Default::default() };
    assert_eq!(View::try_from(view).unwrap_err().to_string(), "state: 99 is not a known value");
    let rejected = common::Rejected { bid_id: "b".into(), ..Default::default() };
    assert_eq!(Rejected::try_from(rejected).unwrap_err().field, "reason");
    assert_eq!(Verdict::try_from(common::Verdict { kind: None }).unwrap_err().field, "kind");
}

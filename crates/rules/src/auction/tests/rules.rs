//! Rules that cannot be.

use super::*;

fn refused_field(rules: AuctionRules) -> &'static str {
    Auction::create(rules, at(0)).expect_err("refused").field
}

#[test]
fn rules_that_cannot_be_are_refused_by_name() {
    let long = Millis::new(30 * 24 * 3_600_000 + 1);
    let reopen_after = Some(long);
    let cases = [
        ("title", AuctionRules { title: "".to_owned(), ..plain() }),
        ("title", AuctionRules { title: "x".repeat(257), ..plain() }),
        ("title", AuctionRules { title: "a\nb".to_owned(), ..plain() }),
        ("currency", AuctionRules { currency: "eur".to_owned(), ..plain() }),
        ("currency", AuctionRules { currency: "EURO".to_owned(), ..plain() }),
        ("opening_price", AuctionRules { opening_price: Amount::ZERO, ..plain() }),
        ("closes_at", AuctionRules { closes_at: at(OPENS), ..plain() }),
        ("extension.by", soft(ExtensionMode::Add, 1, 0, 1)),
        ("extension.by", soft(ExtensionMode::Add, 1, long.get(), 1)),
        ("extension.window", soft(ExtensionMode::Add, long.get(), 1, 1)),
        ("reopen_after", AuctionRules { reopen_after, ..plain() }),
    ];
    for (field, from, total_max) in [
        ("outage_credit.from", 1_999, 9_000),
        ("outage_credit.total_max", 2_000, 1_999),
        ("outage_credit.total_max", 2_000, long.get()),
    ] {
        let (from, total_max) = (Millis::new(from), Millis::new(total_max));
        let outage_credit = Some(OutageCredit { from, total_max });
        assert_eq!(refused_field(AuctionRules { outage_credit, ..plain() }), field);
    }
    for (field, rules) in cases {
        assert_eq!(refused_field(rules), field);
    }
    plain().check().expect("plain rules can be");
}

#[test]
fn increments_begin_at_zero_ascend_and_have_steps() {
    let table = |bands: &[(u64, u64)]| {
        let band = |(from, step): &(u64, u64)| Band { from: cents(*from), step: cents(*step) };
        IncrementTable::new(bands.iter().map(band).collect())
    };
    let many: Vec<_> = (0..65).map(|from| (from, 1)).collect();
    for bad in
        [&[][..], &[(1, 1)], &[(0, 1), (5, 1), (5, 2)], &[(0, 1), (9, 1), (5, 1)], &[(0, 0)], &many]
    {
        assert!(table(bad).is_err(), "{bad:?}");
    }
    let good = table(&[(0, 1), (100, 5)]).expect("a table");
    for (price, step) in [(0, 1), (99, 1), (100, 5), (Amount::MAX.minor(), 5)] {
        assert_eq!(good.step_at(cents(price)), cents(step));
    }
    assert!(serde_json::from_str::<IncrementTable>(r#"[{"from":5,"step":1}]"#).is_err());
}

#[test]
fn an_amount_is_at_most_what_json_holds() {
    assert_eq!(Amount::MAX.minor(), 9_007_199_254_740_991);
    assert!(Amount::new(1 << 53).is_err());
    assert_eq!(Amount::MAX.checked_add(cents(1)), None);
    for bad in ["9007199254740992", "-1", "1.5", "\"1\""] {
        assert!(serde_json::from_str::<Amount>(bad).is_err(), "{bad}");
    }
}

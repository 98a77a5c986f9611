//! Each entry of the lists, and that nothing else is taken.

use super::*;

#[test]
fn each_limit_is_its_own_field() {
    let mut limits = Limits::default();
    for (n, limit) in (1..).zip(LIMITS) {
        assert!(limit.set(&mut limits, n), "{}", limit.name);
    }
    for (n, limit) in (1..).zip(LIMITS) {
        assert_eq!(limit.get(&limits), n, "{}", limit.name);
        assert_eq!(Limit::named(limit.name).unwrap().name, limit.name);
    }
    assert!(!LIMITS[0].set(&mut limits, UNBOUNDED + 1));
    assert!(Limit::named("sockets").is_none());
}

#[test]
fn each_bound_is_held_by_its_name() {
    assert_eq!(check(&defaults()), Ok(()));
    for limit in LIMITS {
        let refused = |value| {
            let mut limits = defaults();
            assert!(limit.set(&mut limits, value));
            check(&limits).err().map(|error| error.field)
        };
        assert_eq!((refused(limit.least), refused(limit.most)), (None, None), "{}", limit.name);
        let beyond = [limit.least.checked_sub(1), Some(limit.most + 1)];
        for value in beyond.into_iter().flatten().filter(|value| *value <= UNBOUNDED) {
            assert_eq!(refused(value), Some(limit.name), "{value}");
        }
    }
    let limits = Limits { batch_messages_max: 0, ..defaults() };
    let error = check(&limits).unwrap_err();
    assert_eq!(error.to_string(), "batch_messages_max: 0 is not within 1 to 256");
}
#[test]
fn each_action_is_its_own_field_and_takes_only_its_own_words() {
    for action in ACTIONS {
        assert!(Limit::named(action.limit).is_some(), "{}", action.name);
        let mut limits = defaults();
        assert_eq!(action.get(&limits), action.default);
        for other in action.others {
            set(&mut limits, action.name, &Value::Word(word(*other).to_owned())).unwrap();
            assert_eq!((action.get(&limits), check(&limits)), (*other, Ok(())), "{}", action.name);
            let changed = ACTIONS.iter().filter(|one| one.get(&limits) != one.default);
            assert_eq!(changed.count(), 1, "{}", action.name);
            assert_eq!(from_values(&values(&limits)), Ok(limits));
        }
        for wrong in [Value::Word("drop".to_owned()), Value::Word(String::new()), Value::Number(1)]
        {
            let error = set(&mut limits, action.name, &wrong).unwrap_err();
            assert_eq!(error.field, action.name, "{wrong:?}");
        }
    }
}

#[test]
fn an_action_that_the_limit_cannot_have_is_refused_by_its_name() {
    let shed = LimitAction::Shed.into();
    let limits = Limits { handshakes_per_ip_action: shed, ..defaults() };
    let error = check(&limits).unwrap_err();
    assert_eq!(error.to_string(), "handshakes_per_ip_action: shed is not one of refuse, dry_run");
    let limits = Limits { bids_per_user_action: 9, ..defaults() };
    assert_eq!(check(&limits).unwrap_err().to_string(), "bids_per_user_action: 9 is no action");
    // Whoever does not know of actions leaves them as they are by default.
    let unspecified = Limits { sockets_per_ip_action: 0, ..defaults() };
    assert_eq!(check(&unspecified), Ok(()));
    assert_eq!(values(&unspecified), values(&defaults()));
}

#[test]
fn a_value_of_the_wrong_kind_is_named() {
    let word = Value::Word("many".to_owned());
    let error = set(&mut defaults(), "bids_per_user_max", &word).unwrap_err();
    assert_eq!(error.to_string(), "bids_per_user_max: \"many\" is not a whole number");
    let error = set(&mut defaults(), "bids", &word).unwrap_err();
    assert_eq!(error.to_string(), "limits: there is no \"bids\"");
}

//! Any record, swapped and put back.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

fn alias() -> impl Strategy<Value = Alias> {
    ("[a-c]\\.elb\\.example", "Z[1-3]", any::<bool>()).prop_map(
        |(name, zone, evaluate_target_health)| Alias { name, zone, evaluate_target_health },
    )
}

/// What a whole record says: values with a TTL or an alias, and one way of routing.
fn record() -> impl Strategy<Value = State> {
    let values = (vec("192\\.0\\.2\\.[0-9]", 1..4), 0..300_i64).prop_map(|(values, ttl)| State {
        values: Some(values),
        ttl: Some(ttl),
        ..State::default()
    });
    let aliased = alias().prop_map(|alias| State { alias: Some(alias), ..State::default() });
    let role = prop_oneof![Just(Role::Primary), Just(Role::Secondary)];
    let routing = prop_oneof![
        Just(State::default()),
        (0..=255_i64).prop_map(|w| State { weight: Some(w), ..State::default() }),
        role.prop_map(|r| State { failover: Some(r), ..State::default() }),
        "(us-east-1|us-west-2)".prop_map(|r| State { region: Some(r), ..State::default() }),
        Just(State { multivalue: Some(true), ..State::default() }),
    ];
    let health = option::of("hc-[1-3]");
    (prop_oneof![values, aliased], routing, health).prop_map(|(target, routing, health_check)| {
        State { health_check, ..target.with(&routing) }.normal("A")
    })
}

/// A part of `whole`: the fields that the mask keeps.
fn part(whole: &State, mask: u8) -> State {
    let kept = |bit: u8| mask & (1 << bit) != 0;
    let mut part = whole.clone();
    if !kept(0) {
        part.values = None;
        part.alias = None;
        part.ttl = None;
    }
    if !kept(1) {
        part.weight = None;
        part.failover = None;
        part.region = None;
        part.multivalue = None;
    }
    if !kept(2) {
        part.health_check = None;
    }
    part
}

/// As Route 53 may spell the same record.
fn respelt(state: &State) -> State {
    let mut other = state.clone();
    if let Some(values) = &mut other.values {
        values.reverse();
        let first = values[0].clone();
        values.push(first);
    }
    if let Some(alias) = &mut other.alias {
        alias.name = format!("{}.", alias.name.to_uppercase());
    }
    other
}

fn is_whole(state: &State) -> bool {
    match (&state.values, &state.alias) {
        (Some(_), None) => state.ttl.is_some(),
        (None, Some(_)) => state.ttl.is_none(),
        _ => false,
    }
}

proptest! {
    #[test]
    fn twice_is_once_and_back_is_back(
        mut from in record(),
        to in record(),
        mask in 1..8_u8,
    ) {
        // The same way of routing, and health checks on both sides or none: what `to` sets, `from`
        // names, which the arguments are held to.
        let mut to = to;
        to.weight = from.weight.map(|w| 255 - w);
        to.failover = from.failover;
        to.region = from.region.clone();
        to.multivalue = from.multivalue;
        if from.health_check.is_none() || to.health_check.is_none() {
            from.health_check = None;
            to.health_check = None;
        }
        let (old, new) = (part(&from, mask), part(&to, mask));
        prop_assume!(!from.has(&new));
        let changed = match diff(Some(&from), &new, Some(&old)) {
            Change::Set(state) => state,
            other => panic!("{other:?}"),
        };
        prop_assert!(is_whole(&changed), "{changed}");
        prop_assert!(changed.has(&new), "{changed} lacks {new}");
        // What the part does not name stays.
        for bit in 0..3 {
            let others = if bit == 0 { part(&from, 1) } else { part(&from, 1 << bit) };
            if mask & (1 << bit) == 0 {
                prop_assert!(changed.has(&others), "{changed} lost {others}");
            }
        }
        prop_assert_eq!(diff(Some(&changed), &new, Some(&old)), Change::Nothing);
        prop_assert_eq!(undo(Some(&changed), &new, Some(&old)), Undo::Set(from.clone()));
        prop_assert_eq!(undo(Some(&from), &new, Some(&old)), Undo::Nothing);
    }

    #[test]
    fn spelling_is_no_difference(state in record()) {
        let other = respelt(&state).normal("A");
        prop_assert_eq!(&other, &state);
        prop_assert!(state.has(&other));
    }

    #[test]
    fn what_somebody_else_set_is_refused_and_named(
        now in record(),
        from in record(),
        to in record(),
    ) {
        prop_assume!(!now.has(&from) && !now.has(&to));
        let Change::Refused(why) = diff(Some(&now), &to, Some(&from)) else { panic!() };
        prop_assert!(why.contains(&now.to_string()), "{}", why);
        prop_assert!(matches!(undo(Some(&now), &to, Some(&from)), Undo::Refused(_)));
    }

    #[test]
    fn a_new_record_is_made_once_and_deleted_again(state in record(), other in record()) {
        prop_assert_eq!(diff(None, &state, None), Change::Create(state.clone()));
        prop_assert_eq!(diff(Some(&state), &state, None), Change::Nothing);
        prop_assert_eq!(undo(Some(&state), &state, None), Undo::Delete);
        prop_assert_eq!(undo(None, &state, None), Undo::Nothing);
        if !other.has(&state) {
            prop_assert!(matches!(diff(Some(&other), &state, None), Change::Refused(_)));
            prop_assert!(matches!(undo(Some(&other), &state, None), Undo::Refused(_)));
        }
        prop_assert!(matches!(diff(None, &state, Some(&other)), Change::Refused(_)));
    }
}

#[test]
fn names_are_compared_without_case_dot_and_escape() {
    assert_eq!(name("\\052.PetForce.example."), "*.petforce.example");
    let cname = |value: &str| State { values: Some(vec![value.into()]), ..State::default() };
    assert_eq!(cname("East.Example.").normal("CNAME"), cname("east.example"));
    // The text of a TXT record is itself.
    assert_eq!(cname("\"A.\"").normal("TXT"), cname("\"A.\""));
    assert_eq!(cname("2001:DB8::0:1").normal("AAAA"), cname("2001:db8::1"));
}

use super::*;
use crate::config::broker;
use proptest::prelude::*;

fn broker_with(pairs: &[(&str, &str)]) -> BrokerConfig {
    BrokerConfig::from_pairs(pairs.iter().copied()).unwrap()
}

fn overrides(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

#[test]
fn every_setting_has_one_default_and_bounds_that_exist() {
    for key in keys() {
        assert!(key.synonyms.is_empty() != key.default.is_none(), "{}", key.name);
        for synonym in key.synonyms {
            assert_eq!(broker::key(synonym.name).map(|inherited| inherited.kind), Some(key.kind), "{}", key.name);
        }
    }
    let config = broker_with(&[]);
    for (name, min, max) in BOUNDS {
        let default = inherited(&config, name).unwrap();
        let least = min.map_or(0, |min| number(&config, min).unwrap());
        assert!((least..=number(&config, max).unwrap()).contains(&default), "{name}");
    }
}

/// Every name of `GroupConfig.CONFIG_DEF` in Kafka 4.3.1.
#[test]
fn kafkas_names() {
    let names = "consumer.assignment.interval.ms consumer.heartbeat.interval.ms consumer.session.timeout.ms \
        share.assignment.interval.ms share.auto.offset.reset share.delivery.count.limit share.heartbeat.interval.ms \
        share.isolation.level share.partition.max.record.locks share.record.lock.duration.ms \
        share.renew.acknowledge.enable share.session.timeout.ms streams.assignment.interval.ms \
        streams.heartbeat.interval.ms streams.initial.rebalance.delay.ms streams.num.standby.replicas \
        streams.session.timeout.ms";
    assert_eq!(keys().map(|key| key.name).collect::<Vec<_>>(), names.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn what_a_group_may_have() {
    for (broker, own) in [
        (&[][..], &[][..]),
        (&[], &[("consumer.session.timeout.ms", "45000"), ("consumer.heartbeat.interval.ms", " 15000 ")]),
        (&[], &[("consumer.session.timeout.ms", "60000"), ("consumer.heartbeat.interval.ms", "5000")]),
        (&[], &[("consumer.assignment.interval.ms", "0"), ("streams.initial.rebalance.delay.ms", "2147483647")]),
        (&[], &[("share.auto.offset.reset", "by_duration:PT1H"), ("share.isolation.level", "read_committed")]),
        (&[], &[("share.renew.acknowledge.enable", "FALSE"), ("streams.num.standby.replicas", "2")]),
        (&[("group.consumer.min.session.timeout.ms", "1")], &[("consumer.session.timeout.ms", "5001")]),
        // Only what is the group's own is looked at.
        (&[("group.share.heartbeat.interval.ms", "1")], &[("consumer.session.timeout.ms", "50000")]),
    ] {
        assert_eq!(validate(&broker_with(broker), &overrides(own)), Ok(()), "{own:?}");
    }
}

#[test]
fn what_a_group_may_not_have() {
    for (broker, own, text) in [
        (&[][..], &[("retention.ms", "1")][..], "Unknown group config name: retention.ms"),
        // Names go before values.
        (&[], &[("consumer.session.timeout.ms", "x"), ("no.such.key", "1")], "Unknown group config name: no.such.key"),
        (&[], &[("consumer.session.timeout.ms", "x")], "Not a number of type INT"),
        (&[], &[("consumer.heartbeat.interval.ms", "0")], "Value must be at least 1"),
        (&[], &[("share.isolation.level", "serializable")], "String must be one of: read_committed, read_uncommitted"),
        (&[], &[("share.auto.offset.reset", "none")], "Expected earliest, latest or by_duration:<PnDTnHnMn.nS>"),
        (
            &[],
            &[("consumer.heartbeat.interval.ms", "4999")],
            "consumer.heartbeat.interval.ms must be greater than or equal to group.consumer.min.heartbeat.interval.ms, \
             which is 5000; 4999 is not",
        ),
        (
            &[],
            &[("consumer.heartbeat.interval.ms", "15001")],
            "consumer.heartbeat.interval.ms must be less than or equal to group.consumer.max.heartbeat.interval.ms, \
             which is 15000; 15001 is not",
        ),
        (&[], &[("consumer.session.timeout.ms", "44999")], "group.consumer.min.session.timeout.ms, which is 45000"),
        (&[], &[("consumer.session.timeout.ms", "60001")], "group.consumer.max.session.timeout.ms, which is 60000"),
        (&[], &[("streams.num.standby.replicas", "3")], "group.streams.max.standby.replicas, which is 2"),
        (&[], &[("share.delivery.count.limit", "11")], "group.share.max.delivery.count.limit, which is 10"),
        (
            &[("group.consumer.min.session.timeout.ms", "1")],
            &[("consumer.session.timeout.ms", "5000")],
            "consumer.session.timeout.ms (5000) must be greater than consumer.heartbeat.interval.ms (5000)",
        ),
        (
            &[("group.streams.max.heartbeat.interval.ms", "50000")],
            &[("streams.heartbeat.interval.ms", "45001")],
            "streams.session.timeout.ms (45000) must be greater than streams.heartbeat.interval.ms (45001)",
        ),
    ] {
        let error = validate(&broker_with(broker), &overrides(own)).unwrap_err();
        assert!(error.message.contains(text), "{}", error.message);
    }
}

#[test]
fn a_value_that_the_broker_no_longer_allows_acts_as_the_nearest_that_it_allows() {
    let bounded = broker_with(&[
        ("group.consumer.min.session.timeout.ms", "20000"),
        ("group.consumer.session.timeout.ms", "30000"),
        ("group.consumer.max.session.timeout.ms", "30000"),
    ]);
    for (own, acts) in [("1", 20_000), ("20000", 20_000), (" 25000", 25_000), ("30000", 30_000), ("2147483647", 30_000)]
    {
        let own = overrides(&[(CONSUMER_SESSION_TIMEOUT_MS, own)]);
        assert_eq!(own_number(&bounded, &own, CONSUMER_SESSION_TIMEOUT_MS), Some(acts));
        assert_eq!(own_number(&bounded, &own, CONSUMER_HEARTBEAT_INTERVAL_MS), None);
    }
    let unbounded = overrides(&[("streams.initial.rebalance.delay.ms", "9")]);
    assert_eq!(own_number(&bounded, &unbounded, "streams.initial.rebalance.delay.ms"), Some(9));
}

#[test]
fn durations_are_javas() {
    for (text, length) in [
        ("PT0S", Some(0)),
        ("P1D", Some(86_400)),
        ("p1dt2h3m4s", Some(93_784)),
        ("PT-1H61M", Some(60)),
        ("-PT-2S", Some(2)),
        ("+P-1DT24H", Some(0)),
        ("-PT1S", Some(-1)),
        ("PT9223372036854775807S", Some(i128::from(i64::MAX))),
        ("PT9223372036854775807H", None),
        ("PT9223372036854775808S", None),
        ("P", None),
        ("PT", None),
        ("P1DT", None),
        ("1D", None),
        ("P1H", None),
        ("PT1M1H", None),
        ("PT1", None),
        ("P1W", None),
        ("PT1.0000000001S", None),
        ("PT1.x5S", None),
        ("PT.5S", None),
        ("", None),
        ("ä", None),
    ] {
        assert_eq!(nanoseconds(text), length.map(|seconds| seconds * 1_000_000_000), "{text}");
    }
    for (text, length) in [("PT1.5S", 1_500_000_000), ("PT-0.000000001S", -1), ("PT1,S", 1_000_000_000)] {
        assert_eq!(nanoseconds(text), Some(length), "{text}");
    }
    for (value, taken) in [
        ("earliest", true),
        ("latest", true),
        ("by_duration:PT0.5S", true),
        ("by_duration:PT-0.5S", false),
        ("by_duration:-P1D", false),
        ("by_duration:", false),
        ("by_duration", false),
        ("none", false),
        ("Earliest", false),
        ("", false),
    ] {
        assert_eq!(is_offset_reset(value), taken, "{value}");
    }
}

#[test]
fn what_does_not_act() {
    let own = overrides(&[("consumer.session.timeout.ms", "50000"), ("share.session.timeout.ms", "50000")]);
    assert_eq!(not_acting(&own), ["share.session.timeout.ms"]);
}

proptest! {
    /// What is taken lies within the bounds and is what acts.
    #[test]
    fn any_value_is_taken_or_refused(index in 0usize..17, value in "[-+PTDHMS0-9.]{0,12}|[0-9]{1,6}") {
        let config = broker_with(&[]);
        let name = keys().nth(index).unwrap().name;
        let own = overrides(&[(name, &value)]);
        let acts = own_number(&config, &own, name);
        if validate(&config, &own).is_ok() && BOUNDS.iter().any(|(bounded, ..)| *bounded == name) {
            prop_assert_eq!(acts, value.parse().ok());
        }
    }
}

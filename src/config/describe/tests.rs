use super::*;
use std::collections::BTreeMap;

fn config(pairs: &[(&str, &str)]) -> BrokerConfig {
    BrokerConfig::from_pairs(pairs.iter().copied()).unwrap()
}

fn find(all: Vec<Described>, name: &str) -> Described {
    all.into_iter().find(|one| one.name == name).unwrap_or_else(|| panic!("{name} is not described"))
}

fn broker_entry(pairs: &[(&str, &str)], name: &str) -> Described {
    find(describe_broker(&config(pairs)), name)
}

fn topic_entry(pairs: &[(&str, &str)], overrides: &[(&str, &str)], name: &str) -> Described {
    let overrides = overrides.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    find(describe_topic(&config(pairs), &overrides).unwrap(), name)
}

/// Synonyms as kafka-configs prints them.
fn synonyms(described: &Described) -> Vec<String> {
    let word = |source| match source {
        Source::DynamicTopic => "TOPIC",
        Source::DynamicGroup => "GROUP",
        Source::DynamicBroker => "DYNAMIC",
        Source::StaticBroker => "STATIC",
        Source::Default => "DEFAULT",
    };
    let one = |synonym: &SynonymValue| {
        format!("{}:{}={}", word(synonym.source), synonym.name, synonym.value.as_deref().unwrap_or("null"))
    };
    described.synonyms.iter().map(one).collect()
}

#[test]
fn sources_and_synonyms_of_the_broker() {
    for (pairs, name, value, source, listed) in [
        (&[][..], "num.partitions", Some("1"), Source::Default, &["DEFAULT:num.partitions=1"][..]),
        (
            &[("num.partitions", "3")],
            "num.partitions",
            Some("3"),
            Source::StaticBroker,
            &["STATIC:num.partitions=3", "DEFAULT:num.partitions=1"],
        ),
        (&[], "log.retention.ms", None, Source::Default, &[]),
        (&[("log.retention.hours", "1")], "log.retention.ms", None, Source::Default, &[]),
        (
            &[("log.retention.hours", "1"), ("log.retention.ms", "5")],
            "log.retention.ms",
            Some("5"),
            Source::StaticBroker,
            &["STATIC:log.retention.ms=5", "STATIC:log.retention.hours=1", "DEFAULT:log.retention.hours=168"],
        ),
        (
            &[("log.retention.ms", "5")],
            "log.retention.hours",
            Some("168"),
            Source::Default,
            &["DEFAULT:log.retention.hours=168"],
        ),
        (
            &[("log.flush.interval.ms", "5")],
            "log.flush.scheduler.interval.ms",
            Some("9223372036854775807"),
            Source::Default,
            &["DEFAULT:log.flush.scheduler.interval.ms=9223372036854775807"],
        ),
        (
            &[("node.id", "4")],
            "broker.id",
            Some("4"),
            Source::StaticBroker,
            &["STATIC:broker.id=4", "DEFAULT:broker.id=1"],
        ),
    ] {
        let described = broker_entry(pairs, name);
        assert_eq!((described.value.as_deref(), described.source), (value, source), "{pairs:?} {name}");
        assert_eq!(synonyms(&described), listed, "{pairs:?} {name}");
    }
}

#[test]
fn sources_and_synonyms_of_a_topic() {
    const WEEK: &str = "604800000";
    for (pairs, overrides, name, value, source, listed) in [
        (&[][..], &[][..], "segment.ms", WEEK, Source::Default, &[][..]),
        (&[("log.roll.hours", "1")], &[], "segment.ms", "3600000", Source::Default, &[]),
        (
            &[("log.roll.ms", "5")],
            &[],
            "segment.ms",
            "5",
            Source::StaticBroker,
            &["STATIC:log.roll.ms=5", "DEFAULT:log.roll.hours=168"],
        ),
        (&[], &[], "flush.messages", "1", Source::Default, &["DEFAULT:log.flush.interval.messages=1"]),
        (
            &[("log.segment.bytes", "2097152")],
            &[("segment.bytes", " 1048576 ")],
            "segment.bytes",
            "1048576",
            Source::DynamicTopic,
            &[
                "TOPIC:segment.bytes=1048576",
                "STATIC:log.segment.bytes=2097152",
                "DEFAULT:log.segment.bytes=1073741824",
            ],
        ),
        (&[], &[("retention.ms", "9")], "retention.ms", "9", Source::DynamicTopic, &["TOPIC:retention.ms=9"]),
        (&[], &[], "remote.storage.enable", "false", Source::Default, &[]),
    ] {
        let described = topic_entry(pairs, overrides, name);
        assert_eq!((described.value.as_deref(), described.source), (Some(value), source), "{pairs:?} {name}");
        assert_eq!(synonyms(&described), listed, "{pairs:?} {name}");
        assert!(!described.read_only && !described.sensitive);
    }
}

/// As recorded from Apache Kafka 4.3.1.
#[test]
fn sources_and_synonyms_of_a_group() {
    let static_heartbeat = ("group.consumer.heartbeat.interval.ms", "200");
    let broker = [("group.consumer.min.heartbeat.interval.ms", "100"), static_heartbeat];
    for (own, name, value, source, listed) in [
        (
            &[][..],
            "consumer.heartbeat.interval.ms",
            "200",
            Source::StaticBroker,
            &["STATIC:group.consumer.heartbeat.interval.ms=200", "DEFAULT:group.consumer.heartbeat.interval.ms=5000"][..],
        ),
        (
            &[],
            "consumer.session.timeout.ms",
            "45000",
            Source::Default,
            &["DEFAULT:group.consumer.session.timeout.ms=45000"],
        ),
        (
            &[],
            "share.isolation.level",
            "read_uncommitted",
            Source::Default,
            &["DEFAULT:share.isolation.level=read_uncommitted"],
        ),
        (
            &[("consumer.heartbeat.interval.ms", " 1000")],
            "consumer.heartbeat.interval.ms",
            "1000",
            Source::DynamicGroup,
            &[
                "GROUP:consumer.heartbeat.interval.ms=1000",
                "STATIC:group.consumer.heartbeat.interval.ms=200",
                "DEFAULT:group.consumer.heartbeat.interval.ms=5000",
            ],
        ),
        // Out of the broker's bounds, as it may be after a restart.
        (
            &[("consumer.session.timeout.ms", "1")],
            "consumer.session.timeout.ms",
            "1",
            Source::DynamicGroup,
            &["GROUP:consumer.session.timeout.ms=1", "DEFAULT:group.consumer.session.timeout.ms=45000"],
        ),
    ] {
        let own = own.iter().map(|(name, value): &(&str, &str)| (name.to_string(), value.to_string())).collect();
        let all = describe_group(&config(&broker), &own).unwrap();
        assert_eq!(all.len(), 17);
        let described = find(all, name);
        assert_eq!((described.value.as_deref(), described.source), (Some(value), source), "{name}");
        assert_eq!(synonyms(&described), listed);
        assert!(!described.read_only && !described.sensitive);
    }
}

#[test]
fn secrets_are_hidden() {
    let described = broker_entry(&[("ssl.keystore.password", "hunter2")], "ssl.keystore.password");
    assert!(described.sensitive && described.value.is_none());
    assert_eq!(synonyms(&described), ["STATIC:ssl.keystore.password=null"]);
    let all = format!("{:?}", describe_broker(&config(&[("sasl.jaas.config", "hunter2")])));
    assert!(!all.contains("hunter2"));
}

#[test]
fn types_and_read_only() {
    for (name, kind, read_only) in [
        ("log.dirs", Kind::List, true),
        ("node.id", Kind::Int, true),
        ("log.segment.bytes", Kind::Int, false),
        ("log.roll.hours", Kind::Int, true),
        ("offsets.topic.replication.factor", Kind::Short, true),
        ("log.cleaner.io.max.bytes.per.second", Kind::Double, false),
        ("principal.builder.class", Kind::Class, false),
    ] {
        let described = broker_entry(&[], name);
        assert_eq!((described.config_type, described.read_only), (kind, read_only), "{name}");
        assert!(!described.documentation.is_empty());
    }
}

#[test]
fn described_once_each_by_name_and_without_internals() {
    let broker: Vec<_> = describe_broker(&config(&[])).into_iter().map(|one| one.name).collect();
    assert!(broker.is_sorted_by(|a, b| a < b));
    assert!(!broker.contains(&"unstable.api.versions.enable"));
    let topic: Vec<_> =
        describe_topic(&config(&[]), &BTreeMap::new()).unwrap().into_iter().map(|one| one.name).collect();
    assert_eq!(topic.len(), 33);
    assert!(!topic.contains(&"internal.segment.bytes"));
}

#[test]
fn a_stored_override_that_is_wrong_is_an_error() {
    let overrides = BTreeMap::from([("segment.bytes".to_string(), "x".to_string())]);
    assert!(describe_topic(&config(&[]), &overrides).is_err());
}

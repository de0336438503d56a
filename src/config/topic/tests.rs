use super::*;
use crate::config::broker;
use std::collections::BTreeMap;

fn broker_with(pairs: &[(&str, &str)]) -> BrokerConfig {
    BrokerConfig::from_pairs(pairs.iter().copied()).unwrap()
}

fn overrides(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

#[test]
fn every_setting_inherits_from_one_that_exists_or_has_its_own_default() {
    for key in keys() {
        for synonym in key.synonyms {
            let inherited = broker::key(synonym.name).unwrap_or_else(|| panic!("{}", synonym.name));
            assert!(inherited.kind == key.kind || synonym.unit_ms > 1, "{}", key.name);
        }
        assert!(!key.synonyms.is_empty() || key.default.is_some() || key.internal, "{}", key.name);
        assert!(key.synonyms.is_empty() || key.default.is_none(), "{}: two defaults", key.name);
    }
}

#[test]
fn kafkas_names() {
    // Every constant of Kafka's TopicConfig that LogConfig defines, with the throttle lists of QuotaConfig.
    let names = "cleanup.policy compression.gzip.level compression.lz4.level compression.type compression.zstd.level \
        delete.retention.ms file.delete.delay.ms flush.messages flush.ms follower.replication.throttled.replicas \
        index.interval.bytes internal.segment.bytes leader.replication.throttled.replicas local.retention.bytes \
        local.retention.ms max.compaction.lag.ms max.message.bytes message.timestamp.after.max.ms \
        message.timestamp.before.max.ms message.timestamp.type min.cleanable.dirty.ratio min.compaction.lag.ms \
        min.insync.replicas preallocate remote.log.copy.disable remote.log.delete.on.disable remote.storage.enable \
        retention.bytes retention.ms segment.bytes segment.index.bytes segment.jitter.ms segment.ms \
        unclean.leader.election.enable";
    assert_eq!(keys().map(|key| key.name).collect::<Vec<_>>(), names.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn chains_of_the_broker() {
    const HOUR: i64 = 3_600_000;
    let inherited = |pairs: &[(&str, &str)]| broker_with(pairs).topic_defaults;
    for (pairs, retention_ms) in [
        (&[][..], 168 * HOUR),
        (&[("log.retention.hours", "2")], 2 * HOUR),
        (&[("log.retention.hours", "2"), ("log.retention.minutes", "3")], 3 * 60_000),
        (&[("log.retention.hours", "2"), ("log.retention.minutes", "3"), ("log.retention.ms", "4")], 4),
        (&[("log.retention.hours", "-1")], -1),
        (&[("log.retention.ms", "-7")], -1),
    ] {
        assert_eq!(inherited(pairs).retention_ms, retention_ms, "{pairs:?}");
    }
    assert_eq!(inherited(&[]).segment_ms, 168 * HOUR);
    assert_eq!(inherited(&[("log.roll.hours", "1")]).segment_ms, HOUR);
    assert_eq!(inherited(&[("log.roll.hours", "1"), ("log.roll.ms", "5")]).segment_ms, 5);
    assert_eq!(inherited(&[("log.roll.jitter.hours", "2")]).segment_jitter_ms, 2 * HOUR);
    assert_eq!(inherited(&[]).flush_ms, i64::MAX);
    assert_eq!(inherited(&[("log.flush.scheduler.interval.ms", "9")]).flush_ms, 9);
    assert_eq!(inherited(&[("log.flush.scheduler.interval.ms", "9"), ("log.flush.interval.ms", "8")]).flush_ms, 8);
}

#[test]
fn overrides_go_over_the_broker() {
    let broker = broker_with(&[("log.segment.bytes", "2097152"), ("message.max.bytes", "500")]);
    let config = TopicConfig::new(
        &broker,
        &overrides(&[("segment.bytes", "1048576"), ("cleanup.policy", "compact, delete"), ("flush.messages", "10")]),
    )
    .unwrap();
    assert_eq!((config.segment_bytes, config.max_message_bytes, config.flush_messages), (1_048_576, 500, 10));
    assert!(config.is_compacted());
    assert!(!config.is_log_append_time());
    assert_eq!(config.segment_size(), 1_048_576);
    let small = config.with(&overrides(&[("internal.segment.bytes", "100")])).unwrap();
    assert_eq!(small.segment_size(), 100);
    let append = broker_with(&[("log.message.timestamp.type", "LogAppendTime")]);
    assert!(append.topic_defaults.is_log_append_time());
}

#[test]
fn refusals_are_for_invalid_config() {
    for (name, value, text) in [
        ("nope", "1", "Unknown topic config name: nope"),
        ("log.segment.bytes", "1048576", "Unknown topic config name: log.segment.bytes"),
        ("segment.bytes", "1", "Invalid value 1 for configuration segment.bytes: Value must be at least 1048576"),
        ("segment.bytes", "big", "Invalid value big for configuration segment.bytes: Not a number of type INT"),
        ("retention.ms", "-2", "Invalid value -2 for configuration retention.ms: Value must be at least -1"),
        (
            "message.timestamp.type",
            "Never",
            "Invalid value Never for configuration message.timestamp.type: String must be one of: CreateTime, LogAppendTime",
        ),
        (
            "min.cleanable.dirty.ratio",
            "1.1",
            "Invalid value 1.1 for configuration min.cleanable.dirty.ratio: Value must be no more than 1",
        ),
    ] {
        assert_eq!(TopicConfig::validate_override(name, value).map_err(|i| i.message), Err(text.to_string()));
    }
    for (name, value) in [("retention.ms", "-1"), ("cleanup.policy", ""), ("compression.type", "zstd")] {
        assert_eq!(TopicConfig::validate_override(name, value), Ok(()));
    }
}

#[test]
fn rules_across_settings() {
    let broker = broker_with(&[]);
    let refused = |pairs: &[(&str, &str)]| TopicConfig::new(&broker, &overrides(pairs)).expect_err("refused").name;
    assert_eq!(refused(&[("max.compaction.lag.ms", "5"), ("min.compaction.lag.ms", "6")]), "min.compaction.lag.ms");
    assert_eq!(refused(&[("remote.storage.enable", "true")]), "remote.storage.enable");
    assert!(TopicConfig::new(&broker, &overrides(&[("remote.storage.enable", "false")])).is_ok());
}

#[test]
fn what_does_not_act() {
    let given = overrides(&[
        ("retention.ms", "1"),
        ("cleanup.policy", "compact"),
        ("segment.bytes", "1048576"),
        ("compression.type", "gzip"),
    ]);
    assert_eq!(TopicConfig::not_acting(&given), ["cleanup.policy", "compression.type", "retention.ms"]);
    assert!(TopicConfig::not_acting(&overrides(&[("compression.type", "producer")])).is_empty());
}

#[test]
fn lists_grow_and_shrink() {
    for (current, elements, append, result) in [
        ("delete", "compact", true, "delete,compact"),
        ("delete,compact", "delete", true, "delete,compact"),
        ("delete,compact", "delete", false, "compact"),
        ("delete", "delete,compact", false, ""),
        ("", "compact", true, "compact"),
    ] {
        assert_eq!(alter_list("cleanup.policy", current, elements, append).as_deref(), Some(result));
    }
    assert_eq!(alter_list("retention.ms", "1", "2", true), None);
    assert_eq!(alter_list("nope", "1", "2", true), None);
}

proptest::proptest! {
    #[test]
    fn any_value_is_taken_or_refused(index in 0usize..34, value in ".{0,20}") {
        let broker = broker_with(&[]);
        let name = keys().nth(index).unwrap().name;
        let valid = TopicConfig::validate_override(name, &value).is_ok();
        let whole = TopicConfig::new(&broker, &overrides(&[(name, &value)]));
        proptest::prop_assert!(valid || whole.is_err());
    }
}

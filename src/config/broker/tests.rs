use super::*;
use crate::config::registry::Scope;

fn config(pairs: &[(&str, &str)]) -> BrokerConfig {
    BrokerConfig::from_pairs(pairs.iter().copied()).unwrap()
}

fn refusal(pairs: &[(&str, &str)]) -> String {
    BrokerConfig::from_pairs(pairs.iter().copied()).expect_err("refused").message
}

#[test]
fn every_default_is_in_range_and_in_printed_form() {
    for key in keys() {
        for default in [key.default, kafka_default(key.name)].into_iter().flatten() {
            assert_eq!(key.check(default).as_deref(), Ok(default), "{}", key.name);
        }
        assert!(!key.doc.is_empty() && key.doc.ends_with(['.']) && !key.doc.starts_with(' '), "{}", key.name);
        assert!(!matches!(key.scope, Scope::Topic | Scope::Group), "{}", key.name);
    }
}

#[test]
fn no_setting_is_declared_twice() {
    let declared = std::iter::once(FIELDS).chain(inert::TABLES).flatten().count();
    assert_eq!(declared, keys().count());
}

#[test]
fn defaults_differ_from_kafka_only_by_the_table() {
    for different in DIFFERENT_DEFAULTS {
        let key = key(different.name).unwrap_or_else(|| panic!("{} is no setting", different.name));
        match different.ours {
            Ours::Default(ours) => assert!(key.default == ours && kafka_default(key.name) != ours, "{}", key.name),
            Ours::Clamped => assert_eq!(key.default, kafka_default(key.name)),
        }
    }
    for key in keys().filter(|key| DIFFERENT_DEFAULTS.iter().all(|different| different.name != key.name)) {
        assert_eq!(key.default, kafka_default(key.name), "{}", key.name);
    }
}

#[test]
fn without_anything_given() {
    let config = config(&[]);
    assert_eq!((config.node_id, config.broker_id), (1, 1));
    assert_eq!(config.data_dir(), Path::new("./ottla-data"));
    assert_eq!(config.log_flush_interval_messages, 1);
    assert_eq!(config.topic_defaults.flush_messages, 1);
    let hosts: Vec<_> = config.listeners.iter().flat_map(Listener::bind_hosts).collect();
    assert_eq!(hosts, ["127.0.0.1", "::1"]);
    assert_eq!(config.listeners[0].port, 9092);
    assert!(!config.is_given("node.id"));
}

#[test]
fn fields_hold_what_was_given() {
    let config = config(&[
        ("num.partitions", " 3 "),
        ("auto.create.topics.enable", "FALSE"),
        ("listeners", "PLAINTEXT://127.0.0.1:0"),
        ("cluster.id", "abc"),
    ]);
    assert_eq!(config.num_partitions, 3);
    assert!(!config.auto_create_topics_enable);
    assert_eq!(config.listeners[0].port, 0);
    assert_eq!(config.cluster_id.as_deref(), Some("abc"));
    assert_eq!(config.text("num.partitions"), Some("3"));
    assert_eq!(config.given("num.partitions"), Some(" 3 "));
    assert_eq!(config.text("log.roll.ms"), None);
}

#[test]
fn names_that_set_others() {
    assert_eq!(config(&[("broker.id", "7")]).node_id, 7);
    assert_eq!(config(&[("node.id", "7")]).broker_id, 7);
    assert!(refusal(&[("node.id", "7"), ("broker.id", "8")]).contains("must be the same"));
    assert_eq!(config(&[("log.dir", "/a")]).data_dir(), Path::new("/a"));
    assert_eq!(config(&[("log.dir", "/a"), ("log.dirs", "/b")]).data_dir(), Path::new("/b"));
}

#[test]
fn an_adopted_node_id_gives_way_to_a_given_one() {
    let mut fresh = config(&[]);
    fresh.adopt_node_id(9);
    assert_eq!((fresh.node_id, fresh.broker_id, fresh.text("node.id")), (9, 9, Some("9")));
    let mut given = config(&[("node.id", "7")]);
    given.adopt_node_id(9);
    assert_eq!((given.node_id, given.broker_id), (7, 7));
}

#[test]
fn rules_across_settings() {
    for (pairs, part) in [
        (&[("log.dirs", "/a, /b")][..], "several directories are not supported yet"),
        (&[("log.dirs", "")], "must not be empty"),
        (&[("log.roll.ms", "0")], "Value must be at least 1"),
        (&[("log.retention.ms", "0")], "at least 1 ms"),
        (&[("log.flush.interval.ms", "-1")], "Value must be at least 0"),
        (&[("queued.max.request.bytes", "10")], "at least socket.request.max.bytes"),
        (&[("log.cleaner.min.compaction.lag.ms", "2"), ("log.cleaner.max.compaction.lag.ms", "1")], "greater than"),
        (&[("log.segment.bytes", "1048575")], "Value must be at least 1048576"),
        (&[("no.such", "1")], "Unknown broker config name: no.such"),
    ] {
        let text = refusal(pairs);
        assert!(text.contains(part), "{pairs:?}: {text}");
    }
}

#[test]
fn settings_that_kafka_4_removed_are_gone() {
    for gone in ["inter.broker.protocol.version", "zookeeper.connect", "log.message.format.version"] {
        assert!(key(gone).is_none());
    }
}

//! Settings of topics and of the broker through librdkafka's admin client.

use crate::clients::{Admin, options, read_all};
use crate::common::{Ottla, now_ms, temp_dir};
use crate::ledger::Numbered;
use rdkafka::admin::{AlterConfig, ConfigEntry, ConfigSource, OwnedResourceSpecifier, ResourceSpecifier};
use rdkafka::error::KafkaError;
use rdkafka::message::Timestamp;
use rdkafka::types::RDKafkaErrorCode as Code;

/// What is said about a setting of topic `t`.
fn described(admin: &Admin, name: &str) -> ConfigEntry {
    let asked = [ResourceSpecifier::Topic("t")];
    let mut answered = admin.wait(admin.client.describe_configs(&asked, &options()));
    let resource = answered.remove(0).unwrap();
    assert_eq!(resource.specifier, OwnedResourceSpecifier::Topic("t".into()));
    let found: Vec<_> = resource.entries.into_iter().filter(|entry| entry.name == name).collect();
    assert_eq!(found.len(), 1, "{name}");
    found.into_iter().next().unwrap()
}

/// Replaces the settings of topic `t`. The client does not say whether the broker agreed.
fn alter(admin: &Admin, settings: &[(&'static str, &'static str)]) {
    let asked = AlterConfig::new(ResourceSpecifier::Topic("t"));
    let asked = settings.iter().fold(asked, |asked, (name, value)| asked.set(name, value));
    admin.wait(admin.client.alter_configs([&asked], &options()));
}

#[test]
fn settings_are_described_altered_and_act() {
    let dir = temp_dir();
    let broker = Ottla::start(dir.path(), &["--log.segment.bytes=2000000"]);
    let admin = Admin::new(&broker);
    admin.create("t", 1, &[("max.message.bytes", "500000"), ("retention.ms", "1000")]);
    let value = |admin: &Admin, name: &str| {
        let entry = described(admin, name);
        assert!(!entry.is_read_only && !entry.is_sensitive, "{entry:?}");
        (entry.value.unwrap(), entry.source)
    };
    assert_eq!(value(&admin, "max.message.bytes"), ("500000".into(), ConfigSource::DynamicTopic));
    assert_eq!(value(&admin, "retention.ms"), ("1000".into(), ConfigSource::DynamicTopic));
    assert_eq!(value(&admin, "segment.bytes"), ("2000000".into(), ConfigSource::StaticBroker));
    assert_eq!(value(&admin, "message.timestamp.type"), ("CreateTime".into(), ConfigSource::Default));

    // All settings of a topic are replaced at once.
    alter(&admin, &[("message.timestamp.type", "LogAppendTime"), ("max.message.bytes", "1000")]);
    assert_eq!(value(&admin, "message.timestamp.type"), ("LogAppendTime".into(), ConfigSource::DynamicTopic));
    assert_eq!(value(&admin, "retention.ms"), ("604800000".into(), ConfigSource::Default));
    alter(&admin, &[("max.message.bytes", "x")]);
    alter(&admin, &[("max.message.bytes", "7"), ("max.message.bites", "1")]);
    assert_eq!(value(&admin, "max.message.bytes"), ("1000".into(), ConfigSource::DynamicTopic));

    let before = now_ms();
    let settings = [("enable.idempotence", "true"), ("batch.num.messages", "1")];
    let producer = Numbered::with(0, &broker.bootstrap(), "t", &settings);
    producer.send(None, None);
    producer.finish();
    let log = read_all(&broker.bootstrap(), "t", 1);
    let Timestamp::LogAppendTime(at) = log[0][0].timestamp else { panic!("{log:?}") };
    assert!((before..=now_ms()).contains(&at));
    // The same producer, now that one record is too large.
    alter(&admin, &[("max.message.bytes", "500")]);
    producer.send(None, None);
    assert_eq!(producer.failures(), [KafkaError::MessageProduction(Code::MessageSizeTooLarge)]);

    drop(admin);
    broker.kill();
    let broker = Ottla::start(dir.path(), &[]);
    let admin = Admin::new(&broker);
    assert_eq!(value(&admin, "max.message.bytes"), ("500".into(), ConfigSource::DynamicTopic));
    assert_eq!(value(&admin, "segment.bytes"), ("1073741824".into(), ConfigSource::Default));
    broker.stop().assert_sound();
}

#[test]
fn the_broker_describes_itself() {
    let dir = temp_dir();
    let broker = Ottla::start(dir.path(), &["--num.partitions=3"]);
    let admin = Admin::new(&broker);
    let describe = |resource| admin.wait(admin.client.describe_configs([&resource], &options())).remove(0);
    let itself = describe(ResourceSpecifier::Broker(1)).unwrap();
    let has = |name: &str, value: &str, source| {
        let entry = itself.get(name).unwrap_or_else(|| panic!("{name}: {itself:#?}"));
        assert_eq!((entry.value.as_deref(), &entry.source), (Some(value), &source), "{name}");
    };
    has("num.partitions", "3", ConfigSource::StaticBroker);
    has("log.flush.interval.messages", "1", ConfigSource::Default);
    has("auto.create.topics.enable", "true", ConfigSource::Default);
    assert_eq!(describe(ResourceSpecifier::Topic("never")).unwrap().entries, []);
    broker.stop().assert_sound();
}

//! A topic's settings: what it inherits from the broker and what is its own (Kafka's `LogConfig`).
//!
//! The overrides are kept as text by the catalog; [`TopicConfig`] is what they come to. Left out: tiered
//! storage, whose keys are accepted as far as they ask for nothing.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::broker::BrokerConfig;
use super::registry::{Invalid, Key, Setting, Valid, hours, list, minutes, ms, not_acting, same, settings};

settings! {
    /// Every setting of a topic, as it is in force.
    #[derive(Clone, Debug, PartialEq)]
    pub struct TopicConfig, table FIELDS, base topic
    {
        /// Whether old records are deleted, compacted, both or neither.
        cleanup_policy: Vec<String> = "cleanup.policy", null
            [from(&[same("log.cleanup.policy")]), valid(Valid::DistinctOf(&["compact", "delete"])), later];
        /// Codec of stored batches; producer keeps the producer's. Batches are stored as sent, whatever else is given.
        compression_type: String = "compression.type", null [from(&[same("compression.type")]),
            one_of(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), acts_only_as("producer")];
        /// Level for gzip.
        compression_gzip_level: i32 = "compression.gzip.level", null
            [from(&[same("compression.gzip.level")]), valid(Valid::GzipLevel), inert];
        /// Level for lz4.
        compression_lz4_level: i32 = "compression.lz4.level", null
            [from(&[same("compression.lz4.level")]), between(1, 17), inert];
        /// Level for zstd.
        compression_zstd_level: i32 = "compression.zstd.level", null
            [from(&[same("compression.zstd.level")]), between(-131072, 22), inert];
        /// How long the tombstone of a deleted key is kept.
        delete_retention_ms: i64 = "delete.retention.ms", null
            [from(&[same("log.cleaner.delete.retention.ms")]), at_least(0), later];
        /// Delay between the removal of a segment and of its files.
        file_delete_delay_ms: i64 = "file.delete.delay.ms", null
            [from(&[same("log.segment.delete.delay.ms")]), at_least(0), later];
        /// Records after which the log is synced to disk. With 1, acks=all is answered when the records are on disk.
        flush_messages: i64 = "flush.messages", null [from(&[same("log.flush.interval.messages")]), at_least(1)];
        /// Time after which the log is synced to disk.
        flush_ms: i64 = "flush.ms", null
            [from(&[same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms")]), at_least(0)];
        /// Followers to throttle, as partition:broker.
        follower_replication_throttled_replicas: Vec<String> = "follower.replication.throttled.replicas", ""
            [valid(Valid::ThrottledReplicas), inert];
        /// Bytes of records between two index entries.
        index_interval_bytes: i32 = "index.interval.bytes", null
            [from(&[same("log.index.interval.bytes")]), at_least(0)];
        /// Leaders to throttle, as partition:broker.
        leader_replication_throttled_replicas: Vec<String> = "leader.replication.throttled.replicas", ""
            [valid(Valid::ThrottledReplicas), inert];
        /// Size of the local part of a tiered partition; -2 follows retention.bytes.
        local_retention_bytes: i64 = "local.retention.bytes", null
            [from(&[same("log.local.retention.bytes")]), at_least(-2), inert];
        /// How long a tiered segment stays on local disk; -2 follows retention.ms.
        local_retention_ms: i64 = "local.retention.ms", null
            [from(&[same("log.local.retention.ms")]), at_least(-2), inert];
        /// Time after which a record must have been compacted.
        max_compaction_lag_ms: i64 = "max.compaction.lag.ms", null
            [from(&[same("log.cleaner.max.compaction.lag.ms")]), at_least(1), later];
        /// Largest batch a producer may send, in bytes.
        max_message_bytes: i32 = "max.message.bytes", null [from(&[same("message.max.bytes")]), at_least(0)];
        /// How far a record's time may lie in the future.
        message_timestamp_after_max_ms: i64 = "message.timestamp.after.max.ms", null
            [from(&[same("log.message.timestamp.after.max.ms")]), at_least(0)];
        /// How far a record's time may lie in the past.
        message_timestamp_before_max_ms: i64 = "message.timestamp.before.max.ms", null
            [from(&[same("log.message.timestamp.before.max.ms")]), at_least(0)];
        /// Whether a record carries the producer's time or the time of its append.
        message_timestamp_type: String = "message.timestamp.type", null
            [from(&[same("log.message.timestamp.type")]), one_of(&["CreateTime", "LogAppendTime"])];
        /// Share of the log that must be new before it is compacted.
        min_cleanable_dirty_ratio: f64 = "min.cleanable.dirty.ratio", null
            [from(&[same("log.cleaner.min.cleanable.ratio")]), valid(Valid::Fraction(0.0, 1.0)), later];
        /// Time for which a new record is not compacted.
        min_compaction_lag_ms: i64 = "min.compaction.lag.ms", null
            [from(&[same("log.cleaner.min.compaction.lag.ms")]), at_least(0), later];
        /// In-sync replicas that acks=all waits for; a single broker has one.
        min_insync_replicas: i32 = "min.insync.replicas", null [from(&[same("min.insync.replicas")]), at_least(1)];
        /// Whether a segment file is created at its full size.
        preallocate: bool = "preallocate", null [from(&[same("log.preallocate")]), inert];
        /// Whether segments are no longer copied to remote storage.
        remote_log_copy_disable: bool = "remote.log.copy.disable", "false" [inert];
        /// Whether remote segments are deleted when tiered storage is turned off.
        remote_log_delete_on_disable: bool = "remote.log.delete.on.disable", "false" [inert];
        /// Whether the topic uses tiered storage, which Ottla does not have.
        remote_storage_enable: bool = "remote.storage.enable", "false" [inert];
        /// Size to which a partition is trimmed; -1 is no limit.
        retention_bytes: i64 = "retention.bytes", null [from(&[same("log.retention.bytes")]), later];
        /// How long a segment is kept; -1 is for ever.
        retention_ms: i64 = "retention.ms", null
            [from(&[ms("log.retention.ms"), minutes("log.retention.minutes"), hours("log.retention.hours")]),
             at_least(-1), later];
        /// Size at which a segment is closed and a new one started.
        segment_bytes: i32 = "segment.bytes", null [from(&[same("log.segment.bytes")]), at_least(1048576)];
        /// Largest size of an index file.
        segment_index_bytes: i32 = "segment.index.bytes", null
            [from(&[same("log.index.size.max.bytes")]), at_least(4)];
        /// Largest random delay of a roll by time.
        segment_jitter_ms: i64 = "segment.jitter.ms", null
            [from(&[ms("log.roll.jitter.ms"), hours("log.roll.jitter.hours")]), at_least(0), later];
        /// Age at which a segment is closed.
        segment_ms: i64 = "segment.ms", null [from(&[ms("log.roll.ms"), hours("log.roll.hours")]), at_least(1)];
        /// Whether a replica outside the in-sync set may lead, at the price of lost records.
        unclean_leader_election_enable: bool = "unclean.leader.election.enable", null
            [from(&[same("unclean.leader.election.enable")]), inert];
        /// Size at which a segment is closed, below what segment.bytes allows; for tests.
        internal_segment_bytes: Option<i32> = "internal.segment.bytes", null [at_least(1), internal];
    }
    and {}
}

/// All topic settings by name.
static KEYS: LazyLock<BTreeMap<&'static str, Key>> =
    LazyLock::new(|| FIELDS.iter().map(|key| (key.name, *key)).collect());

/// The declaration of a topic setting.
pub fn key(name: &str) -> Option<&'static Key> {
    KEYS.get(name)
}

/// The declarations of all topic settings, by name.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    KEYS.values()
}

impl TopicConfig {
    /// What a topic with these overrides has.
    ///
    /// # Errors
    /// As [`Self::with`].
    pub fn new(broker: &BrokerConfig, overrides: &BTreeMap<String, String>) -> Result<Self, Invalid> {
        broker.topic_defaults.with(overrides)
    }

    /// This configuration with overrides laid over it.
    ///
    /// # Errors
    /// An unknown name, a value out of range, or a rule across settings that is broken.
    pub fn with(&self, overrides: &BTreeMap<String, String>) -> Result<Self, Invalid> {
        let mut config = self.clone();
        for (name, value) in overrides {
            let printed = checked(name, value)?;
            config.reread(name, Some(&printed))?;
        }
        config.check_rules()?;
        Ok(config)
    }

    /// Whether a topic may have this setting with this value, other settings aside.
    ///
    /// # Errors
    /// An unknown name or a value out of range; the text is for INVALID_CONFIG.
    pub fn validate_override(name: &str, value: &str) -> Result<(), Invalid> {
        checked(name, value).map(|_| ())
    }

    /// Overrides that are stored and described without changing anything yet.
    pub fn not_acting(overrides: &BTreeMap<String, String>) -> Vec<&'static str> {
        not_acting(overrides, key)
    }

    /// What a topic has without overrides; `broker` gives the broker's settings in printed form.
    pub(super) fn inherited<'a>(broker: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Invalid> {
        let mut values: BTreeMap<&'static str, Option<String>> = BTreeMap::new();
        for key in keys() {
            let value = inherited_value(key, &broker);
            values.insert(key.name, value.map(|value| key.check(&value)).transpose()?);
        }
        let config = Self::read(|name| values.get(name).and_then(Option::as_deref))?;
        config.check_rules()?;
        Ok(config)
    }

    fn check_rules(&self) -> Result<(), Invalid> {
        let (min, max) = (self.min_compaction_lag_ms, self.max_compaction_lag_ms);
        if min > max {
            let text = format!("min.compaction.lag.ms ({min}) must not be greater than max.compaction.lag.ms ({max})");
            return Err(Invalid::rule("min.compaction.lag.ms", text));
        }
        if self.remote_storage_enable {
            let text = "remote.storage.enable=true asks for tiered storage, which this broker does not have";
            return Err(Invalid::rule("remote.storage.enable", text));
        }
        Ok(())
    }

    /// Size in bytes at which a segment is closed.
    pub fn segment_size(&self) -> i32 {
        self.internal_segment_bytes.unwrap_or(self.segment_bytes)
    }

    /// Whether records need keys: `cleanup.policy` holds `compact`.
    pub fn is_compacted(&self) -> bool {
        self.cleanup_policy.iter().any(|policy| policy == "compact")
    }

    /// Whether records get the time of their append.
    pub fn is_log_append_time(&self) -> bool {
        self.message_timestamp_type == "LogAppendTime"
    }
}

fn checked(name: &str, value: &str) -> Result<String, Invalid> {
    let key = key(name).ok_or_else(|| Invalid::rule(name, format!("Unknown topic config name: {name}")))?;
    key.check(value)
}

/// What a topic or group inherits for a setting: the first of the broker's settings that has a value, in milliseconds if it is
/// a time in another unit; a negative time in such a chain is -1.
pub(super) fn inherited_value<'a>(key: &Key, broker: &impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    if key.synonyms.is_empty() {
        return key.default.map(str::to_string);
    }
    let (synonym, value) = key.synonyms.iter().find_map(|synonym| Some((synonym, broker(synonym.name)?)))?;
    match value.parse::<i64>() {
        Ok(time) if synonym.unit_ms > 0 && time < 0 => Some("-1".to_string()),
        Ok(time) if synonym.unit_ms > 1 => Some(time.saturating_mul(synonym.unit_ms).to_string()),
        _ => Some(value.to_string()),
    }
}

/// Adds elements to a list setting or takes them away (IncrementalAlterConfigs APPEND and SUBTRACT): `None` if the
/// setting is not a list. An element that is there already is not added twice.
pub fn alter_list(name: &str, current: &str, elements: &str, append: bool) -> Option<String> {
    key(name).filter(|key| key.kind == super::registry::Kind::List)?;
    let mut kept = list(current);
    for element in list(elements) {
        match (append, kept.iter().position(|one| *one == element)) {
            (true, None) => kept.push(element),
            (false, Some(at)) => drop(kept.remove(at)),
            _ => {}
        }
    }
    Some(kept.join(","))
}

#[cfg(test)]
mod tests;

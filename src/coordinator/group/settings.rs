//! What the group coordinator is told from outside: settings, the topics there are, and the settings of single groups.

use crate::config::BrokerConfig;
use std::sync::Arc;
use uuid::Uuid;

/// The broker's settings for groups. Times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    /// `group.min.session.timeout.ms`.
    pub min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`.
    pub max_session_timeout_ms: i32,
    /// `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay_ms: i32,
    /// `group.max.size`.
    pub max_size: usize,
    /// The largest record that a classic group may become, bytes: what the internal topic would take (`message.max.bytes`).
    pub max_record_bytes: usize,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_max_bytes: usize,
    /// `offsets.retention.minutes`.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval_ms: i64,
    /// Those of KIP-848.
    pub consumer: ConsumerSettings,
}

impl GroupSettings {
    /// As the broker is configured.
    pub fn new(config: &BrokerConfig) -> Self {
        let size = |value: i32| usize::try_from(value).unwrap_or(0);
        GroupSettings {
            min_session_timeout_ms: config.group_min_session_timeout_ms,
            max_session_timeout_ms: config.group_max_session_timeout_ms,
            initial_rebalance_delay_ms: config.group_initial_rebalance_delay_ms,
            max_size: size(config.group_max_size),
            max_record_bytes: size(config.message_max_bytes),
            offset_metadata_max_bytes: size(config.offset_metadata_max_bytes),
            offsets_retention_ms: i64::from(config.offsets_retention_minutes) * 60_000,
            offsets_retention_check_interval_ms: config.offsets_retention_check_interval_ms,
            consumer: ConsumerSettings {
                session_timeout_ms: config.group_consumer_session_timeout_ms,
                heartbeat_interval_ms: config.group_consumer_heartbeat_interval_ms,
                max_size: size(config.group_consumer_max_size),
                assignors: config.group_consumer_assignors.clone(),
                migration: MigrationPolicy::parse(&config.group_consumer_migration_policy),
                regex_refresh_interval_ms: i64::from(config.group_consumer_regex_refresh_interval_ms),
                assignment_interval_ms: i64::from(config.group_consumer_assignment_interval_ms),
            },
        }
    }
}

/// The broker's settings for consumer groups (KIP-848). Times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerSettings {
    /// `group.consumer.session.timeout.ms`.
    pub session_timeout_ms: i32,
    /// `group.consumer.heartbeat.interval.ms`.
    pub heartbeat_interval_ms: i32,
    /// `group.consumer.max.size`.
    pub max_size: usize,
    /// `group.consumer.assignors`, by name; the first is the default.
    pub assignors: Vec<String>,
    /// `group.consumer.migration.policy`.
    pub migration: MigrationPolicy,
    /// `group.consumer.regex.refresh.interval.ms`.
    pub regex_refresh_interval_ms: i64,
    /// `group.consumer.assignment.interval.ms`.
    pub assignment_interval_ms: i64,
}

/// Which way a group may change between the protocols (`ConsumerGroupMigrationPolicy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum MigrationPolicy {
    Bidirectional,
    Upgrade,
    Downgrade,
    Disabled,
}

impl MigrationPolicy {
    /// By the word for it, in any case; the configuration lets no others through.
    fn parse(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "upgrade" => MigrationPolicy::Upgrade,
            "downgrade" => MigrationPolicy::Downgrade,
            "disabled" => MigrationPolicy::Disabled,
            _ => MigrationPolicy::Bidirectional,
        }
    }

    /// Whether a classic group may become a consumer group.
    pub fn can_upgrade(self) -> bool {
        matches!(self, MigrationPolicy::Bidirectional | MigrationPolicy::Upgrade)
    }

    /// Whether a consumer group may become a classic group.
    pub fn can_downgrade(self) -> bool {
        matches!(self, MigrationPolicy::Bidirectional | MigrationPolicy::Downgrade)
    }
}

/// The settings of one group where it has its own (config resource GROUP); `None` is the broker's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupOverrides {
    /// `consumer.session.timeout.ms`.
    pub consumer_session_timeout_ms: Option<i32>,
    /// `consumer.heartbeat.interval.ms`.
    pub consumer_heartbeat_interval_ms: Option<i32>,
}

/// A topic as groups see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub name: Arc<str>,
    /// Its id.
    pub id: Uuid,
    /// How many partitions it has.
    pub partitions: i32,
}

/// The topics at one point in time.
pub trait Topics: Send + Sync {
    /// Grows with every change, so that the same number means the same topics.
    fn version(&self) -> u64;
    /// The topic of a name.
    fn by_name(&self, name: &str) -> Option<TopicInfo>;
    /// The topic of an id.
    fn by_id(&self, id: Uuid) -> Option<TopicInfo>;
    /// Calls with every topic.
    fn each(&self, f: &mut dyn FnMut(&TopicInfo));
}

/// What exists beside the groups. Implemented by the broker over its catalog, and by tests.
pub trait World: Send + Sync {
    /// The topics as of now.
    fn topics(&self) -> Arc<dyn Topics>;
    /// What a group has settings of its own for.
    fn overrides(&self, group_id: &str) -> GroupOverrides;
}

#[cfg(test)]
impl GroupSettings {
    /// Kafka's defaults, with Ottla's initial delay.
    pub fn for_tests() -> Self {
        GroupSettings {
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            initial_rebalance_delay_ms: 0,
            max_size: usize::MAX,
            max_record_bytes: 1_048_588,
            offset_metadata_max_bytes: 4_096,
            offsets_retention_ms: 7 * 24 * 3_600_000,
            offsets_retention_check_interval_ms: 600_000,
            consumer: ConsumerSettings {
                session_timeout_ms: 45_000,
                heartbeat_interval_ms: 5_000,
                max_size: usize::MAX,
                assignors: vec!["uniform".into(), "range".into()],
                migration: MigrationPolicy::Bidirectional,
                regex_refresh_interval_ms: 600_000,
                assignment_interval_ms: 1_000,
            },
        }
    }
}

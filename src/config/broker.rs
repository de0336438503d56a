//! The broker's settings that have a typed field, the defaults that differ from Kafka's, and [`BrokerConfig`]: every
//! setting of the broker with what was given for it. Settings without a field are declared in `inert/`.
//!
//! Left out: changing a setting while running. A key marked `dynamic` is one that Kafka could change.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use super::inert;
use super::listeners::{self, Listener};
use super::registry::{Effect, Invalid, Key, Setting, Valid, settings};
use super::topic::TopicConfig;

settings! {
    /// Every setting of the broker. A field holds the value in force; [`BrokerConfig::text`] finds any setting by name.
    #[derive(Clone, Debug)]
    pub struct BrokerConfig, table FIELDS, base acts
    {
        /// Id of this broker. Kept with the data at the first start.
        node_id: i32 = "node.id", null [at_least(0)];
        /// Older name of node.id.
        broker_id: i32 = "broker.id", "-1";
        /// Id of the cluster, kept with the data at the first start; made up when not given. CLUSTER_ID gives it too.
        cluster_id: Option<String> = "cluster.id", null [valid(Valid::NonEmpty)];
        /// Rack of this broker, told to clients.
        broker_rack: Option<String> = "broker.rack", null;
        /// Where to listen, as NAME://host:port. An empty host is every interface; localhost is 127.0.0.1 and ::1.
        listener_list: Vec<String> = "listeners", "PLAINTEXT://:9092" [some_distinct];
        /// What to tell clients instead of the address they connected to, by listener name.
        advertised_listener_list: Option<Vec<String>> = "advertised.listeners", null [some_distinct];
        /// Security protocol of each listener name. Only PLAINTEXT works yet.
        listener_security_protocol_map: String = "listener.security.protocol.map",
            "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT" [dynamic];
        /// Names of controller listeners. Those are not opened.
        controller_listener_names: Option<Vec<String>> = "controller.listener.names", null [some_distinct, controller];
        /// Whether a listener that other machines can reach may work without authentication.
        allow_insecure_listeners: bool = "allow.insecure.listeners", "false";
        /// Directory of all data. One directory works yet.
        log_dirs: Vec<String> = "log.dirs", null [some_distinct];
        /// Older name of log.dirs, used when that is not given.
        log_dir: Option<Vec<String>> = "log.dir", "/tmp/kafka-logs" [some_distinct];

        /// Largest request in bytes; a connection that announces more is closed.
        socket_request_max_bytes: i32 = "socket.request.max.bytes", "104857600" [at_least(1)];
        /// Bytes of requests in flight, over all connections, above which no more are read; -1 is Ottla's own limit.
        queued_max_request_bytes: i64 = "queued.max.request.bytes", "-1";
        /// Connections that may wait to be accepted.
        socket_listen_backlog_size: i32 = "socket.listen.backlog.size", "50" [at_least(1)];
        /// Most connections at a time.
        max_connections: i32 = "max.connections", "2147483647" [at_least(0), dynamic];
        /// A connection idle for longer is closed; negative is never.
        connections_max_idle_ms: i64 = "connections.max.idle.ms", "600000";
        /// Most bytes a fetch answers with, whatever the client asks for.
        fetch_max_bytes: i32 = "fetch.max.bytes", "57671680" [at_least(1024)];
        /// Fetch sessions kept at a time.
        max_incremental_fetch_session_cache_slots: i32 =
            "max.incremental.fetch.session.cache.slots", "1000" [at_least(0)];
        /// Most partitions in one answer of DescribeTopicPartitions.
        max_request_partition_size_limit: i32 = "max.request.partition.size.limit", "2000" [at_least(1)];

        /// Whether a topic is created when a client first asks for it.
        auto_create_topics_enable: bool = "auto.create.topics.enable", "true";
        /// Whether topics may be deleted.
        delete_topic_enable: bool = "delete.topic.enable", "true";
        /// Partitions of a topic created without a count.
        num_partitions: i32 = "num.partitions", "1" [at_least(1)];
        /// Replicas of a topic created without a count.
        default_replication_factor: i32 = "default.replication.factor", "1";
        /// In-sync replicas that acks=all waits for; a single broker has one.
        min_insync_replicas: i32 = "min.insync.replicas", "1" [at_least(1), dynamic];
        /// Largest batch a producer may send, in bytes.
        message_max_bytes: i32 = "message.max.bytes", "1048588" [at_least(0), dynamic];
        /// Codec of stored batches; producer keeps the producer's. Batches are stored as sent, whatever else is given.
        compression_type: String = "compression.type", "producer"
            [one_of(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), dynamic, acts_only_as("producer")];
        /// Whether a record carries the producer's time or the time of its append.
        log_message_timestamp_type: String = "log.message.timestamp.type", "CreateTime"
            [one_of(&["CreateTime", "LogAppendTime"]), dynamic];
        /// How far a record's time may lie in the past.
        log_message_timestamp_before_max_ms: i64 =
            "log.message.timestamp.before.max.ms", "9223372036854775807" [at_least(0), dynamic];
        /// How far a record's time may lie in the future.
        log_message_timestamp_after_max_ms: i64 =
            "log.message.timestamp.after.max.ms", "3600000" [at_least(0), dynamic];
        /// How long a producer is remembered after its last append.
        producer_id_expiration_ms: i32 = "producer.id.expiration.ms", "86400000" [at_least(1), dynamic];

        /// Partitions of the offsets topic.
        offsets_topic_num_partitions: i32 = "offsets.topic.num.partitions", "50" [at_least(1)];
        /// Segment size of the offsets topic.
        offsets_topic_segment_bytes: i32 = "offsets.topic.segment.bytes", "104857600" [at_least(1)];
        /// Longest metadata text of a committed offset.
        offset_metadata_max_bytes: i32 = "offset.metadata.max.bytes", "4096";
        /// How long the offsets of an empty group are kept.
        offsets_retention_minutes: i32 = "offsets.retention.minutes", "10080" [at_least(1)];
        /// How often stale offsets are looked for.
        offsets_retention_check_interval_ms: i64 = "offsets.retention.check.interval.ms", "600000" [at_least(1)];
        /// Shortest session timeout a classic member may ask for.
        group_min_session_timeout_ms: i32 = "group.min.session.timeout.ms", "6000";
        /// Longest session timeout a classic member may ask for.
        group_max_session_timeout_ms: i32 = "group.max.session.timeout.ms", "1800000";
        /// Wait for more members before the first rebalance of a classic group.
        group_initial_rebalance_delay_ms: i32 = "group.initial.rebalance.delay.ms", "3000";
        /// Most members of a classic group.
        group_max_size: i32 = "group.max.size", "2147483647" [at_least(1)];
        /// Session timeout of consumer group members.
        group_consumer_session_timeout_ms: i32 = "group.consumer.session.timeout.ms", "45000" [at_least(1)];
        /// Shortest session timeout of consumer group members.
        group_consumer_min_session_timeout_ms: i32 = "group.consumer.min.session.timeout.ms", "45000" [at_least(1)];
        /// Longest session timeout of consumer group members.
        group_consumer_max_session_timeout_ms: i32 = "group.consumer.max.session.timeout.ms", "60000" [at_least(1)];
        /// Heartbeat interval of consumer group members.
        group_consumer_heartbeat_interval_ms: i32 = "group.consumer.heartbeat.interval.ms", "5000" [at_least(1)];
        /// Shortest heartbeat interval of consumer group members.
        group_consumer_min_heartbeat_interval_ms: i32 = "group.consumer.min.heartbeat.interval.ms", "5000" [at_least(1)];
        /// Longest heartbeat interval of consumer group members.
        group_consumer_max_heartbeat_interval_ms: i32 = "group.consumer.max.heartbeat.interval.ms", "15000" [at_least(1)];
        /// Most members of a consumer group.
        group_consumer_max_size: i32 = "group.consumer.max.size", "2147483647" [at_least(1)];
        /// Assignors of the server, the default first.
        group_consumer_assignors: Vec<String> = "group.consumer.assignors", "uniform,range" [some_distinct];
        /// Which way a group may change between the classic and the consumer protocol.
        group_consumer_migration_policy: String = "group.consumer.migration.policy", "bidirectional" [valid(super::registry::Valid::OneOfIgnoringCase(&["bidirectional", "upgrade", "downgrade", "disabled"]))];
        /// How often subscriptions by pattern are evaluated again.
        group_consumer_regex_refresh_interval_ms: i32 = "group.consumer.regex.refresh.interval.ms", "600000" [at_least(10000), internal];
        /// Time between two assignments of a consumer group.
        group_consumer_assignment_interval_ms: i32 = "group.consumer.assignment.interval.ms", "1000" [at_least(0), dynamic];

        /// Partitions of the transaction topic.
        transaction_state_log_num_partitions: i32 = "transaction.state.log.num.partitions", "50" [at_least(1)];
        /// Segment size of the transaction topic.
        transaction_state_log_segment_bytes: i32 = "transaction.state.log.segment.bytes", "104857600" [at_least(1)];
        /// Longest transaction timeout a producer may ask for.
        transaction_max_timeout_ms: i32 = "transaction.max.timeout.ms", "900000" [at_least(1)];
        /// How long an unused transactional id is remembered.
        transactional_id_expiration_ms: i32 = "transactional.id.expiration.ms", "604800000" [at_least(1)];
        /// How often expired transactional ids are looked for.
        transaction_remove_expired_transaction_cleanup_interval_ms: i32 =
            "transaction.remove.expired.transaction.cleanup.interval.ms", "3600000" [at_least(1)];
        /// How long the first write of a transaction waits for the end of the one before.
        add_partitions_to_txn_retry_backoff_max_ms: i32 =
            "add.partitions.to.txn.retry.backoff.max.ms", "100" [at_least(0)];

        /// Size at which a segment is closed and a new one started.
        log_segment_bytes: i32 = "log.segment.bytes", "1073741824" [at_least(1048576), dynamic];
        /// Age at which a segment is closed. Before log.roll.hours.
        log_roll_ms: Option<i64> = "log.roll.ms", null [dynamic];
        /// Age at which a segment is closed.
        log_roll_hours: i32 = "log.roll.hours", "168" [at_least(1)];
        /// Largest size of an index file.
        log_index_size_max_bytes: i32 = "log.index.size.max.bytes", "10485760" [at_least(4), dynamic];
        /// Bytes of records between two index entries.
        log_index_interval_bytes: i32 = "log.index.interval.bytes", "4096" [at_least(0), dynamic];
        /// Records after which a log is synced to disk. With 1, acks=all is answered when the records are on disk.
        log_flush_interval_messages: i64 =
            "log.flush.interval.messages", "9223372036854775807" [at_least(1), dynamic];
        /// Time after which a log is synced to disk. Before log.flush.scheduler.interval.ms.
        log_flush_interval_ms: Option<i64> = "log.flush.interval.ms", null [dynamic];
        /// Time after which a log is synced to disk.
        log_flush_scheduler_interval_ms: i64 = "log.flush.scheduler.interval.ms", "9223372036854775807";
    }
    and {
        /// The listeners to open.
        pub listeners: Vec<Listener>,
        /// What a topic has without settings of its own.
        pub topic_defaults: TopicConfig,
        given: BTreeMap<&'static str, Given>,
    }
}

/// A setting whose default is not Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Different {
    pub name: &'static str,
    pub ours: Ours,
    pub why: &'static str,
}

/// What Ottla does instead of Kafka's default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ours {
    /// Another default; `None` is null.
    Default(Option<&'static str>),
    /// Kafka's default, but never more than there are live brokers.
    Clamped,
}

/// THE table of defaults that differ from Kafka's.
pub const DIFFERENT_DEFAULTS: &[Different] = &[
    Different {
        name: "listeners",
        ours: Ours::Default(Some("PLAINTEXT://localhost:9092")),
        why: "a broker without authentication is not offered to the network unasked",
    },
    Different {
        name: "log.dirs",
        ours: Ours::Default(Some("./ottla-data")),
        why: "data belongs where the broker was started, not into a directory that is emptied at boot",
    },
    Different { name: "log.dir", ours: Ours::Default(None), why: "log.dirs has the default" },
    Different {
        name: "node.id",
        ours: Ours::Default(Some("1")),
        why: "Kafka has no default; one broker needs no choice",
    },
    Different { name: "broker.id", ours: Ours::Default(Some("1")), why: "the same as node.id" },
    Different {
        name: "log.flush.interval.messages",
        ours: Ours::Default(Some("1")),
        why: "acks=all means on disk: a single broker has no replica to recover from",
    },
    Different {
        name: "group.initial.rebalance.delay.ms",
        ours: Ours::Default(Some("0")),
        why: "the first member of a group need not wait three seconds",
    },
    Different { name: "offsets.topic.replication.factor", ours: Ours::Clamped, why: INTERNAL_TOPICS },
    Different { name: "transaction.state.log.replication.factor", ours: Ours::Clamped, why: INTERNAL_TOPICS },
    Different { name: "transaction.state.log.min.isr", ours: Ours::Clamped, why: INTERNAL_TOPICS },
    Different { name: "share.coordinator.state.topic.replication.factor", ours: Ours::Clamped, why: INTERNAL_TOPICS },
    Different { name: "share.coordinator.state.topic.min.isr", ours: Ours::Clamped, why: INTERNAL_TOPICS },
];

const INTERNAL_TOPICS: &str = "internal topics work on fewer brokers than Kafka's default asks for";

/// All broker settings by name, with Ottla's defaults.
static KEYS: LazyLock<BTreeMap<&'static str, Key>> = LazyLock::new(|| {
    let tables = std::iter::once(FIELDS).chain(inert::TABLES);
    let mut keys: BTreeMap<&'static str, Key> = tables.flatten().map(|key| (key.name, *key)).collect();
    for different in DIFFERENT_DEFAULTS {
        if let (Some(key), Ours::Default(ours)) = (keys.get_mut(different.name), different.ours) {
            key.default = ours;
        }
    }
    keys
});

/// The declaration of a broker setting, with Ottla's default.
pub fn key(name: &str) -> Option<&'static Key> {
    KEYS.get(name)
}

/// The declarations of all broker settings, by name.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    KEYS.values()
}

/// The default that Kafka has for a setting.
pub fn kafka_default(name: &str) -> Option<&'static str> {
    std::iter::once(FIELDS).chain(inert::TABLES).flatten().find(|key| key.name == name).and_then(|key| key.default)
}

/// A value given for a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Given {
    raw: String,
    printed: String,
}

/// Settings of one name that also set another name that was not given (Kafka's `KafkaConfig.populateSynonyms`, and
/// log.dir, which Kafka looks at only when log.dirs is unset).
const ALSO_SETS: [(&str, &str); 3] = [("broker.id", "node.id"), ("node.id", "broker.id"), ("log.dir", "log.dirs")];

impl BrokerConfig {
    /// The configuration that these settings make, the later of two with one name winning.
    ///
    /// # Errors
    /// An unknown name, a value out of range, or a rule across settings that is broken.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Invalid> {
        let mut given = BTreeMap::new();
        for (name, value) in pairs {
            let key = key(name).ok_or_else(|| Invalid::rule(name, format!("Unknown broker config name: {name}")))?;
            given.insert(key.name, value.to_string());
        }
        Ok(Self::build(given)?.0)
    }

    /// The configuration, and what its listeners come to.
    pub(super) fn build(given: BTreeMap<&'static str, String>) -> Result<(Self, listeners::Resolved), Invalid> {
        let mut checked: BTreeMap<&'static str, Given> = BTreeMap::new();
        for (name, raw) in given {
            let key = key(name).ok_or_else(|| Invalid::rule(name, format!("Unknown broker config name: {name}")))?;
            let printed = key.check(&raw)?;
            checked.insert(key.name, Given { raw, printed });
        }
        for (name, other) in ALSO_SETS {
            if let (Some(value), false) = (checked.get(name).cloned(), checked.contains_key(other)) {
                checked.insert(other, value);
            }
        }
        let text = |name: &str| text_of(&checked, name);
        let resolved = listeners::resolve(listeners::Source {
            listeners: text("listeners").unwrap_or(""),
            advertised: text("advertised.listeners"),
            protocol_map: text("listener.security.protocol.map").unwrap_or(""),
            controller_names: text("controller.listener.names"),
            allow_insecure: text("allow.insecure.listeners") == Some("true"),
        })?;
        let topic_defaults = TopicConfig::inherited(text)?;
        let config = Self::read(
            |name| checked.get(name).map(|given| given.printed.as_str()).or_else(|| key(name)?.default),
            resolved.listeners.clone(),
            topic_defaults,
            checked.clone(),
        )?;
        config.check_rules()?;
        Ok((config, resolved))
    }

    /// Rules across settings (those of Kafka's `KafkaConfig.validateValues` that concern what Ottla does).
    fn check_rules(&self) -> Result<(), Invalid> {
        if self.node_id != self.broker_id {
            return Err(Invalid::rule(
                "broker.id",
                "node.id and broker.id must be the same; broker.id can be left out",
            ));
        }
        if self.log_roll_ms.is_some_and(|roll_ms| roll_ms < 1) {
            return Err(Invalid::rule("log.roll.ms", "log.roll.ms must be at least 1"));
        }
        if self.topic_defaults.retention_ms == 0 {
            return Err(Invalid::rule("log.retention.ms", "the retention time must be at least 1 ms, or -1 for ever"));
        }
        if let [_, _, ..] = self.log_dirs.as_slice() {
            let given = self.log_dirs.join(",");
            return Err(Invalid::rule(
                "log.dirs",
                format!("log.dirs={given}: several directories are not supported yet; name one"),
            ));
        }
        self.check_group_rules()?;
        let (queued, largest) = (self.queued_max_request_bytes, i64::from(self.socket_request_max_bytes));
        if queued > 0 && queued < largest {
            let text = "queued.max.request.bytes must be at least socket.request.max.bytes, or -1";
            return Err(Invalid::rule("queued.max.request.bytes", text));
        }
        Ok(())
    }

    /// Those of Kafka's `GroupCoordinatorConfig`.
    fn check_group_rules(&self) -> Result<(), Invalid> {
        let (session, heartbeat) = (self.group_consumer_session_timeout_ms, self.group_consumer_heartbeat_interval_ms);
        let ranges = [
            (
                "group.consumer.heartbeat.interval.ms",
                heartbeat,
                self.group_consumer_min_heartbeat_interval_ms..=self.group_consumer_max_heartbeat_interval_ms,
            ),
            (
                "group.consumer.session.timeout.ms",
                session,
                self.group_consumer_min_session_timeout_ms..=self.group_consumer_max_session_timeout_ms,
            ),
        ];
        for (name, value, range) in ranges {
            if !range.contains(&value) {
                let text =
                    format!("{name}={value} must be between its min and max, {} and {}", range.start(), range.end());
                return Err(Invalid::rule(name, text));
            }
        }
        if heartbeat >= session {
            let text = "group.consumer.heartbeat.interval.ms must be less than group.consumer.session.timeout.ms";
            return Err(Invalid::rule("group.consumer.heartbeat.interval.ms", text));
        }
        match self.group_consumer_assignors.iter().find(|name| !["uniform", "range"].contains(&name.as_str())) {
            Some(name) => {
                let text =
                    format!("group.consumer.assignors: there is no assignor {name}; uniform and range are known");
                Err(Invalid::rule("group.consumer.assignors", text))
            }
            None => Ok(()),
        }
    }

    /// The value in force of any broker setting, in printed form; `None` is null, or no such setting.
    pub fn text(&self, name: &str) -> Option<&str> {
        text_of(&self.given, name)
    }

    /// Whether a value was given for the setting, be it the default.
    pub fn is_given(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// What was given for the setting, as it was written.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(|given| given.raw.as_str())
    }

    /// Settings that were given although they change nothing, by effect.
    pub(super) fn without_effect(&self, wanted: impl Fn(Effect) -> bool) -> Vec<&'static str> {
        let idle = |key: &Key, given: &Given| !key.acts_with(&given.printed) && wanted(key.effect);
        let names = self.given.iter().filter(|(name, given)| key(name).is_some_and(|key| idle(key, given)));
        names.map(|(name, _)| *name).collect()
    }

    /// The directory of all data.
    pub fn data_dir(&self) -> &Path {
        Path::new(self.log_dirs.first().map_or("", String::as_str))
    }

    /// Takes over the node id that the data was made with, when none was given.
    pub fn adopt_node_id(&mut self, node_id: i32) {
        if !self.is_given("node.id") {
            self.node_id = node_id;
            self.broker_id = node_id;
            for name in ["node.id", "broker.id"] {
                let printed = node_id.to_string();
                self.given.insert(name, Given { raw: printed.clone(), printed });
            }
        }
    }
}

fn text_of<'a>(given: &'a BTreeMap<&'static str, Given>, name: &str) -> Option<&'a str> {
    given.get(name).map(|given| given.printed.as_str()).or_else(|| key(name)?.default)
}

#[cfg(test)]
mod tests;

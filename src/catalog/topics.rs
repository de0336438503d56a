//! What clients may ask of topics: rules that look at the image and give a record, or an error. Pure.
//!
//! Kafka's: `ReplicationControlManager`, `ConfigurationControlManager`, `Topic`. Left to the API: names given twice in
//! one request, authorization, and what keys and values settings may have, which is handed in. Left out: creation
//! policies and mutation quotas.

use super::image::{Configs, Contradiction, Image, ProducerIdBlock, Topic};
use super::records::Record;
use indexmap::IndexSet;
use std::sync::Arc;
use uuid::Uuid;

/// Longest topic name: with a dash and a partition it has to be a file name.
pub const MAX_NAME_LENGTH: usize = 249;

/// Partitions that one request may make (Kafka's `MAX_PARTITIONS_PER_BATCH`).
pub const MAX_PARTITIONS_PER_REQUEST: i32 = 10_000;

/// Producer ids are handed out in blocks of so many (`ProducerIdsBlock`).
pub const PRODUCER_ID_BLOCK_SIZE: i64 = 1000;

/// Longest value of a setting, in bytes.
const MAX_CONFIG_VALUE: usize = i16::MAX as usize;

/// The offsets of consumer groups.
pub const CONSUMER_OFFSETS: &str = "__consumer_offsets";
/// The state of transactions.
pub const TRANSACTION_STATE: &str = "__transaction_state";
/// The state of share groups.
pub const SHARE_GROUP_STATE: &str = "__share_group_state";
/// Kafka's own catalog, which nobody may create.
const CLUSTER_METADATA: &str = "__cluster_metadata";

/// Why a request about topics is refused. The texts are for clients.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// INVALID_TOPIC_EXCEPTION.
    #[error("{0}")]
    InvalidName(String),
    /// TOPIC_ALREADY_EXISTS.
    #[error("Topic '{0}' already exists.")]
    Exists(String),
    /// UNKNOWN_TOPIC_OR_PARTITION.
    #[error("The topic '{0}' does not exist.")]
    UnknownName(String),
    /// UNKNOWN_TOPIC_ID.
    #[error("There is no topic with this id.")]
    UnknownId,
    /// INVALID_PARTITIONS.
    #[error("{0}")]
    InvalidPartitions(String),
    /// INVALID_REPLICATION_FACTOR.
    #[error("{0}")]
    InvalidReplicationFactor(String),
    /// INVALID_REPLICA_ASSIGNMENT.
    #[error("{0}")]
    InvalidReplicaAssignment(String),
    /// INVALID_CONFIG.
    #[error("{0}")]
    InvalidConfig(String),
    /// INVALID_REQUEST.
    #[error("{0}")]
    InvalidRequest(String),
    /// POLICY_VIOLATION.
    #[error("{0}")]
    PolicyViolation(String),
    /// UNKNOWN_SERVER_ERROR: there are no more producer ids.
    #[error("All producer ids have been handed out.")]
    NoProducerIds,
    /// UNKNOWN_SERVER_ERROR: an error of the broker's own.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
}

/// A topic to make, as CreateTopics has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Number of partitions; -1 for the default.
    pub partitions: i32,
    /// Replication factor; -1 for the default.
    pub replication_factor: i16,
    /// Partitions with their brokers, when the client has chosen them; then the two above are -1.
    pub assignments: Vec<(i32, Vec<i32>)>,
    /// Settings; Kafka's protocol allows null here, Kafka does not.
    pub configs: Vec<(String, Option<String>)>,
}

impl NewTopic {
    /// A topic with the default of everything, as made by the first use of its name.
    pub fn with_defaults(name: &str) -> NewTopic {
        NewTopic {
            name: name.to_owned(),
            partitions: -1,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: Vec::new(),
        }
    }
}

/// A change of one setting (IncrementalAlterConfigs).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// It is this.
    Set(String),
    /// It is the default again.
    Delete,
    /// A list has these too, separated by commas.
    Append(String),
    /// A list has these no more.
    Subtract(String),
}

/// What is known of settings where they are declared.
#[derive(Clone, Copy)]
pub struct ConfigRules<'a> {
    /// The default of a key whose type is a list; None for every other key.
    pub list_default: &'a dyn Fn(&str) -> Option<String>,
    /// Whether these settings together are valid, or why not, in a text for the client.
    pub check: &'a dyn Fn(&Configs) -> Result<(), String>,
}

/// Whether a topic is one of the broker's own (`Topic.isInternal`).
pub fn is_internal(name: &str) -> bool {
    matches!(name, CONSUMER_OFFSETS | TRANSACTION_STATE | SHARE_GROUP_STATE)
}

/// Whether a name can be a topic's, and the text for the client if it cannot (`Topic.validate`). What passes is a
/// plain file name.
pub fn check_name(name: &str) -> Result<(), TopicError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let why = match name {
        "" => "it is empty".to_owned(),
        "." | ".." => format!("'{name}' is not allowed"),
        _ if name.len() > MAX_NAME_LENGTH => {
            format!("it has {} bytes, more than the {MAX_NAME_LENGTH} that are allowed", name.len())
        }
        _ if !name.bytes().all(legal) => {
            format!("'{name}' has characters other than ASCII letters and digits, '.', '_' and '-'")
        }
        _ => return Ok(()),
    };
    Err(TopicError::InvalidName(format!("Topic name is invalid: {why}")))
}

/// Kafka's metrics show dots as underscores, so two topics may not differ in these alone (`Topic.hasCollision`).
fn collide(one: &str, other: &str) -> bool {
    let unified = |byte: u8| if byte == b'.' { b'_' } else { byte };
    one.len() == other.len() && one.bytes().map(unified).eq(other.bytes().map(unified))
}

/// A new topic. `made` is how many partitions the request has made before this topic.
pub fn create_topic(
    image: &Image,
    new: &NewTopic,
    id: Uuid,
    default_partitions: i32,
    made: i32,
    rules: ConfigRules<'_>,
) -> Result<Record, TopicError> {
    check_name(&new.name)?;
    if new.name == CLUSTER_METADATA {
        return Err(TopicError::InvalidRequest(format!("The internal topic {CLUSTER_METADATA} cannot be created.")));
    }
    if image.topic(&new.name).is_some() {
        return Err(TopicError::Exists(new.name.clone()));
    }
    if new.name.contains(['.', '_'])
        && let Some(other) = image.topics().find(|topic| collide(&topic.name, &new.name))
    {
        let text = format!("Topic '{}' collides with the existing topic '{}'.", new.name, other.name);
        return Err(TopicError::InvalidName(text));
    }
    let configs = new_configs(&new.configs, rules)?;
    let partitions = match new.assignments.is_empty() {
        true => counted(new, default_partitions)?,
        false => assigned(new, image.node_id())?,
    };
    check_made(made, partitions)?;
    Ok(Record::TopicCreated { name: new.name.clone(), id, partitions, configs })
}

/// The number of partitions of a topic without manual assignment.
fn counted(new: &NewTopic, default_partitions: i32) -> Result<i32, TopicError> {
    match new.replication_factor {
        -1 | 1 => {}
        factor if factor < 1 => {
            let text = "The replication factor must be above 0, or -1 for the default.".to_owned();
            return Err(TopicError::InvalidReplicationFactor(text));
        }
        factor => {
            return Err(TopicError::InvalidReplicationFactor(format!(
                "The replication factor {factor} is more than the number of brokers, which is 1: ask for 1, or for -1 \
                 (the default)."
            )));
        }
    }
    match new.partitions {
        -1 => Ok(default_partitions.max(1)),
        partitions if partitions < 1 => {
            Err(TopicError::InvalidPartitions("The number of partitions must be above 0.".to_owned()))
        }
        partitions => Ok(partitions),
    }
}

/// The number of partitions of a topic with manual assignment.
fn assigned(new: &NewTopic, node_id: i32) -> Result<i32, TopicError> {
    for (given, what) in
        [(i32::from(new.replication_factor), "the replication factor"), (new.partitions, "numPartitions")]
    {
        if given != -1 {
            return Err(TopicError::InvalidRequest(format!(
                "With a manual partition assignment {what} must be -1, not {given}."
            )));
        }
    }
    let mut seen = IndexSet::new();
    for (partition, brokers) in &new.assignments {
        if !seen.insert(*partition) {
            return Err(bad_assignment(format!("Partition {partition} is assigned more than once.")));
        }
        check_brokers(brokers, node_id)?;
    }
    let count = i32::try_from(seen.len()).unwrap_or(i32::MAX);
    if !(0..count).all(|partition| seen.contains(&partition)) {
        return Err(bad_assignment("The assigned partitions must be 0, 1, 2 and so on without a gap.".to_owned()));
    }
    Ok(count)
}

fn bad_assignment(text: String) -> TopicError {
    TopicError::InvalidReplicaAssignment(text)
}

fn check_brokers(brokers: &[i32], node_id: i32) -> Result<(), TopicError> {
    if let Some(unknown) = brokers.iter().find(|broker| **broker != node_id) {
        return Err(bad_assignment(format!(
            "The manual partition assignment names broker {unknown}, which does not exist: the only one is {node_id}."
        )));
    }
    match brokers.len() {
        0 => Err(bad_assignment("The manual partition assignment has a partition without brokers.".to_owned())),
        1 => Ok(()),
        _ => Err(bad_assignment(format!("The manual partition assignment names broker {node_id} more than once."))),
    }
}

fn check_made(made: i32, more: i32) -> Result<(), TopicError> {
    if made.saturating_add(more) > MAX_PARTITIONS_PER_REQUEST {
        return Err(TopicError::PolicyViolation(format!(
            "One request may make at most {MAX_PARTITIONS_PER_REQUEST} partitions."
        )));
    }
    Ok(())
}

fn new_configs(configs: &[(String, Option<String>)], rules: ConfigRules<'_>) -> Result<Configs, TopicError> {
    let nulls: Vec<&str> = configs.iter().filter(|config| config.1.is_none()).map(|config| config.0.as_str()).collect();
    if !nulls.is_empty() {
        let text = format!("Null is no value for topic configs: {}", nulls.join(","));
        return Err(TopicError::InvalidConfig(text));
    }
    let set: Configs = configs.iter().filter_map(|(key, value)| Some((key.clone(), value.clone()?))).collect();
    check_configs(&set, rules)?;
    Ok(set)
}

/// Whether something may have these settings.
pub(super) fn check_configs(configs: &Configs, rules: ConfigRules<'_>) -> Result<(), TopicError> {
    if let Some((key, _)) = configs.iter().find(|(_, value)| value.len() > MAX_CONFIG_VALUE) {
        let text = format!("The value of {key} is longer than the {MAX_CONFIG_VALUE} bytes that are allowed.");
        return Err(TopicError::InvalidConfig(text));
    }
    (rules.check)(configs).map_err(TopicError::InvalidConfig)
}

fn known<'a>(image: &'a Image, name: &str) -> Result<&'a Arc<Topic>, TopicError> {
    image.topic(name).ok_or_else(|| TopicError::UnknownName(name.to_owned()))
}

/// A topic's end.
pub fn delete_topic(image: &Image, id: Uuid) -> Result<Record, TopicError> {
    let topic = image.topic_by_id(id).ok_or(TopicError::UnknownId)?;
    Ok(Record::TopicDeleted { name: topic.name.to_string(), id, partitions: topic.partitions })
}

/// More partitions for a topic. `count` is how many it shall have, `assignments` are the brokers of each new one,
/// `made` is how many partitions the request has made before.
pub fn add_partitions(
    image: &Image,
    name: &str,
    count: i32,
    assignments: Option<&[Vec<i32>]>,
    made: i32,
) -> Result<Record, TopicError> {
    let topic = known(image, name)?;
    let more = count.saturating_sub(topic.partitions);
    if more == 0 {
        return Err(TopicError::InvalidPartitions(format!("Topic already has {count} partition(s).")));
    }
    if more < 0 {
        return Err(TopicError::InvalidPartitions(format!(
            "The topic {name} has {} partition(s) now; {count} would be no increase.",
            topic.partitions
        )));
    }
    if let Some(assignments) = assignments {
        if i32::try_from(assignments.len()) != Ok(more) {
            return Err(bad_assignment(format!(
                "{more} partition(s) are to be added, but {} are assigned.",
                assignments.len()
            )));
        }
        assignments.iter().try_for_each(|brokers| check_brokers(brokers, image.node_id()))?;
    }
    check_made(made, more)?;
    Ok(Record::PartitionsAdded { id: topic.id, partitions: count })
}

/// Some settings of a topic changed (IncrementalAlterConfigs). None: it has them already.
pub fn alter_configs(
    image: &Image,
    name: &str,
    changes: &[(String, ConfigChange)],
    rules: ConfigRules<'_>,
) -> Result<Option<Record>, TopicError> {
    let topic = known(image, name)?;
    set_configs(topic, changed(topic.configs.clone(), changes, rules)?, rules)
}

/// Settings after some changes; whether they are valid is still to be checked.
pub(super) fn changed(
    mut configs: Configs,
    changes: &[(String, ConfigChange)],
    rules: ConfigRules<'_>,
) -> Result<Configs, TopicError> {
    for (key, change) in changes {
        match change {
            ConfigChange::Set(value) => drop(configs.insert(key.clone(), value.clone())),
            ConfigChange::Delete => drop(configs.remove(key)),
            ConfigChange::Append(values) | ConfigChange::Subtract(values) => {
                let default = (rules.list_default)(key).ok_or_else(|| {
                    TopicError::InvalidConfig(format!("Cannot append to or subtract from {key}: it is not a list."))
                })?;
                let now = configs.get(key).unwrap_or(&default);
                let mut list: IndexSet<&str> = now.split(',').filter(|value| !value.is_empty()).collect();
                for value in values.split(',') {
                    match change {
                        ConfigChange::Append(_) => drop(list.insert(value)),
                        _ => drop(list.shift_remove(value)),
                    }
                }
                let list: Vec<&str> = list.into_iter().collect();
                configs.insert(key.clone(), list.join(","));
            }
        }
    }
    Ok(configs)
}

/// All settings of a topic replaced (AlterConfigs). None: it has them already.
pub fn replace_configs(
    image: &Image,
    name: &str,
    configs: Configs,
    rules: ConfigRules<'_>,
) -> Result<Option<Record>, TopicError> {
    set_configs(known(image, name)?, configs, rules)
}

fn set_configs(topic: &Topic, configs: Configs, rules: ConfigRules<'_>) -> Result<Option<Record>, TopicError> {
    check_configs(&configs, rules)?;
    Ok((configs != topic.configs).then_some(Record::ConfigsSet { id: topic.id, configs }))
}

/// The next block of producer ids.
pub fn allocate_producer_ids(image: &Image) -> Result<(ProducerIdBlock, Record), TopicError> {
    let first = image.next_producer_id();
    let next = first.checked_add(PRODUCER_ID_BLOCK_SIZE).ok_or(TopicError::NoProducerIds)?;
    Ok((ProducerIdBlock { first, count: PRODUCER_ID_BLOCK_SIZE }, Record::ProducerIds { next }))
}

#[cfg(test)]
mod tests;

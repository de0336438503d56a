//! The handles that a request needs.

mod groups;
mod markers;
mod partitions;
mod producer_ids;
mod txns;

pub use crate::log::waiting;
pub use groups::Groups;
pub use markers::{MarkerError, Markers};
pub use partitions::{Partitions, Served, Use};
pub use producer_ids::{ProducerIdError, ProducerIds};
pub use txns::Txns;

use crate::catalog::{
    CONSUMER_OFFSETS, Catalog, CatalogError, ConfigRules, Configs, FreshIds, Identity, Image, NewTopic,
    TRANSACTION_STATE, Topic, TopicError,
};
use crate::config::describe::describe_topic;
use crate::config::registry::Kind;
use crate::config::{BrokerConfig, TopicConfig, group};
use crate::log::LogError;
use crate::log::disk::{Disk, DiskOptions, DiskThreads, Files, Known};
use crate::partition::OpenError;
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use uuid::Uuid;

#[cfg(test)]
pub mod stalling;
#[cfg(test)]
mod tests;

/// A broker: what exists, what it leads, and its settings.
pub struct Broker {
    config: Arc<BrokerConfig>,
    catalog: Arc<Catalog>,
    partitions: Arc<Partitions>,
    producer_ids: Arc<ProducerIds>,
    groups: Arc<Groups>,
    markers: Arc<Markers>,
    txns: Arc<Txns>,
    threads: Mutex<Option<DiskThreads>>,
    /// Held while settings are read and brought to open partitions, which may wait for the disk.
    reconfiguring: Mutex<()>,
}

/// Why a broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The catalog cannot be opened.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The logs cannot be opened.
    #[error("{0}: {1}")]
    Logs(String, io::Error),
    /// Another process has the directory.
    #[error("{0} is in use by another process")]
    InUse(String),
}

/// Why a partition is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum PartitionError {
    /// The topic has no such partition.
    #[error("no such partition")]
    Unknown,
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// The features that the cluster has agreed on (KIP-584).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FinalizedFeatures {
    /// Rises with every change; -1 when not known.
    pub epoch: i64,
    /// Name and level of each.
    pub levels: Vec<(&'static str, i16)>,
}

impl Broker {
    /// Opens the data directory of `config`, makes it at the first start, recovers it after a stop that was not clean,
    /// and starts the threads of the log. Waits for the disk.
    pub fn open(files: Arc<dyn Files>, mut config: BrokerConfig, open_files: usize) -> Result<Arc<Self>, StartError> {
        let dir = config.data_dir().to_owned();
        let identity = Identity {
            cluster_id: config.cluster_id.clone(),
            node_id: config.is_given("node.id").then_some(config.node_id),
        };
        let catalog = Catalog::open(files.clone(), &dir, &identity, FreshIds::random())?;
        let image = catalog.image();
        config.adopt_node_id(image.node_id());
        let census =
            |name: &str, partition: i32, stored: Option<Uuid>| census(&config, &image, name, partition, stored);
        let disk = Disk::open(files, &dir, DiskOptions { open_files, ..DiskOptions::default() }, &census)
            .map_err(|error| StartError::Logs(dir.display().to_string(), error))?;
        forget_deleted(&catalog)?;
        let threads = disk.start().map_err(|error| StartError::Logs("threads".into(), error))?;
        let partitions = Arc::new(Partitions::new(disk, image.boot_epoch()));
        let threads = Mutex::new(Some(threads));
        let (config, catalog) = (Arc::new(config), Arc::new(catalog));
        let groups = Arc::new(Groups::new(config.clone(), catalog.clone(), partitions.clone()));
        let markers = Markers::new(config.clone(), catalog.clone(), partitions.clone(), groups.clone());
        let (markers, producer_ids) = (Arc::new(markers), Arc::new(ProducerIds::default()));
        let (ids, ends) = (producer_ids.clone(), markers.clone());
        let txns = Arc::new(Txns::new(config.clone(), catalog.clone(), partitions.clone(), ids, ends));
        Ok(Arc::new(Self {
            config,
            catalog,
            partitions,
            producer_ids,
            groups,
            markers,
            txns,
            threads,
            reconfiguring: Mutex::new(()),
        }))
    }

    /// The settings.
    pub fn config(&self) -> &BrokerConfig {
        &self.config
    }

    /// What exists.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// What this broker leads.
    pub fn partitions(&self) -> &Partitions {
        &self.partitions
    }

    /// A producer id that nobody has had before; `None` where there is none now.
    pub async fn fresh_producer_id(&self) -> Option<i64> {
        ProducerIds::fresh(&self.producer_ids, &self.catalog).await
    }

    /// Groups and their offsets.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// The ends of transactions.
    pub fn markers(&self) -> &Markers {
        &self.markers
    }

    /// Transactional ids.
    pub fn txns(&self) -> &Arc<Txns> {
        &self.txns
    }

    /// This broker's id.
    pub fn node_id(&self) -> i32 {
        self.config.node_id
    }

    /// The features that clients may rely on. They are the same for as long as the broker runs.
    pub fn finalized_features(&self) -> FinalizedFeatures {
        FinalizedFeatures { epoch: 0, levels: vec![("group.version", 1), ("transaction.version", 2)] }
    }

    /// A partition of a topic, to read from.
    pub fn partition(&self, topic: &Topic, partition: i32) -> Result<Arc<Served>, PartitionError> {
        self.partition_to(Use::Read, topic, partition)
    }

    /// A partition of a topic, to append to.
    pub fn partition_to_append(&self, topic: &Topic, partition: i32) -> Result<Arc<Served>, PartitionError> {
        self.partition_to(Use::Append, topic, partition)
    }

    fn partition_to(&self, purpose: Use, topic: &Topic, partition: i32) -> Result<Arc<Served>, PartitionError> {
        if !(0..topic.partitions).contains(&partition) {
            return Err(PartitionError::Unknown);
        }
        Ok(self.partitions.get(topic, partition, purpose, &self.catalog, &self.config)?)
    }

    /// Has the open partitions of a topic follow its settings, after the catalog has changed them. Waits for those that
    /// are being opened. Whoever comes last brings the last settings, whatever the order of the changes was.
    pub fn settings_changed(&self, topic_id: Uuid) {
        let _one_at_a_time = self.reconfiguring.lock();
        if let Some(topic) = self.catalog.image().topic_by_id(topic_id) {
            self.partitions.reconfigure(topic_id, &topic_settings(&self.config, topic));
        }
    }

    /// The settings of a topic in force.
    pub fn topic_settings(&self, topic: &Topic) -> TopicConfig {
        topic_settings(&self.config, topic)
    }

    /// Hands over what the catalog has to know of topic settings.
    pub fn with_config_rules<T>(&self, f: impl FnOnce(ConfigRules<'_>) -> T) -> T {
        let list_default = |name: &str| {
            let described = describe_topic(&self.config, &Configs::new()).unwrap_or_default();
            let list = described.into_iter().find(|it| it.name == name && it.config_type == Kind::List)?;
            Some(list.value.unwrap_or_default())
        };
        let check = |configs: &Configs| match TopicConfig::new(&self.config, configs) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        f(ConfigRules { list_default: &list_default, check: &check })
    }

    /// Hands over what the catalog has to know of group settings, none of which is a list.
    pub fn with_group_config_rules<T>(&self, f: impl FnOnce(ConfigRules<'_>) -> T) -> T {
        let check = |configs: &Configs| group::validate(&self.config, configs).map_err(|invalid| invalid.to_string());
        f(ConfigRules { list_default: &|_| None, check: &check })
    }

    /// Makes topics with the defaults, as the first use of their names does: what became of each, in the order of the
    /// names. One that is there already is that one. Waits for the disk.
    pub fn create_on_first_use(&self, names: &[String]) -> Result<Vec<Result<Arc<Topic>, TopicError>>, CatalogError> {
        let (created, image) = self.with_config_rules(|rules| {
            self.catalog.update(|draft| -> Vec<_> {
                let new = names.iter().map(|name| new_topic(&self.config, name));
                new.map(|new| draft.create_topic(&new, self.config.num_partitions, rules)).collect()
            })
        })?;
        let there = |created| match created {
            Err(TopicError::Exists(name)) => image.topic(&name).cloned().ok_or(TopicError::UnknownName(name)),
            created => created,
        };
        Ok(created.into_iter().map(there).collect())
    }

    /// Removes what is left of a topic that the catalog has deleted. Waits for the disk.
    pub fn remove_topic(&self, topic: &Topic) -> Result<(), RemoveError> {
        self.partitions.delete(topic)?;
        let (removed, _) = self.catalog.update(|draft| draft.folders_removed(topic.id))?;
        Ok(removed.map_err(CatalogError::from)?)
    }

    /// A clean stop. No request may be running. Waits for the disk.
    pub fn stop(&self) -> Result<(), LogError> {
        match self.threads.lock().take() {
            Some(threads) => self.partitions.stop(threads),
            None => Ok(()),
        }
    }
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").field("node_id", &self.config.node_id).finish_non_exhaustive()
    }
}

#[cfg(test)]
impl Broker {
    /// A broker in memory, with these settings.
    pub fn in_memory(settings: &[(&str, &str)]) -> Arc<Self> {
        let config = BrokerConfig::from_pairs(settings.iter().copied()).unwrap();
        Self::open(Arc::new(crate::log::disk::memory::MemoryFiles::new()), config, 64).unwrap()
    }
}

/// A topic as the first use of its name makes it. Internal ones have settings of their own, as Kafka's
/// `AutoTopicCreationManager` gives them.
fn new_topic(config: &BrokerConfig, name: &str) -> NewTopic {
    let new = NewTopic::with_defaults(name);
    let (partitions, segment_bytes, own) = match name {
        CONSUMER_OFFSETS => {
            let own = [("compression.type", "producer")].as_slice();
            (config.offsets_topic_num_partitions, config.offsets_topic_segment_bytes, own)
        }
        TRANSACTION_STATE => {
            let own = [("compression.type", "uncompressed"), ("unclean.leader.election.enable", "false")].as_slice();
            (config.transaction_state_log_num_partitions, config.transaction_state_log_segment_bytes, own)
        }
        _ => return new,
    };
    let segment_bytes = segment_bytes.to_string();
    let all = [("cleanup.policy", "compact"), ("segment.bytes", &segment_bytes)];
    let configs = all.iter().chain(own).map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
    NewTopic { partitions, configs: configs.collect(), ..new }
}

/// Why a deleted topic's folders are still there.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] io::Error),
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// What a partition's folder is, by the catalog.
fn census(config: &BrokerConfig, image: &Image, name: &str, partition: i32, stored: Option<Uuid>) -> Known {
    let by_id = stored.and_then(|id| image.topic_by_id(id));
    // A folder whose topic id was lost with the power belongs to the topic of its name: a deleted topic's folder is
    // renamed durably before the name can be used again.
    let topic = by_id.or_else(|| if stored.is_none() { image.topic(name) } else { None });
    match topic {
        Some(topic) if *topic.name == *name && partition < topic.partitions => {
            Known::Exists(topic.id, partitions::log_config(&topic_settings(config, topic)))
        }
        _ if stored.is_some_and(|id| image.deleted().any(|deleted| deleted.id == id)) => Known::Deleted,
        _ => Known::Unknown,
    }
}

/// The folders of all deleted topics are gone when the disk has been opened.
fn forget_deleted(catalog: &Catalog) -> Result<(), CatalogError> {
    let deleted: Vec<Uuid> = catalog.image().deleted().map(|topic| topic.id).collect();
    let (forgotten, _) = catalog.update(|draft| deleted.iter().try_for_each(|id| draft.folders_removed(*id)))?;
    Ok(forgotten?)
}

fn topic_settings(config: &BrokerConfig, topic: &Topic) -> TopicConfig {
    TopicConfig::new(config, &topic.configs).unwrap_or_else(|error| {
        // What was stored was valid then. A setting of the broker's may have changed beside it.
        tracing::warn!(topic = %topic.name, %error, "the topic's settings are not valid any more; using the defaults");
        config.topic_defaults.clone()
    })
}

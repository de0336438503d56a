//! The group coordinator of this broker: its shell, the topic that it lives on, and what it sees of the rest.

use super::{Partitions, Use};
use crate::catalog::{CONSUMER_OFFSETS, Catalog, Image, Topic};
use crate::config::BrokerConfig;
use crate::config::group::{CONSUMER_HEARTBEAT_INTERVAL_MS, CONSUMER_SESSION_TIMEOUT_MS, own_number};
use crate::coordinator::group::GroupShard;
use crate::coordinator::group::request::{ListedGroup, Reply, Request};
use crate::coordinator::group::settings::{GroupOverrides, GroupSettings, TopicInfo, Topics, World};
use crate::coordinator::{Decided, Home, InTransaction, Shell, TransactionError, Unavailable, partition_for};
use crate::partition::{Guard, Partition, TransactionEnd, Verify};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use uuid::Uuid;

/// All groups. A broker leads all of them.
pub struct Groups {
    shell: Shell<GroupShard>,
    catalog: Arc<Catalog>,
}

impl Groups {
    pub(super) fn new(config: Arc<BrokerConfig>, catalog: Arc<Catalog>, partitions: Arc<Partitions>) -> Self {
        let world = Arc::new(GroupWorld {
            config: config.clone(),
            catalog: catalog.clone(),
            last: Mutex::new((catalog.image(), 0)),
        });
        let settings = Arc::new(GroupSettings::new(&config));
        let home = GroupHome { config, catalog: catalog.clone(), partitions, settings, world };
        Groups { shell: Shell::new(Arc::new(home)), catalog }
    }

    /// The topic with the groups' state; `None` where nobody has asked for a coordinator yet.
    pub fn topic(&self) -> Option<Arc<Topic>> {
        self.catalog.image().topic(CONSUMER_OFFSETS).cloned()
    }

    /// Asks the coordinator of a group.
    pub async fn ask(&self, group_id: &str, request: Request) -> Result<Reply, Unavailable> {
        self.shell.call(self.index(group_id)?, request).await
    }

    /// As [`Groups::ask`], with what is written as part of a producer's transaction.
    pub async fn ask_in_transaction(
        &self,
        group_id: &str,
        transaction: InTransaction,
        request: Request,
    ) -> Result<Reply, TransactionError> {
        self.shell.call_in_transaction(self.index(group_id)?, transaction, request).await
    }

    /// The guard for [`Groups::ask_in_transaction`], to be taken before the transaction's coordinator is asked whether the
    /// group's partition is part of it.
    pub fn verify(&self, group_id: &str, verify: Verify) -> Result<Option<Guard>, TransactionError> {
        self.shell.verify(self.index(group_id)?, verify)
    }

    /// Ends a producer's transaction in the groups of a partition that are loaded; resolves when that is durable.
    pub fn end_transaction(
        &self,
        index: i32,
        end: TransactionEnd,
    ) -> Result<impl Future<Output = Result<(), TransactionError>> + use<>, TransactionError> {
        self.shell.end_transaction(index, end)
    }

    /// The partition of `__consumer_offsets` that a group lives in.
    pub fn index(&self, group_id: &str) -> Result<i32, Unavailable> {
        let topic = self.topic().ok_or(Unavailable::Gone)?;
        Ok(partition_for(group_id, topic.partitions))
    }

    /// All groups.
    pub async fn list(&self) -> Result<Vec<ListedGroup>, Unavailable> {
        let mut groups = Vec::new();
        for index in 0..self.topic().map_or(0, |topic| topic.partitions) {
            match self.shell.call(index, Request::ListGroups).await? {
                Reply::ListGroups(some) => groups.extend(some),
                _ => return Err(Unavailable::Gone),
            }
        }
        Ok(groups)
    }

    /// Topics were deleted: what was committed for them goes too. In shards that cannot be had it goes when they are loaded.
    pub async fn topics_deleted(&self, topics: &BTreeMap<Arc<str>, Uuid>) {
        for index in 0..self.topic().map_or(0, |topic| topic.partitions) {
            if let Err(error) = self.shell.call(index, Request::TopicsDeleted(topics.clone())).await {
                tracing::warn!(partition = index, %error, "offsets of deleted topics are left");
            }
        }
    }

    /// Reads the groups of one partition. Waits for the disk.
    pub fn load_one(&self, index: i32) -> Result<(), Unavailable> {
        self.shell.load(index)
    }

    /// Reads everything, so that the first members find it there. Waits for the disk.
    pub fn load(&self) {
        for index in 0..self.topic().map_or(0, |topic| topic.partitions) {
            match self.shell.load(index) {
                Ok(()) | Err(Unavailable::Loading) => {}
                Err(Unavailable::Stopping) => return,
                Err(error) => tracing::warn!(partition = index, %error, "the coordinator of some groups is not loaded"),
            }
        }
    }

    /// Keeps time for all groups. Never ends.
    pub async fn run(&self) {
        self.shell.run().await;
    }

    /// Has every group do what is due.
    #[cfg(test)]
    fn fire(&self, now: crate::coordinator::Now) {
        self.shell.fire(now);
    }

    /// Sends away who waits for others in a group. Commits under way are still answered.
    pub fn stop(&self) {
        self.shell.stop();
    }
}

/// Where the shards live.
struct GroupHome {
    config: Arc<BrokerConfig>,
    catalog: Arc<Catalog>,
    partitions: Arc<Partitions>,
    settings: Arc<GroupSettings>,
    world: Arc<GroupWorld>,
}

impl Home<GroupShard> for GroupHome {
    fn partition(&self, index: i32) -> Option<Arc<Partition>> {
        let topic = self.catalog.image().topic(CONSUMER_OFFSETS).cloned()?;
        let served = self.partitions.get(&topic, index, Use::Append, &self.catalog, &self.config);
        Some(served.ok()?.partition.clone())
    }

    fn empty(&self) -> GroupShard {
        GroupShard::new(self.settings.clone(), self.world.clone())
    }

    fn carry_out(&self, _index: i32, command: Infallible, _decided: Decided) {
        match command {}
    }
}

/// What groups see of the catalog.
struct GroupWorld {
    config: Arc<BrokerConfig>,
    catalog: Arc<Catalog>,
    /// The image that was seen last, and its number.
    last: Mutex<(Arc<Image>, u64)>,
}

impl World for GroupWorld {
    fn topics(&self) -> Arc<dyn Topics> {
        let image = self.catalog.image();
        let mut last = self.last.lock();
        if !Arc::ptr_eq(&last.0, &image) {
            *last = (image.clone(), last.1 + 1);
        }
        Arc::new(ImageTopics { image, version: last.1 })
    }

    fn overrides(&self, group_id: &str) -> GroupOverrides {
        let image = self.catalog.image();
        let Some(configs) = image.group_configs(group_id) else { return GroupOverrides::default() };
        GroupOverrides {
            consumer_session_timeout_ms: own_number(&self.config, configs, CONSUMER_SESSION_TIMEOUT_MS),
            consumer_heartbeat_interval_ms: own_number(&self.config, configs, CONSUMER_HEARTBEAT_INTERVAL_MS),
        }
    }
}

struct ImageTopics {
    image: Arc<Image>,
    version: u64,
}

fn info(topic: &Topic) -> TopicInfo {
    TopicInfo { name: topic.name.clone(), id: topic.id, partitions: topic.partitions }
}

impl Topics for ImageTopics {
    fn version(&self) -> u64 {
        self.version
    }

    fn by_name(&self, name: &str) -> Option<TopicInfo> {
        self.image.topic(name).map(|topic| info(topic))
    }

    fn by_id(&self, id: Uuid) -> Option<TopicInfo> {
        self.image.topic_by_id(id).map(|topic| info(topic))
    }

    fn each(&self, f: &mut dyn FnMut(&TopicInfo)) {
        self.image.topics().for_each(|topic| f(&info(topic)));
    }
}

#[cfg(test)]
mod tests;

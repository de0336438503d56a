//! What exists, as a value. Pure: it changes only by [`Image::apply`], which is also how it is read back from disk.

use super::records::Record;
use super::topics::MAX_NAME_LENGTH;
use indexmap::IndexMap;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// Settings of a topic or group: those made for it, by Kafka's names, in the order of these.
pub type Configs = BTreeMap<String, String>;

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: Arc<str>,
    /// Its id, never used again for another topic.
    pub id: Uuid,
    /// Number of partitions; they are 0 up to this.
    pub partitions: i32,
    /// The settings made for it, by Kafka's names; what is not here has its default.
    pub configs: Configs,
}

/// A deleted topic whose folders may still be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedTopic {
    /// The name it had; another topic may have it now.
    pub name: Arc<str>,
    /// The id it had.
    pub id: Uuid,
    /// The number of partitions it had.
    pub partitions: i32,
}

/// Producer ids that nobody else was or will be given: `first` up to `first + count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdBlock {
    /// The first id.
    pub first: i64,
    /// How many.
    pub count: i64,
}

/// A record that cannot follow from what the image says. Never a client's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("contradiction in the catalog: {0}")]
pub struct Contradiction(pub(super) String);

/// Everything the catalog knows. Cheap to clone: topics are shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub(super) cluster_id: Arc<str>,
    pub(super) node_id: i32,
    pub(super) directory_id: Uuid,
    boot_epoch: i32,
    next_producer_id: i64,
    topics: IndexMap<Arc<str>, Arc<Topic>>,
    by_id: IndexMap<Uuid, Arc<Topic>>,
    deleted: IndexMap<Uuid, Arc<DeletedTopic>>,
    /// Never empty settings.
    groups: BTreeMap<Arc<str>, Arc<Configs>>,
}

impl Image {
    /// Of a cluster that has just come to be; no start has happened.
    pub(super) fn new() -> Image {
        Image {
            cluster_id: "".into(),
            node_id: 0,
            directory_id: Uuid::nil(),
            boot_epoch: -1,
            next_producer_id: 0,
            topics: IndexMap::new(),
            by_id: IndexMap::new(),
            deleted: IndexMap::new(),
            groups: BTreeMap::new(),
        }
    }

    /// The cluster's id, mostly 22 characters of base64 ([`super::id_text`]).
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// This broker's id.
    pub fn node_id(&self) -> i32 {
        self.node_id
    }

    /// Id of the log directory that holds the catalog.
    pub fn directory_id(&self) -> Uuid {
        self.directory_id
    }

    /// The leader epoch of this start: 0 at the first, higher at each one after it.
    pub fn boot_epoch(&self) -> i32 {
        self.boot_epoch
    }

    /// The first producer id that was never handed out.
    pub fn next_producer_id(&self) -> i64 {
        self.next_producer_id
    }

    /// The topic of a name.
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        // Requests have longer ones, and ask for them a hundred thousand times; hashing is not free.
        if name.len() > MAX_NAME_LENGTH { None } else { self.topics.get(name) }
    }

    /// The topic of an id.
    pub fn topic_by_id(&self, id: Uuid) -> Option<&Arc<Topic>> {
        self.by_id.get(&id)
    }

    /// All topics, oldest first.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = &Arc<Topic>> {
        self.topics.values()
    }

    /// Topics whose folders are still to be removed.
    pub fn deleted(&self) -> impl ExactSizeIterator<Item = &Arc<DeletedTopic>> {
        self.deleted.values()
    }

    /// The settings that a group has of its own, whether it exists or not.
    pub fn group_configs(&self, group: &str) -> Option<&Arc<Configs>> {
        self.groups.get(group)
    }

    /// The groups that have settings of their own, by name.
    pub fn groups_with_configs(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.groups.keys()
    }

    /// Makes a record part of the image. On an error nothing has changed.
    pub fn apply(&mut self, record: &Record) -> Result<(), Contradiction> {
        match record {
            Record::Started { epoch } => {
                let ahead = *epoch > self.boot_epoch;
                ahead.then(|| self.boot_epoch = *epoch).ok_or_else(|| contradiction("start epoch", epoch))
            }
            Record::ProducerIds { next } => {
                let ahead = *next > self.next_producer_id;
                ahead.then(|| self.next_producer_id = *next).ok_or_else(|| contradiction("next producer id", next))
            }
            Record::TopicCreated { name, id, partitions, configs } => {
                let known = self.by_id.contains_key(id) || self.deleted.contains_key(id);
                if known || self.topics.contains_key(name.as_str()) || *partitions < 1 {
                    return Err(contradiction("creation of", name));
                }
                self.put(Topic {
                    name: name.as_str().into(),
                    id: *id,
                    partitions: *partitions,
                    configs: configs.clone(),
                });
                Ok(())
            }
            Record::PartitionsAdded { id, partitions } => {
                let topic = self.existing(*id)?;
                if *partitions <= topic.partitions {
                    return Err(contradiction("number of partitions of", &topic.name));
                }
                self.put(Topic { partitions: *partitions, ..topic });
                Ok(())
            }
            Record::ConfigsSet { id, configs } => {
                let topic = self.existing(*id)?;
                self.put(Topic { configs: configs.clone(), ..topic });
                Ok(())
            }
            Record::GroupConfigsSet { group, configs } if configs.is_empty() => {
                let removed = self.groups.remove(group.as_str());
                removed.map(drop).ok_or_else(|| contradiction("settings removed of group", group))
            }
            Record::GroupConfigsSet { group, configs } => {
                self.groups.insert(group.as_str().into(), Arc::new(configs.clone()));
                Ok(())
            }
            Record::TopicDeleted { name, id, partitions } => {
                if self.deleted.contains_key(id) {
                    return Err(contradiction("deletion of", name));
                }
                // A compacted file has the deletion alone.
                if let Some(topic) = self.by_id.swap_remove(id) {
                    self.topics.shift_remove(&topic.name);
                }
                let gone = DeletedTopic { name: name.as_str().into(), id: *id, partitions: *partitions };
                self.deleted.insert(*id, Arc::new(gone));
                Ok(())
            }
            Record::FoldersRemoved { id } => {
                let removed = self.deleted.shift_remove(id);
                removed.map(drop).ok_or_else(|| contradiction("folders removed of", id))
            }
        }
    }

    /// The shortest records that lead to this image.
    pub(super) fn records(&self) -> Vec<Record> {
        let mut records = Vec::with_capacity(2 + self.topics.len() + self.deleted.len() + self.groups.len());
        if self.boot_epoch >= 0 {
            records.push(Record::Started { epoch: self.boot_epoch });
        }
        if self.next_producer_id > 0 {
            records.push(Record::ProducerIds { next: self.next_producer_id });
        }
        records.extend(self.deleted.values().map(|gone| Record::TopicDeleted {
            name: gone.name.to_string(),
            id: gone.id,
            partitions: gone.partitions,
        }));
        records.extend(self.topics.values().map(|topic| Record::TopicCreated {
            name: topic.name.to_string(),
            id: topic.id,
            partitions: topic.partitions,
            configs: topic.configs.clone(),
        }));
        records.extend(self.groups.iter().map(|(group, configs)| Record::GroupConfigsSet {
            group: group.to_string(),
            configs: Configs::clone(configs),
        }));
        records
    }

    fn existing(&self, id: Uuid) -> Result<Topic, Contradiction> {
        self.by_id.get(&id).map(|topic| Topic::clone(topic)).ok_or_else(|| contradiction("unknown topic", id))
    }

    fn put(&mut self, topic: Topic) {
        let topic = Arc::new(topic);
        self.topics.insert(topic.name.clone(), topic.clone());
        self.by_id.insert(topic.id, topic);
    }
}

fn contradiction(what: &str, which: impl std::fmt::Display) -> Contradiction {
    Contradiction(format!("{what} {which}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created(name: &str, id: u128) -> Record {
        Record::TopicCreated { name: name.into(), id: Uuid::from_u128(id), partitions: 2, configs: BTreeMap::new() }
    }

    fn deleted(name: &str, id: u128) -> Record {
        Record::TopicDeleted { name: name.into(), id: Uuid::from_u128(id), partitions: 2 }
    }

    fn group(group: &str, configs: &[(&str, &str)]) -> Record {
        let configs = configs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Record::GroupConfigsSet { group: group.into(), configs }
    }

    #[test]
    fn what_cannot_follow_is_refused_and_changes_nothing() {
        let mut image = Image::new();
        let id = Uuid::from_u128(7);
        for record in [
            Record::Started { epoch: 3 },
            Record::ProducerIds { next: 1000 },
            created("gone", 6),
            deleted("gone", 6),
            created("t", 7),
        ] {
            image.apply(&record).unwrap();
        }
        let before = image.clone();
        for record in [
            Record::Started { epoch: 3 },
            Record::ProducerIds { next: 1000 },
            created("t", 8),
            created("u", 7),
            created("gone", 6),
            deleted("gone", 6),
            Record::PartitionsAdded { id, partitions: 2 },
            Record::PartitionsAdded { id: Uuid::from_u128(6), partitions: 9 },
            Record::ConfigsSet { id: Uuid::from_u128(6), configs: BTreeMap::new() },
            Record::FoldersRemoved { id },
            Record::GroupConfigsSet { group: "g".into(), configs: BTreeMap::new() },
        ] {
            assert!(image.apply(&record).is_err(), "{record:?}");
            assert_eq!(image, before);
        }
    }

    #[test]
    fn the_shortest_records_lead_to_the_same_image() {
        let mut image = Image::new();
        let id = Uuid::from_u128(2);
        for record in [
            Record::Started { epoch: 0 },
            created("a", 1),
            created("b", 2),
            created("c", 3),
            Record::PartitionsAdded { id, partitions: 5 },
            Record::ConfigsSet { id, configs: BTreeMap::from([("k".into(), "v".into())]) },
            deleted("a", 1),
            deleted("c", 3),
            Record::FoldersRemoved { id: Uuid::from_u128(1) },
            created("c", 4),
            Record::ProducerIds { next: 2000 },
            group("g", &[("k", "v")]),
            group("h", &[("k", "v"), ("l", "v")]),
            group("h", &[("k", "w")]),
            group("g", &[]),
            group("", &[("k", "v")]),
        ] {
            image.apply(&record).unwrap();
        }
        let mut again = Image::new();
        image.records().iter().for_each(|record| again.apply(record).unwrap());
        assert_eq!(again, image);
        assert_eq!(again.topics().map(|topic| &*topic.name).collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(again.topic_by_id(id).unwrap().partitions, 5);
        assert_eq!(again.groups_with_configs().map(|group| &**group).collect::<Vec<_>>(), ["", "h"]);
        assert_eq!(again.group_configs("h").unwrap().get("k").unwrap(), "w");
        assert_eq!(again.deleted().map(|gone| &*gone.name).collect::<Vec<_>>(), ["c"]);
    }
}

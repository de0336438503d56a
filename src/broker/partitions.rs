//! The partitions that this broker leads, opened when they are first touched.
//!
//! A partition whose log failed is opened again from what is durable, the next time that somebody asks for it.

use super::topic_settings;
use crate::catalog::{Catalog, Topic};
use crate::config::{BrokerConfig, TopicConfig};
use crate::log::disk::{Disk, DiskLog, DiskThreads, LogName};
use crate::log::{Flush, LogConfig, LogError, OwnerState, waiting};
use crate::partition::{OpenError, Partition};
use crate::time::{self, Millis};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

/// How long a partition that failed to open, or failed, is left alone before it is tried again.
const RETRY_MS: Millis = 1_000;

/// A partition and the settings of its topic.
pub struct Served {
    /// The partition.
    pub partition: Arc<Partition>,
    log: Arc<DiskLog>,
    settings: RwLock<Arc<TopicConfig>>,
}

impl Served {
    /// The topic's settings in force.
    pub fn settings(&self) -> Arc<TopicConfig> {
        self.settings.read().clone()
    }
}

/// All partitions of this broker.
pub struct Partitions {
    disk: Arc<Disk>,
    leader_epoch: i32,
    slots: RwLock<HashMap<(Uuid, i32), Arc<Slot>>>,
    /// Duplicates found by partitions that are gone again.
    past_duplicates: AtomicU64,
}

#[derive(Default)]
struct Slot {
    state: RwLock<State>,
}

#[derive(Default)]
enum State {
    #[default]
    Closed,
    Open(Arc<Served>),
    /// Since `at`. What the log had published before it failed can still be read.
    Failed {
        error: OpenError,
        at: Millis,
        last: Option<Arc<Served>>,
    },
}

/// What a partition is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Reading; for a while after a failure from what was published before.
    Read,
    /// Appending.
    Append,
}

impl Partitions {
    /// The partitions on `disk`, led under `leader_epoch`.
    pub fn new(disk: Arc<Disk>, leader_epoch: i32) -> Self {
        Self { disk, leader_epoch, slots: RwLock::default(), past_duplicates: AtomicU64::new(0) }
    }

    /// The leader epoch of all of them.
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    /// The disk under them.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// A partition of a topic that exists, opened if it is not open. Waits for the disk then; a runtime's worker is
    /// replaced meanwhile.
    pub fn get(
        &self,
        topic: &Topic,
        partition: i32,
        purpose: Use,
        catalog: &Catalog,
        config: &BrokerConfig,
    ) -> Result<Arc<Served>, OpenError> {
        let slot = self.slot(topic.id, partition);
        if let Some(state) = slot.state.try_read()
            && let State::Open(served) = &*state
            && !served.partition.log().progress().has_failed()
        {
            return Ok(served.clone());
        }
        waiting(|| self.open(&slot, topic, partition, purpose, catalog, config))
    }

    fn open(
        &self,
        slot: &Slot,
        topic: &Topic,
        partition: i32,
        purpose: Use,
        catalog: &Catalog,
        config: &BrokerConfig,
    ) -> Result<Arc<Served>, OpenError> {
        let mut state = slot.state.write();
        if let State::Open(served) = &*state {
            let Some(failure) = served.partition.failed() else { return Ok(served.clone()) };
            self.past_duplicates.fetch_add(served.partition.duplicates(), Ordering::Relaxed);
            let last = Some(served.clone());
            *state = State::Failed { error: failure.into(), at: time::monotonic(), last };
        }
        let (again, last) = match &*state {
            State::Failed { error, at, last } if time::monotonic() - at < RETRY_MS => {
                return last.clone().filter(|_| purpose == Use::Read).ok_or_else(|| error.clone());
            }
            State::Failed { last, .. } => (true, last.clone()),
            State::Closed | State::Open(_) => (false, None),
        };
        let name = LogName { topic: topic.name.to_string(), topic_id: topic.id, partition };
        // Requests may come late, with a topic that was deleted since. Its settings are read under this lock, so that a
        // change made meanwhile is either seen here or finds the partition open.
        let Some(topic) = catalog.image().topic_by_id(topic.id).cloned() else {
            return Err(LogError::Storage("the topic was deleted".into()).into());
        };
        let gone = |id: Uuid| catalog.image().topic_by_id(id).is_none();
        match self.open_partition(&name, topic_settings(config, &topic), again, &gone) {
            Ok(served) => {
                let served = Arc::new(served);
                *state = State::Open(served.clone());
                Ok(served)
            }
            Err(error) => {
                tracing::error!(partition = %name.dir(), %error, "cannot open");
                *state = State::Failed { error: error.clone(), at: time::monotonic(), last: last.clone() };
                last.filter(|_| purpose == Use::Read).ok_or(error)
            }
        }
    }

    fn open_partition(
        &self,
        name: &LogName,
        settings: TopicConfig,
        again: bool,
        gone: &dyn Fn(Uuid) -> bool,
    ) -> Result<Served, OpenError> {
        let opened = self
            .disk
            .open_log(name, log_config(&settings), again, gone)
            .map_err(|error| LogError::Storage(format!("{}: {error}", name.dir()).into()))?;
        let (log, recovered) = opened.into_recovered();
        let partition = Partition::open(log.clone(), recovered, self.leader_epoch, time::wall())?;
        Ok(Served { partition: Arc::new(partition), log, settings: RwLock::new(Arc::new(settings)) })
    }

    /// The settings of a topic changed.
    pub fn reconfigure(&self, topic_id: Uuid, settings: &TopicConfig) {
        for served in self.open_ones(|id, _| id == topic_id) {
            served.partition.log().reconfigure(log_config(settings));
            *served.settings.write() = Arc::new(settings.clone());
        }
    }

    /// Comes before the catalog deletes a topic: whose its folders are is durable when the name is free. Waits for the
    /// disk.
    pub fn prepare_delete(&self, topic: &Topic) -> std::io::Result<()> {
        (0..topic.partitions).try_for_each(|partition| {
            self.disk.prepare_delete(&LogName { topic: topic.name.to_string(), topic_id: topic.id, partition })
        })
    }

    /// Takes a deleted topic's partitions out and their folders away. Waits for the disk.
    pub fn delete(&self, topic: &Topic) -> std::io::Result<()> {
        // One that fails does not keep the others; its folder goes at the next start.
        let mut outcome = Ok(());
        for partition in 0..topic.partitions {
            let slot = self.slot(topic.id, partition);
            let previous = std::mem::take(&mut *slot.state.write());
            let name = LogName { topic: topic.name.to_string(), topic_id: topic.id, partition };
            let log = match &previous {
                State::Open(served) => {
                    self.past_duplicates.fetch_add(served.partition.duplicates(), Ordering::Relaxed);
                    Some(&*served.log)
                }
                _ => None,
            };
            outcome = outcome.and(self.disk.delete_log(&name, log));
        }
        self.slots.write().retain(|(id, _), _| *id != topic.id);
        outcome.and(self.disk.remove_deleted())
    }

    /// Forgets idle producers of every open partition.
    pub fn expire_producers(&self, expiration_ms: i64) {
        let now = time::wall();
        for served in self.open_ones(|_, _| true) {
            served.partition.expire_producers(now, expiration_ms);
        }
    }

    /// Batches that were not appended because they had been before.
    pub fn duplicates(&self) -> u64 {
        let open: u64 = self.open_ones(|_, _| true).iter().map(|served| served.partition.duplicates()).sum();
        open + self.past_duplicates.load(Ordering::Relaxed)
    }

    /// A clean stop of the disk, with every partition's state. Nothing may be appended any more.
    pub fn stop(&self, threads: DiskThreads) -> Result<(), LogError> {
        let open = self.open_ones(|_, _| true);
        // The states are taken when the writer has ended: from then on the log end does not move.
        let logs = open
            .iter()
            .map(|served| -> (Arc<DiskLog>, OwnerState) { (served.log.clone(), served.partition.close_state().1) });
        self.disk.stop(threads, logs)
    }

    fn slot(&self, topic_id: Uuid, partition: i32) -> Arc<Slot> {
        let key = (topic_id, partition);
        if let Some(slot) = self.slots.read().get(&key) {
            return slot.clone();
        }
        self.slots.write().entry(key).or_default().clone()
    }

    fn open_ones(&self, wanted: impl Fn(Uuid, i32) -> bool) -> Vec<Arc<Served>> {
        let slots: Vec<_> = {
            let slots = self.slots.read();
            slots.iter().filter(|((id, partition), _)| wanted(*id, *partition)).map(|(_, slot)| slot.clone()).collect()
        };
        let open = |slot: Arc<Slot>| match &*slot.state.read() {
            State::Open(served) => Some(served.clone()),
            _ => None,
        };
        slots.into_iter().filter_map(open).collect()
    }
}

/// What the log needs to know of a topic's settings.
pub fn log_config(settings: &TopicConfig) -> LogConfig {
    let flush = match settings.flush_messages {
        ..=1 => Flush::EveryRound,
        messages => Flush::Later { messages: messages.unsigned_abs(), ms: settings.flush_ms.unsigned_abs() },
    };
    LogConfig {
        segment_bytes: settings.segment_size().unsigned_abs(),
        segment_ms: settings.segment_ms.unsigned_abs(),
        index_interval_bytes: settings.index_interval_bytes.unsigned_abs(),
        index_bytes: settings.segment_index_bytes.unsigned_abs(),
        flush,
    }
}

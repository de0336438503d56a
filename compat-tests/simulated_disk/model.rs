//! What the engine is measured by: for each partition the batches in the order in which they were submitted, how many
//! of them a power cut must leave, and how many the death of the process.

use crate::batches::Batch;
use ottla::log::disk::{Known, LogName};
use ottla::log::{Flush, LogConfig};
use ottla::wire::batch::BatchHeader;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// How the last process ended, which decides how much has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Down {
    Clean,
    Killed,
    Power,
}

/// What an append must answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Appended { base_offset: i64, index: usize },
    Duplicate { base_offset: i64 },
    OutOfOrder,
    StaleEpoch,
}

/// One partition.
#[derive(Clone, Debug)]
pub struct Part {
    pub name: LogName,
    pub config: LogConfig,
    /// Everything submitted, in order; of what came after the last restart some may be lost by the next.
    pub log: Vec<Batch>,
    /// So many of them survive a power cut.
    pub durable: usize,
    /// So many of them survive the death of the process.
    pub kept: usize,
    /// The epoch that each idempotent producer is to use, where it bumped it.
    pub epochs: BTreeMap<i64, i16>,
}

impl Part {
    pub fn end(&self) -> i64 {
        self.log.last().map_or(0, |batch| batch.header.next_offset())
    }

    pub fn is_durable(&self) -> bool {
        self.config.flush == Flush::EveryRound
    }

    /// How many batches end at or before `offset`; `None` if it is no end of a batch.
    pub fn count_until(&self, offset: i64) -> Option<usize> {
        let count = self.log.partition_point(|batch| batch.header.next_offset() <= offset);
        let end = self.log.get(..count)?.last().map_or(0, |batch| batch.header.next_offset());
        (end == offset).then_some(count)
    }

    /// So many survive whatever fails from here on.
    pub fn settle(&mut self, survivors: usize) {
        self.log.truncate(survivors);
        (self.durable, self.kept) = (survivors, survivors);
    }

    /// The batches of a producer's current epoch, newest first.
    pub fn recent(&self, id: i64) -> impl Iterator<Item = &Batch> {
        let mut mine = self.log.iter().rev().filter(move |batch| batch.header.producer_id == id).peekable();
        let epoch = mine.peek().map(|batch| batch.header.producer_epoch);
        mine.take_while(move |batch| Some(batch.header.producer_epoch) == epoch)
    }

    /// Epoch and sequence number that a producer's next batch has.
    pub fn next_of(&self, id: i64) -> (i16, i32) {
        let last = self.recent(id).next().map(|batch| batch.header);
        let bumped = self.epochs.get(&id).copied().unwrap_or(0);
        match last {
            Some(last) if last.producer_epoch >= bumped => (last.producer_epoch, last.last_sequence() + 1),
            _ => (bumped, 0),
        }
    }

    /// The answer to what is appended now.
    pub fn at_end(&self) -> Answer {
        Answer::Appended { base_offset: self.end(), index: self.log.len() }
    }

    /// The rules of idempotent producers, told once more: the last five batches are known, the next must follow.
    pub fn answer(&self, header: &BatchHeader) -> Answer {
        let appended = self.at_end();
        if header.producer_id < 0 {
            return appended;
        }
        let Some(last) = self.recent(header.producer_id).next().map(|batch| batch.header) else { return appended };
        if header.producer_epoch < last.producer_epoch {
            return Answer::StaleEpoch;
        }
        let same = |batch: &&Batch| {
            let known = batch.header;
            let range = (header.producer_epoch, header.base_sequence, header.record_count);
            (known.producer_epoch, known.base_sequence, known.record_count) == range
        };
        if let Some(known) = self.recent(header.producer_id).take(5).find(same) {
            return Answer::Duplicate { base_offset: known.header.base_offset };
        }
        let next = if header.producer_epoch == last.producer_epoch { last.last_sequence() + 1 } else { 0 };
        if header.base_sequence == next { appended } else { Answer::OutOfOrder }
    }

    /// First offsets of the leader epochs, by the batches.
    pub fn leader_epochs(&self) -> Vec<(i32, i64)> {
        let mut epochs: Vec<(i32, i64)> = Vec::new();
        for batch in &self.log {
            if epochs.last().is_none_or(|last| batch.header.leader_epoch > last.0) {
                epochs.push((batch.header.leader_epoch, batch.header.base_offset));
            }
        }
        epochs
    }
}

/// All partitions, and what a catalog would know.
#[derive(Clone, Debug)]
pub struct Model {
    pub parts: Vec<Part>,
    /// Topics that were deleted and whose folders may still be there.
    pub deleted: BTreeSet<Uuid>,
    /// Leader epoch of the process that runs.
    pub boot_epoch: i32,
    pub next_topic_id: u128,
    /// Makes every batch unlike all others.
    pub salt: u64,
}

impl Model {
    pub fn new(count: usize, config: LogConfig) -> Self {
        let part = |index: usize| Part {
            name: LogName { topic: format!("t{index}"), topic_id: Uuid::from_u128(100 + index as u128), partition: 0 },
            config,
            log: Vec::new(),
            durable: 0,
            kept: 0,
            epochs: BTreeMap::new(),
        };
        let parts = (0..count).map(part).collect();
        Self { parts, deleted: BTreeSet::new(), boot_epoch: 0, next_topic_id: 1000, salt: 0 }
    }

    /// What the catalog says of a folder.
    pub fn census(&self, topic: &str, partition: i32, id: Option<Uuid>) -> Known {
        let named = self.parts.iter().find(|part| part.name.topic == topic && part.name.partition == partition);
        match (named, id) {
            (Some(part), None) => Known::Exists(part.name.topic_id, part.config),
            (Some(part), Some(id)) if part.name.topic_id == id => Known::Exists(id, part.config),
            (_, Some(id)) if self.deleted.contains(&id) => Known::Deleted,
            _ => Known::Unknown,
        }
    }

    pub fn exists(&self, id: Uuid) -> bool {
        self.parts.iter().any(|part| part.name.topic_id == id)
    }

    /// Deletes a partition's topic and makes another of that name; returns the old one's.
    pub fn replace_topic(&mut self, part: usize) -> LogName {
        let id = Uuid::from_u128(self.next_topic_id);
        self.next_topic_id += 1;
        let part = &mut self.parts[part];
        let old = part.name.clone();
        part.name.topic_id = id;
        part.settle(0);
        part.epochs.clear();
        self.deleted.insert(old.topic_id);
        old
    }
}

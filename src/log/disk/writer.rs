//! Rounds of writes, one sync for many partitions.
//!
//! A round takes everything that was staged while the last one ran, writes it to the segments through the page
//! cache, and makes it durable: by syncing the one segment that it touched, or through the journal where it touched
//! several. An ordinary call, so that a test can step it.

use super::directory::Disk;
use super::journal::JournalError;
use super::partition_log::{DiskLog, Writing};
use crate::log::{Append, Flush, Log, Offset};
use crate::time;
use crate::wire::batch::StoredBatch;
use indexmap::IndexMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
/// A journal file that has grown to this many bytes asks for a checkpoint.
const JOURNAL_FULL_BYTES: u64 = 64 << 20;
/// A round with more than this many bytes for each segment syncs the segments: writing twice would cost more.
const JOURNAL_BYTES_PER_SEGMENT: usize = 256 << 10;

/// One log's part of a round, written and not yet durable.
struct Written {
    log: Arc<DiskLog>,
    batches: Vec<StoredBatch>,
    end: Offset,
}

impl Disk {
    /// Writes everything that is staged and makes it durable as each log's policy says. Returns how many batches.
    pub fn round(&self) -> usize {
        let staged = self.shared.queue.take();
        let count = staged.len();
        if count == 0 {
            return 0;
        }
        let mut groups: IndexMap<*const DiskLog, (Arc<DiskLog>, Vec<Append>)> = IndexMap::new();
        for (log, append) in staged {
            groups.entry(Arc::as_ptr(&log)).or_insert_with(|| (log, Vec::new())).1.push(append);
        }
        let counters = &self.shared.counters;
        counters.rounds.fetch_add(1, Ordering::Relaxed);
        counters.batches.fetch_add(count as u64, Ordering::Relaxed);
        let durable = groups.into_values().filter_map(|(log, appends)| self.write_group(log, appends)).collect();
        self.make_durable(durable);
        count
    }

    /// Writes one log's part of a round. Returns it if a sync has to follow before it is published.
    fn write_group(&self, log: Arc<DiskLog>, appends: Vec<Append>) -> Option<Written> {
        if log.progress().failure().is_some() {
            return None;
        }
        if let Some(failure) = self.shared.failure() {
            log.progress().fail(failure);
            return None;
        }
        let end = appends.last()?.batch.header.next_offset();
        let mut writing = log.writing();
        if writing.deleted || log.write(&mut writing, &appends).is_err() {
            return None;
        }
        log.progress().advance_written(end);
        self.mark_dirty(&log);
        match log.flush_policy() {
            Flush::EveryRound => {
                drop(writing);
                let batches = appends.into_iter().map(|append| append.batch).collect();
                Some(Written { log, batches, end })
            }
            Flush::Later { messages, .. } => {
                let records: u64 =
                    appends.iter().map(|a| u64::from(a.batch.header.last_offset_delta.unsigned_abs()) + 1).sum();
                writing.gap_end = end;
                writing.unsynced_records += records;
                writing.unsynced_since.get_or_insert_with(time::monotonic);
                let flush = writing.unsynced_records >= messages;
                drop(writing);
                log.publish(end);
                if flush {
                    self.wanted.ask(|wanted| wanted.flush = true);
                }
                None
            }
        }
    }

    fn make_durable(&self, mut written: Vec<Written>) {
        if written.is_empty() {
            return;
        }
        // What cannot go to the journal is synced by itself; and one log alone would only be written twice.
        let bytes: usize = written.iter().flat_map(|w| &w.batches).map(StoredBatch::size).sum();
        let small = bytes <= JOURNAL_BYTES_PER_SEGMENT * written.len();
        let alone = written.len() == 1;
        let direct = |writing: &Writing| !small || alone || !writing.may_journal();
        let (direct, journaled): (Vec<_>, Vec<_>) = written.drain(..).partition(|w| direct(&w.log.writing()));
        if !journaled.is_empty() {
            self.to_journal(journaled);
        }
        direct.iter().for_each(|written| self.sync_written(written));
    }

    /// One sync for all of them.
    fn to_journal(&self, written: Vec<Written>) {
        let mut journal = self.journal.lock();
        let round = written.iter().map(|w| (w.log.name(), w.batches.as_slice()));
        let outcome = journal.append(&*self.shared.files, round);
        let full = journal.size() > JOURNAL_FULL_BYTES;
        drop(journal);
        match outcome {
            Ok(()) => {
                self.shared.counters.syncs.fetch_add(1, Ordering::Relaxed);
                self.shared.counters.journal_rounds.fetch_add(1, Ordering::Relaxed);
                written.iter().for_each(|w| w.log.publish(w.end));
            }
            Err(JournalError::NotWritten(error)) => {
                tracing::warn!(%error, "the journal cannot be written; syncing each segment");
                written.iter().for_each(|w| self.sync_written(w));
            }
            Err(JournalError::Unsure(error)) => {
                let told = self.shared.fail("syncing the journal", &error);
                written.iter().for_each(|w| w.log.progress().fail(told.clone()));
            }
        }
        if full {
            self.wanted.ask(|wanted| wanted.checkpoint = true);
        }
    }

    /// Syncs one log's segments and publishes, or fails it: after a failed sync the whole directory takes nothing more,
    /// and everybody who waits has to be told.
    fn sync_written(&self, written: &Written) {
        let outcome = match self.shared.failure() {
            Some(failure) => Err(failure),
            None => {
                let mut writing = written.log.writing();
                if writing.deleted {
                    return;
                }
                written.log.sync_data(&mut writing).map_err(|error| self.shared.fail("a sync", &error))
            }
        };
        match outcome {
            Ok(()) => written.log.publish(written.end),
            Err(error) => written.log.progress().fail(error),
        }
    }

    fn mark_dirty(&self, log: &Arc<DiskLog>) {
        let mut dirty = self.dirty.lock();
        if !dirty.contains_key(log.name()) {
            dirty.insert(log.name().clone(), log.clone());
        }
    }
}

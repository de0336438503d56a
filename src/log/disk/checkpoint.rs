//! Checkpoints: they sync segments and small files behind the rounds' back, move the recovery points and drop journals.
//! The clean stop is the last of them. Ordinary calls, so that a test can step them.

use super::directory::Disk;
use super::files::{Open, replace};
use super::journal::LogName;
use super::partition_log::DiskLog;
use super::sidecars::{CLEAN_MARKER, RECOVERY_POINTS, encode_offsets};
use crate::log::{Flush, Log, LogError, Offset, OwnerState};
use crate::time::Millis;
use indexmap::IndexMap;
use std::io;
use std::sync::Arc;
/// Above this many logs a checkpoint or a stop syncs the file system instead of each of their files.
const LOGS_SYNCED_ONE_BY_ONE: usize = 100;

impl Disk {
    /// Syncs all that is not, moves the recovery points there, and drops the journal files that are not needed then.
    pub fn checkpoint(&self) -> Result<(), LogError> {
        let _one = self.checkpointing.lock();
        if let Some(failure) = self.shared.failure() {
            return Err(failure);
        }
        let numbers = self.journal.lock().rotate();
        let dirty = std::mem::take(&mut *self.dirty.lock());
        self.checkpoint_logs(&dirty).map_err(|error| self.shared.fail("a checkpoint", &error))?;
        let noted = if dirty.is_empty() { Ok(()) } else { self.store_recovery_points() };
        // On a full disk, say, recovery has more to read; nothing is lost.
        noted.and_then(|()| self.journal.lock().drop_files(&*self.shared.files, &numbers)).map_err(|error| {
            tracing::warn!(%error, "cannot take note of a checkpoint");
            LogError::Storage(format!("taking note of a checkpoint failed: {error}").into())
        })
    }

    fn checkpoint_logs(&self, dirty: &IndexMap<LogName, Arc<DiskLog>>) -> io::Result<()> {
        for (name, log, end) in self.sync_logs(dirty)? {
            // Under the lock: a deletion that comes after takes the point away again.
            let writing = log.writing();
            if !writing.deleted {
                self.set_recovery_point(name, end);
            }
        }
        Ok(())
    }

    /// Makes logs durable as [`Disk::leave`] does; says up to where each is.
    fn sync_logs<'a>(
        &self,
        dirty: &'a IndexMap<LogName, Arc<DiskLog>>,
    ) -> io::Result<Vec<(&'a LogName, &'a Arc<DiskLog>, Offset)>> {
        if dirty.len() <= LOGS_SYNCED_ONE_BY_ONE {
            return dirty.iter().map(|(name, log)| Ok((name, log, log.checkpoint()?))).collect();
        }
        let unsynced: Vec<_> = dirty.values().map(|log| log.unsynced()).collect();
        self.shared.files.sync_all(&self.shared.root)?;
        let synced = dirty.iter().zip(&unsynced);
        Ok(synced.map(|((name, log), unsynced)| (name, log, log.note_synced(unsynced))).collect())
    }

    /// Syncs the logs in page-cache mode whose `flush.messages` or `flush.ms` says so, and those that left that mode with
    /// something unsynced.
    pub fn flush_due(&self, now: Millis) -> Result<(), LogError> {
        let dirty: Vec<_> = self.dirty.lock().values().cloned().collect();
        for log in dirty {
            let policy = log.flush_policy();
            let due = {
                let writing = log.writing();
                let waited = writing.unsynced_since.map(|since| u64::try_from(now.saturating_sub(since)).unwrap_or(0));
                match policy {
                    _ if writing.deleted => false,
                    Flush::EveryRound => !writing.may_journal(),
                    Flush::Later { messages, ms } => {
                        writing.unsynced_records >= messages || waited.is_some_and(|waited| waited >= ms)
                    }
                }
            };
            if due {
                log.checkpoint().map_err(|error| self.shared.fail("a sync", &error))?;
            }
        }
        Ok(())
    }

    pub(super) fn recovery_point(&self, name: &LogName) -> Offset {
        self.recovery_points.lock().get(&(name.topic.clone(), name.partition)).copied().unwrap_or(0)
    }

    pub(super) fn set_recovery_point(&self, name: &LogName, offset: Offset) {
        self.recovery_points.lock().insert((name.topic.clone(), name.partition), offset);
    }

    /// A checkpoint and a deletion may come together; they write one after the other.
    pub(super) fn store_recovery_points(&self) -> io::Result<()> {
        let _one = self.storing_points.lock();
        let content = encode_offsets(&self.recovery_points.lock());
        replace(&*self.shared.files, &self.shared.root.join(RECOVERY_POINTS), &content)
    }

    /// The end of [`Disk::stop`], for a directory without threads.
    pub fn close(&self, logs: impl Iterator<Item = (Arc<DiskLog>, OwnerState)>) -> Result<(), LogError> {
        self.round();
        self.checkpoint()?;
        // A log that failed is left for the next start to scan.
        let left = self.leave(logs.filter(|(log, _)| log.progress().failure().is_none()));
        let marked = left.and_then(|()| {
            if self.shared.had_failures() {
                return Ok(());
            }
            let file = self.shared.files.open(&self.shared.root.join(CLEAN_MARKER), Open::Create)?;
            file.write_at(&mut [io::IoSlice::new(b"{\"version\":0,\"brokerEpoch\":-1}")], 0)?;
            file.sync()?;
            self.shared.files.sync_dir(&self.shared.root)
        });
        marked.map_err(|error| self.shared.fail("the clean stop", &error))
    }

    /// Closes logs as a clean stop does, all of it durable before the recovery points say so: file by file where there
    /// are few, so that nobody waits for what others wrote, else by one sync of the whole file system.
    pub(super) fn leave(&self, logs: impl Iterator<Item = (Arc<DiskLog>, OwnerState)>) -> io::Result<()> {
        let mut ends = Vec::new();
        for (log, state) in logs {
            if let Some(end) = log.close(&state)? {
                ends.push((log, end));
            }
        }
        if ends.len() > LOGS_SYNCED_ONE_BY_ONE {
            self.shared.files.sync_all(&self.shared.root)?;
        } else {
            ends.iter().try_for_each(|(log, _)| log.checkpoint().map(drop))?;
        }
        ends.iter().for_each(|(log, end)| self.set_recovery_point(log.name(), *end));
        self.store_recovery_points()
    }
}

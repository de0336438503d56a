//! What the logs of one directory have in common.

use super::files::{Files, Open};
use super::handles::Handles;
use super::partition_log::DiskLog;
use super::segment::Segment;
use super::sidecars::UNSURE_MARKER;
use crate::log::{Append, LogError};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Sealed segments whose indexes stay in memory after a read; at the default sizes an index takes a few megabytes.
const LOADED_INDEXES: usize = 32;

/// Bytes of batches that may wait for the writer.
const STAGED_BYTES: usize = 256 << 20;

/// The parts of a log directory that its logs use.
#[derive(Debug)]
pub(super) struct Shared {
    pub root: PathBuf,
    pub files: Arc<dyn Files>,
    pub handles: Arc<Handles>,
    pub queue: Queue,
    pub counters: Counters,
    failed: AtomicBool,
    failure: Mutex<Option<LogError>>,
    /// Some log failed since the start, so that a stop is not a clean one.
    log_failed: AtomicBool,
    loaded: Mutex<VecDeque<Arc<Segment>>>,
}

/// What the directory did since it was opened.
#[derive(Debug, Default)]
pub struct Counters {
    /// Durable and other rounds of the writer.
    pub rounds: AtomicU64,
    /// Syncs that an acknowledgement waited for.
    pub syncs: AtomicU64,
    /// Batches written.
    pub batches: AtomicU64,
    /// Rounds that went to the journal.
    pub journal_rounds: AtomicU64,
}

impl Shared {
    pub fn new(root: PathBuf, files: Arc<dyn Files>, handles: Arc<Handles>) -> Self {
        Self {
            root,
            files,
            handles,
            queue: Queue::default(),
            counters: Counters::default(),
            failed: AtomicBool::new(false),
            failure: Mutex::default(),
            log_failed: AtomicBool::new(false),
            loaded: Mutex::default(),
        }
    }

    /// Why the whole directory takes nothing more.
    pub fn failure(&self) -> Option<LogError> {
        if self.failed.load(Ordering::Acquire) { self.failure.lock().clone() } else { None }
    }

    /// Takes note that one log failed.
    pub fn note_log_failure(&self) {
        self.log_failed.store(true, Ordering::Release);
    }

    /// Whether a log, or the directory, failed since it was opened.
    pub fn had_failures(&self) -> bool {
        self.log_failed.load(Ordering::Acquire) || self.failed.load(Ordering::Acquire)
    }

    /// Ends the directory: after a failed sync nobody knows what is on the disk.
    pub fn fail(&self, what: &str, error: &std::io::Error) -> LogError {
        let text = format!("{what} in {} failed: {error}; restart after mending the disk", self.root.display());
        let mut failure = self.failure.lock();
        let told = failure.get_or_insert_with(|| {
            tracing::error!("{text}");
            self.note_unsure();
            LogError::Storage(text.into())
        });
        self.failed.store(true, Ordering::Release);
        told.clone()
    }

    /// Tells the next start that the page cache may show what the disk does not have and never gets: after a failed
    /// sync the kernel takes the pages for written.
    pub fn note_unsure(&self) {
        if let Err(error) = self.files.open(&self.root.join(UNSURE_MARKER), Open::Create) {
            tracing::warn!(%error, "cannot leave a note of the failure");
        }
    }

    /// Bounds the number of sealed segments with indexes in memory.
    pub fn keep_loaded(&self, segment: &Arc<Segment>) {
        let mut loaded = self.loaded.lock();
        loaded.push_back(segment.clone());
        if loaded.len() > LOADED_INDEXES
            && let Some(oldest) = loaded.pop_front()
        {
            drop(loaded);
            oldest.unload_if_sealed();
        }
    }
}

/// What is staged waits for what is to go with it for so long at most: staging takes microseconds.
const TOGETHER_MOST: Duration = Duration::from_millis(1);

/// Batches on their way to the writer, in order of submission.
#[derive(Debug)]
pub struct Queue {
    inner: Mutex<Inner>,
    wake: Condvar,
    together_most: Duration,
}

impl Default for Queue {
    fn default() -> Self {
        Queue { inner: Mutex::default(), wake: Condvar::default(), together_most: TOGETHER_MOST }
    }
}

#[derive(Debug, Default)]
struct Inner {
    staged: Vec<(Arc<DiskLog>, Append)>,
    bytes: usize,
    /// The writer sleeps until so many are staged.
    wake_at: Option<usize>,
    /// How many are about to stage several that are to go into one round.
    together: usize,
    /// The writer is awake, and sleeps only until they have.
    is_brief: bool,
    closed: bool,
}

impl Queue {
    pub fn push(&self, log: Arc<DiskLog>, append: Append) {
        let mut inner = self.inner.lock();
        inner.bytes = inner.bytes.saturating_add(append.batch.size());
        inner.staged.push((log, append));
        // The writer is only woken when it sleeps: while it is busy, what comes joins its next round.
        self.wake_writer(inner);
    }

    /// Until it is dropped, what is staged waits for more.
    pub fn together(&self) -> Together<'_> {
        self.inner.lock().together += 1;
        Together(self)
    }

    fn wake_writer(&self, mut inner: MutexGuard<'_, Inner>) {
        // One that sleeps for long is woken in any case, and then waits for the others, for a while.
        let (staged, held) = (inner.staged.len(), inner.together > 0 && inner.is_brief);
        if inner.wake_at.take_if(|count| !held && staged >= *count).is_some() {
            drop(inner);
            self.wake.notify_one();
        }
    }

    /// Whether more is staged than the writer should be given at once. Requests that were given up or are not waited for
    /// do not hold their part of the memory any more, but their batches do.
    pub fn is_full(&self) -> bool {
        self.inner.lock().bytes > STAGED_BYTES
    }

    /// Everything that is staged.
    pub fn take(&self) -> Vec<(Arc<DiskLog>, Append)> {
        let mut inner = self.inner.lock();
        inner.bytes = 0;
        std::mem::take(&mut inner.staged)
    }

    /// Waits until something is staged; false once the queue is closed and empty, or after `at_most`, true then.
    pub fn wait(&self, at_most: Duration) -> bool {
        let mut inner = self.inner.lock();
        if inner.staged.is_empty() {
            self.sleep(&mut inner, 1, at_most);
        }
        if inner.together > 0 {
            inner.is_brief = true;
            self.sleep(&mut inner, 0, self.together_most);
            inner.is_brief = false;
        }
        !(inner.closed && inner.staged.is_empty())
    }

    /// Waits until so many more are staged than are now, for at most this long.
    pub fn gather(&self, more: usize, at_most: Duration) {
        let mut inner = self.inner.lock();
        let wanted = inner.staged.len().saturating_add(more);
        self.sleep(&mut inner, wanted, at_most);
    }

    fn sleep(&self, inner: &mut MutexGuard<'_, Inner>, wanted: usize, at_most: Duration) {
        if !inner.closed {
            inner.wake_at = Some(wanted);
            self.wake.wait_for(inner, at_most);
            inner.wake_at = None;
        }
    }

    /// Lets the writer end once it has written what is staged.
    pub fn close(&self) {
        self.inner.lock().closed = true;
        self.wake.notify_all();
    }
}

/// Holds back the writer while several batches are staged that are to share a sync.
#[derive(Debug)]
pub struct Together<'a>(&'a Queue);

impl Drop for Together<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.inner.lock();
        inner.together = inner.together.saturating_sub(1);
        self.0.wake_writer(inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::disk::tests::an_append;
    use std::time::Instant;

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn the_writer_sleeps_until_enough_is_staged_and_no_longer() {
        let (log, append) = an_append();
        let queue = Queue::default();
        queue.push(log.clone(), append.clone());
        let began = Instant::now();
        queue.gather(3, Duration::from_millis(20));
        assert!(began.elapsed() >= Duration::from_millis(20) && queue.wait(LONG));
        std::thread::scope(|scope| {
            let gathering = scope.spawn(|| queue.gather(3, LONG));
            while queue.inner.lock().wake_at != Some(4) {
                std::thread::yield_now();
            }
            queue.push(log.clone(), append.clone());
            queue.push(log.clone(), append.clone());
            assert!(queue.inner.lock().wake_at.is_some() && !gathering.is_finished());
            queue.push(log.clone(), append.clone());
            gathering.join().unwrap();
            let gathering = scope.spawn(|| queue.gather(1, LONG));
            queue.close();
            gathering.join().unwrap();
        });
        assert_eq!(queue.take().len(), 4);
        assert!(!queue.wait(LONG));
    }

    #[test]
    fn what_is_staged_together_is_taken_together() {
        let (log, append) = an_append();
        let queue = Queue { together_most: LONG, ..Queue::default() };
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.wait(LONG));
            while queue.inner.lock().wake_at.is_none() {
                std::thread::yield_now();
            }
            let (both, other) = (queue.together(), queue.together());
            queue.push(log.clone(), append.clone());
            while !queue.inner.lock().is_brief {
                std::thread::yield_now();
            }
            drop(other);
            queue.push(log.clone(), append.clone());
            assert!(queue.inner.lock().wake_at.is_some() && !waiting.is_finished());
            drop(both);
            assert!(waiting.join().unwrap());
            assert_eq!(queue.take().len(), 2);
        });
        let queue = Queue::default();
        // Nobody holds the writer back for long.
        let held = queue.together();
        queue.push(log, append);
        assert!(queue.wait(LONG));
        drop(held);
    }
}

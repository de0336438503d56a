//! The threads of a directory: one writes rounds, one makes checkpoints when they are due or asked for.

use super::directory::Disk;
use super::partition_log::DiskLog;
use crate::log::{Log, LogError, OwnerState};
use crate::time::{self, Millis};
use parking_lot::{Condvar, Mutex};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;
/// How often recovery points move when nothing else asks for it (Kafka's
/// `log.flush.offset.checkpoint.interval.ms`).
const CHECKPOINT_INTERVAL_MS: Millis = 60_000;
/// Syncs of this many milliseconds are worth sharing, where they take so long again and again: one that a busy machine
/// held up says nothing of the next.
const SLOW_SYNC_MS: u64 = 2;
const SLOW_SYNCS: u32 = 8;
/// The longest that a round waits for company.
const GATHER_MOST: Duration = Duration::from_millis(2);
/// How often page-cache mode looks for logs whose `flush.ms` has passed.
const FLUSH_TICK: Duration = Duration::from_millis(100);

/// What the checkpoint thread is asked to do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    /// See which logs in page-cache mode have to be synced.
    pub(super) flush: bool,
    /// Make a checkpoint.
    pub(super) checkpoint: bool,
    /// End.
    stop: bool,
}

/// Wakes the checkpoint thread.
#[derive(Debug, Default)]
pub(super) struct Signal {
    wanted: Mutex<Wanted>,
    wake: Condvar,
}

impl Signal {
    pub(super) fn ask(&self, what: impl FnOnce(&mut Wanted)) {
        what(&mut self.wanted.lock());
        self.wake.notify_all();
    }

    /// What was asked for since the last call, after at most the given time.
    fn wait(&self, at_most: Duration) -> Wanted {
        let mut wanted = self.wanted.lock();
        if !(wanted.flush || wanted.checkpoint || wanted.stop) {
            self.wake.wait_for(&mut wanted, at_most);
        }
        let stop = wanted.stop;
        std::mem::replace(&mut *wanted, Wanted { stop, ..Wanted::default() })
    }
}

/// Fails the directory when a thread panics: nobody would write any more and everybody would wait, or journals would pile up.
struct Ended<'a>(&'a Disk, &'static str);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let told = self.0.shared.fail(self.1, &io::Error::other("a bug: it panicked"));
            self.0.logs.lock().values().filter_map(Weak::upgrade).for_each(|log| log.progress().fail(told.clone()));
        }
    }
}

/// The threads of a directory; see [`Disk::stop`].
#[derive(Debug)]
pub struct DiskThreads(Vec<JoinHandle<()>>);

impl Disk {
    /// Runs rounds and checkpoints on threads of their own.
    pub fn start(self: &Arc<Self>) -> io::Result<DiskThreads> {
        let writer = self.clone();
        let checkpointer = self.clone();
        Ok(DiskThreads(vec![
            std::thread::Builder::new().name("log-writer".into()).spawn(move || writer.write_rounds())?,
            std::thread::Builder::new().name("log-checkpoint".into()).spawn(move || checkpointer.checkpoint_loop())?,
        ]))
    }

    /// Clients that wait for each batch come back as soon as a round has answered them, a moment too late for the next:
    /// half of them would wait in one round and half in the other, two syncs for each. So where syncs are slow the next
    /// round gives as many as were answered a part of a sync's time.
    fn write_rounds(&self) {
        let _ended = Ended(self, "the log writer");
        let syncs = || self.shared.counters.syncs.load(Ordering::Relaxed);
        let mut slow = 0_u32;
        while self.shared.queue.wait(Duration::from_secs(3600)) {
            let (began, before) = (time::monotonic(), syncs());
            let answered = self.round();
            let took_ms = time::monotonic().saturating_sub(began).unsigned_abs();
            slow = if took_ms >= SLOW_SYNC_MS && syncs() > before { slow.saturating_add(1) } else { 0 };
            if slow >= SLOW_SYNCS {
                self.shared.queue.gather(answered, GATHER_MOST.min(Duration::from_millis(took_ms) / 4));
            }
        }
    }

    fn checkpoint_loop(&self) {
        let _ended = Ended(self, "the thread of the checkpoints");
        let mut last = time::monotonic();
        loop {
            let wanted = self.wanted.wait(FLUSH_TICK);
            if wanted.stop || self.failure().is_some() {
                return;
            }
            let now = time::monotonic();
            // Failures have told the whole directory.
            let _ = self.flush_due(now);
            if wanted.checkpoint || now.saturating_sub(last) >= CHECKPOINT_INTERVAL_MS {
                last = now;
                let _ = self.checkpoint();
            }
        }
    }

    /// A clean stop: everything staged is written, every open log closed with its owner's state, the marker left.
    pub fn stop(
        &self,
        threads: DiskThreads,
        logs: impl Iterator<Item = (Arc<DiskLog>, OwnerState)>,
    ) -> Result<(), LogError> {
        self.shared.queue.close();
        self.wanted.ask(|wanted| wanted.stop = true);
        for thread in threads.0 {
            if thread.join().is_err() {
                let panicked = io::Error::other("a thread of the log panicked");
                return Err(self.shared.fail("stopping", &panicked));
            }
        }
        self.close(logs)
    }
}

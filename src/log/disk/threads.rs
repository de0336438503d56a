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

/// Fails the directory when its thread panics: nobody would write any more and everybody would wait, or journals would pile up.
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
        Ok(DiskThreads(vec![
            self.spawn("log-writer", Self::write_rounds)?,
            self.spawn("log-checkpoint", Self::checkpoint_loop)?,
        ]))
    }

    fn spawn(self: &Arc<Self>, name: &'static str, run: fn(&Self)) -> io::Result<JoinHandle<()>> {
        let disk = self.clone();
        std::thread::Builder::new().name(name.into()).spawn(move || {
            let _ended = Ended(&disk, name);
            run(&disk);
        })
    }

    /// Clients that wait for each batch come back as soon as a round has answered them, a moment too late for the next:
    /// half of them would wait in one round and half in the other, two syncs for each. So where syncs are slow the next
    /// round gives as many as were answered a part of a sync's time.
    fn write_rounds(&self) {
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

#[cfg(test)]
mod tests {
    use super::super::memory::MemoryFiles;
    use super::super::{DiskOptions, Known, LogName};
    use super::*;
    use crate::log::{Flush, LogConfig};
    use std::path::Path;
    use uuid::Uuid;

    const CONFIG: LogConfig = LogConfig {
        segment_bytes: 1 << 20,
        segment_ms: u64::MAX,
        index_interval_bytes: 4096,
        index_bytes: 10 << 20,
        flush: Flush::EveryRound,
    };

    #[test]
    fn a_thread_that_panics_fails_the_directory_and_its_logs() {
        let census = |_: &str, _: i32, _: Option<Uuid>| Known::Exists(Uuid::from_u128(7), CONFIG);
        let disk =
            Disk::open(Arc::new(MemoryFiles::new()), Path::new("/data"), DiskOptions::default(), &census).unwrap();
        let name = LogName { topic: "t".into(), topic_id: Uuid::from_u128(7), partition: 0 };
        let log = disk.open_log(&name, CONFIG, false, &|_| false).unwrap().log;
        disk.spawn("a-thread", |_| {}).unwrap().join().unwrap();
        assert!(disk.failure().is_none() && log.progress().failure().is_none());
        assert!(disk.spawn("a-thread", |_| unreachable!("a defect")).unwrap().join().is_err());
        assert!(disk.failure().unwrap().to_string().contains("a-thread"));
        assert!(log.progress().failure().is_some());
    }
}

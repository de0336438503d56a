//! A process that runs a script on a disk, and the model beside it.

use crate::batches::{Batch, Content, Writer, client_batch};
use crate::ensure;
use crate::inspect::{Checked, NOW, Opening, ROOT, inspect, is_answer, is_prefix, open_disk, open_part, read_all};
use crate::model::{Answer, Down, Model};
use crate::random::Random;
use crate::script::{Fault, LATER, Op, Setup};
use crate::transactions;
use bytes::Bytes;
use futures_util::FutureExt;
use ottla::log::disk::memory::{LOSE_ALL, MemoryFiles, Rules};
use ottla::log::disk::{Disk, DiskLog, LogName};
use ottla::log::{Flush, Log};
use ottla::partition::{Acks, AppendError, Appended, Appending, Partition};
use ottla::wire::batch::BatchHeader;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

/// A fault that is set to strike after so many calls never does.
const NEVER: u64 = u64::MAX;

type Outcome = Result<Appended, AppendError>;

/// An append that was not answered yet.
struct Pending {
    part: usize,
    log: Arc<DiskLog>,
    acks: Acks,
    expected: Answer,
    future: Pin<Box<dyn Future<Output = Outcome>>>,
}

struct Open {
    log: Arc<DiskLog>,
    partition: Partition,
    /// The published end when it was last looked at.
    seen: i64,
}

/// What a running process holds.
struct Live {
    disk: Arc<Disk>,
    open: Vec<Option<Open>>,
    pending: Vec<Pending>,
    /// Deleted topics whose logs were not taken out yet.
    undeleted: Vec<(LogName, Option<Arc<DiskLog>>)>,
    /// Partitions of deleted topics that a late request still has.
    former: Vec<Partition>,
}

/// See the file's head.
pub struct World {
    pub files: MemoryFiles,
    pub model: Model,
    setup: Setup,
    opening: Opening,
    /// Space is short or a fault is set, so that failures are no surprise.
    troubled: bool,
    /// A sync may fail, which ends a directory; nothing else does.
    syncs_fail: bool,
    live: Option<Live>,
    /// Steps taken on earlier disks, and how many are to be taken in all before the process dies.
    steps_before: u64,
    dies_at: Option<u64>,
    /// Syncs that failed on this disk and that a start has made good.
    mended_syncs: u64,
    pub trace: Vec<String>,
}

/// How a script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With its last operation.
    Done,
    /// The process died in the operation of this number.
    Died(usize),
}

impl World {
    pub fn new(setup: Setup, rules: Rules, opening: Opening) -> Checked<Self> {
        let files = MemoryFiles::with_rules(rules);
        let model = Model::new(setup.parts, setup.config);
        Ok(Self {
            files,
            model,
            setup,
            opening,
            troubled: false,
            syncs_fail: false,
            live: None,
            steps_before: 0,
            dies_at: None,
            mended_syncs: 0,
            trace: Vec::new(),
        })
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.steps_before + self.files.steps()
    }

    /// Lets the process die when so many steps were taken in all.
    pub fn die_at(&mut self, steps: u64) {
        self.dies_at = Some(steps);
        self.files.crash_at(steps.saturating_sub(self.steps_before));
    }

    /// Goes on with another disk.
    fn put_in(&mut self, files: MemoryFiles) {
        self.steps_before += self.files.steps();
        self.dies_at = self.dies_at.filter(|_| !self.files.crashed());
        self.files = files;
        if let Some(steps) = self.dies_at {
            self.die_at(steps);
        }
    }

    /// Starts. False if the process dies of it.
    pub fn start(&mut self) -> Checked<bool> {
        let everything: Vec<_> = self.model.parts.iter().map(|part| part.log.len()).collect();
        self.start_with(&everything)
    }

    /// Starts where so many batches of each partition are there, which recovery makes durable.
    fn start_with(&mut self, survivors: &[usize]) -> Checked<bool> {
        self.model.boot_epoch += 1;
        let disk = match open_disk(&self.files, &self.model, self.opening) {
            Ok(disk) => disk,
            Err(_) if self.files.crashed() => return Ok(false),
            Err(error) => return Err(error),
        };
        for (part, count) in self.model.parts.iter_mut().zip(survivors) {
            part.settle(*count);
        }
        self.mended_syncs = self.files.failed_syncs();
        // A start removes the folders of deleted topics, and the catalog may forget them.
        self.model.deleted.clear();
        let open = (0..self.model.parts.len()).map(|_| None).collect();
        self.live = Some(Live { disk, open, pending: Vec::new(), undeleted: Vec::new(), former: Vec::new() });
        if !self.setup.lazy {
            for part in 0..self.model.parts.len() {
                self.ready(part)?;
            }
        }
        Ok(!self.files.crashed())
    }

    /// Whether the process can be gone while the page cache stays. Between a sync that fails and the note about it lies
    /// one step; who dies there leaves a page cache that lies and nobody to say so. Known, and not looked at.
    pub fn can_be_killed(&self) -> bool {
        self.files.failed_syncs() == self.mended_syncs
            || self.files.contents().contains_key(&Path::new(ROOT).join("sync-failed"))
    }

    /// Runs operations from the one of number `from` on, until the end or until the process dies.
    pub fn run(&mut self, ops: &[Op], from: usize) -> Checked<Ended> {
        for (index, op) in ops.iter().enumerate().skip(from) {
            let outcome = self.step(*op);
            self.note(|world| format!("{index}: {op:?} ({} steps)", world.steps()));
            self.observe()?;
            self.answers()?;
            if self.files.crashed() {
                return Ok(Ended::Died(index));
            }
            outcome.map_err(|error| format!("operation {index}, {op:?}: {error}"))?;
            if self.disk().is_some_and(|disk| disk.failure().is_some()) {
                ensure!(
                    self.syncs_fail,
                    "operation {index}, {op:?}: the directory failed: {:?}",
                    self.disk().and_then(|disk| disk.failure())
                );
                if !self.come_back(Down::Killed, None)? {
                    return Ok(Ended::Died(index));
                }
            }
        }
        Ok(Ended::Done)
    }

    /// Ends the process as it is, and starts again on what it leaves, or on `files` where they are given.
    pub fn come_back(&mut self, down: Down, files: Option<MemoryFiles>) -> Checked<bool> {
        self.live = None;
        if let Some(files) = files {
            self.put_in(files);
            self.mended_syncs = 0;
        }
        if down == Down::Power {
            self.model.parts.iter_mut().for_each(|part| part.kept = part.durable);
        }
        self.set_fault(Fault::Mended);
        let survivors = inspect(&self.files.after_kill(), &self.model, down, self.opening)
            .map_err(|error| format!("after {down:?}: {error}"))?;
        self.note(|_| format!("   {down:?}, {survivors:?} batches are left"));
        self.start_with(&survivors)
    }

    /// Recovery can be interrupted anywhere, and what it has done is not undone by a power cut after it.
    pub fn recovery_holds(&self, down: Down, files: &MemoryFiles, random: &mut Random) -> Checked {
        let whole = files.after_kill();
        let recovered = inspect(&whole.after_kill(), &self.model, down, self.opening)?;
        let mut model = self.model.clone();
        model.boot_epoch += 1;
        drop(open_disk(&whole, &model, self.opening)?);
        let steps = whole.steps();
        let again = inspect(&whole.after_crash(LOSE_ALL), &self.model, Down::Power, self.opening)
            .map_err(|error| format!("recovered and recovered again: {error}"))?;
        ensure!(again == recovered, "recovered {recovered:?}, and when recovered again {again:?}");
        let victim = files.after_kill();
        let at = random.below(steps + 1);
        victim.crash_at(at);
        let _ = open_disk(&victim, &model, self.opening);
        let (then, left) = if random.percent(30) {
            (down, victim.after_kill())
        } else {
            (Down::Power, victim.after_crash(random.below(60)))
        };
        let then = if then == Down::Clean { Down::Killed } else { then };
        inspect(&left, &self.model, then, self.opening)
            .map_err(|error| format!("died at step {at} of {steps} of the recovery: {error}"))?;
        Ok(())
    }

    fn disk(&self) -> Option<&Arc<Disk>> {
        self.live.as_ref().map(|live| &live.disk)
    }

    fn note(&mut self, text: impl FnOnce(&Self) -> String) {
        let text = text(self);
        self.trace.push(text);
    }

    fn step(&mut self, op: Op) -> Checked {
        let parts = self.model.parts.len();
        match op {
            Op::Append { part, producer, records, value, time, acks } => {
                let part = part % parts;
                let (id, (epoch, sequence)) = match producer {
                    Some(id) => (id, (0, 0)),
                    None => (-1, (-1, -1)),
                };
                if !self.ready(part)? {
                    return Ok(());
                }
                let (epoch, sequence) = if id < 0 { (epoch, sequence) } else { self.model.parts[part].next_of(id) };
                self.model.salt += 1;
                let content = Content { records, value, time, salt: self.model.salt };
                let (header, payload) = client_batch(Writer { id, epoch, sequence }, content);
                self.append(part, header, payload, acks)
            }
            Op::Retry { part, producer, back, acks } => {
                let part = part % parts;
                if !self.ready(part)? {
                    return Ok(());
                }
                let sent = self.model.parts[part].recent(producer).nth(back).map(Batch::as_sent);
                sent.map_or(Ok(()), |(header, payload)| self.append(part, header, payload, acks))
            }
            Op::Stale { part, producer } => {
                let part = part % parts;
                if !self.ready(part)? {
                    return Ok(());
                }
                let current = self.model.parts[part].recent(producer).next().map(|batch| batch.header.producer_epoch);
                let Some(epoch) = current.and_then(|epoch| epoch.checked_sub(1)).filter(|epoch| *epoch >= 0) else {
                    return Ok(());
                };
                let content = Content { records: 1, value: 5, time: 1, salt: 0 };
                let (header, payload) = client_batch(Writer { id: producer, epoch, sequence: 0 }, content);
                self.append(part, header, payload, Acks::All)
            }
            Op::Bump { part, producer } => {
                let part = &mut self.model.parts[part % parts];
                let (epoch, _) = part.next_of(producer);
                part.epochs.insert(producer, epoch + 1);
                Ok(())
            }
            Op::Write { part, producer, value, time } => self.write(part % parts, producer, value, time),
            Op::End { part, producer, committed } => self.end(part % parts, producer, committed),
            Op::Round => self.round(),
            Op::Checkpoint => self.checkpoint(),
            Op::FlushDue => self.flush_due(),
            Op::Mode { part, later } => {
                let index = part % parts;
                let part = &mut self.model.parts[index];
                part.config.flush = if later { LATER } else { Flush::EveryRound };
                let config = part.config;
                if let Some(open) = self.live.as_ref().and_then(|live| live.open[index].as_ref()) {
                    open.log.reconfigure(config);
                }
                Ok(())
            }
            Op::Read { part } => self.read(part % parts),
            Op::Recreate { part, late } => self.recreate(part % parts, late),
            Op::RemoveDeleted => self.remove_deleted(),
            Op::Restart => self.restart(),
            Op::Kill => self.come_back(Down::Killed, None).map(drop),
            Op::Power { survivors } => self.come_back(Down::Power, Some(self.files.after_crash(survivors))).map(drop),
            Op::Fault(fault) => {
                self.set_fault(fault);
                Ok(())
            }
        }
    }

    /// Opens a partition, for the first time or after it failed. False where it cannot be had for now.
    fn ready(&mut self, index: usize) -> Checked<bool> {
        let Some(live) = &mut self.live else { return Ok(false) };
        let failed = match &live.open[index] {
            Some(open) if open.partition.failed().is_none() => return Ok(true),
            Some(_) => true,
            None => false,
        };
        let opened = open_part(&live.disk, &self.model, index, failed);
        let excused = self.files.crashed() || self.troubled;
        let (log, partition) = match opened {
            Ok(opened) => opened,
            Err(_) if excused => return Ok(false),
            Err(error) => return Err(error),
        };
        let published = log.progress().published();
        let part = &mut self.model.parts[index];
        let found = match read_all(&partition, 2000) {
            Ok(found) => found,
            Err(_) if self.files.crashed() => return Ok(false),
            Err(error) => return Err(error),
        };
        is_prefix(part, &found, part.kept).map_err(|error| format!("opened again: {error}"))?;
        part.log.truncate(found.len());
        part.kept = found.len();
        if part.is_durable() {
            // Readers see it, so it has to stay.
            part.durable = found.len();
        }
        live.open[index] = Some(Open { log, partition, seen: published });
        Ok(true)
    }

    fn append(&mut self, part: usize, header: BatchHeader, payload: Bytes, acks: Acks) -> Checked {
        let Some(open) = self.live.as_ref().and_then(|live| live.open[part].as_ref()) else { return Ok(()) };
        let expected = self.model.parts[part].answer(&header);
        let log = open.log.clone();
        let appending = open.partition.append(header, payload.clone(), acks, NOW);
        self.is_on_its_way(part, log, acks, appending, expected, (header, payload));
        Ok(())
    }

    /// Takes a batch into the model, if it is to be appended, and waits for what is said of it.
    fn is_on_its_way(
        &mut self,
        part: usize,
        log: Arc<DiskLog>,
        acks: Acks,
        appending: Appending,
        expected: Answer,
        (header, payload): (BatchHeader, Bytes),
    ) {
        if let Answer::Appended { base_offset, .. } = expected {
            let batch = Batch::stamped(header, payload, base_offset, self.model.boot_epoch);
            self.model.parts[part].log.push(batch);
        }
        let future = Box::pin(appending.finish());
        if let Some(live) = &mut self.live {
            live.pending.push(Pending { part, log, acks, expected, future });
        }
    }

    fn write(&mut self, part: usize, producer: i64, value: usize, time: i64) -> Checked {
        if !self.ready(part)? {
            return Ok(());
        }
        let id = transactions::FIRST + producer;
        self.model.salt += 1;
        let (epoch, sequence) = self.model.parts[part].next_of(id);
        let content = Content { records: 2, value, time, salt: self.model.salt };
        let batch = transactions::transactional_batch(Writer { id, epoch, sequence }, content);
        let Some(open) = self.live.as_ref().and_then(|live| live.open[part].as_ref()) else { return Ok(()) };
        let log = open.log.clone();
        let appending = transactions::append(&open.partition, batch.0, batch.1.clone())
            .map_err(|error| format!("a batch of a transaction: {error}"))?;
        let expected = self.model.parts[part].at_end();
        self.is_on_its_way(part, log, Acks::All, appending, expected, batch);
        Ok(())
    }

    fn end(&mut self, part: usize, producer: i64, committed: bool) -> Checked {
        let id = transactions::FIRST + producer;
        if !self.ready(part)? || !transactions::ids(&self.model.parts[part]).contains(&id) {
            return Ok(());
        }
        let (epoch, _) = self.model.parts[part].next_of(id);
        let Some(open) = self.live.as_ref().and_then(|live| live.open[part].as_ref()) else { return Ok(()) };
        let log = open.log.clone();
        let (appending, marker) = transactions::end(&open.partition, id, epoch, committed);
        let expected = self.model.parts[part].at_end();
        self.is_on_its_way(part, log, Acks::All, appending, expected, marker);
        Ok(())
    }

    /// Looks how far each log has come, which says what must be there after the next crash.
    fn observe(&mut self) -> Checked {
        let Some(live) = &mut self.live else { return Ok(()) };
        for (open, part) in live.open.iter_mut().zip(&mut self.model.parts) {
            let Some(open) = open else { continue };
            let progress = open.log.progress();
            let (written, published) = (progress.written(), progress.published());
            let count = |end| part.count_until(end).ok_or_else(|| format!("{}: an end at {end}", part.name.dir()));
            let (kept, seen) = (count(written)?, count(published)?);
            ensure!(published <= written, "{}: published {published}, written {written}", part.name.dir());
            part.kept = part.kept.max(kept);
            if published > open.seen && part.is_durable() {
                part.durable = part.durable.max(seen);
            }
            open.seen = published;
        }
        Ok(())
    }

    /// Takes the answers that are there and compares them.
    fn answers(&mut self) -> Checked {
        let Some(live) = &mut self.live else { return Ok(()) };
        let mut waiting = Vec::new();
        for mut pending in live.pending.drain(..) {
            let Some(outcome) = (&mut pending.future).now_or_never() else {
                waiting.push(pending);
                continue;
            };
            if let Err(AppendError::Log(error)) = &outcome {
                ensure!(pending.log.progress().failure().is_some(), "{error}, but the log has not failed");
                continue;
            }
            let part = &mut self.model.parts[pending.part];
            is_answer(&outcome, pending.expected).map_err(|error| format!("{}: {error}", part.name.dir()))?;
            if let Answer::Appended { index, .. } = pending.expected {
                let count = index + 1;
                if pending.acks != Acks::None {
                    part.kept = part.kept.max(count);
                }
                if pending.acks == Acks::All && part.is_durable() {
                    part.durable = part.durable.max(count);
                }
            }
        }
        live.pending = waiting;
        Ok(())
    }

    fn round(&mut self) -> Checked {
        let Some(live) = &self.live else { return Ok(()) };
        let sound = |live: &Live| live.open.iter().flatten().filter(|open| open.partition.failed().is_none()).count();
        let before = sound(live);
        live.disk.round();
        self.observe()?;
        self.answers()?;
        if self.files.crashed() {
            return Ok(());
        }
        let Some(live) = &self.live else { return Ok(()) };
        ensure!(sound(live) == before || self.troubled, "a log failed by itself");
        let stuck = live.pending.first().map(|pending| pending.part);
        ensure!(stuck.is_none(), "an append to partition {stuck:?} is not answered after a round");
        Ok(())
    }

    fn checkpoint(&mut self) -> Checked {
        let Some(live) = &self.live else { return Ok(()) };
        match live.disk.checkpoint() {
            Ok(()) => self.is_synced(|_| true),
            Err(error) => ensure!(self.troubled || self.files.crashed(), "checkpoint: {error}"),
        }
        Ok(())
    }

    fn flush_due(&mut self) -> Checked {
        let Some(live) = &self.live else { return Ok(()) };
        match live.disk.flush_due(i64::MAX / 2) {
            Ok(()) => self.is_synced(|flush| flush != Flush::EveryRound),
            Err(error) => ensure!(self.troubled || self.files.crashed(), "flush: {error}"),
        }
        Ok(())
    }

    /// What is written of these logs survives a power cut from now on.
    fn is_synced(&mut self, which: impl Fn(Flush) -> bool) {
        let Some(live) = &self.live else { return };
        for (open, part) in live.open.iter().zip(&mut self.model.parts) {
            let Some(open) = open else { continue };
            if which(part.config.flush) {
                part.durable = part.durable.max(part.count_until(open.log.progress().written()).unwrap_or(0));
            }
        }
    }

    fn read(&mut self, index: usize) -> Checked {
        // Whatever late requests get, they change nothing.
        for former in self.live.iter().flat_map(|live| &live.former) {
            let _ = read_all(former, 900);
        }
        let Some(open) = self.live.as_ref().and_then(|live| live.open[index].as_ref()) else { return Ok(()) };
        let part = &self.model.parts[index];
        let found = read_all(&open.partition, 900)?;
        let published = part.count_until(open.log.progress().published()).unwrap_or(0);
        ensure!(found.len() == published, "{} batches can be read, {published} are published", found.len());
        is_prefix(part, &found, 0)?;
        transactions::every_reader(&open.partition, &found)
    }

    fn recreate(&mut self, index: usize, late: bool) -> Checked {
        let excused = self.troubled;
        if let Some(live) = &self.live
            && let Err(error) = live.disk.prepare_delete(&self.model.parts[index].name)
        {
            ensure!(excused || self.files.crashed(), "before a deletion: {error}");
            return Ok(());
        }
        let old = self.model.replace_topic(index);
        let Some(live) = &mut self.live else { return Ok(()) };
        let open = live.open[index].take();
        let log = open.as_ref().map(|open| open.log.clone());
        live.former.extend(open.map(|open| open.partition));
        live.pending.retain(|pending| pending.part != index);
        if late || live.disk.delete_log(&old, log.as_deref()).is_err() {
            live.undeleted.push((old, log));
        }
        Ok(())
    }

    fn remove_deleted(&mut self) -> Checked {
        let excused = self.troubled || self.files.crashed();
        let Some(live) = &mut self.live else { return Ok(()) };
        let mut outcome = Ok(());
        for (name, log) in &live.undeleted {
            outcome = outcome.and_then(|()| live.disk.delete_log(name, log.as_deref()));
        }
        match outcome.and_then(|()| live.disk.remove_deleted()) {
            Ok(()) => {
                live.undeleted.clear();
                self.model.deleted.clear();
            }
            Err(error) => ensure!(excused || self.files.crashed(), "removing deleted logs: {error}"),
        }
        Ok(())
    }

    fn restart(&mut self) -> Checked {
        match self.stop()? {
            Some(down) => self.come_back(down, None).map(drop),
            None => Ok(()),
        }
    }

    /// A clean stop; what it was worth, or nothing if the process died of it.
    pub fn stop(&mut self) -> Checked<Option<Down>> {
        let Some(live) = &self.live else { return Ok(None) };
        let open: Vec<_> = live.open.iter().flatten().collect();
        let had_failures = open.iter().any(|open| open.partition.failed().is_some());
        let states = open.iter().map(|open| (open.log.clone(), open.partition.close_state().1));
        // As a broker does: the writer has ended before the states are taken.
        live.disk.round();
        let closed = live.disk.close(states);
        self.observe()?;
        self.answers()?;
        let dead = self.files.crashed();
        if dead {
            return Ok(None);
        }
        let down = match closed {
            Ok(()) if !had_failures && !self.troubled => {
                self.model.parts.iter_mut().for_each(|part| part.settle(part.log.len()));
                Down::Clean
            }
            Ok(()) => Down::Killed,
            Err(error) => {
                ensure!(self.troubled, "the clean stop failed: {error}");
                Down::Killed
            }
        };
        self.live = None;
        Ok(Some(down))
    }

    fn set_fault(&mut self, fault: Fault) {
        self.troubled = fault != Fault::Mended;
        self.syncs_fail = match fault {
            Fault::Sync(_) | Fault::SyncDir(_) => true,
            Fault::Write(_) | Fault::Space(_) => self.syncs_fail,
            Fault::Mended => false,
        };
        match fault {
            Fault::Write(after) => self.files.fail_write(after),
            Fault::Sync(after) => self.files.fail_sync(after),
            Fault::SyncDir(after) => self.files.fail_sync_dir(after),
            Fault::Space(bytes) => self.files.set_space(Some(bytes)),
            Fault::Mended => {
                self.files.fail_write(NEVER);
                self.files.fail_sync(NEVER);
                self.files.fail_sync_dir(NEVER);
                self.files.set_space(None);
            }
        }
    }
}

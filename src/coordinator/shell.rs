//! The shell around the shards of one internal topic: it loads them, ships their records, holds their replies back, and
//! keeps time for them.
//!
//! What a step emits is one batch, appended through the same code as a client's produce. A reply, also one
//! that nothing was written for, leaves when all that its shard had appended by then is durable. When the log fails, or is
//! in doubt, the shard is dropped with everybody who waits in it, and loaded again from what is durable at the next
//! request. Steps run under the shard's lock and never wait; only loading waits for the disk, outside of it.

mod decided;
mod load;
#[cfg(test)]
mod tests;

pub use decided::Decided;

use super::{ATOMIC_BYTES, Effects, EffectsOf, Now, Shard, Ticket};
use crate::log::{Offset, Progress, waiting};
use crate::partition::{Acks, AppendError, Appending, Guard, Origin, Partition, SequenceError, TransactionEnd, Verify};
use crate::time::{self, Millis, OncePerSecond};
use crate::wire::build::{self, Kind};
use bytes::Bytes;
use decided::Standing;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// Timers are looked at so often even if nobody says that one is due: who waits in a shard whose log has failed, and that
/// nobody asks, is sent away then.
const LONGEST_SLEEP_MS: Millis = 5_000;

/// What a record takes in a batch beside its key and value, at most.
const RECORD_BYTES: usize = 32;

static FAILURES: OncePerSecond = OncePerSecond::new();

/// Why a shard gives no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// It is being read.
    #[error("the coordinator is loading")]
    Loading,
    /// So much waits for its log that nothing more is taken.
    #[error("the coordinator's log does not keep up")]
    Congested,
    /// It was dropped, or cannot be loaded, for a failure of its log; what became of the request is not known.
    #[error("the coordinator is gone")]
    Gone,
    /// The broker stops.
    #[error("the coordinator stops")]
    Stopping,
}

/// Where shards live.
pub trait Home<S: Shard>: Send + Sync {
    /// A partition of the internal topic, to append to; `None` where it cannot be had now. Waits for the disk.
    fn partition(&self, index: i32) -> Option<Arc<Partition>>;
    /// A shard without anything in it.
    fn empty(&self) -> S;
    /// Has a command of the shard of this partition carried out, once what it comes from is durable. Does not wait.
    fn carry_out(&self, index: i32, command: S::Command, decided: Decided);
    /// The time.
    fn now(&self) -> Now {
        Now { monotonic: time::monotonic(), wall: time::wall() }
    }
}

/// The shards of one internal topic.
pub struct Shell<S: Shard> {
    home: Arc<dyn Home<S>>,
    slots: RwLock<BTreeMap<i32, Arc<Slot<S>>>>,
    /// Whether [`Shell::stop`] has been called; changes under the lock of `slots`.
    stopped: AtomicBool,
    /// Until when [`Shell::run`] sleeps.
    sleeps_until: AtomicI64,
    earlier: Notify,
}

struct Slot<S: Shard>(Mutex<State<S>>);

enum State<S: Shard> {
    /// Not loaded yet, or dropped; to be loaded when the log is published up to here.
    Out(Offset),
    Loading,
    Active(Box<Active<S>>),
    Stopped,
}

struct Active<S: Shard> {
    index: i32,
    home: Arc<dyn Home<S>>,
    standing: Standing,
    shard: S,
    partition: Arc<Partition>,
    /// Offset after the last record appended; nothing is told before it is published.
    end: Offset,
    next_ticket: u64,
    /// What was applied could not be appended: nothing may be told any more.
    broken: bool,
    waiting: HashMap<Ticket, oneshot::Sender<(S::Reply, Offset)>>,
}

/// A shard being loaded; puts it back where it was when that comes to nothing, by an error or a panic.
struct Loading<'a, S: Shard> {
    slot: &'a Slot<S>,
    least_end: Offset,
}

impl<S: Shard> Drop for Loading<'_, S> {
    fn drop(&mut self) {
        let mut state = self.slot.0.lock();
        if matches!(*state, State::Loading) {
            *state = State::Out(self.least_end);
        }
    }
}

/// A producer in whose transaction a shard is to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InTransaction {
    /// The producer's id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// What [`Shell::verify`] gave.
    pub guard: Option<Guard>,
}

/// Why something was not done for a transaction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// The shard gives no answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The state of the producer in the shard's partition forbids it.
    #[error(transparent)]
    Refused(#[from] SequenceError),
}

/// A request that a shard has taken.
struct Started<S: Shard> {
    receiver: oneshot::Receiver<(S::Reply, Offset)>,
    progress: Arc<Progress>,
}

impl<S: Shard> Shell<S> {
    /// Shards that live there; none is loaded.
    pub fn new(home: Arc<dyn Home<S>>) -> Self {
        Shell {
            home,
            slots: RwLock::default(),
            stopped: AtomicBool::new(false),
            sleeps_until: AtomicI64::new(Millis::MAX),
            earlier: Notify::new(),
        }
    }

    /// Asks a shard, loads it first if it is not there. Resolves when the shard has answered and the answer is durable.
    pub async fn call(&self, index: i32, request: S::Request) -> Result<S::Reply, Unavailable> {
        let slot = self.slot(index);
        let started = self.start(index, &slot, None, request).map_err(|error| match error {
            TransactionError::Unavailable(unavailable) => unavailable,
            // Nothing is refused but in a transaction.
            TransactionError::Refused(_) => Unavailable::Gone,
        })?;
        self.finish(&slot, started).await
    }

    /// As [`Shell::call`], with what the shard writes as part of a producer's transaction.
    ///
    /// # Errors
    /// Before anything is written: a newer instance of the producer has written, or the transaction was not verified or has
    /// ended since.
    pub async fn call_in_transaction(
        &self,
        index: i32,
        transaction: InTransaction,
        request: S::Request,
    ) -> Result<S::Reply, TransactionError> {
        let slot = self.slot(index);
        let started = self.start(index, &slot, Some(transaction), request)?;
        Ok(self.finish(&slot, started).await?)
    }

    /// The guard for [`Shell::call_in_transaction`], to be taken before the transaction's coordinator is asked.
    pub fn verify(&self, index: i32, verify: Verify) -> Result<Option<Guard>, TransactionError> {
        let slot = self.slot(index);
        self.ensure_active(index, &slot)?;
        let mut state = slot.0.lock();
        let Some(active) = slot.usable(&mut state) else { return Err(slot.gone_as(&state).into()) };
        Ok(active.partition.verify(verify, self.home.now().wall)?)
    }

    /// Ends a producer's transaction in a shard that is loaded: what it wrote comes into force, or never was. That happens in
    /// this call, which does not wait; the future resolves when the end is durable.
    pub fn end_transaction(
        &self,
        index: i32,
        end: TransactionEnd,
    ) -> Result<impl Future<Output = Result<(), TransactionError>> + use<S>, TransactionError> {
        let slot = self.slot(index);
        let appending = {
            let mut state = slot.0.lock();
            let Some(active) = slot.usable(&mut state) else { return Err(slot.gone_as(&state).into()) };
            active.end_transaction(end, self.home.now().wall)
        };
        Ok(async move {
            match appending.finish().await {
                Ok(_) => Ok(()),
                Err(AppendError::Sequence(refused)) => Err(refused.into()),
                Err(AppendError::Log(_)) => Err(slot.gone().into()),
            }
        })
    }

    async fn finish(&self, slot: &Slot<S>, started: Started<S>) -> Result<S::Reply, Unavailable> {
        // A sender that is gone without a word: the shard was dropped, or the broker stops.
        let (reply, end) = started.receiver.await.map_err(|_| slot.gone())?;
        started.progress.wait_published(end).await.map_err(|_| slot.gone())?;
        Ok(reply)
    }

    /// Loads a shard that is not loaded. Waits for the disk.
    pub fn load(&self, index: i32) -> Result<(), Unavailable> {
        let slot = self.slot(index);
        self.ensure_active(index, &slot)
    }

    /// Keeps time for all shards. Never ends.
    pub async fn run(&self) {
        loop {
            // Told before the timers are looked at, so that one set meanwhile is not slept over.
            self.sleeps_until.store(Millis::MAX, Ordering::SeqCst);
            let now = self.home.now();
            let latest = now.monotonic.saturating_add(LONGEST_SLEEP_MS);
            let next = self.fire(now).unwrap_or(latest).min(latest);
            self.sleeps_until.store(next, Ordering::SeqCst);
            let wait = next.saturating_sub(self.home.now().monotonic).max(0);
            let sleep = tokio::time::sleep(Duration::from_millis(wait.unsigned_abs()));
            tokio::select! {
                () = sleep => {}
                () = self.earlier.notified() => {}
            }
        }
    }

    /// Has every shard do what is due; tells when the next is.
    pub fn fire(&self, now: Now) -> Option<Millis> {
        let slots: Vec<Arc<Slot<S>>> = self.slots.read().values().cloned().collect();
        let next = slots.iter().filter_map(|slot| {
            let mut state = slot.0.lock();
            let active = slot.usable(&mut state)?;
            // Each is a step of its own: a thousand groups whose members went away together are not one batch.
            while !active.broken && active.shard.next_deadline().is_some_and(|at| at <= now.monotonic) {
                active.step(now, None, |shard, out| shard.on_deadline(now, out));
            }
            active.shard.next_deadline()
        });
        next.min()
    }

    /// Sends away everybody who waits, and takes no more requests. Replies that only wait for the disk are still given.
    pub fn stop(&self) {
        let slots = self.slots.write();
        self.stopped.store(true, Ordering::SeqCst);
        for slot in slots.values() {
            *slot.0.lock() = State::Stopped;
        }
    }

    fn slot(&self, index: i32) -> Arc<Slot<S>> {
        if let Some(slot) = self.slots.read().get(&index) {
            return slot.clone();
        }
        let mut slots = self.slots.write();
        let state = if self.stopped.load(Ordering::SeqCst) { State::Stopped } else { State::Out(0) };
        slots.entry(index).or_insert_with(|| Arc::new(Slot(Mutex::new(state)))).clone()
    }

    fn start(
        &self,
        index: i32,
        slot: &Slot<S>,
        transaction: Option<InTransaction>,
        request: S::Request,
    ) -> Result<Started<S>, TransactionError> {
        self.ensure_active(index, slot)?;
        let mut state = slot.0.lock();
        let Some(active) = slot.usable(&mut state) else { return Err(slot.gone_as(&state).into()) };
        if S::writes_much(&request) && active.partition.is_congested() {
            return Err(Unavailable::Congested.into());
        }
        if let Some(InTransaction { producer_id, producer_epoch, guard }) = transaction {
            // What the shard has applied cannot be refused any more.
            active.partition.check_coordinated(producer_id, producer_epoch, guard)?;
        }
        let now = self.home.now();
        let (sender, receiver) = oneshot::channel();
        let ticket = Ticket(active.next_ticket);
        active.next_ticket += 1;
        active.waiting.insert(ticket, sender);
        active.step(now, transaction, |shard, out| shard.handle(now, ticket, request, out));
        if active.shard.next_deadline().is_some_and(|at| at < self.sleeps_until.load(Ordering::SeqCst)) {
            self.earlier.notify_one();
        }
        Ok(Started { receiver, progress: active.partition.log().progress().clone() })
    }

    fn ensure_active(&self, index: i32, slot: &Slot<S>) -> Result<(), Unavailable> {
        let least_end = {
            let mut state = slot.0.lock();
            if slot.usable(&mut state).is_some() {
                return Ok(());
            }
            match *state {
                State::Stopped => return Err(Unavailable::Stopping),
                State::Loading => return Err(Unavailable::Loading),
                State::Active(_) => return Ok(()),
                State::Out(least_end) => {
                    *state = State::Loading;
                    least_end
                }
            }
        };
        let loading = Loading { slot, least_end };
        let loaded = waiting(|| self.read(index, least_end));
        let mut state = slot.0.lock();
        match (&*state, loaded) {
            (State::Loading, Ok(mut active)) => {
                // Only now: it may append, which nobody may any more after a stop.
                let now = self.home.now();
                active.step(now, None, |shard, out| shard.loaded(now, out));
                *state = State::Active(Box::new(active));
                // From here on somebody else may load it again.
                std::mem::forget(loading);
                self.earlier.notify_one();
                Ok(())
            }
            (State::Loading, Err(error)) => {
                if FAILURES.lets_through(time::monotonic()) {
                    tracing::error!(partition = index, error, "a coordinator cannot be loaded");
                }
                Err(Unavailable::Gone)
            }
            _ => Err(Unavailable::Stopping),
        }
    }

    /// Reads a partition from its start to its end into a new shard.
    fn read(&self, index: i32, least_end: Offset) -> Result<Active<S>, String> {
        let partition = self.home.partition(index).ok_or("the partition is not to be had")?;
        let mut shard = self.home.empty();
        let end = load::read(&mut shard, &partition, least_end, || self.stopped.load(Ordering::SeqCst))?;
        let (home, standing) = (self.home.clone(), Standing::new());
        let (next_ticket, broken, waiting) = (0, false, HashMap::new());
        Ok(Active { index, home, standing, shard, partition, end, next_ticket, broken, waiting })
    }
}

impl<S: Shard> Slot<S> {
    /// The shard, unless there is none or its log has failed: then it is dropped, and everybody in it told.
    fn usable<'a>(&self, state: &'a mut State<S>) -> Option<&'a mut Active<S>> {
        if let State::Active(active) = state {
            if active.partition.log().progress().has_failed() {
                tracing::warn!("the log of a coordinator failed; it will be loaded again");
                // What the log had not published is not there when it is opened again.
                *state = State::Out(0);
            } else if active.broken {
                *state = State::Out(active.end);
            }
        }
        match state {
            State::Active(active) => Some(active),
            _ => None,
        }
    }

    fn gone(&self) -> Unavailable {
        let mut state = self.0.lock();
        self.usable(&mut state);
        self.gone_as(&state)
    }

    fn gone_as(&self, state: &State<S>) -> Unavailable {
        match state {
            State::Stopped => Unavailable::Stopping,
            State::Loading => Unavailable::Loading,
            State::Out(_) | State::Active(_) => Unavailable::Gone,
        }
    }
}

impl<S: Shard> Active<S> {
    fn step(&mut self, now: Now, transaction: Option<InTransaction>, f: impl FnOnce(&mut S, &mut EffectsOf<S>)) {
        let mut out = Effects::default();
        f(&mut self.shard, &mut out);
        if !out.records.is_empty() {
            self.append(&out.records, transaction, now.wall);
        }
        if self.broken {
            return self.waiting.clear();
        }
        for command in out.commands {
            let progress = self.partition.log().progress().clone();
            self.home.carry_out(self.index, command, Decided::new(progress, self.end, &self.standing));
        }
        for (ticket, reply) in out.replies {
            if let Some(sender) = self.waiting.remove(&ticket) {
                // Whoever asked may be gone.
                let _ = sender.send((reply, self.end));
            }
        }
    }

    fn append(&mut self, records: &[S::Record], transaction: Option<InTransaction>, wall: Millis) {
        let (mut batch, mut bytes) = (Vec::new(), 0_usize);
        for record in records {
            match S::encode(record) {
                Ok((key, value)) => {
                    let size = RECORD_BYTES + key.len() + value.as_ref().map_or(0, Bytes::len);
                    if bytes.saturating_add(size) > ATOMIC_BYTES && !batch.is_empty() {
                        self.append_batch(&batch, transaction, wall);
                        batch.clear();
                        bytes = 0;
                    }
                    bytes = bytes.saturating_add(size);
                    batch.push((key, value));
                }
                // A fault of the shard's. What it has applied must not be told.
                Err(error) => {
                    tracing::error!(error, "a coordinator's record cannot be stored");
                    self.broken = true;
                    return;
                }
            }
        }
        self.append_batch(&batch, transaction, wall);
    }

    fn append_batch(&mut self, records: &[(Bytes, Option<Bytes>)], transaction: Option<InTransaction>, wall: Millis) {
        let (kind, guard) = match transaction {
            None => (Kind::Plain, None),
            Some(InTransaction { producer_id, producer_epoch, guard }) => {
                (Kind::Transactional { producer_id, producer_epoch }, guard)
            }
        };
        let (header, payload) = build::parts(kind, records, wall);
        let appending = self.partition.append_from(Origin::Coordinator(guard), header, payload, Acks::All, wall);
        self.end = self.end.max(appending.published_at());
        // What the shard has applied is not in the log: somebody else has written here, an administrator say.
        self.broken |= !appending.is_appended();
    }

    fn end_transaction(&mut self, end: TransactionEnd, wall: Millis) -> Appending {
        let appending = self.partition.end_transaction(end, wall);
        if appending.is_appended() {
            self.shard.end_transaction(end.producer_id, end.marker.committed);
        }
        self.end = self.end.max(appending.published_at());
        appending
    }
}

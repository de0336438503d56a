//! The coordinators: replicated state machines over internal topics, whose records are Kafka's, byte for byte.
//!
//! A [`Shard`] is the state of one partition of such a topic and is pure: an input and the time go in, records and replies
//! come out. Its shell appends the records to that partition through the same code as a client's produce, holds every
//! reply back until all that was applied when it was computed is durable, and drops the shard to load it anew on any doubt.
//! (Kafka's `CoordinatorShard` and `CoordinatorRuntime`, without their snapshots: nothing is ever rolled back.)

mod breaks;
pub mod expressions;
pub mod group;
mod placement;
pub mod records;
#[cfg(test)]
mod seeds;
mod shell;
mod timers;
pub mod txn;

pub use placement::partition_for;
pub use shell::{Decided, Home, InTransaction, Shell, TransactionError, Unavailable};
pub use timers::Timers;

use crate::time::Millis;
use bytes::Bytes;
use std::convert::Infallible;

/// What time it is, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For timers ([`crate::time::monotonic`]).
    pub monotonic: Millis,
    /// For what Kafka's data carries ([`crate::time::wall`]); may step.
    pub wall: Millis,
}

/// Stands for whoever waits for a reply. A reply may come at once, much later, or never: then the shell answers that the
/// coordinator is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What a step of a shard comes to: records, replies, commands.
#[derive(Debug)]
pub struct Effects<R, A, C = Infallible> {
    /// Records to append, in this order. They are applied already. Up to [`ATOMIC_BYTES`] all of a step are there after a
    /// crash or none.
    pub records: Vec<R>,
    /// Replies, this step's own and those to requests that were parked.
    pub replies: Vec<(Ticket, A)>,
    /// What is to be done elsewhere, when all that was emitted up to here is durable. What comes of it is a request of its own.
    pub commands: Vec<C>,
}

impl<R, A, C> Default for Effects<R, A, C> {
    fn default() -> Self {
        Effects { records: Vec::new(), replies: Vec::new(), commands: Vec::new() }
    }
}

/// The effects of a kind of shard.
pub type EffectsOf<S> = Effects<<S as Shard>::Record, <S as Shard>::Reply, <S as Shard>::Command>;

impl<R, A, C> Effects<R, A, C> {
    /// Answers a request.
    pub fn reply(&mut self, ticket: Ticket, answer: impl Into<A>) {
        self.replies.push((ticket, answer.into()));
    }
}

/// The state of one partition of an internal topic. Pure: no clock, no random source, no I/O.
///
/// Its durable part is what [`Shard::apply`] makes of the records, and nothing else: after any step a second shard that
/// only applied the records has the same. The rest (timers, parked requests, rebalances under way) is soft: lost in a
/// crash, and made anew by [`Shard::loaded`].
pub trait Shard: Sized + Send + 'static {
    /// What may be asked.
    type Request: Send;
    /// What is answered.
    type Reply: Send + 'static;
    /// What is durable.
    type Record: Send;
    /// What it has others do.
    type Command: Send + 'static;

    /// Takes a request. Records that it emits it applies at once.
    fn handle(&mut self, now: Now, ticket: Ticket, request: Self::Request, out: &mut EffectsOf<Self>);

    /// Changes the durable state, live and in replay.
    fn apply(&mut self, record: Self::Record);

    /// Keeps what a record says until the producer's transaction ends, live and in replay. A shard that is never asked to
    /// write in one leaves out what others put there.
    fn apply_in_transaction(&mut self, producer_id: i64, record: Self::Record) {
        let _ = (producer_id, record);
    }

    /// A producer's transaction has ended, live and in replay: what was kept comes into force, or never was.
    fn end_transaction(&mut self, producer_id: i64, committed: bool) {
        let _ = (producer_id, committed);
    }

    /// Whether a request is to wait for better times where the log does not keep up. Not one that others wait for, or that
    /// keeps a session alive.
    fn writes_much(request: &Self::Request) -> bool {
        let _ = request;
        false
    }

    /// All records have been applied: timers start, rebalances that were under way start anew.
    fn loaded(&mut self, now: Now, out: &mut EffectsOf<Self>);

    /// When [`Shard::on_deadline`] has something to do next, on the monotonic clock.
    fn next_deadline(&self) -> Option<Millis>;

    /// Does one thing that is due.
    fn on_deadline(&mut self, now: Now, out: &mut EffectsOf<Self>);

    /// A record as Kafka stores it: key and value.
    ///
    /// # Errors
    /// A text that is too long for its place. A shard lets none in: what it emits can be stored.
    fn encode(record: &Self::Record) -> Result<(Bytes, Option<Bytes>), String>;

    /// Reads a record; `None` where it is of a kind that this broker does not know and may skip, as Kafka does.
    ///
    /// # Errors
    /// What is wrong with it.
    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self::Record>, Unreadable>;
}

/// Why a record cannot be applied. The texts are for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A newer broker wrote it. What it says is not known here, and to go on without it would bring back what it replaced.
    #[error("{0}")]
    Newer(String),
    /// Nobody wrote it who knows the format. It is skipped.
    #[error("{0}")]
    Foreign(String),
}

/// Bytes of records that one step may emit and have appended as one batch.
pub const ATOMIC_BYTES: usize = 16 << 20;

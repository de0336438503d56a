//! Ottla: a message broker that speaks Apache Kafka's binary protocol, so that every Kafka client and tool works with it.
//!
//! # The tour
//!
//! A **Produce** request, file by file: [`connection`] reads a frame, within limits; [`wire::frame`] its header;
//! [`wire::shape`] refuses counts that lie; [`api`] finds the row, checks the version, decodes; `api/produce` resolves
//! each partition; [`wire::validate`] checks the batch before any lock; [`partition`] decides under its lock
//! (sequence, offset), applies, and hands the batch to the log; [`log::disk`] groups what came meanwhile into one
//! round: write, one sync, publish. Waiters wake, replies leave in the order of the requests. Everything up to the
//! log's queue runs in the order of a connection's requests; the rest is a future.
//!
//! A **Fetch** takes the same way down to `api/fetch`, which reads each partition: [`partition`] checks the range,
//! [`log`] finds whole batches by index, and their place in the file goes to the connection, which sends them from
//! there. With too little to send it waits on all its partitions at once ([`log::Waiter`]).
//!
//! A **request of a group** goes from its file in [`api`] to [`broker::Groups`], which knows the partition of
//! `__consumer_offsets` that the group lives in, and there to the [`coordinator`]'s shell: under the shard's lock a pure state
//! machine ([`coordinator::group`]) takes it, emits records and replies; the records are appended like a client's, and the
//! reply leaves when they, and all that it may have been computed from, are durable.
//!
//! A **transaction** is decided there too ([`coordinator::txn`], over `__transaction_state`): the decision is a record, and a
//! command that goes with it has [`broker::Txns`] write markers ([`wire::control`]) to every partition, by [`broker::Markers`].
//! What a partition makes of them (who may write, how far readers of committed records see, what they leave out) is in
//! [`partition::transactions`] and its neighbours.
//!
//! Three ideas carry the rest. *Decide, apply, ship*: pure state machines decide, `apply` is the only mutator and also
//! the way of recovery, the shell around them ships bytes and wakes waiters. *Stage, durable, publish*: the log's end
//! and the high watermark are two numbers, and nobody sees what is not published. *Drop and reopen*: nothing is rolled
//! back; what failed is opened again from what is durable.
//!
//! # Who may use whom
//!
//! `main > server > connection > api > broker > {coordinator, catalog} > partition > log > wire > time`, from left to
//! right and never back; those in braces do not use each other, and `config` may be used from `partition` upwards.
//! Kafka's message types stay in [`api`], [`connection`] and [`coordinator`]. A test below keeps it so.
//!
//! Read in this order: [`api`], [`partition`], [`log`], [`log::disk`], [`coordinator`], then what they use.

pub mod api;
pub mod broker;
pub mod catalog;
pub mod config;
pub mod connection;
pub mod coordinator;
pub mod log;
pub mod partition;
pub mod server;
pub mod time;
pub mod wire;

#[cfg(test)]
mod arrows;
#[cfg(test)]
mod readme;

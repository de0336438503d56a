//! The transaction coordinator: who may use a transactional id, which partitions its transaction has, and whether that is
//! committed; over `__transaction_state`.
//!
//! [`TxnShard`] finds the transactional id that a request is for, and keeps time. What a request does is in [`init`],
//! [`partitions`], [`end`] and [`admin`]; what becomes of an id in [`transaction`]; all of it is pure. (Kafka's
//! `TransactionCoordinator`, `TransactionStateManager` and `TransactionMetadata`.)
//!
//! Where Kafka keeps the transition that is being written apart from the state, and answers CONCURRENT_TRANSACTIONS to
//! whoever comes in between, here a change is applied at once and the answers wait until it is durable: so a second request
//! is simply served after the first. Its state `PrepareEpochFence` exists for that interval only, and does not here.

mod admin;
mod end;
mod init;
mod partitions;
pub mod records;
pub mod request;
pub mod settings;
pub mod transaction;

#[cfg(test)]
mod schedules;
#[cfg(test)]
mod script;
#[cfg(test)]
mod tests;

use super::records::{Decoded, RECORD_BATCH_BYTES};
use super::{Effects, Now, Shard, Ticket, Timers, Unreadable};
use crate::time::Millis;
use crate::wire::errors::ErrorCode;
use bytes::Bytes;
use records::{Record, TransactionState};
use request::{Reply, Request, TransactionVersion, WriteMarkers};
use settings::TxnSettings;
use std::collections::BTreeMap;
use std::sync::Arc;
use transaction::Transaction;

/// What a step of the transaction coordinator comes to.
pub type Out = Effects<Record, Reply, WriteMarkers>;

/// What this broker does transactions like (`transaction.version`): how it ends one that no client has ended.
const SERVER_VERSION: TransactionVersion = TransactionVersion::V2;

/// What the later records of a transaction may take more than the one that its partitions were added with: two producer ids
/// and a version, as tagged fields.
const GROWTH_BYTES: usize = 32;

/// All transactional ids of one partition of `__transaction_state`.
pub struct TxnShard {
    settings: Arc<TxnSettings>,
    life: u64,
    transactions: BTreeMap<Arc<str>, Transaction>,
    timers: Timers<Timer>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// Ids that nobody uses are looked for.
    Cleanup,
    /// A transaction is too old.
    Timeout(Arc<str>),
}

/// Why a request is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// For a reason that the client is told.
    Code(ErrorCode),
    /// It takes a producer id that nobody has had.
    NeedsProducerId,
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Refusal::Code(code)
    }
}

impl TxnShard {
    /// A shard without transactional ids. No other of this partition may have the same `life`, as long as anybody can come who
    /// was sent by that one.
    pub fn new(settings: Arc<TxnSettings>, life: u64) -> Self {
        TxnShard { settings, life, transactions: BTreeMap::new(), timers: Timers::default() }
    }

    /// What is known of a transactional id.
    pub fn transaction(&self, transactional_id: &str) -> Option<&Transaction> {
        self.transactions.get(transactional_id)
    }

    /// All transactional ids, in their order.
    pub fn transactions(&self) -> impl Iterator<Item = (&Arc<str>, &Transaction)> {
        self.transactions.iter()
    }

    /// A transactional id that must be there.
    fn find(&self, transactional_id: &str) -> Result<(Arc<str>, &Transaction), ErrorCode> {
        if transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let found = self.transactions.get_key_value(transactional_id);
        found.map(|(id, transaction)| (id.clone(), transaction)).ok_or(ErrorCode::InvalidProducerIdMapping)
    }

    /// Stores what a transaction has become.
    fn store(&mut self, now: Now, id: &Arc<str>, transaction: Transaction, out: &mut Out) {
        let record = transaction.record(id);
        let Transaction { state, last_producer_epoch, timeout_ms, .. } = transaction;
        out.records.push(record.clone());
        self.apply(record);
        if let Some(stored) = self.transactions.get_mut(id) {
            stored.last_producer_epoch = last_producer_epoch;
        }
        let timer = Timer::Timeout(id.clone());
        if state != TransactionState::Ongoing {
            self.timers.cancel(&timer);
        } else if self.timers.deadline(&timer).is_none() && timeout_ms != i32::MAX {
            // From its beginning; nothing that is added to it makes it last longer.
            self.timers.set(timer, now.monotonic.saturating_add(timeout_ms.into()));
        }
    }

    /// Whether the log would take the record of a transaction, and those that must follow. If not, the answer is that of
    /// Kafka's coordinator when its log refuses one: UNKNOWN_SERVER_ERROR.
    fn check_size(&self, id: &Arc<str>, transaction: &Transaction) -> Result<(), ErrorCode> {
        let size = transaction.record(id).encode().map(|(key, value)| key.len() + value.map_or(0, |value| value.len()));
        match size {
            Ok(size) if size + RECORD_BATCH_BYTES + GROWTH_BYTES <= self.settings.max_record_bytes => Ok(()),
            _ => Err(ErrorCode::UnknownServerError),
        }
    }

    /// Has the markers of a decided end written.
    fn write_markers(&self, id: &Arc<str>, out: &mut Out) {
        let Some(transaction) = self.transactions.get(id) else { return };
        out.commands.push(WriteMarkers {
            transactional_id: id.clone(),
            producer: transaction.producer,
            committed: transaction.state.is_committed(),
            version: transaction.version,
            partitions: transaction.partitions.iter().cloned().collect(),
            life: self.life,
        });
    }

    fn set_cleanup(&mut self, now: Now) {
        let after_ms = self.settings.cleanup_interval_ms.max(1);
        self.timers.set(Timer::Cleanup, now.monotonic.saturating_add(after_ms));
    }

    /// Forgets ids that nobody has used for long.
    fn clean_up(&mut self, now: Now, out: &mut Out) {
        let latest = now.wall.saturating_sub(self.settings.id_expiration_ms);
        let expired =
            |transaction: &Transaction| transaction.state.may_expire() && transaction.last_update_ms <= latest;
        let ids: Vec<Arc<str>> = self.transactions().filter(|(_, it)| expired(it)).map(|(id, _)| id.clone()).collect();
        for transactional_id in ids {
            let tombstone = Record { transactional_id, value: None };
            out.records.push(tombstone.clone());
            self.apply(tombstone);
        }
    }
}

impl Shard for TxnShard {
    type Request = Request;
    type Reply = Reply;
    type Record = Record;
    type Command = WriteMarkers;

    fn handle(&mut self, now: Now, ticket: Ticket, request: Request, out: &mut Out) {
        let reply = match request {
            Request::InitProducerId { transactional_id, transaction_timeout_ms, expected, fresh } => {
                let begun = self.init_producer_id(now, &transactional_id, transaction_timeout_ms, expected, fresh, out);
                replied(begun, Reply::InitProducerId)
            }
            Request::AddPartitions { transactional_id, producer, partitions, version } => {
                let added = self.add_partitions(now, &transactional_id, producer, &partitions, version, out);
                Reply::AddPartitions(added.err().unwrap_or(ErrorCode::None))
            }
            Request::VerifyPartitions { transactional_id, producer, partitions } => {
                Reply::VerifyPartitions(self.verify_partitions(&transactional_id, producer, &partitions))
            }
            Request::EndTransaction { transactional_id, producer, committed, version, fresh } => {
                let ended = self.end_transaction(now, &transactional_id, producer, committed, version, fresh, out);
                replied(ended, Reply::EndTransaction)
            }
            Request::MarkersWritten { transactional_id, producer, life } => {
                self.markers_written(now, &transactional_id, producer, life, out);
                Reply::MarkersWritten
            }
            Request::Describe { transactional_id } => Reply::Describe(self.describe(&transactional_id)),
            Request::List(filters) => Reply::List(self.list(now, &filters)),
        };
        out.reply(ticket, reply);
    }

    fn apply(&mut self, record: Record) {
        match record.value {
            Some(value) => drop(self.transactions.insert(record.transactional_id, Transaction::stored(value))),
            None => drop(self.transactions.remove(&record.transactional_id)),
        }
    }

    /// Others wait for the end of a transaction.
    fn writes_much(request: &Request) -> bool {
        matches!(request, Request::InitProducerId { .. } | Request::AddPartitions { .. })
    }

    fn loaded(&mut self, now: Now, out: &mut Out) {
        for (id, transaction) in &self.transactions {
            if transaction.state.is_ending() {
                self.write_markers(id, out);
            } else if let Some(expires_ms) = transaction.expires_ms() {
                // What the wall clock says of its age counts only as far as it is possible: it may have been set since.
                let left = expires_ms.saturating_sub(now.wall).clamp(0, transaction.timeout_ms.max(0).into());
                self.timers.set(Timer::Timeout(id.clone()), now.monotonic.saturating_add(left));
            }
        }
        self.set_cleanup(now);
    }

    fn next_deadline(&self) -> Option<Millis> {
        self.timers.next()
    }

    fn on_deadline(&mut self, now: Now, out: &mut Out) {
        match self.timers.pop_due(now.monotonic) {
            Some(Timer::Cleanup) => {
                self.clean_up(now, out);
                self.set_cleanup(now);
            }
            Some(Timer::Timeout(id)) => self.fence(now, &id, out),
            None => {}
        }
    }

    fn encode(record: &Record) -> Result<(Bytes, Option<Bytes>), String> {
        record.encode().map_err(|error| error.to_string())
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Record>, Unreadable> {
        match Record::decode(key, value)? {
            Decoded::Known(record) => Ok(Some(record)),
            Decoded::Unknown(_) => Ok(None),
        }
    }
}

/// The reply of what may need a producer id.
fn replied<T>(answer: Result<T, Refusal>, reply: impl FnOnce(Result<T, ErrorCode>) -> Reply) -> Reply {
    match answer {
        Ok(answer) => reply(Ok(answer)),
        Err(Refusal::Code(code)) => reply(Err(code)),
        Err(Refusal::NeedsProducerId) => Reply::NeedsProducerId,
    }
}

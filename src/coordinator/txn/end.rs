//! EndTxn, and what ends a transaction that no client has ended: its age, or another client.
//!
//! With V2 every end raises the epoch, so that nothing of the last transaction can get into the next (KIP-890). A client that
//! asks again since it got no answer is known by the epoch before. It may also end a transaction that it does not know to
//! have begun: nothing but an abort of nothing comes of it.
//!
//! A commit that comes when the transaction was aborted for its age is INVALID_TXN_STATE, as with Kafka 4.3.1; newer ones say
//! PRODUCER_FENCED (KAFKA-20785).
//!
//! An abort by the coordinator gives the producer no new id, though the highest epoch may be reached by it: there is nobody
//! who could be told. The client's next request does (Kafka's coordinator takes an id at once, KAFKA-20090; the client sees
//! the same).

use super::records::TransactionState;
use super::request::{ProducerIdAndEpoch, TransactionVersion};
use super::transaction::Transaction;
use super::{Out, Refusal, SERVER_VERSION, TxnShard};
use crate::coordinator::Now;
use crate::coordinator::breaks::{Break, broken};
use crate::wire::errors::ErrorCode;
use std::sync::Arc;

/// What a client of V0 and V1 is told instead of a producer.
const NO_PRODUCER: ProducerIdAndEpoch = ProducerIdAndEpoch { producer_id: -1, producer_epoch: -1 };

/// What becomes of a request to end a transaction.
enum Verdict {
    /// It ends.
    Ends,
    /// It has ended, by the same request before.
    Ended,
}

impl TxnShard {
    /// Ends a transaction for a client; tells with what the producer goes on.
    #[expect(clippy::too_many_arguments, reason = "they are those of the request")]
    pub(super) fn end_transaction(
        &mut self,
        now: Now,
        transactional_id: &str,
        producer: ProducerIdAndEpoch,
        committed: bool,
        version: TransactionVersion,
        fresh: Option<i64>,
        out: &mut Out,
    ) -> Result<ProducerIdAndEpoch, Refusal> {
        let (id, transaction) = self.find(transactional_id)?;
        if !version.bumps_epochs() {
            if let Verdict::Ends = verdict_by_state(transaction, producer, committed)? {
                // What Kafka's records say of every such client.
                let ended = transaction.ended(committed, TransactionVersion::V0, -1, now.wall);
                self.decide(now, &id, ended, out);
            }
            return Ok(NO_PRODUCER);
        }
        let ended = match verdict_by_epoch(transaction, producer, committed)? {
            Verdict::Ends => {
                let exhausted = transaction.is_exhausted();
                let next = if exhausted { fresh.ok_or(Refusal::NeedsProducerId)? } else { -1 };
                let ended = transaction.ended(committed, version, next, now.wall);
                let producer = ended.producer_when_complete();
                self.decide(now, &id, ended, out);
                return Ok(producer);
            }
            Verdict::Ended if transaction.producer.producer_epoch != i16::MAX => return Ok(transaction.producer),
            Verdict::Ended => transaction.with_producer_id(fresh.ok_or(Refusal::NeedsProducerId)?, now.wall),
        };
        let producer = ended.producer;
        self.store(now, &id, ended, out);
        Ok(producer)
    }

    /// Aborts a transaction that is under way, and lets its producer do nothing more with the epoch that it has.
    pub(super) fn fence(&mut self, now: Now, id: &Arc<str>, out: &mut Out) {
        let under_way = self.transactions.get(id).filter(|it| it.state == TransactionState::Ongoing);
        let version = if broken(Break::Fence) { TransactionVersion::V0 } else { SERVER_VERSION };
        let Some(aborted) = under_way.map(|it| it.ended(false, version, -1, now.wall)) else { return };
        self.decide(now, id, aborted, out);
    }

    /// Stores that a transaction ends, and has the markers written.
    fn decide(&mut self, now: Now, id: &Arc<str>, ended: Transaction, out: &mut Out) {
        self.store(now, id, ended, out);
        self.write_markers(id, out);
    }

    /// The markers that were asked for are all there; says nothing of any others.
    pub(super) fn markers_written(
        &mut self,
        now: Now,
        transactional_id: &str,
        producer: ProducerIdAndEpoch,
        life: u64,
        out: &mut Out,
    ) {
        let asked = life == self.life || broken(Break::LateReport);
        let Some((id, transaction)) = self.transactions.get_key_value(transactional_id) else { return };
        if asked && transaction.state.is_ending() && transaction.producer == producer {
            let (id, completed) = (id.clone(), transaction.completed(now.wall));
            self.store(now, &id, completed, out);
        }
    }
}

/// With V0 and V1, where the epoch stays, a request that comes again is known by the state that it led to.
fn verdict_by_state(
    transaction: &Transaction,
    producer: ProducerIdAndEpoch,
    committed: bool,
) -> Result<Verdict, ErrorCode> {
    if transaction.producer.producer_id != producer.producer_id {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    if !transaction.is_at(producer.producer_epoch) {
        return Err(ErrorCode::ProducerFenced);
    }
    match transaction.state {
        TransactionState::Ongoing => Ok(Verdict::Ends),
        TransactionState::PrepareCommit | TransactionState::PrepareAbort => Err(ErrorCode::ConcurrentTransactions),
        TransactionState::CompleteCommit if committed => Ok(Verdict::Ended),
        TransactionState::CompleteAbort if !committed => Ok(Verdict::Ended),
        TransactionState::Empty | TransactionState::CompleteCommit | TransactionState::CompleteAbort => {
            Err(ErrorCode::InvalidTxnState)
        }
    }
}

/// With V2 one that comes again is known by the epoch before, and one with the current epoch is for the next transaction.
fn verdict_by_epoch(
    transaction: &Transaction,
    producer: ProducerIdAndEpoch,
    committed: bool,
) -> Result<Verdict, ErrorCode> {
    let stored = transaction.producer;
    if transaction.state.is_ending() {
        return Err(ErrorCode::ConcurrentTransactions);
    }
    let rotated = transaction.previous_producer_id == producer.producer_id
        && stored.producer_id != producer.producer_id
        && (stored.producer_epoch, producer.producer_epoch) == (0, i16::MAX - 1);
    if stored.producer_id != producer.producer_id && !rotated {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    // Only where the end raised the epoch: after one with V0 the epoch before is another instance's, which is fenced. (Kafka
    // does not look, and lets such a one in again.)
    let raised = transaction.version.bumps_epochs();
    let again = rotated || (raised && stored.producer_epoch.checked_sub(1) == Some(producer.producer_epoch));
    let current = transaction.is_at(producer.producer_epoch);
    match transaction.state {
        TransactionState::Ongoing if current => Ok(Verdict::Ends),
        TransactionState::CompleteCommit if again && committed => Ok(Verdict::Ended),
        TransactionState::CompleteAbort if again && !committed => Ok(Verdict::Ended),
        TransactionState::CompleteAbort | TransactionState::CompleteCommit if again => Err(ErrorCode::InvalidTxnState),
        _ if !current => Err(ErrorCode::ProducerFenced),
        _ if committed => Err(ErrorCode::InvalidTxnState),
        _ => Ok(Verdict::Ends),
    }
}

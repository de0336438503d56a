//! AddPartitionsToTxn: what a transaction has, and whether something is part of it.

use super::request::{ProducerIdAndEpoch, TopicPartition, TransactionVersion};
use super::{Out, TxnShard};
use crate::coordinator::Now;
use crate::coordinator::txn::records::TransactionState;
use crate::wire::errors::ErrorCode;

impl TxnShard {
    /// Adds partitions to the transaction, which begins if it has not.
    pub(super) fn add_partitions(
        &mut self,
        now: Now,
        transactional_id: &str,
        producer: ProducerIdAndEpoch,
        partitions: &[TopicPartition],
        version: TransactionVersion,
        out: &mut Out,
    ) -> Result<(), ErrorCode> {
        let (id, transaction) = self.find(transactional_id)?;
        // Before the producer is looked at: it may have been told of an id that it has once the last transaction is complete.
        if transaction.state.is_ending() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        if transaction.producer.producer_id != producer.producer_id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if !transaction.is_at(producer.producer_epoch) {
            return Err(ErrorCode::ProducerFenced);
        }
        let has_all = || partitions.iter().all(|partition| transaction.partitions.contains(partition));
        if transaction.state == TransactionState::Ongoing && has_all() {
            return Ok(());
        }
        let larger = transaction.with(partitions, version, now.wall);
        self.check_size(&id, &larger)?;
        self.store(now, &id, larger, out);
        Ok(())
    }

    /// Tells of each partition whether it is part of the transaction that the producer has under way.
    pub(super) fn verify_partitions(
        &self,
        transactional_id: &str,
        producer: ProducerIdAndEpoch,
        partitions: &[TopicPartition],
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        let (_, transaction) = self.find(transactional_id)?;
        if transaction.producer.producer_id != producer.producer_id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if !transaction.is_at(producer.producer_epoch) {
            return Err(ErrorCode::ProducerFenced);
        }
        if transaction.state.is_ending() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        let code = |partition| match transaction.partitions.contains(partition) {
            true => ErrorCode::None,
            false => ErrorCode::TransactionAbortable,
        };
        Ok(partitions.iter().map(code).collect())
    }
}

//! DescribeTransactions and ListTransactions.

use super::TxnShard;
use super::request::{Description, Filters, Listed};
use super::transaction::Transaction;
use crate::coordinator::Now;
use crate::wire::errors::ErrorCode;

impl TxnShard {
    pub(super) fn describe(&self, transactional_id: &str) -> Result<Description, ErrorCode> {
        if transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let transaction = self.transaction(transactional_id).ok_or(ErrorCode::TransactionalIdNotFound)?;
        Ok(Description {
            state: transaction.state.name(),
            transaction_timeout_ms: transaction.timeout_ms,
            transaction_start_time_ms: transaction.start_ms,
            producer: transaction.producer,
            partitions: transaction.partitions.iter().cloned().collect(),
        })
    }

    pub(super) fn list(&self, now: Now, filters: &Filters) -> Vec<Listed> {
        let fitting = self.transactions().filter(|(id, transaction)| fits(id, transaction, filters, now));
        let listed = fitting.map(|(id, transaction)| Listed {
            transactional_id: id.to_string(),
            producer_id: transaction.producer.producer_id,
            state: transaction.state.name(),
        });
        listed.collect()
    }
}

fn fits(id: &str, transaction: &Transaction, filters: &Filters, now: Now) -> bool {
    let Filters { producer_ids, states, duration_ms, transactional_id_pattern } = filters;
    let age_ms = now.wall.saturating_sub(transaction.start_ms);
    (producer_ids.is_empty() || producer_ids.contains(&transaction.producer.producer_id))
        && (states.is_empty() || states.contains(transaction.state.name()))
        && (*duration_ms < 0 || age_ms > *duration_ms)
        && transactional_id_pattern.as_ref().is_none_or(|pattern| pattern.is_match(id.as_bytes()))
}

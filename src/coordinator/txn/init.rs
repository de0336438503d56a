//! InitProducerId: a client takes a transactional id for itself.

use super::request::ProducerIdAndEpoch;
use super::transaction::Transaction;
use super::{Out, Refusal, TxnShard};
use crate::coordinator::Now;
use crate::coordinator::txn::records::TransactionState;
use crate::wire::errors::ErrorCode;

impl TxnShard {
    /// Gives the producer an epoch above all before. A transaction that is under way is aborted first, and the client is told
    /// to come back.
    pub(super) fn init_producer_id(
        &mut self,
        now: Now,
        transactional_id: &str,
        timeout_ms: i32,
        expected: Option<ProducerIdAndEpoch>,
        fresh: Option<i64>,
        out: &mut Out,
    ) -> Result<ProducerIdAndEpoch, Refusal> {
        if transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest.into());
        }
        if timeout_ms <= 0 || timeout_ms > self.settings.max_timeout_ms {
            return Err(ErrorCode::InvalidTransactionTimeout.into());
        }
        let known = self.transactions.get_key_value(transactional_id);
        let (id, initialized) = match known {
            Some((_, transaction)) if transaction.state.is_ending() => {
                return Err(ErrorCode::ConcurrentTransactions.into());
            }
            Some((_, transaction)) if !expected.is_none_or(|expected| transaction.may_go_on(expected)) => {
                return Err(ErrorCode::ProducerFenced.into());
            }
            Some((id, transaction)) if transaction.state == TransactionState::Ongoing => {
                let id = id.clone();
                self.fence(now, &id, out);
                return Err(ErrorCode::ConcurrentTransactions.into());
            }
            Some((id, transaction)) => {
                let expected = expected.map(|expected| expected.producer_epoch);
                (id.clone(), transaction.initialized(expected, timeout_ms, fresh, now.wall)?)
            }
            None => {
                let producer_id = fresh.ok_or(Refusal::NeedsProducerId)?;
                let created = Transaction::new(producer_id, timeout_ms, now.wall);
                // What the client may have had has expired here, and is worth nothing.
                (transactional_id.into(), created.initialized(None, timeout_ms, None, now.wall)?)
            }
        };
        self.check_size(&id, &initialized)?;
        let producer = initialized.producer;
        self.store(now, &id, initialized, out);
        Ok(producer)
    }
}

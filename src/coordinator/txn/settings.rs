//! The broker's settings for transactions.

use crate::config::BrokerConfig;

/// The broker's settings for transactions. Times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnSettings {
    /// `transaction.max.timeout.ms`.
    pub max_timeout_ms: i32,
    /// `transactional.id.expiration.ms`.
    pub id_expiration_ms: i64,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`.
    pub cleanup_interval_ms: i64,
    /// The largest record that a transaction may become, bytes: what the internal topic would take (`message.max.bytes`).
    pub max_record_bytes: usize,
}

impl TxnSettings {
    /// As the broker is configured.
    pub fn new(config: &BrokerConfig) -> Self {
        TxnSettings {
            max_timeout_ms: config.transaction_max_timeout_ms,
            id_expiration_ms: config.transactional_id_expiration_ms.into(),
            cleanup_interval_ms: config.transaction_remove_expired_transaction_cleanup_interval_ms.into(),
            max_record_bytes: usize::try_from(config.message_max_bytes).unwrap_or(0),
        }
    }
}

#[cfg(test)]
impl TxnSettings {
    /// Kafka's defaults.
    pub fn for_tests() -> Self {
        TxnSettings {
            max_timeout_ms: 900_000,
            id_expiration_ms: 7 * 24 * 3_600_000,
            cleanup_interval_ms: 3_600_000,
            max_record_bytes: 1_048_588,
        }
    }
}

//! The broker's settings for transactions.

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

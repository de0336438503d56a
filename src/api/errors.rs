//! What a code means for a domain error of ours is decided here, by exhaustive matches, so that a new domain error does
//! not compile until it has a code. The codes are [`crate::wire::errors`]; coordinators, whose vocabulary they are, speak
//! them directly.

pub use crate::wire::errors::ErrorCode;

use crate::broker::{MarkerError, PartitionError, ProducerIdError};
use crate::catalog::{CatalogError, TopicError};
use crate::coordinator::{TransactionError, Unavailable};
use crate::log::LogError;
use crate::partition::{AppendError, FetchError, OpenError, SequenceError};
use crate::wire::validate::BatchError;

impl From<&LogError> for ErrorCode {
    fn from(error: &LogError) -> Self {
        match error {
            LogError::Fenced => ErrorCode::NotLeaderOrFollower,
            LogError::Storage(_) => ErrorCode::KafkaStorageError,
        }
    }
}

impl From<&PartitionError> for ErrorCode {
    fn from(error: &PartitionError) -> Self {
        match error {
            PartitionError::Unknown => ErrorCode::UnknownTopicOrPartition,
            PartitionError::Open(OpenError::Log(error)) => error.into(),
            PartitionError::Open(OpenError::EpochBehind { .. }) => ErrorCode::KafkaStorageError,
        }
    }
}

impl From<&BatchError> for ErrorCode {
    fn from(error: &BatchError) -> Self {
        match error {
            BatchError::Corrupt(_) => ErrorCode::CorruptMessage,
            BatchError::Invalid(_) | BatchError::InvalidRecords(_) => ErrorCode::InvalidRecord,
            BatchError::InvalidTimestamps(_) => ErrorCode::InvalidTimestamp,
            BatchError::TooLarge(_) => ErrorCode::MessageTooLarge,
            BatchError::LargerThanSegment { .. } => ErrorCode::RecordListTooLarge,
            BatchError::Codec { .. } => ErrorCode::UnsupportedCompressionType,
            // Kafka says UNKNOWN_SERVER_ERROR; this one tells the producer what to look at, and is not retried either.
            BatchError::Undecodable => ErrorCode::InvalidRecord,
        }
    }
}

impl From<&SequenceError> for ErrorCode {
    fn from(error: &SequenceError) -> Self {
        match error {
            SequenceError::StaleEpoch { .. } => ErrorCode::InvalidProducerEpoch,
            SequenceError::OutOfOrder { .. } => ErrorCode::OutOfOrderSequenceNumber,
            SequenceError::OutsideTransaction | SequenceError::NotVerified => ErrorCode::InvalidTxnState,
            SequenceError::StaleCoordinator { .. } => ErrorCode::TransactionCoordinatorFenced,
        }
    }
}

impl From<&TransactionError> for ErrorCode {
    fn from(error: &TransactionError) -> Self {
        match error {
            TransactionError::Unavailable(unavailable) => unavailable.into(),
            TransactionError::Refused(refused) => refused.into(),
        }
    }
}

impl From<&MarkerError> for ErrorCode {
    fn from(error: &MarkerError) -> Self {
        match error {
            MarkerError::Unknown => ErrorCode::UnknownTopicOrPartition,
            MarkerError::Refused(refused) => refused.into(),
            MarkerError::Append(error) => error.into(),
            MarkerError::Partition(error) => error.into(),
            // A coordinator of transactions does not know what groups say; this one it takes for a place that will be ready.
            MarkerError::Groups(_) => ErrorCode::NotLeaderOrFollower,
        }
    }
}

impl From<&AppendError> for ErrorCode {
    fn from(error: &AppendError) -> Self {
        match error {
            AppendError::Sequence(error) => error.into(),
            AppendError::Log(error) => error.into(),
        }
    }
}

impl From<&FetchError> for ErrorCode {
    fn from(error: &FetchError) -> Self {
        match error {
            FetchError::OutOfRange => ErrorCode::OffsetOutOfRange,
            FetchError::FencedLeaderEpoch => ErrorCode::FencedLeaderEpoch,
            FetchError::UnknownLeaderEpoch => ErrorCode::UnknownLeaderEpoch,
            // Only where waiting was not allowed; the caller asks again where it is.
            FetchError::WouldBlock => ErrorCode::KafkaStorageError,
            FetchError::Log(error) => error.into(),
        }
    }
}

impl From<&TopicError> for ErrorCode {
    fn from(error: &TopicError) -> Self {
        match error {
            TopicError::InvalidName(_) => ErrorCode::InvalidTopicException,
            TopicError::Exists(_) => ErrorCode::TopicAlreadyExists,
            TopicError::UnknownName(_) => ErrorCode::UnknownTopicOrPartition,
            TopicError::UnknownId => ErrorCode::UnknownTopicId,
            TopicError::InvalidPartitions(_) => ErrorCode::InvalidPartitions,
            TopicError::InvalidReplicationFactor(_) => ErrorCode::InvalidReplicationFactor,
            TopicError::InvalidReplicaAssignment(_) => ErrorCode::InvalidReplicaAssignment,
            TopicError::InvalidConfig(_) => ErrorCode::InvalidConfig,
            TopicError::InvalidRequest(_) => ErrorCode::InvalidRequest,
            TopicError::PolicyViolation(_) => ErrorCode::PolicyViolation,
            TopicError::NoProducerIds | TopicError::Contradiction(_) => ErrorCode::UnknownServerError,
        }
    }
}

impl From<&CatalogError> for ErrorCode {
    fn from(error: &CatalogError) -> Self {
        match error {
            CatalogError::Io { .. } | CatalogError::Failed(_) => ErrorCode::KafkaStorageError,
            CatalogError::Damaged { .. }
            | CatalogError::Newer { .. }
            | CatalogError::Identity { .. }
            | CatalogError::Orphans { .. }
            | CatalogError::Contradiction(_)
            | CatalogError::Unwritable(_) => ErrorCode::UnknownServerError,
        }
    }
}

impl From<&ProducerIdError> for ErrorCode {
    fn from(error: &ProducerIdError) -> Self {
        match error {
            // What Kafka answers while it has no block of ids: clients try again.
            ProducerIdError::Catalog(_) => ErrorCode::CoordinatorLoadInProgress,
            ProducerIdError::Topic(error) => error.into(),
        }
    }
}

impl From<&Unavailable> for ErrorCode {
    fn from(error: &Unavailable) -> Self {
        match error {
            // Both pass, and clients ask again.
            Unavailable::Loading | Unavailable::Congested => ErrorCode::CoordinatorLoadInProgress,
            // Not COORDINATOR_NOT_AVAILABLE, which consumers before 3.9 do not take from an OffsetFetch: this one has every
            // client look for the coordinator and ask again.
            Unavailable::Gone | Unavailable::Stopping => ErrorCode::NotCoordinator,
        }
    }
}

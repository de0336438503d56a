//! What the transaction coordinator is asked, what it answers, and what it has others do.

use crate::wire::errors::ErrorCode;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// A producer of a session: its id and epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerIdAndEpoch {
    /// The id.
    pub producer_id: i64,
    /// The epoch.
    pub producer_epoch: i16,
}

/// A partition of a topic, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's index.
    pub partition: i32,
}

/// How a client does transactions (`TransactionVersion`, KIP-890).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionVersion {
    /// Before flexible records; also what records without the field mean.
    #[default]
    V0,
    /// The producer adds partitions by requests of its own, the epoch stays for the session.
    V1,
    /// Partitions are added with the first write to them, each transaction ends with a higher epoch.
    V2,
}

impl TransactionVersion {
    /// The number in a record, which is the level of Kafka's feature.
    pub const fn level(self) -> i16 {
        self as i16
    }

    /// The one with this number.
    pub fn from_level(level: i16) -> Option<Self> {
        [Self::V0, Self::V1, Self::V2].into_iter().find(|version| version.level() == level)
    }

    /// Whether each transaction ends with a higher epoch.
    pub const fn bumps_epochs(self) -> bool {
        matches!(self, Self::V2)
    }
}

/// What may be asked.
#[derive(Clone, Debug)]
pub enum Request {
    /// InitProducerId with a transactional id.
    InitProducerId {
        /// The transactional id.
        transactional_id: String,
        /// How long a transaction of it may last, milliseconds.
        transaction_timeout_ms: i32,
        /// What the producer goes on from; `None` where it begins.
        expected: Option<ProducerIdAndEpoch>,
        /// A producer id that nobody has had, if one was asked for ([`Reply::NeedsProducerId`]).
        fresh: Option<i64>,
    },
    /// Partitions become part of the transaction, which begins with the first.
    AddPartitions {
        /// The transactional id.
        transactional_id: String,
        /// Who says so.
        producer: ProducerIdAndEpoch,
        /// The partitions.
        partitions: Vec<TopicPartition>,
        /// How the client does transactions.
        version: TransactionVersion,
    },
    /// Whether partitions are part of the transaction; changes nothing (`handleVerifyPartitionsInTransaction`).
    VerifyPartitions {
        /// The transactional id.
        transactional_id: String,
        /// Who says so.
        producer: ProducerIdAndEpoch,
        /// The partitions.
        partitions: Vec<TopicPartition>,
    },
    /// The transaction is over.
    EndTransaction {
        /// The transactional id.
        transactional_id: String,
        /// Who says so.
        producer: ProducerIdAndEpoch,
        /// Committed, or aborted.
        committed: bool,
        /// How the client does transactions.
        version: TransactionVersion,
        /// A producer id that nobody has had, if one was asked for ([`Reply::NeedsProducerId`]).
        fresh: Option<i64>,
    },
    /// What [`WriteMarkers`] asked for is done, and durable. Said once.
    MarkersWritten {
        /// The transactional id.
        transactional_id: Arc<str>,
        /// The producer that the markers bear.
        producer: ProducerIdAndEpoch,
        /// From [`WriteMarkers::life`].
        life: u64,
    },
    /// What is known of a transactional id.
    Describe {
        /// The transactional id.
        transactional_id: String,
    },
    /// All transactional ids that fit.
    List(Arc<Filters>),
}

/// Which transactions are asked for (ListTransactions); an empty filter lets all through.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    /// Producer ids.
    pub producer_ids: HashSet<i64>,
    /// States, by name. One that there is not fits no transaction; whoever asks is told of it by the caller.
    pub states: BTreeSet<&'static str>,
    /// Only those that began longer ago, milliseconds; -1 for all. As with Kafka also those that are over, and those that
    /// never began.
    pub duration_ms: i64,
    /// A regular expression ([`expressions`](crate::coordinator::expressions)): the whole transactional id must match.
    pub transactional_id_pattern: Option<regex::bytes::Regex>,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The producer's id and epoch.
    InitProducerId(Result<ProducerIdAndEpoch, ErrorCode>),
    /// One code for all partitions.
    AddPartitions(ErrorCode),
    /// One code for each partition, in the order of the request, or one for all.
    VerifyPartitions(Result<Vec<ErrorCode>, ErrorCode>),
    /// With which id and epoch the producer goes on; -1 and -1 for V0 and V1.
    EndTransaction(Result<ProducerIdAndEpoch, ErrorCode>),
    /// It is noted.
    MarkersWritten,
    /// What is known.
    Describe(Result<Description, ErrorCode>),
    /// In the order of the ids.
    List(Vec<Listed>),
    /// To be asked again, with a producer id that nobody has had. Nothing was changed.
    NeedsProducerId,
}

/// A transactional id, as DescribeTransactions tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Kafka's name of the state.
    pub state: &'static str,
    /// Milliseconds.
    pub transaction_timeout_ms: i32,
    /// When the transaction began, also if it is over, wall clock; -1 where there was none since InitProducerId.
    pub transaction_start_time_ms: i64,
    /// The producer.
    pub producer: ProducerIdAndEpoch,
    /// Its partitions, sorted.
    pub partitions: Vec<TopicPartition>,
}

/// A transactional id, as ListTransactions tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The transactional id.
    pub transactional_id: String,
    /// The producer.
    pub producer_id: i64,
    /// Kafka's name of the state.
    pub state: &'static str,
}

/// A decided transaction's end, to be written to every partition of it. To be repeated until it is done; the decision is
/// durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteMarkers {
    /// The transactional id.
    pub transactional_id: Arc<str>,
    /// What the markers bear. With V2 the epoch is above that of the records.
    pub producer: ProducerIdAndEpoch,
    /// Committed, or aborted.
    pub committed: bool,
    /// How the transaction was done.
    pub version: TransactionVersion,
    /// Where; may be empty.
    pub partitions: Vec<TopicPartition>,
    /// Of the shard that decided. With V0 the producer's next transaction has the same epoch, and would pass for written if
    /// a report to a shard that has been dropped since reached its successor.
    pub life: u64,
}

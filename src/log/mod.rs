//! THE SEAM: ordered bytes, durable or fenced. A log knows offsets, batches and files; it knows nothing of topics,
//! producers, groups or requests.
//!
//! One log is one partition's. Batches come in with their offsets stamped, in order, through [`Log::submit`], which
//! never blocks; [`Progress`] tells how far they are written and published. A log that fails once refuses
//! everything after: its owner drops what it holds in memory and opens the log again from what is durable.

pub mod disk;
mod progress;

pub use progress::{Progress, Registration, Waiter};

use crate::time::Millis;
use crate::wire::batch::{BatchHeader, StoredBatch};
use bytes::Bytes;
use std::sync::Arc;

/// A record's place in a partition.
pub type Offset = i64;

/// Why a log does not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Another owner has the log now, with a higher epoch.
    #[error("another owner has this log")]
    Fenced,
    /// The storage under it failed, or is full. The text says what and where.
    #[error("{0}")]
    Storage(Arc<str>),
}

/// Why a read gives nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The offset lies before the log's start or after its end.
    #[error("offset out of range")]
    OutOfRange,
    /// A read that may not block would have had to wait for the disk: ask again where waiting is allowed.
    #[error("the disk would have to be waited for")]
    WouldBlock,
    /// The storage failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Whether a call may wait for a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It runs where waiting is allowed.
    Allowed,
    /// It answers [`ReadError::WouldBlock`] rather than wait.
    Never,
}

/// Runs something that waits for the disk. Other tasks of the runtime go on.
pub fn waiting<T>(f: impl FnOnce() -> T) -> T {
    match tokio::runtime::Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread => {
            tokio::task::block_in_place(f)
        }
        _ => f(),
    }
}

/// When the log syncs, and what that means for readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// `flush.messages=1`: each round is synced; a batch is published when it is durable.
    EveryRound,
    /// Kafka's page-cache mode: a batch is published when it is written; synced after so many messages or so many
    /// milliseconds.
    Later {
        /// Sync when this many records are unsynced.
        messages: u64,
        /// Sync when the oldest unsynced record was written this long ago.
        ms: u64,
    },
}

/// What a log is told about itself. Plain values: the log does not know where settings come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A segment is sealed before it would grow past this many bytes (`segment.bytes`).
    pub segment_bytes: u32,
    /// A segment is sealed when record time has moved on by this much since its first batch (`segment.ms`).
    pub segment_ms: u64,
    /// An index entry is written about this often (`index.interval.bytes`).
    pub index_interval_bytes: u32,
    /// A segment is sealed when its offset index would grow past this many bytes (`segment.index.bytes`).
    pub index_bytes: u32,
    /// When to sync.
    pub flush: Flush,
}

/// A small named piece of its owner's state that the log keeps beside the data, as of an offset, in a file with
/// this extension. A log keeps these bytes without reading them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFile {
    /// File extension: `snapshot` for Kafka's own format, `producers` for ours.
    pub extension: &'static str,
    /// The content.
    pub bytes: Vec<u8>,
}

impl StateFile {
    /// Extension of Kafka's own producer snapshot.
    pub const SNAPSHOT: &'static str = "snapshot";
    /// Extension of ours, which holds what Kafka's cannot.
    pub const PRODUCERS: &'static str = "producers";
    /// Every extension that a log keeps and gives back.
    pub const EXTENSIONS: [&'static str; 2] = [Self::PRODUCERS, Self::SNAPSHOT];
}

/// An owner's state as of an offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerState {
    /// Of the whole partition, named by that offset.
    pub files: Vec<StateFile>,
    /// Of single segments, by their base offsets: Kafka's `.txnindex`. A segment without one has none.
    pub transaction_indexes: Vec<(Offset, Vec<u8>)>,
}

/// One entry of the leader epoch history: from `start` on, batches carry `epoch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// The leader epoch.
    pub epoch: i32,
    /// Offset of its first batch.
    pub start: Offset,
}

/// A batch to append, with what has to be stored along with it.
#[derive(Clone, Debug)]
pub struct Append {
    /// The batch, stamped.
    pub batch: StoredBatch,
    /// The owner's state before this batch; given exactly when [`Log::rolls_before`] said that a new segment
    /// begins with it.
    pub roll: Option<OwnerState>,
    /// The whole epoch history, when this batch begins a new epoch: stored before the batch is.
    pub epochs: Option<Vec<EpochStart>>,
}

/// Walks stored batches: all from the one that contains the given offset to the log's end, in order (a few from before may
/// come first).
pub type Replay = Box<dyn FnMut(Offset, &mut dyn FnMut(&Replayed<'_>)) -> Result<(), LogError> + Send>;

/// A batch that is read back.
#[derive(Clone, Copy, Debug)]
pub struct Replayed<'a> {
    /// Its header.
    pub header: &'a BatchHeader,
    /// Of a control batch what follows the header; of others nothing.
    pub control: &'a Bytes,
    /// The wall-clock time of its append as well as the log knows it; where nothing better is known, when its file was last
    /// written.
    pub append_time: Millis,
}

/// What a log found when it was opened: what its owner builds its own state from.
pub struct Recovered {
    /// Offset of the first batch that [`Recovered::replay`] can give: the first segment's base, which may lie before
    /// [`Log::start`].
    pub first_batch: Offset,
    /// Offset after the last record that survived.
    pub log_end: Offset,
    /// The epoch history as stored. May still name epochs from `log_end` on, whose batches were lost.
    pub epochs: Vec<EpochStart>,
    /// The owner's state as of offsets, newest first. Old ones may be left out; the owner uses the first that it can
    /// read and that is not newer than `log_end`.
    pub states: Vec<(Offset, Vec<StateFile>)>,
    /// The transaction indexes of segments, in their order. A crash may have taken those of the last ones.
    pub transaction_indexes: Vec<(Offset, Vec<u8>)>,
    /// The batches after that state.
    pub replay: Replay,
}

impl Recovered {
    /// A log that has just been made.
    pub fn empty() -> Self {
        Self {
            first_batch: 0,
            log_end: 0,
            epochs: Vec::new(),
            states: Vec::new(),
            transaction_indexes: Vec::new(),
            replay: Box::new(|_, _| Ok(())),
        }
    }
}

/// A run of whole batches, to be sent as it is.
#[derive(Clone, Debug)]
pub enum Slice {
    /// Bytes in memory.
    Memory(Bytes),
    /// A region of a file that stays readable as long as the handle is held.
    File {
        /// The file.
        file: Arc<dyn disk::File>,
        /// Where the region begins.
        position: u64,
        /// How many bytes it has.
        length: usize,
    },
}

impl Slice {
    /// Bytes in this run.
    pub fn len(&self) -> usize {
        match self {
            Slice::Memory(bytes) => bytes.len(),
            Slice::File { length, .. } => *length,
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a read gives.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Whole batches.
    pub slices: Vec<Slice>,
    /// Offset before which all of them begin; where nothing is left out behind them, the end that was asked for.
    pub until: Offset,
}

/// A record found by time: its timestamp and offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOffset {
    /// Milliseconds.
    pub timestamp: Millis,
    /// The record's offset.
    pub offset: Offset,
    /// Leader epoch of its batch.
    pub leader_epoch: i32,
}

/// Ordered batches of one partition. Implemented by the disk engine and by a test log that stalls and fails.
pub trait Log: Send + Sync {
    /// How far the log is written and published, and whether it failed. Waiters register there.
    fn progress(&self) -> &Arc<Progress>;

    /// Offset of the first record that can be read.
    fn start(&self) -> Offset;

    /// Whether a batch with this header would begin a new segment, so that [`Append::roll`] has to be given. The
    /// caller holds its own lock over this and the [`Log::submit`] that follows.
    fn rolls_before(&self, header: &BatchHeader) -> bool;

    /// Base offsets of the segments, in order, of the one too that the last submitted batch goes to.
    fn segment_bases(&self) -> Vec<Offset>;

    /// Whether so much is queued that nothing should be added for now.
    fn is_congested(&self) -> bool {
        false
    }

    /// Queues a batch; never blocks. Order of calls is order in the log. What becomes of it is told by
    /// [`Log::progress`].
    fn submit(&self, append: Append);

    /// Whole batches from the one that contains `from`, none that begins at or after `below`, at most `max_bytes`
    /// unless `first_whole` and the first alone is larger.
    fn read(
        &self,
        from: Offset,
        below: Offset,
        max_bytes: usize,
        first_whole: bool,
        wait: Wait,
    ) -> Result<Run, ReadError>;

    /// The first record below `below` whose timestamp is at least `timestamp`.
    fn offset_for_time(&self, timestamp: Millis, below: Offset) -> Result<Option<TimedOffset>, ReadError>;

    /// The first of the records below `below` that have the largest timestamp.
    fn max_timestamp(&self, below: Offset) -> Result<Option<TimedOffset>, ReadError>;

    /// Bytes on disk of what can be read.
    fn size(&self) -> u64;

    /// A setting changed.
    fn reconfigure(&self, config: LogConfig);
}

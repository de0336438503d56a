//! Finds in a history what must never be, whatever is killed or halted. Nothing here does I/O or knows a client.
//!
//! Every anomaly has a name, and at least one history made by hand in which it is found, beside good ones that look
//! alike. What Kafka allows is no anomaly: records of other writers between two of one transaction, and cycles of
//! writes alone. The cost grows with n log n.

mod commits;
mod cycles;
mod order;
mod places;
mod visible;
mod watermarks;

use super::model::{History, Isolation, Key, Operation, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Anomaly {
    /// What was acknowledged is not there, though something behind it is.
    LostWrite,
    /// What was acknowledged is not there, nor anything behind it.
    Unseen,
    /// Something is read that was aborted, or failed for certain.
    AbortedRead,
    /// A transaction reads what it wrote itself.
    PrecommittedRead,
    /// Something is read before its commit was asked for.
    EarlyRead,
    /// Something is read that nobody sent there.
    Phantom,
    /// Two values have one offset, or an offset is used again.
    InconsistentOffset,
    /// One value has two offsets.
    Duplicate,
    /// Offset 0 is told of something that cannot be there.
    SpuriousZero,
    /// An offset below the end has neither a record nor a control record.
    OffsetGap,
    /// A transaction is there in part.
    TornTransaction,
    /// Two transactions, or more, have each read what another of them wrote, in a circle.
    Circle,
    /// Within one poll or transaction a reader goes back, or reads something twice.
    InternalPollBack,
    /// Within one poll or transaction a reader leaves out what others can read.
    InternalPollSkip,
    /// A reader goes back, or reads something twice.
    PollBack,
    /// A reader leaves out what others can read.
    PollSkip,
    /// Two records of one transaction lie in another order than they were sent.
    InternalSendBack,
    /// Two records of a producer lie in another order than they were sent.
    SendBack,
    HighWatermarkBack,
    /// The high watermark is not beyond what had been acknowledged.
    StaleHighWatermark,
    StableOffsetBack,
    /// The last stable offset is beyond the high watermark.
    StableAboveHigh,
    /// The last stable offset stays below the high watermark, at the end or for too long.
    HangingTransaction,
    /// A group has read and committed something in two transactions that are there.
    ProcessedTwice,
    CommittedOffsetBack,
    /// A committed offset shows that was aborted.
    AbortedCommit,
    /// A committed offset shows that nobody committed.
    InventedCommit,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub anomaly: Anomaly,
    pub what: String,
}

/// Everything that is wrong with a history, each thing once.
pub fn check(history: &History) -> BTreeSet<Finding> {
    let mut findings = Findings::default();
    let facts = places::gather(history, &mut findings);
    places::check(&facts, &mut findings);
    visible::check(&facts, &mut findings);
    order::check(&facts, &mut findings);
    watermarks::check(&facts, &mut findings);
    commits::check(&facts, &mut findings);
    cycles::check(&facts, &mut findings);
    findings.0
}

#[derive(Default)]
struct Findings(BTreeSet<Finding>);

impl Findings {
    fn add(&mut self, anomaly: Anomaly, what: impl Into<String>) {
        self.0.insert(Finding { anomaly, what: what.into() });
    }
}

/// What the families ask a history for.
struct Facts<'a> {
    history: &'a History,
    /// Which operation sent a value, and where to.
    writers: HashMap<Value, (usize, Key)>,
    /// Where a value lies: by its acknowledgement, or by the first that read it.
    homes: HashMap<Value, i64>,
    /// The offsets that were read, by anybody.
    offsets: BTreeMap<(Isolation, Key), Vec<i64>>,
    /// The values that were read with `Isolation::Committed`, by anybody.
    committed: HashSet<Value>,
}

impl<'a> Facts<'a> {
    fn writer(&self, value: Value) -> Option<&'a Operation> {
        self.writers.get(&value).map(|(at, _)| &self.history.operations[*at])
    }

    fn offsets(&self, isolation: Isolation, key: Key) -> &[i64] {
        self.offsets.get(&(isolation, key)).map_or(&[], Vec::as_slice)
    }
}

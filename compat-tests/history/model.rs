//! What clients did and saw: the facts that `check` judges.
//!
//! A history holds nothing but what a client can know, and where control records lie. Values are unique: a value names
//! who sent it. Times are those of one monotonic clock; but for transactions that never end only
//! their order counts.

pub use crate::isolation::Isolation;
use std::collections::{BTreeMap, BTreeSet};

pub type Value = u64;
/// Topic and partition.
pub type Key = (&'static str, i32);
/// Microseconds.
pub type Time = u64;
/// One incarnation of a client: what comes after a restart is another one.
pub type Process = usize;

/// When something was asked for, and when it was answered; `FOREVER` if nobody lived to see that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from: Time,
    pub to: Time,
}

pub const FOREVER: Time = Time::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The broker said so.
    Done,
    /// It certainly did not happen.
    Failed,
    /// It may have happened, or happen yet.
    Unknown,
}

#[derive(Clone, Debug)]
pub struct Sent {
    pub key: Key,
    pub value: Value,
    /// As acknowledged.
    pub offset: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub key: Key,
    pub offset: i64,
    pub value: Value,
}

/// An offset that is to be committed for a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub group: String,
    pub key: Key,
    pub offset: i64,
}

#[derive(Clone, Debug)]
pub struct Transaction {
    /// In the order in which they were sent.
    pub sent: Vec<Sent>,
    /// Read between its begin and its end, with `Isolation::Committed`.
    pub seen: Vec<Seen>,
    pub commits: Vec<Commit>,
    /// Of the commit.
    pub outcome: Outcome,
    /// When its commit was asked for. None of it may be seen before.
    pub asked: Option<Time>,
}

#[derive(Clone, Debug)]
pub enum Action {
    /// Outside of any transaction.
    Send(Sent, Outcome),
    Transaction(Transaction),
    Poll(Isolation, Vec<Seen>),
    /// From here on the process reads from these offsets; where it begins in partitions that are not named is not
    /// known.
    Assign(Vec<(Key, i64)>),
    /// Outside of any transaction.
    Commit(Commit, Outcome),
}

#[derive(Clone, Debug)]
pub struct Operation {
    pub process: Process,
    pub span: Span,
    pub action: Action,
}

/// What somebody looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    HighWatermark(Key, i64),
    /// The last stable offset.
    Stable(Key, i64),
    Committed(String, Key, Option<i64>),
}

#[derive(Clone, Debug)]
pub struct Sample {
    pub span: Span,
    pub look: Look,
}

#[derive(Clone, Debug, Default)]
pub struct History {
    /// Those of one process in the order in which it did them.
    pub operations: Vec<Operation>,
    pub samples: Vec<Sample>,
    /// Where control records lie. Of partitions that are not named nothing is known.
    pub controls: BTreeMap<Key, BTreeSet<i64>>,
    /// For how long a transaction may hold readers back, if that is known.
    pub longest: Option<Time>,
}

impl Operation {
    /// What was sent, in its order.
    pub fn sent(&self) -> &[Sent] {
        match &self.action {
            Action::Send(sent, _) => std::slice::from_ref(sent),
            Action::Transaction(transaction) => &transaction.sent,
            _ => &[],
        }
    }

    /// What was read, in its order.
    pub fn seen(&self) -> (Isolation, &[Seen]) {
        match &self.action {
            Action::Transaction(transaction) => (Isolation::Committed, &transaction.seen),
            Action::Poll(isolation, seen) => (*isolation, seen),
            _ => (Isolation::Committed, &[]),
        }
    }

    /// Whether what it sent is in the log for good.
    pub fn outcome(&self) -> Outcome {
        match &self.action {
            Action::Send(_, outcome) | Action::Commit(_, outcome) => *outcome,
            Action::Transaction(transaction) => transaction.outcome,
            Action::Poll(..) | Action::Assign(_) => Outcome::Done,
        }
    }

    pub fn transaction(&self) -> Option<&Transaction> {
        match &self.action {
            Action::Transaction(transaction) => Some(transaction),
            _ => None,
        }
    }

    /// The commits of offsets that it asked for.
    pub fn commits(&self) -> &[Commit] {
        match &self.action {
            Action::Commit(commit, _) => std::slice::from_ref(commit),
            Action::Transaction(transaction) => &transaction.commits,
            _ => &[],
        }
    }
}

//! Histories made by hand, for the tests of the checker.
//!
//! Each operation takes place after the one before it, unless `at` says otherwise.

use super::check::{Anomaly, check};
use super::model::{
    Action, Commit, FOREVER, History, Isolation, Key, Look, Operation, Outcome, Process, Sample, Seen, Sent, Span,
    Time, Transaction, Value,
};
use std::collections::BTreeSet;

/// The partitions of these histories.
pub const A: Key = ("a", 0);
pub const B: Key = ("b", 0);

/// A record at an offset of a partition: what is sent there, or read.
pub type At = (Key, i64, Value);

#[derive(Default)]
pub struct Made {
    pub history: History,
    now: Time,
}

impl Made {
    pub fn new() -> Self {
        Self::default()
    }

    fn next(&mut self) -> Span {
        self.now += 10;
        Span { from: self.now - 9, to: self.now }
    }

    fn act(mut self, process: Process, action: Action) -> Self {
        let span = self.next();
        self.history.operations.push(Operation { process, span, action });
        self
    }

    fn look(mut self, look: Look) -> Self {
        let span = self.next();
        self.history.samples.push(Sample { span, look });
        self
    }

    /// A record outside of any transaction, acknowledged.
    pub fn send(self, process: Process, at: At) -> Self {
        self.act(process, Action::Send(sent(at), Outcome::Done))
    }

    /// A record outside of any transaction. Nobody knows an offset of it.
    pub fn send_as(self, process: Process, outcome: Outcome, key: Key, value: Value) -> Self {
        self.act(process, Action::Send(Sent { key, value, offset: None }, outcome))
    }

    /// A transaction of records that were acknowledged.
    pub fn transaction(self, process: Process, outcome: Outcome, records: &[At]) -> Self {
        self.reading(process, outcome, records, &[])
    }

    /// A transaction that reads as well.
    pub fn reading(self, process: Process, outcome: Outcome, records: &[At], read: &[At]) -> Self {
        let asked = (outcome != Outcome::Failed).then_some(self.now + 8);
        let (sent, seen) = (records.iter().map(|at| sent(*at)).collect(), seen(read));
        self.act(process, Action::Transaction(Transaction { sent, seen, commits: Vec::new(), outcome, asked }))
    }

    /// A transaction of nothing but an offset of group `g`.
    pub fn committing(self, process: Process, outcome: Outcome, key: Key, offset: i64) -> Self {
        let commits = vec![Commit { group: "g".into(), key, offset }];
        let asked = (outcome != Outcome::Failed).then_some(self.now + 8);
        let transaction = Transaction { sent: Vec::new(), seen: Vec::new(), commits, outcome, asked };
        self.act(process, Action::Transaction(transaction))
    }

    /// A transaction that reads, commits for group `g` how far it has come, and writes.
    pub fn processing(self, process: Process, outcome: Outcome, read: &[At], written: At) -> Self {
        let mut made = self.reading(process, outcome, &[written], read);
        if let Some(Operation { action: Action::Transaction(transaction), .. }) = made.history.operations.last_mut() {
            let (key, offset, _) = *read.last().unwrap();
            transaction.commits.push(Commit { group: "g".into(), key, offset: offset + 1 });
        }
        made
    }

    /// Reads with `Isolation::Committed`.
    pub fn poll(self, process: Process, read: &[At]) -> Self {
        self.act(process, Action::Poll(Isolation::Committed, seen(read)))
    }

    /// Reads with `Isolation::Uncommitted`.
    pub fn poll_all(self, process: Process, read: &[At]) -> Self {
        self.act(process, Action::Poll(Isolation::Uncommitted, seen(read)))
    }

    pub fn assign(self, process: Process, from: &[(Key, i64)]) -> Self {
        self.act(process, Action::Assign(from.to_vec()))
    }

    /// Commits an offset for group `g`.
    pub fn commit(self, process: Process, outcome: Outcome, key: Key, offset: i64) -> Self {
        self.act(process, Action::Commit(Commit { group: "g".into(), key, offset }, outcome))
    }

    pub fn high(self, key: Key, offset: i64) -> Self {
        self.look(Look::HighWatermark(key, offset))
    }

    pub fn stable(self, key: Key, offset: i64) -> Self {
        self.look(Look::Stable(key, offset))
    }

    pub fn committed(self, key: Key, offset: Option<i64>) -> Self {
        self.look(Look::Committed("g".into(), key, offset))
    }

    /// Control records are known to lie here, and nowhere else in this partition.
    pub fn controls(mut self, key: Key, offsets: &[i64]) -> Self {
        self.history.controls.insert(key, offsets.iter().copied().collect());
        self
    }

    /// The operation before began as early as this and took as long as that.
    pub fn at(mut self, from: Time, to: Time) -> Self {
        let operation = self.history.operations.last_mut().unwrap();
        operation.span = Span { from, to };
        if let Action::Transaction(transaction) = &mut operation.action {
            transaction.asked = transaction.asked.map(|_| if to == FOREVER { from } else { to });
        }
        self
    }

    /// The lookup before began as early as this and took as long as that.
    pub fn looked_at(mut self, from: Time, to: Time) -> Self {
        self.history.samples.last_mut().unwrap().span = Span { from, to };
        self
    }

    /// Transactions may hold readers back for this long.
    pub fn allowing(mut self, longest: Time) -> Self {
        self.history.longest = Some(longest);
        self
    }

    /// These anomalies are found, and no others.
    #[track_caller]
    pub fn finds(self, expected: &[Anomaly]) {
        let findings = check(&self.history);
        let found: BTreeSet<_> = findings.iter().map(|finding| finding.anomaly).collect();
        assert_eq!(found, expected.iter().copied().collect(), "{findings:#?}");
    }

    #[track_caller]
    pub fn passes(self) {
        self.finds(&[]);
    }
}

fn sent((key, offset, value): At) -> Sent {
    Sent { key, value, offset: Some(offset) }
}

fn seen(read: &[At]) -> Vec<Seen> {
    read.iter().map(|(key, offset, value)| Seen { key: *key, offset: *offset, value: *value }).collect()
}

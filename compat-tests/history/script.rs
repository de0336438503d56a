//! What a producer tells, line by line, and the operations that come of it.
//!
//! A producer tells what it will do before it does it, so that of one that is killed it is known what it may have done:
//! what it had not asked to be committed certainly is not.

use super::model::{Action, Commit, FOREVER, Key, Operation, Outcome, Process, Seen, Sent, Span, Time, Transaction};
use super::workload::key;
use std::str::FromStr;

/// What one incarnation of a producer told.
pub struct Script {
    process: Process,
    operations: Vec<Operation>,
    /// Whether the last operation is a transaction that has not ended.
    open: bool,
    /// Why it could do nothing more.
    pub fatal: Option<String>,
}

impl Script {
    pub fn new(process: Process) -> Self {
        Self { process, operations: Vec::new(), open: false, fatal: None }
    }

    pub fn operations(&self) -> Vec<Operation> {
        self.operations.clone()
    }

    /// Whether it has a transaction open, as far as it told.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Whether it has asked for a commit and got no answer.
    pub fn is_committing(&self) -> bool {
        let last = self.operations.last().filter(|_| self.open);
        last.is_some_and(|operation| operation.outcome() == Outcome::Unknown)
    }

    pub fn take(&mut self, line: &str) {
        let mut words = Words(line.split(' '));
        match words.0.next().unwrap_or_default() {
            "assign" => {
                let from = std::iter::from_fn(|| Some((words.key()?, words.next()?))).collect();
                self.add(0, Action::Assign(from));
            }
            "put" => {
                let (at, key, value) = (words.need(), words.key().unwrap(), words.need());
                self.add(at, Action::Send(Sent { key, value, offset: None }, Outcome::Unknown));
            }
            "begin" => {
                let (sent, seen, commits) = Default::default();
                let transaction = Transaction { sent, seen, commits, outcome: Outcome::Failed, asked: None };
                self.add(words.need(), Action::Transaction(transaction));
                self.open = true;
            }
            "ack" => self.acknowledge(words.need(), words.need(), words.need()),
            "fatal" => self.fatal = Some(line.into()),
            word => self.go_on(word, &mut words),
        }
    }

    fn add(&mut self, from: Time, action: Action) {
        self.operations.push(Operation { process: self.process, span: Span { from, to: FOREVER }, action });
    }

    /// Within a transaction.
    fn go_on(&mut self, word: &str, words: &mut Words<'_>) {
        let Some(Operation { span, action: Action::Transaction(transaction), .. }) = self.operations.last_mut() else {
            // The harness has lines of its own.
            return;
        };
        match word {
            "send" => {
                let (key, value) = (words.key().unwrap(), words.need());
                transaction.sent.push(Sent { key, value, offset: None });
            }
            "saw" => {
                let (key, offset, value) = (words.key().unwrap(), words.need(), words.need());
                transaction.seen.push(Seen { key, offset, value });
            }
            "offset" => {
                let (group, key, offset) = (words.need(), words.key().unwrap(), words.need());
                transaction.commits.push(Commit { group, key, offset });
            }
            "commit" => (transaction.asked, transaction.outcome) = (Some(words.need()), Outcome::Unknown),
            "done" => (span.to, transaction.outcome, self.open) = (words.need(), Outcome::Done, false),
            "aborted" => (span.to, self.open) = (words.need(), false),
            _ => {}
        }
    }

    /// librdkafka may learn that a record is there without learning where.
    fn acknowledge(&mut self, at: Time, value: u64, offset: i64) {
        let offset = (offset >= 0).then_some(offset);
        // It was sent not long ago.
        for operation in self.operations.iter_mut().rev() {
            match &mut operation.action {
                Action::Send(sent, outcome) if sent.value == value => {
                    (sent.offset, *outcome, operation.span.to) = (offset, Outcome::Done, at);
                    return;
                }
                Action::Transaction(transaction) => {
                    if let Some(sent) = transaction.sent.iter_mut().find(|sent| sent.value == value) {
                        sent.offset = offset;
                        return;
                    }
                }
                _ => {}
            }
        }
        panic!("{value} is acknowledged, but was not sent");
    }
}

struct Words<'a>(std::str::Split<'a, char>);

impl Words<'_> {
    fn next<T: FromStr>(&mut self) -> Option<T> {
        self.0.next()?.parse().ok()
    }

    fn need<T: FromStr>(&mut self) -> T {
        self.next().expect("another word")
    }

    fn key(&mut self) -> Option<Key> {
        Some(key(self.0.next()?, self.next()?))
    }
}

//! Producers' records lie in the order in which they were sent, and readers that choose their partitions see all of
//! them in the order of the log.
//!
//! Records of others may lie between two of one transaction. Where a reader's partitions were chosen anew, it may begin
//! elsewhere.

use super::{Anomaly, Facts, Findings};
use crate::history::model::{Action, Isolation, Key, Operation, Process, Seen};
use std::collections::HashMap;

/// An offset, and the number of the operation that was there.
type Last = (i64, usize);

pub fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let mut sent: HashMap<(Process, Key), Last> = HashMap::new();
    let mut seen: HashMap<Process, HashMap<Key, Last>> = HashMap::new();
    for (number, operation) in facts.history.operations.iter().enumerate() {
        sends(number, operation, &mut sent, facts, findings);
        if let Action::Assign(from) = &operation.action {
            let from = from.iter().map(|(key, offset)| (*key, (offset - 1, number)));
            seen.insert(operation.process, from.collect());
        }
        polls(number, operation, seen.entry(operation.process).or_default(), facts, findings);
    }
}

fn sends(
    number: usize,
    operation: &Operation,
    last: &mut HashMap<(Process, Key), Last>,
    facts: &Facts<'_>,
    findings: &mut Findings,
) {
    for sent in operation.sent() {
        let Some(home) = facts.homes.get(&sent.value) else { continue };
        let before = last.insert((operation.process, sent.key), (*home, number));
        let Some((before, by)) = before.filter(|(before, _)| before >= home) else { continue };
        let anomaly = if by == number { Anomaly::InternalSendBack } else { Anomaly::SendBack };
        let what = format!("{sent:?} of process {} lies at {home}, the one before at {before}", operation.process);
        findings.add(anomaly, what);
    }
}

fn polls(
    number: usize,
    operation: &Operation,
    last: &mut HashMap<Key, Last>,
    facts: &Facts<'_>,
    findings: &mut Findings,
) {
    let (isolation, seen) = operation.seen();
    for seen in seen {
        let Some((before, by)) = last.insert(seen.key, (seen.offset, number)) else { continue };
        let internal = by == number;
        let anomaly = match (seen.offset <= before, internal) {
            (true, true) => Anomaly::InternalPollBack,
            (true, false) => Anomaly::PollBack,
            (false, _) if !skips(seen, before, isolation, facts) => continue,
            (false, true) => Anomaly::InternalPollSkip,
            (false, false) => Anomaly::PollSkip,
        };
        findings.add(anomaly, format!("{seen:?} by process {} after offset {before}", operation.process));
    }
}

/// Whether anybody has read something between the offset before and this one.
fn skips(seen: &Seen, before: i64, isolation: Isolation, facts: &Facts<'_>) -> bool {
    let offsets = facts.offsets(isolation, seen.key);
    let next = offsets.partition_point(|offset| *offset <= before);
    offsets[next] < seen.offset
}

#[cfg(test)]
mod tests {
    use super::super::Anomaly::{InternalPollBack, InternalPollSkip, InternalSendBack, PollBack, PollSkip, SendBack};
    use crate::history::made::{A, At, B, Made};
    use crate::history::model::Outcome;

    const RECORDS: [At; 4] = [(A, 0, 1), (A, 1, 2), (A, 3, 3), (A, 4, 4)];

    /// Four records that somebody has read in one go.
    fn written() -> Made {
        RECORDS.iter().fold(Made::new(), |made, at| made.send(1, *at)).poll(2, &RECORDS)
    }

    #[test]
    fn a_reader_goes_back() {
        written().poll(3, &RECORDS[..2]).poll(3, &RECORDS[2..]).passes();
        written().poll(3, &RECORDS[..2]).poll(3, &RECORDS[..1]).finds(&[PollBack]);
        // The same one twice.
        written().poll(3, &RECORDS[..2]).poll(3, &RECORDS[1..]).finds(&[PollBack]);
        // Another reader may.
        written().poll(3, &RECORDS[..2]).poll(4, &RECORDS[..1]).passes();
        written().poll(3, &RECORDS[..2]).assign(3, &[]).poll(3, &RECORDS[1..]).passes();
    }

    #[test]
    fn a_reader_skips() {
        written().poll(3, &RECORDS[..1]).poll(3, &RECORDS[2..]).finds(&[PollSkip]);
        written().poll(3, &RECORDS[..1]).assign(3, &[]).poll(3, &RECORDS[2..]).passes();
        written().assign(3, &[(A, 0)]).poll(3, &RECORDS[1..]).finds(&[PollSkip]);
        written().assign(3, &[(A, 1)]).poll(3, &RECORDS[1..]).passes();
        written().assign(3, &[(A, 2)]).poll(3, &RECORDS[2..]).passes();
    }

    #[test]
    fn a_reader_goes_back_or_skips_within_one_poll() {
        written().poll(3, &[RECORDS[1], RECORDS[0]]).finds(&[InternalPollBack]);
        written().poll(3, &[RECORDS[0], RECORDS[2]]).finds(&[InternalPollSkip]);
        written().reading(3, Outcome::Done, &[], &[RECORDS[0], RECORDS[2]]).finds(&[InternalPollSkip]);
        written().reading(3, Outcome::Failed, &[], &[RECORDS[2], RECORDS[1]]).finds(&[InternalPollBack]);
    }

    /// What only readers of uncommitted records can see is left out by the others.
    #[test]
    fn aborted_records_are_no_skip() {
        let history = || {
            let made = Made::new().send(1, (A, 0, 1)).transaction(2, Outcome::Failed, &[(A, 1, 2)]).send(1, (A, 3, 3));
            made.poll(3, &[(A, 0, 1), (A, 3, 3)])
        };
        history().poll_all(4, &[(A, 0, 1), (A, 1, 2), (A, 3, 3)]).passes();
        let history = history().poll_all(4, &[(A, 0, 1), (A, 1, 2), (A, 3, 3)]);
        history.poll_all(5, &[(A, 0, 1), (A, 3, 3)]).finds(&[InternalPollSkip]);
    }

    #[test]
    fn records_of_one_transaction_change_places() {
        let history = Made::new().transaction(1, Outcome::Done, &[(A, 1, 1), (A, 0, 2)]);
        history.poll(2, &[(A, 0, 2), (A, 1, 1)]).finds(&[InternalSendBack]);
        // Records of others in between are allowed, and other partitions are another matter.
        let history = Made::new().transaction(1, Outcome::Done, &[(A, 5, 1), (B, 2, 2), (A, 7, 3)]);
        history.send(2, (A, 6, 4)).poll(3, &[(A, 5, 1), (A, 6, 4), (A, 7, 3), (B, 2, 2)]).passes();
    }

    #[test]
    fn records_of_a_producer_change_places() {
        let history = Made::new().send(1, (A, 2, 1)).send(1, (A, 1, 2));
        history.poll(2, &[(A, 1, 2), (A, 2, 1)]).finds(&[SendBack]);
        let history = Made::new().send(1, (A, 2, 1)).send(2, (A, 1, 2));
        history.poll(3, &[(A, 1, 2), (A, 2, 1)]).passes();
        // Where nobody told, reading shows it.
        let unknown = |made: Made, value| made.send_as(1, Outcome::Unknown, A, value);
        unknown(unknown(Made::new(), 1), 2).poll(2, &[(A, 1, 2), (A, 2, 1)]).finds(&[SendBack]);
    }
}

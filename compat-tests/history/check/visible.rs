//! What readers of committed records may see, and what they must have seen in the end.

use super::{Anomaly, Facts, Findings};
use crate::history::model::{Action, Isolation, Operation, Outcome, Sent, Transaction};

pub fn check(facts: &Facts<'_>, findings: &mut Findings) {
    for operation in &facts.history.operations {
        match operation.outcome() {
            Outcome::Done => missing(operation, facts, findings),
            Outcome::Failed => shown(operation, facts, findings),
            Outcome::Unknown => {}
        }
        if let Some(transaction) = operation.transaction().filter(|it| it.outcome != Outcome::Failed) {
            torn(transaction, operation.process, facts, findings);
        }
        reads(operation, facts, findings);
    }
}

/// Everything that was acknowledged or committed has been read by somebody.
fn missing(operation: &Operation, facts: &Facts<'_>, findings: &mut Findings) {
    for sent in operation.sent().iter().filter(|sent| !facts.committed.contains(&sent.value)) {
        let end = facts.offsets(Isolation::Committed, sent.key).last();
        let home = facts.homes.get(&sent.value);
        let anomaly = if home.is_some() && home <= end { Anomaly::LostWrite } else { Anomaly::Unseen };
        findings.add(anomaly, format!("{sent:?} of process {}", operation.process));
    }
}

/// Nothing that certainly did not happen has been read.
fn shown(operation: &Operation, facts: &Facts<'_>, findings: &mut Findings) {
    let plain = matches!(operation.action, Action::Send(..));
    // Records of an aborted transaction are in the log, and others may read them.
    let read = |sent: &&Sent| facts.committed.contains(&sent.value) || plain && read_by_anybody(sent, facts);
    for sent in operation.sent().iter().filter(read) {
        findings.add(Anomaly::AbortedRead, format!("{sent:?} of process {}", operation.process));
    }
}

fn read_by_anybody(sent: &Sent, facts: &Facts<'_>) -> bool {
    let home = facts.homes.get(&sent.value);
    home.is_some_and(|home| facts.offsets(Isolation::Uncommitted, sent.key).binary_search(home).is_ok())
}

/// A transaction of which something shows shows as a whole.
fn torn(transaction: &Transaction, process: usize, facts: &Facts<'_>, findings: &mut Findings) {
    let (there, missing): (Vec<_>, Vec<_>) =
        transaction.sent.iter().partition(|sent| facts.committed.contains(&sent.value));
    if !there.is_empty() && !missing.is_empty() {
        let what = format!("process {process}: {there:?} are there, {missing:?} are not");
        findings.add(Anomaly::TornTransaction, what);
    }
}

/// Nothing is read by those who wrote it, before it is committed, nor by others before its commit was asked for.
fn reads(operation: &Operation, facts: &Facts<'_>, findings: &mut Findings) {
    let (isolation, seen) = operation.seen();
    for seen in seen {
        let Some(writer) = facts.writer(seen.value) else { continue };
        let exists_since = match writer.transaction() {
            Some(transaction) if isolation == Isolation::Committed => transaction.asked,
            _ => Some(writer.span.from),
        };
        if std::ptr::eq(writer, operation) {
            findings.add(Anomaly::PrecommittedRead, format!("{seen:?} by process {}", operation.process));
        } else if exists_since.is_some_and(|since| operation.span.to < since) {
            findings.add(Anomaly::EarlyRead, format!("{seen:?} by process {}", operation.process));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Anomaly::{AbortedRead, EarlyRead, LostWrite, PrecommittedRead, TornTransaction, Unseen};
    use crate::history::made::{A, B, Made};
    use crate::history::model::{FOREVER, Outcome};

    #[test]
    fn an_acknowledged_record_is_lost() {
        let history = || Made::new().send(1, (A, 0, 1)).send(1, (A, 1, 2)).send(1, (A, 2, 3));
        history().poll(2, &[(A, 0, 1), (A, 1, 2), (A, 2, 3)]).passes();
        history().poll(2, &[(A, 0, 1), (A, 2, 3)]).finds(&[LostWrite]);
        history().poll(2, &[(A, 0, 1), (A, 1, 2)]).finds(&[Unseen]);
        history().poll_all(2, &[(A, 0, 1), (A, 1, 2), (A, 2, 3)]).finds(&[Unseen]);
    }

    #[test]
    fn a_committed_transaction_is_lost() {
        let history = Made::new().transaction(1, Outcome::Done, &[(A, 0, 1), (A, 1, 2)]).send(2, (A, 3, 3));
        history.poll(3, &[(A, 3, 3)]).finds(&[LostWrite]);
    }

    #[test]
    fn an_unknown_outcome_may_go_either_way() {
        let history = || Made::new().transaction(1, Outcome::Unknown, &[(A, 0, 1), (B, 0, 2)]).at(1, FOREVER);
        history().passes();
        history().poll(2, &[(A, 0, 1), (B, 0, 2)]).at(50, 60).passes();
        history().poll(2, &[(A, 0, 1)]).at(50, 60).finds(&[TornTransaction]);
        Made::new().send_as(1, Outcome::Unknown, A, 1).passes();
        Made::new().send_as(1, Outcome::Unknown, A, 1).poll(2, &[(A, 0, 1)]).passes();
    }

    #[test]
    fn a_committed_transaction_is_torn() {
        let history = || Made::new().transaction(1, Outcome::Done, &[(A, 0, 1), (B, 0, 2), (B, 1, 3)]);
        history().poll(2, &[(A, 0, 1), (B, 0, 2), (B, 1, 3)]).passes();
        history().poll(2, &[(A, 0, 1)]).finds(&[TornTransaction, Unseen]);
        history().poll(2, &[(A, 0, 1), (B, 1, 3)]).finds(&[TornTransaction, LostWrite]);
    }

    #[test]
    fn an_aborted_record_is_read() {
        let history = || Made::new().transaction(1, Outcome::Failed, &[(A, 0, 1)]);
        history().poll_all(2, &[(A, 0, 1)]).passes();
        history().poll(2, &[(A, 0, 1)]).finds(&[AbortedRead]);
        Made::new().send_as(1, Outcome::Failed, A, 1).poll(2, &[(A, 0, 1)]).finds(&[AbortedRead]);
    }

    #[test]
    fn a_transaction_reads_what_it_wrote() {
        let own = [(A, 0, 1)];
        Made::new().reading(1, Outcome::Done, &own, &own).finds(&[PrecommittedRead]);
    }

    #[test]
    fn a_record_is_read_before_its_commit_was_asked_for() {
        let history = || Made::new().transaction(1, Outcome::Done, &[(A, 0, 1)]).at(100, 200);
        history().poll(2, &[(A, 0, 1)]).at(110, 150).finds(&[EarlyRead]);
        // It may have been read after that.
        history().poll(2, &[(A, 0, 1)]).at(110, 250).passes();
        // Those who read everything may.
        history().poll_all(2, &[(A, 0, 1)]).at(110, 150).poll(3, &[(A, 0, 1)]).at(210, 220).passes();
        Made::new().send(1, (A, 1, 1)).at(100, 200).poll(2, &[(A, 1, 1)]).at(50, 60).finds(&[EarlyRead]);
    }
}

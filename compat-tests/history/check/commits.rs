//! Committed offsets: they never go back, are what somebody committed, and nothing is processed twice.
//!
//! In these histories nobody commits a lower offset than was committed: a client begins where the last one stopped.

use super::{Anomaly, Facts, Findings};
use crate::history::model::{Commit, Key, Look, Operation, Outcome, Sample, Time};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A partition of a group.
type Of = (String, Key);

pub fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let mut samples: Vec<&Sample> = facts.history.samples.iter().collect();
    samples.sort_by_key(|sample| sample.span.from);
    let looks: Vec<_> = samples
        .into_iter()
        .filter_map(|sample| match &sample.look {
            Look::Committed(group, key, offset) => Some((sample, (group.clone(), *key), *offset)),
            _ => None,
        })
        .collect();
    back(&looks, facts, findings);
    sources(&looks, facts, findings);
    twice(facts, findings);
}

fn operations<'a>(facts: &Facts<'a>) -> impl Iterator<Item = (&'a Operation, Of, &'a Commit)> {
    let commits = |operation: &'a Operation| operation.commits().iter().map(move |commit| (operation, commit));
    let of = |(operation, commit): (&'a Operation, &'a Commit)| (operation, (commit.group.clone(), commit.key), commit);
    facts.history.operations.iter().flat_map(commits).map(of)
}

/// No lookup answers less than was told or committed before it was asked for.
fn back(looks: &[(&Sample, Of, Option<i64>)], facts: &Facts<'_>, findings: &mut Findings) {
    let mut certain: BTreeMap<Of, Vec<(Time, i64)>> = BTreeMap::new();
    let told = looks.iter().filter_map(|(sample, of, offset)| Some((of.clone(), (sample.span.to, (*offset)?))));
    let done = operations(facts).filter(|(operation, ..)| operation.outcome() == Outcome::Done);
    let done = done.map(|(operation, of, commit)| (of, (operation.span.to, commit.offset)));
    told.chain(done).for_each(|(of, known)| certain.entry(of).or_default().push(known));
    for known in certain.values_mut() {
        known.sort_unstable();
        // The most that was certain up to then.
        let mut most = i64::MIN;
        known.iter_mut().for_each(|(_, offset)| {
            most = most.max(*offset);
            *offset = most;
        });
    }
    for (sample, of, offset) in looks {
        let Some(known) = certain.get(of) else { continue };
        let before = known.partition_point(|(at, _)| *at < sample.span.from);
        let Some((_, least)) = before.checked_sub(1).map(|last| known[last]) else { continue };
        if offset.unwrap_or(-1) < least {
            findings.add(Anomaly::CommittedOffsetBack, format!("{offset:?} of {of:?} after {least} was certain"));
        }
    }
}

/// What a lookup answers was committed by somebody, and a transaction whose offset shows is there as a whole.
fn sources(looks: &[(&Sample, Of, Option<i64>)], facts: &Facts<'_>, findings: &mut Findings) {
    let mut sources: HashMap<(Of, i64), Vec<&Operation>> = HashMap::new();
    for (operation, of, commit) in operations(facts) {
        sources.entry((of, commit.offset)).or_default().push(operation);
    }
    let shown: HashSet<_> = looks.iter().filter_map(|(_, of, offset)| Some((of.clone(), (*offset)?))).collect();
    for (of, offset) in shown {
        let committed_by = sources.get(&(of.clone(), offset)).map_or(&[][..], Vec::as_slice);
        let mut possible = committed_by.iter().filter(|operation| operation.outcome() != Outcome::Failed);
        match (possible.next(), possible.next()) {
            (None, _) if offset == 0 => findings.add(Anomaly::SpuriousZero, format!("committed of {of:?}")),
            (None, _) if committed_by.is_empty() => {
                findings.add(Anomaly::InventedCommit, format!("{offset} of {of:?}"));
            }
            (None, _) => findings.add(Anomaly::AbortedCommit, format!("{offset} of {of:?}")),
            (Some(only), None) => whole(only, offset, &of, facts, findings),
            (Some(_), Some(_)) => {}
        }
    }
}

/// The records of a transaction are there if its offsets are.
fn whole(operation: &Operation, offset: i64, of: &Of, facts: &Facts<'_>, findings: &mut Findings) {
    let missing: Vec<_> = operation.sent().iter().filter(|sent| !facts.committed.contains(&sent.value)).collect();
    if !missing.is_empty() {
        findings.add(Anomaly::TornTransaction, format!("{offset} of {of:?} is committed, {missing:?} are not there"));
    }
}

/// What was read in a transaction that is there, with an offset behind it, is read in no other such transaction of the group.
fn twice(facts: &Facts<'_>, findings: &mut Findings) {
    let mut processed: HashSet<(Of, i64)> = HashSet::new();
    for (operation, of, commit) in operations(facts) {
        let Some(transaction) = operation.transaction() else { continue };
        let shows = || transaction.sent.iter().any(|sent| facts.committed.contains(&sent.value));
        if transaction.outcome != Outcome::Done && !shows() {
            continue;
        }
        for seen in transaction.seen.iter().filter(|seen| seen.key == commit.key && seen.offset < commit.offset) {
            if !processed.insert((of.clone(), seen.offset)) {
                findings.add(Anomaly::ProcessedTwice, format!("{seen:?} by {of:?}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Anomaly::{
        AbortedCommit, CommittedOffsetBack, InventedCommit, ProcessedTwice, SpuriousZero, TornTransaction,
    };
    use crate::history::made::{A, B, Made};
    use crate::history::model::{Action, FOREVER, Outcome};

    #[test]
    fn a_committed_offset_goes_back() {
        let history = || Made::new().commit(1, Outcome::Done, A, 3).commit(1, Outcome::Done, A, 5);
        history().committed(A, Some(5)).committed(B, None).passes();
        history().committed(A, Some(3)).finds(&[CommittedOffsetBack]);
        history().committed(A, None).finds(&[CommittedOffsetBack]);
        // It was looked up while it was committed.
        history().at(100, 200).committed(A, Some(3)).looked_at(150, 250).passes();
    }

    #[test]
    fn a_commit_whose_outcome_is_not_known_may_show_but_not_vanish_again() {
        let history = || Made::new().commit(1, Outcome::Done, A, 3).commit(1, Outcome::Unknown, A, 5).at(12, FOREVER);
        history().committed(A, Some(3)).committed(A, Some(5)).passes();
        history().committed(A, Some(5)).committed(A, Some(3)).finds(&[CommittedOffsetBack]);
    }

    #[test]
    fn an_offset_that_nobody_committed_shows() {
        Made::new().committed(A, Some(7)).finds(&[InventedCommit]);
        Made::new().committed(A, Some(0)).finds(&[SpuriousZero]);
        Made::new().commit(1, Outcome::Done, A, 0).committed(A, Some(0)).passes();
    }

    #[test]
    fn an_aborted_offset_shows() {
        Made::new().committing(1, Outcome::Done, A, 7).committed(A, Some(7)).passes();
        Made::new().committing(1, Outcome::Unknown, A, 7).committed(A, Some(7)).passes();
        Made::new().committing(1, Outcome::Unknown, A, 7).committed(A, None).passes();
        Made::new().committing(1, Outcome::Failed, A, 7).committed(A, None).passes();
        Made::new().committing(1, Outcome::Failed, A, 7).committed(A, Some(7)).finds(&[AbortedCommit]);
        // Another one committed the same.
        let both = Made::new().committing(1, Outcome::Failed, A, 7).committing(2, Outcome::Done, A, 7);
        both.committed(A, Some(7)).passes();
    }

    #[test]
    fn a_transaction_is_torn_between_its_offset_and_its_record() {
        let history = || {
            let mut made = Made::new().committing(1, Outcome::Unknown, A, 7);
            let Action::Transaction(transaction) = &mut made.history.operations[0].action else { panic!() };
            transaction.sent.push(crate::history::model::Sent { key: B, value: 1, offset: None });
            made
        };
        history().passes();
        history().committed(A, Some(7)).poll(2, &[(B, 0, 1)]).passes();
        history().committed(A, Some(7)).finds(&[TornTransaction]);
    }

    #[test]
    fn a_record_is_processed_twice() {
        let history = |second: Outcome| {
            let sent = Made::new().send(1, (A, 0, 1)).send(1, (A, 1, 2));
            sent.processing(2, Outcome::Done, &[(A, 0, 1)], (B, 0, 3)).processing(
                3,
                second,
                &[(A, 0, 1), (A, 1, 2)],
                (B, 2, 4),
            )
        };
        let read = [(B, 0, 3), (B, 2, 4)];
        history(Outcome::Failed).poll(4, &read[..1]).passes();
        history(Outcome::Unknown).poll(4, &read[..1]).passes();
        history(Outcome::Done).poll(4, &read).finds(&[ProcessedTwice]);
        // Nobody was told of its end, but it is there.
        history(Outcome::Unknown).poll(4, &read).finds(&[ProcessedTwice]);
    }
}

//! One value at each offset, one offset for each value, and nothing between them that cannot be explained.

use super::{Anomaly, Facts, Findings};
use crate::history::model::{Action, History, Isolation, Key, Look, Operation, Outcome, Value};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Goes through all that was sent, acknowledged and read, and finds contradictions on the way.
pub fn gather<'a>(history: &'a History, findings: &mut Findings) -> Facts<'a> {
    let mut facts = Facts {
        history,
        writers: HashMap::new(),
        homes: HashMap::new(),
        offsets: BTreeMap::new(),
        committed: HashSet::new(),
    };
    for (at, operation) in history.operations.iter().enumerate() {
        for sent in operation.sent() {
            let before = facts.writers.insert(sent.value, (at, sent.key));
            assert_eq!(before, None, "value {} is not unique", sent.value);
        }
    }
    let mut places = HashMap::new();
    for operation in &history.operations {
        place(operation, &mut facts, &mut places, findings);
    }
    for offsets in facts.offsets.values_mut() {
        offsets.sort_unstable();
        offsets.dedup();
    }
    facts
}

/// Puts the values of an operation where it says they are.
fn place(
    operation: &Operation,
    facts: &mut Facts<'_>,
    places: &mut HashMap<(Key, i64), Value>,
    findings: &mut Findings,
) {
    let (isolation, seen) = operation.seen();
    let acknowledged = operation.sent().iter().filter_map(|sent| Some((sent.key, sent.offset?, sent.value)));
    let read = seen.iter().map(|seen| (seen.key, seen.offset, seen.value));
    for (key, offset, value) in acknowledged.chain(read) {
        let other = *places.entry((key, offset)).or_insert(value);
        if other != value {
            let what = format!("{key:?} at {offset}: both {other} and {value}");
            findings.add(Anomaly::InconsistentOffset, what);
        }
        match facts.homes.entry(value) {
            Entry::Vacant(home) => {
                home.insert(offset);
            }
            Entry::Occupied(home) if *home.get() == offset => {}
            Entry::Occupied(home) => {
                findings.add(Anomaly::Duplicate, format!("{value} is in {key:?} at {} and at {offset}", home.get()));
            }
        }
    }
    for seen in seen {
        facts.offsets.entry((isolation, seen.key)).or_default().push(seen.offset);
        if isolation == Isolation::Committed {
            facts.committed.insert(seen.value);
        }
        if facts.writers.get(&seen.value).map(|(_, key)| *key) != Some(seen.key) {
            findings.add(Anomaly::Phantom, format!("{seen:?}"));
        }
    }
}

pub fn check(facts: &Facts<'_>, findings: &mut Findings) {
    gaps(facts, findings);
    zeros(facts, findings);
}

/// Each offset below the end has a record or a control record, and not both.
fn gaps(facts: &Facts<'_>, findings: &mut Findings) {
    let mut ends: BTreeMap<Key, i64> = BTreeMap::new();
    for sample in &facts.history.samples {
        if let Look::HighWatermark(key, high) = sample.look {
            let end = ends.entry(key).or_default();
            *end = high.max(*end);
        }
    }
    for (key, controls) in &facts.history.controls {
        let records = [Isolation::Committed, Isolation::Uncommitted].map(|it| facts.offsets(it, *key).iter().copied());
        let mut used: Vec<i64> = records.into_iter().flatten().collect();
        used.sort_unstable();
        used.dedup();
        for offset in used.iter().filter(|offset| controls.contains(offset)) {
            let what = format!("{key:?} at {offset}: a record was read where a control record is");
            findings.add(Anomaly::InconsistentOffset, what);
        }
        used.extend(controls.iter().copied());
        used.push(ends.get(key).copied().unwrap_or(0));
        used.sort_unstable();
        let mut expected = 0;
        for offset in used {
            if offset > expected {
                findings.add(Anomaly::OffsetGap, format!("{key:?}: nothing from {expected} to {}", offset - 1));
            }
            expected = expected.max(offset + 1);
        }
    }
}

/// No record of a partition that is known to have one already is at offset 0, nor one that failed.
fn zeros(facts: &Facts<'_>, findings: &mut Findings) {
    let mut first: HashMap<Key, u64> = HashMap::new();
    let mut known = |key: Key, since: u64| {
        let first = first.entry(key).or_insert(since);
        *first = since.min(*first);
    };
    for operation in &facts.history.operations {
        operation.seen().1.iter().for_each(|seen| known(seen.key, operation.span.to));
        let acknowledged = operation.sent().iter().filter(|sent| sent.offset.is_some());
        acknowledged.for_each(|sent| known(sent.key, operation.span.to));
    }
    for operation in &facts.history.operations {
        let failed = matches!(operation.action, Action::Send(_, Outcome::Failed));
        for sent in operation.sent().iter().filter(|sent| sent.offset == Some(0)) {
            if failed || first.get(&sent.key).is_some_and(|since| *since < operation.span.from) {
                findings.add(Anomaly::SpuriousZero, format!("{sent:?}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Anomaly::{
        AbortedRead, Duplicate, InconsistentOffset, LostWrite, OffsetGap, Phantom, SpuriousZero,
    };
    use crate::history::made::{A, B, Made};
    use crate::history::model::{FOREVER, Outcome};

    #[test]
    fn what_is_read_where_it_was_acknowledged_passes() {
        let history = Made::new().send(1, (A, 0, 1)).send(1, (A, 1, 2)).send(2, (B, 0, 3));
        history.poll(3, &[(A, 0, 1), (A, 1, 2), (B, 0, 3)]).poll_all(4, &[(A, 0, 1), (A, 1, 2), (B, 0, 3)]).passes();
    }

    #[test]
    fn two_readers_find_two_values_at_one_offset() {
        let history = Made::new().send_as(1, Outcome::Unknown, A, 1).send_as(2, Outcome::Unknown, A, 2);
        history.poll(3, &[(A, 0, 1)]).poll(4, &[(A, 0, 2)]).finds(&[InconsistentOffset]);
    }

    /// Offset reuse: the log lost its end, and went on as if it had never been.
    #[test]
    fn an_acknowledged_offset_is_used_again() {
        let history = Made::new().send(1, (A, 0, 1)).send(2, (A, 0, 2)).poll(3, &[(A, 0, 2)]);
        history.finds(&[InconsistentOffset, SpuriousZero, LostWrite]);
        let history = Made::new().send(1, (A, 0, 1)).send(1, (A, 1, 2)).send(2, (A, 1, 3)).send(2, (A, 2, 4));
        history.poll(3, &[(A, 0, 1), (A, 1, 3), (A, 2, 4)]).finds(&[InconsistentOffset, LostWrite]);
    }

    #[test]
    fn one_value_at_two_offsets() {
        let history = Made::new().send_as(1, Outcome::Unknown, A, 1).poll(2, &[(A, 0, 1), (A, 1, 1)]);
        history.finds(&[Duplicate]);
        let history = Made::new().send(1, (A, 0, 1)).poll(2, &[(A, 1, 1)]);
        history.finds(&[Duplicate]);
    }

    #[test]
    fn what_nobody_sent_is_read() {
        Made::new().poll(1, &[(A, 0, 1)]).finds(&[Phantom]);
        // To another partition.
        Made::new().send_as(1, Outcome::Unknown, A, 1).poll(2, &[(B, 0, 1)]).finds(&[Phantom]);
    }

    #[test]
    fn control_records_explain_holes() {
        let history = || {
            let made = Made::new().transaction(1, Outcome::Done, &[(A, 0, 1)]);
            made.transaction(1, Outcome::Done, &[(A, 2, 2)]).poll(3, &[(A, 0, 1), (A, 2, 2)]).high(A, 4)
        };
        history().passes();
        history().controls(A, &[1, 3]).passes();
        history().controls(A, &[1]).finds(&[OffsetGap]);
        history().controls(A, &[3]).finds(&[OffsetGap]);
        history().controls(A, &[1, 2, 3]).finds(&[InconsistentOffset]);
    }

    #[test]
    fn an_aborted_record_is_no_hole_where_somebody_reads_it() {
        let history = Made::new().transaction(1, Outcome::Failed, &[(A, 0, 1)]).high(A, 2).controls(A, &[1]);
        history.poll_all(2, &[(A, 0, 1)]).passes();
        let history = Made::new().transaction(1, Outcome::Failed, &[(A, 0, 1)]).high(A, 2).controls(A, &[1]);
        history.finds(&[OffsetGap]);
    }

    #[test]
    fn zero_is_told_of_what_cannot_be_there() {
        let history = Made::new().send(1, (A, 0, 1)).send(1, (A, 1, 2)).send(2, (A, 0, 3));
        let history = history.poll(3, &[(A, 0, 1), (A, 1, 2), (A, 2, 3)]);
        history.finds(&[InconsistentOffset, Duplicate, SpuriousZero]);
        // Both were on their way at once: one of them is the first.
        let history = Made::new().send(1, (A, 0, 1)).at(1, 100).send(2, (A, 1, 2)).at(2, 50);
        history.poll(3, &[(A, 0, 1), (A, 1, 2)]).at(200, 300).passes();
    }

    #[test]
    fn what_failed_has_no_offset() {
        let mut history = Made::new().send_as(1, Outcome::Failed, A, 1);
        let crate::history::model::Action::Send(sent, _) = &mut history.history.operations[0].action else { panic!() };
        sent.offset = Some(0);
        history.finds(&[SpuriousZero]);
        Made::new().send_as(1, Outcome::Failed, A, 1).poll_all(2, &[(A, 0, 1)]).finds(&[AbortedRead]);
        Made::new().send_as(1, Outcome::Unknown, A, 1).at(1, FOREVER).passes();
    }
}

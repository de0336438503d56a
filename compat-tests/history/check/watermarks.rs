//! High watermarks and last stable offsets never go back, and never below what somebody has already been told or shown.
//!
//! What was known when a lookup was asked for is the least that it may answer.

use super::{Anomaly, Facts, Findings};
use crate::history::model::{FOREVER, Isolation, Key, Look, Operation, Sample, Time};
use std::collections::BTreeMap;

/// Offsets that were certain at a time, by partition.
type Certain = BTreeMap<Key, Vec<(Time, i64)>>;

pub fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let (high, stable) = (looks(facts, high_watermark), looks(facts, stable_offset));
    let read = |isolation| {
        certain(facts, move |operation| {
            let (as_read, seen) = operation.seen();
            let matching = as_read == Isolation::Committed || as_read == isolation;
            seen.iter().filter(move |_| matching).map(|seen| (seen.key, seen.offset + 1)).collect()
        })
    };
    let acknowledged = certain(facts, |operation| {
        operation.sent().iter().filter_map(|sent| Some((sent.key, sent.offset? + 1))).collect()
    });
    below(&high, &told(&high), Anomaly::HighWatermarkBack, findings);
    below(&high, &read(Isolation::Uncommitted), Anomaly::HighWatermarkBack, findings);
    below(&high, &acknowledged, Anomaly::StaleHighWatermark, findings);
    below(&high, &told(&stable), Anomaly::StableAboveHigh, findings);
    below(&stable, &told(&stable), Anomaly::StableOffsetBack, findings);
    below(&stable, &read(Isolation::Committed), Anomaly::StableOffsetBack, findings);
    hanging(&high, &stable, findings);
    if let Some(longest) = facts.history.longest {
        held_back(&told(&high), &stable, longest, findings);
    }
}

/// A lookup with what it answered.
type Looked<'a> = (&'a Sample, i64);

fn high_watermark(look: &Look) -> Option<(Key, i64)> {
    if let Look::HighWatermark(key, offset) = look { Some((*key, *offset)) } else { None }
}

fn stable_offset(look: &Look) -> Option<(Key, i64)> {
    if let Look::Stable(key, offset) = look { Some((*key, *offset)) } else { None }
}

/// Lookups of one kind by partition, in the order in which they were asked for.
fn looks<'a>(facts: &Facts<'a>, of: impl Fn(&Look) -> Option<(Key, i64)>) -> BTreeMap<Key, Vec<Looked<'a>>> {
    let mut looks: BTreeMap<Key, Vec<Looked<'a>>> = BTreeMap::new();
    for sample in &facts.history.samples {
        if let Some((key, offset)) = of(&sample.look) {
            looks.entry(key).or_default().push((sample, offset));
        }
    }
    looks.values_mut().for_each(|looks| looks.sort_by_key(|(sample, _)| sample.span.from));
    looks
}

/// What lookups have told.
fn told(looks: &BTreeMap<Key, Vec<Looked<'_>>>) -> Certain {
    let of = |looks: &Vec<Looked<'_>>| looks.iter().map(|(sample, offset)| (sample.span.to, *offset)).collect();
    looks.iter().map(|(key, looks)| (*key, of(looks))).collect()
}

/// What operations have shown.
fn certain(facts: &Facts<'_>, of: impl Fn(&Operation) -> Vec<(Key, i64)>) -> Certain {
    let mut certain = Certain::new();
    for operation in &facts.history.operations {
        for (key, offset) in of(operation) {
            certain.entry(key).or_default().push((operation.span.to, offset));
        }
    }
    certain
}

/// Finds the lookups that answer less than was certain when they were asked for.
fn below(looks: &BTreeMap<Key, Vec<Looked<'_>>>, certain: &Certain, anomaly: Anomaly, findings: &mut Findings) {
    for (key, looks) in looks {
        let mut certain = certain.get(key).cloned().unwrap_or_default();
        certain.sort_unstable();
        let mut certain = certain.into_iter().peekable();
        let mut least = i64::MIN;
        for (sample, offset) in looks {
            while let Some((_, known)) = certain.next_if(|(at, _)| *at < sample.span.from) {
                least = known.max(least);
            }
            if *offset < least {
                findings.add(anomaly, format!("{key:?}: {offset}, after {least} was certain, by {sample:?}"));
            }
        }
    }
}

/// In the end, which is after every transaction, nothing is undecided.
fn hanging(high: &BTreeMap<Key, Vec<Looked<'_>>>, stable: &BTreeMap<Key, Vec<Looked<'_>>>, findings: &mut Findings) {
    for (key, looks) in stable {
        let end = high.get(key).into_iter().flatten().map(|(_, offset)| *offset).max();
        if let Some((_, last)) = looks.last().filter(|(_, last)| Some(*last) < end) {
            findings.add(Anomaly::HangingTransaction, format!("{key:?}: {last} of {end:?}"));
        }
    }
}

/// Before that none is undecided for longer than is allowed, from when on something was known to lie behind it.
fn held_back(high: &Certain, stable: &BTreeMap<Key, Vec<Looked<'_>>>, longest: Time, findings: &mut Findings) {
    for (key, looks) in stable {
        let mut ends = high.get(key).cloned().unwrap_or_default();
        ends.sort_unstable();
        // The most that was told up to then.
        let mut most = i64::MIN;
        ends.iter_mut().for_each(|(_, end)| {
            most = most.max(*end);
            *end = most;
        });
        let mut since: Option<(i64, Time)> = None;
        for (sample, offset) in looks {
            let from = match since.filter(|(held, _)| held == offset) {
                Some((_, from)) => from,
                None => {
                    let behind =
                        ends.get(ends.partition_point(|(_, end)| end <= offset)).map_or(FOREVER, |(at, _)| *at);
                    behind.max(sample.span.to)
                }
            };
            since = Some((*offset, from));
            if sample.span.from.saturating_sub(from) > longest {
                findings.add(Anomaly::HangingTransaction, format!("{key:?}: {offset} since {from}, by {sample:?}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Anomaly::{
        HangingTransaction, HighWatermarkBack, StableAboveHigh, StableOffsetBack, StaleHighWatermark,
    };
    use crate::history::made::{A, B, Made};
    use crate::history::model::Outcome;

    #[test]
    fn watermarks_that_go_on_are_good() {
        Made::new().high(A, 1).stable(A, 0).high(A, 1).high(A, 5).stable(A, 5).high(B, 0).stable(B, 0).passes();
    }

    #[test]
    fn the_high_watermark_goes_back() {
        Made::new().high(A, 5).high(A, 4).finds(&[HighWatermarkBack]);
        Made::new().high(A, 5).high(B, 4).passes();
        // Neither was asked for after the other was answered.
        Made::new().high(A, 5).looked_at(10, 50).high(A, 4).looked_at(40, 60).passes();
    }

    #[test]
    fn the_high_watermark_is_below_what_was_read() {
        let history = || Made::new().send_as(1, Outcome::Unknown, A, 1).poll_all(2, &[(A, 7, 1)]);
        history().high(A, 8).passes();
        history().high(A, 7).finds(&[HighWatermarkBack]);
    }

    #[test]
    fn the_high_watermark_is_below_what_was_acknowledged() {
        let history = || Made::new().send(1, (A, 0, 1)).at(10, 20);
        history().high(A, 0).looked_at(21, 30).poll(2, &[(A, 0, 1)]).at(40, 50).finds(&[StaleHighWatermark]);
        history().high(A, 0).looked_at(15, 30).poll(2, &[(A, 0, 1)]).at(40, 50).passes();
    }

    #[test]
    fn the_last_stable_offset_goes_back() {
        Made::new().high(A, 9).stable(A, 5).stable(A, 4).stable(A, 9).finds(&[StableOffsetBack]);
        let history = || Made::new().send_as(1, Outcome::Unknown, A, 1).poll(2, &[(A, 7, 1)]);
        history().stable(A, 7).finds(&[StableOffsetBack]);
        history().stable(A, 8).passes();
        // What is not committed may be read above it.
        let history = Made::new().transaction(1, Outcome::Failed, &[(A, 7, 1)]).poll_all(2, &[(A, 7, 1)]);
        history.stable(A, 7).high(A, 9).stable(A, 9).passes();
    }

    #[test]
    fn the_last_stable_offset_is_above_the_high_watermark() {
        Made::new().stable(A, 5).high(A, 4).finds(&[StableAboveHigh]);
    }

    #[test]
    fn a_transaction_never_ends() {
        Made::new().high(A, 9).stable(A, 5).finds(&[HangingTransaction]);
        Made::new().high(A, 9).stable(A, 5).stable(A, 9).passes();
    }

    #[test]
    fn a_transaction_takes_too_long() {
        let held_back = |until| {
            let first = Made::new().allowing(100).high(A, 9).looked_at(10, 20).stable(A, 5).looked_at(20, 30);
            first.stable(A, 5).looked_at(until, until + 1).stable(A, 9).looked_at(500, 510)
        };
        held_back(130).passes();
        held_back(131).finds(&[HangingTransaction]);
        // Another one, and one that has nothing behind it.
        held_back(130).stable(B, 5).looked_at(20, 30).stable(B, 5).looked_at(400, 410).passes();
        let another = Made::new().allowing(100).high(A, 9).looked_at(10, 20).stable(A, 5).looked_at(20, 30);
        another
            .stable(A, 7)
            .looked_at(100, 110)
            .stable(A, 7)
            .looked_at(210, 220)
            .stable(A, 9)
            .looked_at(500, 510)
            .passes();
    }
}

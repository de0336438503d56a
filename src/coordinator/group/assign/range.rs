//! `range`: of each topic every subscriber gets a run of neighbouring partitions, in the order of the members, the first
//! ones one more where it does not divide; those for whom none is left stay idle. Kafka's `RangeAssignor` of the broker.
//!
//! Topics are independent, which makes those with the same subscribers and the same number of partitions come out
//! alike. Left out: what members have now is not looked at; static members keep their place in the order, and so
//! theirs, across restarts.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;

use uuid::Uuid;

use super::{AssignError, Assignment, Member, Targets, Topics, partitions_of};

/// New targets for all members.
pub fn assign(members: &BTreeMap<String, Member>, topics: &Topics) -> Result<Targets, AssignError> {
    let mut runs = runs(members, topics)?;
    let mut in_order: Vec<(&String, &Member)> = members.iter().collect();
    in_order.sort_by(|a, b| before(*a, *b));

    let mut targets = Targets::new();
    for (id, member) in in_order {
        let mut target = Assignment::new();
        for topic in member.subscribed.iter() {
            let run = runs.get_mut(topic).map(Runs::take).unwrap_or_default();
            if !run.is_empty() {
                target.insert(*topic, run.collect());
            }
        }
        targets.insert(id.clone(), member.share(target));
    }
    Ok(targets)
}

/// Static members first, by instance id, then the others by member id; as Java compares strings, by units of UTF-16.
fn before(a: (&String, &Member), b: (&String, &Member)) -> Ordering {
    let java = |a: &str, b: &str| a.encode_utf16().cmp(b.encode_utf16());
    match (&a.1.instance_id, &b.1.instance_id) {
        (Some(a), Some(b)) => java(a, b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => java(a.0, b.0),
    }
}

/// What is left of a topic to hand out.
struct Runs {
    /// The first partition that nobody has.
    next: i32,
    /// Partitions for each subscriber at least.
    quota: i32,
    /// Subscribers still to get one more.
    extra: i32,
}

impl Runs {
    fn take(&mut self) -> Range<i32> {
        let start = self.next;
        let one_more = i32::from(self.extra > 0);
        self.extra -= one_more;
        self.next = start.saturating_add(self.quota).saturating_add(one_more);
        start..self.next
    }
}

fn runs(members: &BTreeMap<String, Member>, topics: &Topics) -> Result<BTreeMap<Uuid, Runs>, AssignError> {
    let mut subscribers: BTreeMap<Uuid, i32> = BTreeMap::new();
    for topic in members.values().flat_map(|member| member.subscribed.iter()) {
        let count = subscribers.entry(*topic).or_default();
        *count = count.saturating_add(1);
    }
    let runs = subscribers.into_iter().map(|(topic, subscribers)| {
        let partitions = partitions_of(topics, topic)?.max(0);
        Ok((topic, Runs { next: 0, quota: partitions / subscribers, extra: partitions % subscribers }))
    });
    runs.collect()
}

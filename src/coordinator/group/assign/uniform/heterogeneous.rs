//! `uniform` where subscriptions differ, Kafka's `UniformHeterogeneousAssignmentBuilder`: partitions without an owner
//! go to the subscriber with the fewest of all topics, those first that the fewest must carry; then, topic by topic,
//! partitions move from the fullest subscribers to the emptiest, until the subscribers of each topic differ by one at
//! most, as far as those with more have any of it, or until 16 rounds are over.
//!
//! Left out: chains over several topics. Members 1 and 2 with one topic, 2 and 3 with another, and 9, 10 and 11
//! partitions stay so, each topic being balanced.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use uuid::Uuid;

use super::super::{AssignError, Member, Targets, Topics};
use super::Owners;

/// Rounds over all topics. Enough where the subscribers of each topic are alike, which takes two; where subscriptions
/// overlap a round about halves what is uneven.
const MAX_ROUNDS: usize = 16;

/// New targets for all members.
pub fn assign(members: &BTreeMap<String, Member>, topics: &Topics) -> Result<Targets, AssignError> {
    let mut subscribers: BTreeMap<Uuid, Vec<usize>> = BTreeMap::new();
    for (index, member) in members.values().enumerate() {
        for topic in member.subscribed.iter() {
            subscribers.entry(*topic).or_default().push(index);
        }
    }
    let table = Owners::new(members, subscribers.keys().copied(), topics)?;
    let mut sizes = vec![0; members.len()];
    for owner in table.topics.iter().flat_map(|topic| topic.owners.iter().flatten()) {
        sizes[*owner] += 1;
    }

    let mut spread = Spread { table, subscribers: subscribers.into_values().collect(), sizes };
    spread.hand_out();
    spread.balance();
    Ok(spread.table.into_targets())
}

/// The state: topics by their place in the table, members by their number.
struct Spread<'a> {
    table: Owners<'a>,
    /// Of each topic, ascending, never none.
    subscribers: Vec<Vec<usize>>,
    /// Partitions of each member.
    sizes: Vec<i64>,
}

impl Spread<'_> {
    /// The most partitions for each subscriber first, of equals the one with fewer subscribers, then by id.
    fn topics_in_order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.table.topics.len()).collect();
        order.sort_by(|a, b| {
            let (subscribers_a, subscribers_b) = (self.subscribers[*a].len(), self.subscribers[*b].len());
            let per_subscriber =
                |topic: usize| self.table.topics[topic].owners.len() as f64 / self.subscribers[topic].len() as f64;
            per_subscriber(*b)
                .total_cmp(&per_subscriber(*a))
                .then(subscribers_a.cmp(&subscribers_b))
                .then(compare_ids(self.table.topics[*a].id, self.table.topics[*b].id))
        });
        order
    }

    fn give(&mut self, topic: usize, partition: usize, to: usize) {
        if let Some(from) = self.table.topics[topic].owners[partition].replace(to) {
            self.sizes[from] -= 1;
        }
        self.sizes[to] += 1;
    }

    /// Partitions that nobody has go to whoever has the fewest.
    fn hand_out(&mut self) {
        for topic in self.topics_in_order() {
            let mut levels = Levels::new(&self.subscribers[topic], &self.sizes);
            for partition in 0..self.table.topics[topic].owners.len() {
                if self.table.topics[topic].owners[partition].is_none() {
                    let to = levels.next_emptiest(&self.sizes);
                    self.give(topic, partition, to);
                }
            }
        }
    }

    /// Goes round the topics until it comes to the last one that changed anything.
    fn balance(&mut self) {
        let mut order = self.topics_in_order();
        order.retain(|topic| self.subscribers[*topic].len() > 1);
        let mut last_changed = None;
        for _ in 0..MAX_ROUNDS {
            for topic in &order {
                if last_changed == Some(*topic) {
                    return;
                }
                let changed = self.balance_topic(*topic);
                if changed || last_changed.is_none() {
                    last_changed = Some(*topic);
                }
            }
        }
    }

    /// Moves partitions from the fullest to the emptiest subscribers, the highest first; whether any moved.
    fn balance_topic(&mut self, topic: usize) -> bool {
        let mut levels = Levels::new(&self.subscribers[topic], &self.sizes);
        if levels.difference(&self.sizes) <= 1 {
            return false;
        }
        // What moves in this call does not move again.
        let mut movable: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (partition, owner) in self.table.topics[topic].owners.iter().enumerate() {
            if let Some(owner) = owner {
                movable.entry(*owner).or_default().push(partition);
            }
        }
        let mut changed = false;
        while let Some(from) = levels.next_fullest(&self.sizes) {
            let Some(partition) = movable.get_mut(&from).and_then(Vec::pop) else {
                levels.exclude_fullest();
                continue;
            };
            let to = levels.next_emptiest(&self.sizes);
            if levels.are_even() {
                break;
            }
            self.give(topic, partition, to);
            changed = true;
        }
        changed
    }
}

/// Kafka compares the halves of an id as signed numbers.
fn compare_ids(a: Uuid, b: Uuid) -> Ordering {
    let halves = |id: Uuid| {
        let (high, low) = id.as_u64_pair();
        (high.cast_signed(), low.cast_signed())
    };
    halves(a).cmp(&halves(b))
}

/// The subscribers of a topic in the order of their sizes, a window at each end: members that were equally empty, and
/// such that were equally full. A window gives out its members one after the other; once each had its turn the level
/// of the window has changed by one, and it grows over those who are at that level now.
struct Levels {
    members: Vec<usize>,
    /// The empty window is `members[..empty_end]`.
    empty_end: usize,
    /// The size of each in it when the pass began.
    empty_level: i64,
    /// Whose turn is next.
    empty_next: usize,
    /// The full window is `members[full_start..full_end]`; behind it are those with nothing to give.
    full_start: usize,
    full_end: usize,
    full_level: i64,
    /// Behind whose turn is next: it goes down.
    full_next: usize,
}

impl Levels {
    /// Both windows are empty until the first call for one. `subscribers` are not none.
    fn new(subscribers: &[usize], sizes: &[i64]) -> Levels {
        let mut members = subscribers.to_vec();
        members.sort_by_key(|member| (sizes[*member], *member));
        let size_of = |member: Option<&usize>| member.map_or(0, |member| sizes[*member]);
        Levels {
            empty_end: 0,
            empty_level: size_of(members.first()) - 1,
            empty_next: 0,
            full_start: members.len(),
            full_end: members.len(),
            full_level: size_of(members.last()) + 1,
            full_next: members.len(),
            members,
        }
    }

    /// Between the fullest and the emptiest, before any call for one.
    fn difference(&self, sizes: &[i64]) -> i64 {
        let size_of = |member: Option<&usize>| member.map_or(0, |member| sizes[*member]);
        size_of(self.members.last()) - size_of(self.members.first())
    }

    /// A member to give a partition to.
    fn next_emptiest(&mut self, sizes: &[i64]) -> usize {
        if self.empty_next >= self.empty_end {
            self.empty_level += 1;
            while self.members.get(self.empty_end).is_some_and(|member| sizes[*member] == self.empty_level) {
                self.empty_end += 1;
            }
            self.empty_next = 0;
        }
        self.empty_next += 1;
        self.members[self.empty_next - 1]
    }

    /// A member to take a partition from, while there is any.
    fn next_fullest(&mut self, sizes: &[i64]) -> Option<usize> {
        if self.full_next <= self.full_start {
            // After exclusions the window may be empty, and the next level is wherever the next member is.
            let below = self.full_start.checked_sub(1).map(|at| sizes[self.members[at]]);
            self.full_level = below.filter(|_| self.full_end <= self.full_start).unwrap_or(self.full_level - 1);
            while self.full_start > 0 && sizes[self.members[self.full_start - 1]] == self.full_level {
                self.full_start -= 1;
            }
            self.full_next = self.full_end;
        }
        self.full_next = self.full_next.checked_sub(1)?;
        Some(self.members[self.full_next])
    }

    /// The member of the last [`Levels::next_fullest`] has nothing to give.
    fn exclude_fullest(&mut self) {
        self.members.swap(self.full_next, self.full_end - 1);
        self.full_end -= 1;
    }

    /// Whether another move would not make anything more even.
    fn are_even(&self) -> bool {
        self.full_level - self.empty_level <= 1
    }
}

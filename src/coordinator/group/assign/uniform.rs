//! `uniform`: partitions of all topics are spread as evenly as possible, and of those that have an owner as few as
//! possible change hands. Here the table of owners and the rule for members with one and the same subscription, where
//! sizes differ by one at most (Kafka's `UniformHomogeneousAssignmentBuilder`); [`heterogeneous`] has the other.
//!
//! Left out: evenness of each topic. A member may get all of one and nothing of the other.

mod heterogeneous;

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{AssignError, Assignment, Member, Targets, Topics, partitions_of};
pub use heterogeneous::assign as assign_heterogeneous;

/// Who has which partition. Members are numbers in the order of their ids, topics ascend.
struct Owners<'a> {
    members: &'a BTreeMap<String, Member>,
    topics: Vec<Topic>,
}

struct Topic {
    id: Uuid,
    /// For each partition.
    owners: Vec<Option<usize>>,
}

impl<'a> Owners<'a> {
    /// `ids` ascend. Everybody has what is theirs now, the first who claims it, as far as it exists and is subscribed.
    fn new(
        members: &'a BTreeMap<String, Member>,
        ids: impl Iterator<Item = Uuid>,
        topics: &Topics,
    ) -> Result<Owners<'a>, AssignError> {
        let unowned = |id| {
            let partitions = usize::try_from(partitions_of(topics, id)?).unwrap_or(0);
            Ok(Topic { id, owners: vec![None; partitions] })
        };
        let mut table = Owners { members, topics: ids.map(unowned).collect::<Result<_, _>>()? };
        for (index, member) in members.values().enumerate() {
            for (id, partitions) in member.current.iter().filter(|(id, _)| member.subscribed.contains(id)) {
                let Some(topic) = table.topic(*id) else { continue };
                for partition in partitions {
                    if let Some(owner) = usize::try_from(*partition).ok().and_then(|at| topic.owners.get_mut(at)) {
                        owner.get_or_insert(index);
                    }
                }
            }
        }
        Ok(table)
    }

    fn topic(&mut self, id: Uuid) -> Option<&mut Topic> {
        let at = self.topics.binary_search_by_key(&id, |topic| topic.id).ok()?;
        self.topics.get_mut(at)
    }

    fn into_targets(self) -> Targets {
        let mut assignments = vec![Assignment::new(); self.members.len()];
        for topic in &self.topics {
            for (partition, owner) in (0..).zip(&topic.owners) {
                if let Some(assignment) = owner.and_then(|owner| assignments.get_mut(owner)) {
                    assignment.entry(topic.id).or_default().insert(partition);
                }
            }
        }
        let with_members = self.members.iter().zip(assignments);
        with_members.map(|((id, member), assignment)| (id.clone(), member.share(assignment))).collect()
    }
}

/// New targets where all members have the subscription of the first. Those with the most partitions keep the ones that
/// cannot be shared out evenly, in the order of the members; nobody gives up more than what is above their share.
pub fn assign_homogeneous(members: &BTreeMap<String, Member>, topics: &Topics) -> Result<Targets, AssignError> {
    let subscribed = members.values().next().map(|member| member.subscribed.iter().copied());
    let mut table = Owners::new(members, subscribed.into_iter().flatten(), topics)?;

    let mut held = vec![Vec::new(); members.len()];
    let mut free = Vec::new();
    for (at, topic) in table.topics.iter().enumerate() {
        for (partition, owner) in topic.owners.iter().enumerate() {
            owner.and_then(|owner| held.get_mut(owner)).unwrap_or(&mut free).push((at, partition));
        }
    }

    let lacks = give_up(&held, &mut free);
    let takers = lacks.into_iter().enumerate().flat_map(|(index, lacks)| std::iter::repeat_n(index, lacks));
    for ((at, partition), taker) in free.into_iter().zip(takers) {
        if let Some(owner) = table.topics.get_mut(at).and_then(|topic| topic.owners.get_mut(partition)) {
            *owner = Some(taker);
        }
    }
    Ok(table.into_targets())
}

/// Moves what members hold beyond their share to the end of `free`, and says how many each then lacks: together as many
/// as are free.
fn give_up<P: Copy>(held: &[Vec<P>], free: &mut Vec<P>) -> Vec<usize> {
    let total = held.iter().map(Vec::len).sum::<usize>() + free.len();
    let share = total.checked_div(held.len()).unwrap_or(0);
    let mut one_more_left = total.checked_rem(held.len()).unwrap_or(0);

    let mut lacks = Vec::with_capacity(held.len());
    for (index, held_by_one) in held.iter().enumerate() {
        let mut one_more = one_more_left > 0;
        let quota = share + usize::from(one_more);
        free.extend(held_by_one.iter().skip(quota));
        let mut lacking = quota.saturating_sub(held_by_one.len());
        // One more than the share is for those who have it already, unless all who are left must take one.
        if lacking > 0 && one_more && held.len() - index > one_more_left {
            lacking -= 1;
            one_more = false;
        }
        one_more_left -= usize::from(one_more);
        lacks.push(lacking);
    }
    lacks
}

//! The way of one member from what it has to what it is to have, a step per heartbeat: first it gives up what is not
//! its own any more and says so, then it goes to the epoch of the target assignment and gets what others have given up.
//! (Kafka's `CurrentAssignmentBuilder`.)

use super::super::assign::Assignment;
use super::members::{Current, MemberState, Partitions};
use crate::coordinator::breaks::{Break, broken};
use uuid::Uuid;

/// Partitions that a member says it owns.
pub type Owned = Vec<(Uuid, Vec<i32>)>;

/// What a member is reconciled to.
pub struct Goal<'a> {
    /// The epoch of the target assignment.
    pub epoch: i32,
    /// What the member is to have in it.
    pub target: &'a Assignment,
    /// Whether the member has changed its subscription just now.
    pub subscription_changed: bool,
    /// What it says it owns; `None` where it says nothing.
    pub owned: Option<&'a Owned>,
    /// Whether it subscribes to a topic.
    pub subscribes: &'a dyn Fn(Uuid) -> bool,
    /// Whether another member has a partition or has still to give it up.
    pub is_taken: &'a dyn Fn(Uuid, i32) -> bool,
}

/// What the member has next; the same where it cannot go on.
pub fn next(current: &Current, goal: &Goal<'_>) -> Current {
    match current.state {
        MemberState::Stable if current.epoch != goal.epoch => advance(current, current.epoch, goal),
        MemberState::Stable if goal.subscription_changed => shrink(current, goal),
        MemberState::Stable => current.clone(),
        MemberState::UnrevokedPartitions if !owns_any(goal.owned, &current.pending_revocation) => {
            // A changed subscription leads here without a new target; then the epoch stays.
            let epoch = current.epoch.saturating_add(1).min(goal.epoch);
            advance(current, epoch, goal)
        }
        MemberState::UnrevokedPartitions if goal.subscription_changed => shrink(current, goal),
        MemberState::UnrevokedPartitions => current.clone(),
        MemberState::UnreleasedPartitions => advance(current, current.epoch, goal),
        // The heartbeat was let in because the member owns nothing: it starts anew.
        MemberState::Unknown => advance(current, goal.epoch, goal),
    }
}

/// Whether the member owns any of `partitions`, as far as it says; one that says nothing may own them all.
fn owns_any(owned: Option<&Owned>, partitions: &Partitions) -> bool {
    if broken(Break::Unrevoked) {
        return false;
    }
    let Some(owned) = owned else { return true };
    owned.iter().any(|(topic, owned)| {
        partitions.get(topic).is_some_and(|partitions| owned.iter().any(|partition| partitions.contains_key(partition)))
    })
}

/// Takes away what the member does not subscribe to any more, without a look at the target.
fn shrink(current: &Current, goal: &Goal<'_>) -> Current {
    let (assigned, unsubscribed): (Partitions, Partitions) =
        current.assigned.clone().into_iter().partition(|(topic, _)| (goal.subscribes)(*topic));
    if unsubscribed.is_empty() {
        return current.clone();
    }
    let mut pending_revocation = current.pending_revocation.clone();
    for (topic, partitions) in unsubscribed {
        pending_revocation.entry(topic).or_default().extend(partitions);
    }
    if owns_any(goal.owned, &pending_revocation) {
        Current { state: MemberState::UnrevokedPartitions, assigned, pending_revocation, ..current.clone() }
    } else {
        // Given up already.
        Current { assigned, ..current.clone() }
    }
}

/// Takes away what is not in the target; if the member has given that up, goes to the target's epoch and adds what is
/// free. `epoch` is the member's where it has to wait.
fn advance(current: &Current, epoch: i32, goal: &Goal<'_>) -> Current {
    let mut assigned = Partitions::new();
    let mut pending_revocation = Partitions::new();
    for (topic, partitions) in &current.assigned {
        let target = goal.target.get(topic).filter(|_| (goal.subscribes)(*topic));
        for (partition, since) in partitions {
            let kept = target.is_some_and(|target| target.contains(partition));
            let to = if kept { &mut assigned } else { &mut pending_revocation };
            to.entry(*topic).or_default().insert(*partition, *since);
        }
    }
    if !pending_revocation.is_empty() && owns_any(goal.owned, &pending_revocation) {
        return Current {
            epoch,
            previous_epoch: current.epoch,
            state: MemberState::UnrevokedPartitions,
            assigned,
            pending_revocation,
        };
    }
    let mut waits = false;
    for (topic, partitions) in goal.target.iter().filter(|(topic, _)| (goal.subscribes)(**topic)) {
        for partition in partitions {
            let has = assigned.get(topic).is_some_and(|partitions| partitions.contains_key(partition));
            if !has && (goal.is_taken)(*topic, *partition) && !broken(Break::Unreleased) {
                waits = true;
            } else if !has {
                assigned.entry(*topic).or_default().insert(*partition, goal.epoch);
            }
        }
    }
    Current {
        epoch: goal.epoch,
        previous_epoch: current.epoch,
        state: if waits { MemberState::UnreleasedPartitions } else { MemberState::Stable },
        assigned,
        pending_revocation: Partitions::new(),
    }
}

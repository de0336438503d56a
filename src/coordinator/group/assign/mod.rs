//! The partition assignors that run in the broker, for groups of the new protocol (KIP-848): [`Assignor::Range`] and
//! [`Assignor::Uniform`], Kafka's `group.consumer.assignors`. Pure functions from members and partition counts to a
//! target for each member; the caller bumps epochs and writes records.
//!
//! # How far the results are Kafka's
//!
//! *Range* is Kafka's result exactly, and that of the Java client's `range` without racks. *Uniform* is Kafka's
//! algorithm; where Kafka walks a hash table, so that its result depends on hashes, the order here is ascending:
//! - members by member id, by the bytes of its UTF-8: who keeps or gets a partition more than the least, and who is
//!   served first;
//! - topics by the bytes of their id and partitions by number, when all members have the same subscription: which
//!   partitions a member with too many gives up (the highest of the highest topics), and in which order partitions
//!   without an owner are handed out. With different subscriptions Kafka orders topics itself, and partitions ascend.
//!
//! Where Kafka's tables happen to be walked in these orders, its result is this one. With one subscription the sizes
//! and the number of moves are the same in any order; with different ones they too may depend on the order of members.
//!
//! What Kafka never feeds its assignors is harmless: a partition that does not exist, or that a member before has
//! already, is taken from whoever claims it. Such claims can come with a group converted from the classic protocol,
//! where a client decided.
//!
//! Left out: racks (Kafka's assignors in the broker do not look at them either), assignors of share groups, assignors
//! of the user's own.

mod range;
mod uniform;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thiserror::Error;
use uuid::Uuid;

/// Topic id to partitions. A topic without partitions has no entry in what [`assign`] returns.
pub type Assignment = BTreeMap<Uuid, BTreeSet<i32>>;

/// Topic id to number of partitions, of all subscribed topics at least; all partitions can be assigned.
pub type Topics = BTreeMap<Uuid, i32>;

/// The targets of all members, an entry for each. An unchanged target is the member's own `current`, so that
/// `Arc::ptr_eq` tells who needs a new record.
pub type Targets = BTreeMap<String, Arc<Assignment>>;

/// An assignor's name and rule (KIP-848).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    /// Of each topic a run of neighbouring partitions for each member; topics with the same subscribers and the same
    /// number of partitions are assigned alike. Not sticky: only the order of the members counts.
    Range,
    /// As even as possible over all topics, then with as few moves as possible.
    Uniform,
}

impl Assignor {
    /// All, in the order of the default of `group.consumer.assignors`: the first is the default of a group.
    pub const ALL: [Assignor; 2] = [Assignor::Uniform, Assignor::Range];

    /// The name in `group.consumer.assignors` and in a heartbeat's `ServerAssignor`.
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Range => "range",
            Assignor::Uniform => "uniform",
        }
    }

    /// The assignor of this name; names are case sensitive.
    pub fn by_name(name: &str) -> Option<Assignor> {
        Assignor::ALL.into_iter().find(|assignor| assignor.name() == name)
    }
}

/// What an assignor knows of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// `client.rack`, which no assignor reads so far.
    pub rack_id: Option<String>,
    /// The subscribed topics that exist. Members with the same may share it.
    pub subscribed: Arc<BTreeSet<Uuid>>,
    /// The present target; for a static member that replaces another, the other's.
    pub current: Arc<Assignment>,
}

impl Member {
    /// `target` as the member's, without a copy of what is there already.
    fn share(&self, target: Assignment) -> Arc<Assignment> {
        if *self.current == target { Arc::clone(&self.current) } else { Arc::new(target) }
    }
}

/// Whether all members have the same subscription, as Kafka's `SubscriptionType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionType {
    /// All the same.
    Homogeneous,
    /// At least two differ.
    Heterogeneous,
}

impl SubscriptionType {
    /// By the ids of the topics that exist. A coordinator knows better: Kafka counts by name and by expression, so
    /// that members differ in a topic that does not exist, or by one having an expression where the other has the names.
    pub fn of(members: &BTreeMap<String, Member>) -> SubscriptionType {
        let mut subscriptions = members.values().map(|member| &member.subscribed);
        let first = subscriptions.next();
        let same = |other: &Arc<BTreeSet<Uuid>>| first.is_some_and(|first| Arc::ptr_eq(first, other) || first == other);
        if subscriptions.all(same) { SubscriptionType::Homogeneous } else { SubscriptionType::Heterogeneous }
    }
}

/// Why there is no new target; Kafka's `PartitionAssignorException`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AssignError {
    /// A member is subscribed to a topic that is not in [`Topics`].
    #[error("members are subscribed to topic {0}, which does not exist")]
    UnknownTopic(Uuid),
}

/// New targets, the kind of group found by [`SubscriptionType::of`].
pub fn assign(assignor: Assignor, members: &BTreeMap<String, Member>, topics: &Topics) -> Result<Targets, AssignError> {
    assign_as(assignor, SubscriptionType::of(members), members, topics)
}

/// New targets for a group of the kind that its coordinator found, which may be `Heterogeneous` although the ids are
/// the same. With `Homogeneous` the subscription of the first member is everybody's.
pub fn assign_as(
    assignor: Assignor,
    subscription_type: SubscriptionType,
    members: &BTreeMap<String, Member>,
    topics: &Topics,
) -> Result<Targets, AssignError> {
    match (assignor, subscription_type) {
        // Topic by topic: whether subscriptions differ changes nothing.
        (Assignor::Range, _) => range::assign(members, topics),
        (Assignor::Uniform, SubscriptionType::Homogeneous) => uniform::assign_homogeneous(members, topics),
        (Assignor::Uniform, SubscriptionType::Heterogeneous) => uniform::assign_heterogeneous(members, topics),
    }
}

/// The number of partitions of a topic.
fn partitions_of(topics: &Topics, id: Uuid) -> Result<i32, AssignError> {
    topics.get(&id).copied().ok_or(AssignError::UnknownTopic(id))
}

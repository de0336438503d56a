//! What is durable of a consumer group: what its records make of it, and what follows from that.
//!
//! Records may come in any order that a compacted log can have them in; what follows from them (who owns what, who
//! subscribes to what) is kept beside them, so that no step has to look at all members.

use super::super::assign::Assignment;
use super::super::records::{
    ConsumerGroupMemberMetadataValue, ConsumerGroupRegularExpressionValue, ConsumerGroupTargetAssignmentMemberValue,
    Record,
};
use super::members::{Current, LEAVE_EPOCH, Member, Partitions, kept, regex_of};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

/// The durable part of a consumer group.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Counted up whenever subscriptions or topics change; 0 in a group that is not made yet.
    pub epoch: i32,
    /// A hash of the topics subscribed to.
    pub metadata_hash: i64,
    /// The group's epoch that the target assignment was computed for.
    pub assignment_epoch: i32,
    /// When that was, wall clock; 0 where it is not known.
    pub assignment_timestamp: i64,
    /// The members by id; shared, so that a step can look at what was before it.
    pub members: BTreeMap<Arc<str>, Arc<Member>>,
    /// The target assignment: what each member is to have.
    pub targets: BTreeMap<Arc<str>, Arc<Assignment>>,
    /// The regular expressions that are resolved.
    pub regexes: BTreeMap<Arc<str>, Resolved>,
    /// Whether a record of before Kafka 4.1 has to be taken out of the log.
    pub has_partition_metadata: bool,
    /// Whether the group's tombstone has been seen: it is no more.
    pub is_deleted: bool,
    /// Static members: member id by instance id.
    pub instances: BTreeMap<Arc<str>, Arc<str>>,
    /// The topics subscribed to, whether they exist or not.
    pub topics: BTreeMap<Arc<str>, Subscribers>,
    /// How many members have a regular expression.
    pub regex_members: BTreeMap<Arc<str>, usize>,
    /// How many members ask for an assignor.
    pub assignor_members: BTreeMap<Arc<str>, usize>,
    /// How many members speak the classic protocol.
    pub classic_members: usize,
    /// How many of these could speak a protocol, by its name.
    pub classic_protocols: BTreeMap<Arc<str>, usize>,
    /// About how many bytes the members' metadata takes.
    pub kept_bytes: usize,
    /// Who has a partition, or has still to give it up.
    owners: BTreeMap<Uuid, BTreeMap<i32, Arc<str>>>,
}

/// How a topic is subscribed to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subscribers {
    /// By how many members by name.
    pub by_name: usize,
    /// By how many regular expressions.
    pub by_regex: usize,
}

/// What a regular expression stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Names of topics.
    pub topics: BTreeSet<Arc<str>>,
    /// Which state of the topics it was resolved against.
    pub version: i64,
    /// When it was resolved, wall clock.
    pub timestamp: i64,
}

impl State {
    /// Takes a record of this group; others mean nothing.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::ConsumerGroupMetadata { value: Some(value), .. } => {
                (self.epoch, self.metadata_hash) = (value.epoch, value.metadata_hash);
            }
            Record::ConsumerGroupMetadata { value: None, .. } => self.is_deleted = true,
            Record::ConsumerGroupPartitionMetadata { value, .. } => self.has_partition_metadata = value.is_some(),
            Record::ConsumerGroupMemberMetadata { member_id, value: Some(value), .. } => {
                self.set_metadata(member_id, kept(value));
            }
            Record::ConsumerGroupMemberMetadata { member_id, value: None, .. } => self.remove_member(member_id),
            Record::ConsumerGroupTargetAssignmentMetadata { value: Some(value), .. } => {
                (self.assignment_epoch, self.assignment_timestamp) =
                    (value.assignment_epoch, value.assignment_timestamp);
            }
            Record::ConsumerGroupTargetAssignmentMetadata { value: None, .. } => {
                (self.assignment_epoch, self.assignment_timestamp) = (-1, 0);
            }
            Record::ConsumerGroupTargetAssignmentMember { member_id, value: Some(value), .. } => {
                let member_id = self.shared_id(member_id);
                self.targets.insert(member_id, Arc::new(assignment_of(value)));
            }
            Record::ConsumerGroupTargetAssignmentMember { member_id, value: None, .. } => {
                self.targets.remove(member_id.as_str());
            }
            Record::ConsumerGroupCurrentMemberAssignment { member_id, value: Some(value), .. } => {
                self.set_current(member_id, Current::of(value));
            }
            Record::ConsumerGroupCurrentMemberAssignment { member_id, value: None, .. } => {
                if self.members.contains_key(member_id.as_str()) {
                    let gone = Current { epoch: LEAVE_EPOCH, previous_epoch: LEAVE_EPOCH, ..Current::default() };
                    self.set_current(member_id, gone);
                }
            }
            Record::ConsumerGroupRegularExpression { regular_expression, value, .. } => {
                self.set_regex(regular_expression, value.as_ref());
            }
            Record::OffsetCommit { .. } | Record::GroupMetadata { .. } => {}
        }
    }

    /// The member's id as it is kept, if the member is known.
    fn shared_id(&self, member_id: &str) -> Arc<str> {
        self.members.get_key_value(member_id).map_or_else(|| member_id.into(), |(id, _)| id.clone())
    }

    fn set_metadata(&mut self, member_id: &str, metadata: ConsumerGroupMemberMetadataValue) {
        let id = self.shared_id(member_id);
        let mut member = Arc::unwrap_or_clone(self.members.remove(&id).unwrap_or_default());
        self.count(&member.metadata, false);
        self.forget_instance(&member.metadata, &id);
        self.count(&metadata, true);
        if let Some(instance_id) = &metadata.instance_id {
            self.instances.insert(instance_id.as_str().into(), id.clone());
        }
        member.metadata = metadata;
        self.members.insert(id, Arc::new(member));
    }

    fn set_current(&mut self, member_id: &str, current: Current) {
        let id = self.shared_id(member_id);
        let mut member = Arc::unwrap_or_clone(self.members.remove(&id).unwrap_or_default());
        self.release(&member.current.assigned, &id);
        self.release(&member.current.pending_revocation, &id);
        for (topic, partitions) in current.assigned.iter().chain(&current.pending_revocation) {
            let owners = self.owners.entry(*topic).or_default();
            owners.extend(partitions.keys().map(|partition| (*partition, id.clone())));
        }
        member.current = current;
        self.members.insert(id, Arc::new(member));
    }

    fn remove_member(&mut self, member_id: &str) {
        let Some((id, member)) = self.members.remove_entry(member_id) else { return };
        self.count(&member.metadata, false);
        self.forget_instance(&member.metadata, &id);
        self.release(&member.current.assigned, &id);
        self.release(&member.current.pending_revocation, &id);
    }

    fn forget_instance(&mut self, metadata: &ConsumerGroupMemberMetadataValue, id: &str) {
        let Some(instance_id) = metadata.instance_id.as_deref() else { return };
        if self.instances.get(instance_id).is_some_and(|owner| **owner == *id) {
            self.instances.remove(instance_id);
        }
    }

    fn release(&mut self, partitions: &Partitions, id: &Arc<str>) {
        for (topic, partitions) in partitions {
            let Some(owners) = self.owners.get_mut(topic) else { continue };
            for partition in partitions.keys() {
                // In a compacted log the next owner's record may come before this one's.
                if owners.get(partition).is_some_and(|owner| owner == id) {
                    owners.remove(partition);
                }
            }
            if owners.is_empty() {
                self.owners.remove(topic);
            }
        }
    }

    /// Counts a member's subscription in or out.
    fn count(&mut self, metadata: &ConsumerGroupMemberMetadataValue, add: bool) {
        let bytes = kept_bytes(metadata);
        self.kept_bytes =
            if add { self.kept_bytes.saturating_add(bytes) } else { self.kept_bytes.saturating_sub(bytes) };
        for name in &metadata.subscribed_topic_names {
            self.count_topic(name, |subscribers| step(&mut subscribers.by_name, add));
        }
        if let Some(regex) = regex_of(metadata) {
            step_of(&mut self.regex_members, regex, add);
        }
        if let Some(assignor) = &metadata.server_assignor {
            step_of(&mut self.assignor_members, assignor, add);
        }
        if let Some(classic) = &metadata.classic_member_metadata {
            step(&mut self.classic_members, add);
            for protocol in &classic.supported_protocols {
                step_of(&mut self.classic_protocols, &protocol.name, add);
            }
        }
    }

    fn count_topic(&mut self, name: &str, f: impl FnOnce(&mut Subscribers)) {
        let Some(subscribers) = self.topics.get_mut(name) else {
            let mut subscribers = Subscribers::default();
            f(&mut subscribers);
            self.topics.insert(name.into(), subscribers);
            return;
        };
        f(subscribers);
        if *subscribers == Subscribers::default() {
            self.topics.remove(name);
        }
    }

    fn set_regex(&mut self, regex: &str, value: Option<&ConsumerGroupRegularExpressionValue>) {
        for topic in self.regexes.remove(regex).map(|old| old.topics).unwrap_or_default() {
            self.count_topic(&topic, |subscribers| step(&mut subscribers.by_regex, false));
        }
        let Some(value) = value else { return };
        let topics: BTreeSet<Arc<str>> = value.topics.iter().map(|topic| topic.as_str().into()).collect();
        for topic in &topics {
            self.count_topic(topic, |subscribers| step(&mut subscribers.by_regex, true));
        }
        let resolved = Resolved { topics, version: value.version, timestamp: value.timestamp };
        self.regexes.insert(regex.into(), resolved);
    }

    /// Who has a partition, or has still to give it up.
    pub fn owner(&self, topic: Uuid, partition: i32) -> Option<&Arc<str>> {
        self.owners.get(&topic)?.get(&partition)
    }

    /// The static member of an instance id.
    pub fn static_member(&self, instance_id: &str) -> Option<(&Arc<str>, &Arc<Member>)> {
        let id = self.instances.get(instance_id)?;
        self.members.get_key_value(id)
    }

    /// How many members have a regular expression.
    pub fn members_with_regex(&self, regex: &str) -> usize {
        self.regex_members.get(regex).copied().unwrap_or(0)
    }

    /// What a member is to have.
    pub fn target(&self, member_id: &str) -> Arc<Assignment> {
        self.targets.get(member_id).cloned().unwrap_or_default()
    }

    /// Whether a member subscribes to a topic, by name or by regular expression. One that is not resolved stands for none.
    pub fn subscribes(&self, member: &Member, topic: &str) -> bool {
        let by_regex = || self.regexes.get(member.regex()?).map(|resolved| resolved.topics.contains(topic));
        member.names(topic) || by_regex().unwrap_or(false)
    }
}

/// About how many bytes a member takes, more than its record does.
pub fn kept_bytes(metadata: &ConsumerGroupMemberMetadataValue) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let names: usize = metadata.subscribed_topic_names.iter().map(|name| NAME_BYTES + name.len()).sum();
    let classic = metadata.classic_member_metadata.iter().flat_map(|classic| &classic.supported_protocols);
    let protocols: usize = classic.map(|protocol| NAME_BYTES + protocol.name.len() + protocol.metadata.len()).sum();
    let texts = [&metadata.instance_id, &metadata.rack_id, &metadata.subscribed_topic_regex].map(text);
    MEMBER_BYTES + names + protocols + texts.iter().sum::<usize>() + metadata.client_id.len()
}

/// What a member takes beside its texts, bytes.
const MEMBER_BYTES: usize = 512;
/// What each of its texts takes beside itself, bytes.
const NAME_BYTES: usize = 32;

fn step(count: &mut usize, add: bool) {
    *count = if add { count.saturating_add(1) } else { count.saturating_sub(1) };
}

fn step_of(counts: &mut BTreeMap<Arc<str>, usize>, key: &str, add: bool) {
    match counts.get_mut(key) {
        Some(count) => {
            step(count, add);
            if *count == 0 {
                counts.remove(key);
            }
        }
        None if add => drop(counts.insert(key.into(), 1)),
        None => {}
    }
}

fn assignment_of(value: &ConsumerGroupTargetAssignmentMemberValue) -> Assignment {
    let mut assignment = Assignment::new();
    for topic in &value.topic_partitions {
        assignment.entry(topic.topic_id).or_default().extend(&topic.partitions);
    }
    assignment.retain(|_, partitions| !partitions.is_empty());
    assignment
}

//! From a classic group to a consumer group, when the first member of the consumer protocol joins, and back, when the last
//! has gone (KIP-848, `group.consumer.migration.policy`). Members keep what they have.

use super::super::assign::Assignment;
use super::super::classic::{self, ClassicGroup};
use super::super::records::{
    ClassicMemberMetadata, ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataValue,
    ConsumerGroupTargetAssignmentMetadataValue, Record,
};
use super::super::settings::{GroupSettings, Topics};
use super::super::{Cx, GroupTimer};
use super::embedded::{self, PROTOCOL_TYPE};
use super::members::{Current, Partitions};
use super::subscription::metadata_hash;
use super::target::target_record;
use super::{ConsumerGroup, ConsumerTimer, Member, MemberState, Refused, State};
use crate::wire::errors::ErrorCode;
use std::collections::BTreeSet;
use uuid::Uuid;

/// A consumer group that is to take the place of another group, and the records that make it.
#[derive(Debug, Default)]
pub struct Fresh {
    /// The group.
    pub group: ConsumerGroup,
    /// Its records, which it has applied.
    pub records: Vec<Record>,
}

/// A classic group as a consumer group, in which all members have what they had, if it may become one.
pub fn upgrade(
    group_id: &str,
    classic: &ClassicGroup,
    settings: &GroupSettings,
    topics: &dyn Topics,
) -> Result<Fresh, Refused> {
    let refused = |why: &str| {
        let message = format!("Cannot upgrade classic group {group_id} to consumer group because {why}.");
        Refused::new(ErrorCode::GroupIdNotFound, message)
    };
    if !settings.consumer.migration.can_upgrade() {
        return Err(refused("online upgrade is disabled"));
    }
    if !classic.uses_consumer_protocol() {
        return Err(refused("the group does not use the consumer embedded protocol"));
    }
    if classic.members().count() > settings.consumer.max_size {
        return Err(refused("the group size exceeds the consumer group maximum size"));
    }
    let mut taken = BTreeSet::new();
    let mut members = Vec::new();
    for (member_id, member) in classic.members() {
        let upgraded = upgraded(member, classic, topics, &mut taken).map_err(|why| match why {
            Cannot::Read => refused("the embedded consumer protocol is malformed"),
            Cannot::Keep => Refused::new(
                ErrorCode::GroupIdNotFound,
                format!(
                    "Cannot upgrade classic group {group_id} to consumer group because an unsupported custom assignor \
                     is in use. Please refer to the documentation or switch to a default assignor before \
                     re-attempting the upgrade."
                ),
            ),
        })?;
        members.push((member_id.to_string(), upgraded));
    }
    Ok(fresh(group_id, classic.generation(), &members, topics))
}

/// Why a member cannot be taken over.
enum Cannot {
    Read,
    Keep,
}

fn upgraded(
    member: &classic::Member,
    classic: &ClassicGroup,
    topics: &dyn Topics,
    taken: &mut BTreeSet<(Uuid, i32)>,
) -> Result<Member, Cannot> {
    let mut assigned = Partitions::new();
    if !member.assignment.is_empty() {
        let (named, has_user_data) = embedded::assignment(&member.assignment).map_err(|_| Cannot::Read)?;
        if has_user_data {
            return Err(Cannot::Keep);
        }
        for (topic, partitions) in embedded::by_id(named, topics) {
            // A leader may give one partition to two members; here only one can have it.
            let its_own = partitions.into_iter().filter(|partition| taken.insert((topic, *partition)));
            assigned.entry(topic).or_default().extend(its_own.map(|partition| (partition, classic.generation())));
        }
    }
    // Before the first generation no protocol is chosen; all bear the same subscription.
    let metadata = match classic.protocol() {
        Some(protocol) => member.metadata(protocol),
        None => member.protocols().first().map(|protocol| protocol.metadata.clone()).unwrap_or_default(),
    };
    let subscription = embedded::subscription(&metadata).map_err(|_| Cannot::Read)?;
    if member.assignment.is_empty() {
        // In a rebalance, or after one that a crash cut short: who rebalances cooperatively goes on with what it said it has.
        for (topic, partitions) in embedded::by_id(subscription.owned, topics) {
            let its_own = partitions.into_iter().filter(|partition| taken.insert((topic, *partition)));
            assigned.entry(topic).or_default().extend(its_own.map(|partition| (partition, classic.generation())));
        }
    }
    assigned.retain(|_, partitions| !partitions.is_empty());
    let metadata = ConsumerGroupMemberMetadataValue {
        instance_id: member.group_instance_id.clone(),
        rack_id: subscription.rack_id,
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        subscribed_topic_names: subscription.topics,
        subscribed_topic_regex: Some(String::new()),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        server_assignor: None,
        classic_member_metadata: Some(ClassicMemberMetadata {
            session_timeout_ms: member.session_timeout_ms,
            supported_protocols: member.protocols().to_vec(),
        }),
    };
    let epoch = classic.generation();
    let current = Current {
        epoch,
        previous_epoch: epoch,
        state: MemberState::Stable,
        assigned,
        pending_revocation: Partitions::new(),
    };
    Ok(Member { metadata, current })
}

/// A group with these members, whose target assignment is what they have.
fn fresh(group_id: &str, epoch: i32, members: &[(String, Member)], topics: &dyn Topics) -> Fresh {
    let mut fresh = Fresh::default();
    let id = || group_id.to_owned();
    for (member_id, member) in members {
        let mut value = member.metadata.clone();
        value.subscribed_topic_names.sort_unstable();
        value.subscribed_topic_names.dedup();
        let member_id = member_id.clone();
        fresh.push(Record::ConsumerGroupMemberMetadata { group_id: id(), member_id, value: Some(value) });
    }
    let metadata_hash = metadata_hash(&fresh.group.state, topics);
    let value = Some(ConsumerGroupMetadataValue { epoch, metadata_hash });
    fresh.push(Record::ConsumerGroupMetadata { group_id: id(), value });
    for (member_id, member) in members {
        let target: Assignment = member
            .current
            .assigned
            .iter()
            .map(|(topic, partitions)| (*topic, partitions.keys().copied().collect()))
            .collect();
        fresh.push(target_record(group_id, member_id, &target));
    }
    let value = Some(ConsumerGroupTargetAssignmentMetadataValue { assignment_epoch: epoch, assignment_timestamp: 0 });
    fresh.push(Record::ConsumerGroupTargetAssignmentMetadata { group_id: id(), value });
    for (member_id, member) in members {
        let (member_id, value) = (member_id.clone(), Some(member.current.to_value()));
        fresh.push(Record::ConsumerGroupCurrentMemberAssignment { group_id: id(), member_id, value });
    }
    fresh
}

impl Fresh {
    fn push(&mut self, record: Record) {
        self.group.apply(&record);
        self.records.push(record);
    }
}

impl ConsumerGroup {
    /// Starts the sessions of members that came with an upgrade.
    pub fn upgraded(&self, cx: &mut Cx<'_>) {
        for (id, member) in &self.state.members {
            if let Some(classic) = &member.metadata.classic_member_metadata {
                let timer = GroupTimer::Consumer(ConsumerTimer::Session(id.clone()));
                cx.set_timer(timer, classic.session_timeout_ms);
            }
        }
    }

    /// Whether only members of the classic protocol are left, and the group may become classic.
    pub fn should_downgrade(&self, cx: &Cx<'_>) -> bool {
        let members = self.state.members.len();
        members > 0
            && !self.is_too_large_for_classic
            && self.state.classic_members == members
            && cx.settings.consumer.migration.can_downgrade()
            && members <= cx.settings.max_size
    }

    /// Becomes a classic group, whose members rebalance. `None`, and nothing done, if the log would not take it.
    pub fn downgrade(&mut self, cx: &mut Cx<'_>) -> Option<ClassicGroup> {
        let before = cx.out.records.len();
        let topics = cx.world.topics();
        let members: Vec<_> = self
            .state
            .members
            .iter()
            .map(|(id, member)| (id.clone(), downgraded(id, member, &self.state, &*topics)))
            .collect();
        let classic = ClassicGroup::from_members(cx, PROTOCOL_TYPE, self.state.epoch, members);
        let Some(mut classic) = classic else {
            self.is_too_large_for_classic = true;
            self.bump_epoch(cx, &*topics, true);
            return None;
        };
        // The tombstones come first.
        let stored = cx.out.records.split_off(before);
        self.delete_records(cx);
        cx.out.records.extend(stored);
        classic.prepare_rebalance(cx);
        Some(classic)
    }
}

/// A member as a classic group has it, with what it was to have.
fn downgraded(id: &str, member: &Member, state: &State, topics: &dyn Topics) -> classic::Member {
    let metadata = &member.metadata;
    let spoken = metadata.classic_member_metadata.as_ref();
    let protocols = spoken.map(|spoken| spoken.supported_protocols.clone()).unwrap_or_default();
    let said = protocols.first().and_then(|protocol| embedded::subscription(&protocol.metadata).ok());
    let target = state.target(id);
    let version = said.map_or(0, |said| said.version);
    let mut classic = classic::Member::new(protocols);
    classic.assignment = embedded::write_assignment(version, embedded::listed_target(&target), topics);
    classic.group_instance_id = metadata.instance_id.clone();
    classic.client_id = metadata.client_id.clone();
    classic.client_host = metadata.client_host.clone();
    classic.rebalance_timeout_ms = metadata.rebalance_timeout_ms;
    classic.session_timeout_ms = spoken.map_or(0, |spoken| spoken.session_timeout_ms);
    classic
}

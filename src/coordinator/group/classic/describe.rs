//! What others ask of a classic group: tools, committed offsets, and those who delete.

use super::{ClassicGroup, State, answer::text};
use crate::coordinator::group::Cx;
use crate::coordinator::group::offsets::Expiry;
use crate::coordinator::group::records::Record;
use crate::coordinator::group::request::{CommitOffsets, ListedGroup};
use crate::wire::errors::ErrorCode;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use std::collections::BTreeSet;

/// The protocol type of consumers.
pub const CONSUMER: &str = "consumer";

impl ClassicGroup {
    /// Whether offsets may be committed so (`ClassicGroup.validateOffsetCommit`). None of this depends on the version;
    /// what is said where there is no group at all does.
    pub fn check_commit(&self, commit: &CommitOffsets) -> Result<(), ErrorCode> {
        let generation = commit.generation_id_or_member_epoch;
        if generation < 0 && self.state == State::Empty {
            return Ok(()); // A client that is no member; it may be named like one.
        }
        let is_transactional = commit.producer_id.is_some();
        if generation < 0 && commit.member_id.is_empty() && commit.group_instance_id.is_none() {
            // Producers of before KIP-447 do not say for whom they commit.
            return if is_transactional { Ok(()) } else { Err(ErrorCode::UnknownMemberId) };
        }
        self.check_member(&commit.member_id, commit.group_instance_id.as_deref())?;
        self.check_generation(generation)?;
        if self.state == State::CompletingRebalance && !is_transactional {
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    /// A member has committed: a sign of life.
    pub fn committed(&mut self, cx: &mut Cx<'_>, member_id: &str) {
        if matches!(self.state, State::Stable | State::PreparingRebalance)
            && let Some(member_id) = self.members.key(member_id)
        {
            self.renew_session(cx, &member_id);
        }
    }

    /// Whether the group may be deleted.
    pub fn check_delete(&self) -> Result<(), ErrorCode> {
        if self.state == State::Empty { Ok(()) } else { Err(ErrorCode::NonEmptyGroup) }
    }

    /// Whether single offsets may be deleted: with members, only where it can be seen who needs them.
    pub fn check_delete_offsets(&self) -> Result<(), ErrorCode> {
        if self.uses_consumer_protocol() { Ok(()) } else { self.check_delete() }
    }

    /// Whether a member subscribes to the topic: then its offsets are not deleted, nor do they expire. Consumers whose
    /// metadata cannot be read may subscribe to anything.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol(),
        }
    }

    /// Since when the retention of its offsets counts (`ClassicGroup.offsetExpirationCondition`). While there are
    /// members, offsets expire only if it is known who still needs them.
    pub fn expiry(&self) -> Expiry {
        match self.state {
            _ if self.protocol_type.is_none() => Expiry::SinceCommit,
            // An older Kafka did not write since when.
            State::Empty if self.state_since < 0 => Expiry::SinceCommit,
            State::Empty => Expiry::Since(self.state_since),
            State::Stable if self.uses_consumer_protocol() && self.subscribed.is_some() => Expiry::SinceCommit,
            _ => Expiry::Never,
        }
    }

    /// Since when the group is without members, wall clock; `None` while it has any.
    #[cfg(test)]
    pub fn empty_since(&self) -> Option<i64> {
        (self.state == State::Empty).then_some(self.state_since)
    }

    /// Whether nobody has come so far.
    pub fn is_vacant(&self) -> bool {
        self.stored.is_none() && self.state == State::Empty && self.members.is_empty() && self.pending.is_empty()
    }

    /// Forgets the group for good.
    pub fn delete(&mut self, cx: &mut Cx<'_>) {
        self.retire(cx, ErrorCode::CoordinatorNotAvailable);
        // Also for one that nothing is stored of: its offsets alone bring it back in a replay.
        self.stored = None;
        cx.out.records.push(Record::GroupMetadata { group_id: cx.group_id.to_string(), value: None });
    }

    pub fn list(&self, group_id: &str) -> ListedGroup {
        ListedGroup {
            group_id: group_id.into(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            state: self.state.name(),
            group_type: "classic",
        }
    }

    /// The group without its id. What members told when they joined counts only while the group is stable.
    pub fn describe(&self) -> DescribedGroup {
        let protocol = self.protocol.as_deref().filter(|_| self.state == State::Stable);
        let members = self.members.iter().map(|(member_id, member)| {
            DescribedGroupMember::default()
                .with_member_id(text(member_id))
                .with_group_instance_id(member.group_instance_id.as_deref().map(text))
                .with_client_id(text(&member.client_id))
                .with_client_host(text(&member.client_host))
                .with_member_metadata(protocol.map(|protocol| member.metadata(protocol)).unwrap_or_default())
                .with_member_assignment(member.assignment.clone())
        });
        DescribedGroup::default()
            .with_group_state(self.state.name().into())
            .with_protocol_type(text(self.protocol_type.as_deref().unwrap_or_default()))
            .with_protocol_data(protocol.map(text).unwrap_or_default())
            .with_members(members.collect())
    }

    /// What all members subscribe to; `None` where that cannot be told (`ClassicGroup.computeSubscribedTopics`).
    pub(super) fn read_subscriptions(&self) -> Option<BTreeSet<String>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        let mut topics = BTreeSet::new();
        for (_, member) in self.members.iter() {
            let metadata = member.metadata(self.protocol.as_deref()?);
            topics.extend(subscribed_topics(&metadata)?);
        }
        Some(topics)
    }
}

/// The topics of a `ConsumerProtocolSubscription`. Version 0 is a prefix of all others, so only that is read, and not with the
/// protocol library, which would believe any count. `None` if it is none.
pub fn subscribed_topics(metadata: &[u8]) -> Option<Vec<String>> {
    let (version, rest) = metadata.split_first_chunk::<2>()?;
    if i16::from_be_bytes(*version) < 0 {
        return None;
    }
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let mut topics = Vec::new();
    for _ in 0..u32::try_from(i32::from_be_bytes(*count)).ok()? {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (topic, after) = after.split_at_checked(usize::try_from(i16::from_be_bytes(*length)).ok()?)?;
        topics.push(std::str::from_utf8(topic).ok()?.to_owned());
        rest = after;
    }
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let user_data = usize::try_from(i32::from_be_bytes(*length).max(0)).ok()?;
    (user_data <= rest.len()).then_some(topics)
}

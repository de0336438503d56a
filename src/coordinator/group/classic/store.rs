//! What a classic group stores, and how it comes back.

use super::members::Member;
use super::{ClassicGroup, State};
use crate::coordinator::breaks::{Break, broken};
use crate::coordinator::group::Cx;
use crate::coordinator::group::records::{ClassicProtocol, GroupMetadataValue, MemberMetadata, Record};
use crate::coordinator::records::RECORD_BATCH_BYTES;
use bytes::Bytes;
use std::sync::Arc;

/// What the record of a group takes in the log, in bytes: version 3 of Kafka's `GroupMetadataValue`.
pub fn record_bytes(group_id: &str, value: &GroupMetadataValue) -> usize {
    let text = |text: &str| 2 + text.len();
    let nullable = |text: &Option<String>| 2 + text.as_ref().map_or(0, String::len);
    let member = |member: &MemberMetadata| {
        text(&member.member_id)
            + nullable(&member.group_instance_id)
            + text(&member.client_id)
            + text(&member.client_host)
            + 4
            + 4
            + 4
            + member.subscription.len()
            + 4
            + member.assignment.len()
    };
    let members: usize = value.members.iter().map(member).sum();
    let head = 2 + text(&value.protocol_type) + 4 + nullable(&value.protocol) + nullable(&value.leader) + 8 + 4;
    RECORD_BATCH_BYTES + 2 + text(group_id) + head + members
}

impl ClassicGroup {
    /// Changes the durable state, live and in replay.
    pub fn apply(&mut self, value: GroupMetadataValue) {
        self.stored = Some(value);
    }

    /// The group as it is now.
    pub(super) fn value(&self) -> GroupMetadataValue {
        self.value_with(|_, member| member.assignment.clone())
    }

    /// The group as it is now, with other assignments.
    pub(super) fn value_with(&self, assignment: impl Fn(&Arc<str>, &Member) -> Bytes) -> GroupMetadataValue {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self.members.iter().map(|(member_id, member)| MemberMetadata {
            member_id: member_id.to_string(),
            group_instance_id: member.group_instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout: member.rebalance_timeout_ms,
            session_timeout: member.session_timeout_ms,
            subscription: member.metadata(protocol),
            assignment: assignment(member_id, member),
        });
        GroupMetadataValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.as_deref().map(String::from),
            current_state_timestamp: self.state_since,
            members: members.collect(),
        }
    }

    /// Whether the log would take the record.
    pub(super) fn fits(&self, cx: &Cx<'_>, value: &GroupMetadataValue) -> bool {
        record_bytes(cx.group_id, value) <= cx.settings.max_record_bytes
    }

    /// Stores the group.
    pub(super) fn store(&mut self, cx: &mut Cx<'_>, value: GroupMetadataValue) {
        self.apply(value.clone());
        cx.out.records.push(Record::GroupMetadata { group_id: cx.group_id.to_string(), value: Some(value) });
        self.subscribed = self.read_subscriptions();
    }

    /// Stores a generation that was just decided, without assignments; false if the log would not take it.
    pub(super) fn store_generation(&mut self, cx: &mut Cx<'_>) -> bool {
        let value = self.value();
        if !self.fits(cx, &value) {
            return false;
        }
        if broken(Break::StoredGeneration) && self.state != State::Empty {
            return true;
        }
        self.store(cx, value);
        true
    }

    /// All records have been applied. A generation that was stored without assignments may or may not have been told to
    /// its members: they join again, for the next.
    pub fn loaded(&mut self, cx: &mut Cx<'_>) {
        let Some(value) = self.stored.clone() else { return };
        let told = value.members.iter().any(|member| !member.assignment.is_empty());
        self.restore(cx, value);
        if self.members.is_empty() {
            return;
        }
        self.start_sessions(cx);
        if !told || self.members.len() > cx.settings.max_size {
            self.prepare_rebalance(cx);
        }
    }

    fn restore(&mut self, cx: &Cx<'_>, value: GroupMetadataValue) {
        let stored = self.stored.take();
        *self = ClassicGroup { stored, ..ClassicGroup::new(cx.now) };
        self.state = if value.members.is_empty() { State::Empty } else { State::Stable };
        self.state_since = value.current_state_timestamp;
        self.generation = value.generation;
        self.protocol_type = Some(value.protocol_type).filter(|name| !name.is_empty());
        let protocol = value.protocol.clone().unwrap_or_default();
        self.protocol = value.protocol;
        for stored in value.members {
            let (member_id, member) = member_of(stored, &protocol);
            self.members.insert(member_id, member);
        }
        let leader = value.leader.and_then(|leader| self.members.key(&leader));
        self.leader = leader.or_else(|| self.members.iter().next().map(|(member_id, _)| member_id.clone()));
        self.subscribed = self.read_subscriptions();
    }

    /// What is durable must be what the group goes by, whenever it is at rest.
    #[cfg(test)]
    pub(in crate::coordinator::group) fn agrees_with_stored(&self) -> Result<(), String> {
        if !(self.state == State::Stable || self.state == State::Empty && self.stored.is_some()) {
            return Ok(());
        }
        let sorted = |mut value: GroupMetadataValue| {
            value.members.sort_by(|a, b| a.member_id.cmp(&b.member_id));
            value.current_state_timestamp = 0;
            // What others may have left out, and what it stands for.
            for member in value.members.iter_mut().filter(|member| member.rebalance_timeout == -1) {
                member.rebalance_timeout = member.session_timeout;
            }
            if !value.members.iter().any(|member| Some(&member.member_id) == value.leader.as_ref()) {
                value.leader = value.members.first().map(|member| member.member_id.clone());
            }
            value
        };
        let (soft, stored) = (sorted(self.value()), self.stored.clone().map(sorted));
        if stored.as_ref() != Some(&soft) {
            return Err(format!("the group is {soft:?}, but stored is {stored:?}"));
        }
        Ok(())
    }
}

fn member_of(stored: MemberMetadata, protocol: &str) -> (Arc<str>, Member) {
    let protocols = vec![ClassicProtocol { name: protocol.into(), metadata: stored.subscription }];
    let mut member = Member::new(protocols);
    member.group_instance_id = stored.group_instance_id;
    member.client_id = stored.client_id;
    member.client_host = stored.client_host;
    member.rebalance_timeout_ms =
        if stored.rebalance_timeout == -1 { stored.session_timeout } else { stored.rebalance_timeout };
    member.session_timeout_ms = stored.session_timeout;
    member.assignment = stored.assignment;
    (stored.member_id.into(), member)
}

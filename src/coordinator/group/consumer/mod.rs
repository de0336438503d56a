//! A consumer group (KIP-848).

use super::Cx;
use super::classic::ClassicGroup;
use super::records::Record;
use super::request::{Caller, CommitOffsets, FetchOffsets, ListedGroup};
use crate::coordinator::Ticket;
use crate::wire::errors::ErrorCode;
use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{HeartbeatRequest, JoinGroupRequest, SyncGroupRequest};
use std::sync::Arc;
use uuid::Uuid;

/// A timer of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConsumerTimer {
    /// A member's session.
    Session(Arc<str>),
    /// A member has to give up partitions until then.
    Rebalance(Arc<str>),
}

/// A consumer group.
#[derive(Debug, Default)]
pub struct ConsumerGroup {}

impl ConsumerGroup {
    pub fn apply(&mut self, _record: &Record) {}

    pub fn loaded(&mut self, _cx: &mut Cx<'_>) {}

    pub fn on_timer(&mut self, _cx: &mut Cx<'_>, _timer: ConsumerTimer) {}

    pub fn classic_join(
        &mut self,
        _cx: &mut Cx<'_>,
        _ticket: Ticket,
        _caller: &Caller,
        _request: JoinGroupRequest,
        _fresh_id: Uuid,
    ) {
    }

    pub fn classic_sync(&mut self, _cx: &mut Cx<'_>, _ticket: Ticket, _caller: &Caller, _request: SyncGroupRequest) {}

    pub fn classic_heartbeat(&mut self, _cx: &mut Cx<'_>, _request: &HeartbeatRequest) -> ErrorCode {
        ErrorCode::UnknownMemberId
    }

    pub fn classic_leave(&mut self, _cx: &mut Cx<'_>, _members: &[MemberIdentity]) -> Vec<MemberResponse> {
        Vec::new()
    }

    /// Whether only members of the classic protocol are left, and the group may become classic.
    pub fn should_downgrade(&self, _cx: &Cx<'_>) -> bool {
        false
    }

    /// Becomes a classic group, whose members rebalance.
    pub fn downgrade(&mut self, cx: &mut Cx<'_>) -> ClassicGroup {
        ClassicGroup::new(cx.now)
    }

    /// Whether offsets may be committed so.
    pub fn check_commit(&self, _commit: &CommitOffsets) -> Result<(), ErrorCode> {
        Ok(())
    }

    /// A member has committed.
    pub fn committed(&mut self, _cx: &mut Cx<'_>, _member_id: &str) {}

    /// Whether offsets may be asked for so.
    pub fn check_fetch(&self, _fetch: &FetchOffsets) -> Result<(), ErrorCode> {
        Ok(())
    }

    /// Whether the group may be deleted.
    pub fn check_delete(&self) -> Result<(), ErrorCode> {
        Ok(())
    }

    /// Tombstones for everything it has stored.
    pub fn delete(&mut self, _cx: &mut Cx<'_>) {}

    /// Whether a member subscribes to the topic.
    pub fn is_subscribed_to(&self, _topic: &str) -> bool {
        false
    }

    pub fn is_empty(&self) -> bool {
        true
    }

    pub fn list(&self, group_id: &str) -> ListedGroup {
        ListedGroup {
            group_id: group_id.into(),
            protocol_type: "consumer".into(),
            state: "Empty",
            group_type: "consumer",
        }
    }

    pub fn describe(&self, _topics: &dyn super::settings::Topics) -> DescribedGroup {
        DescribedGroup::default()
    }
}

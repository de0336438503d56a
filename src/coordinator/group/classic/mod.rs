//! A classic group.

use super::Cx;
use super::records::GroupMetadataValue;
use super::request::{Caller, CommitOffsets, ListedGroup};
use crate::coordinator::{Now, Ticket};
use crate::wire::errors::ErrorCode;
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{HeartbeatRequest, JoinGroupRequest, SyncGroupRequest};
use std::sync::Arc;
use uuid::Uuid;

/// A timer of a classic group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClassicTimer {
    /// The rebalance ends with whoever has joined.
    Join,
    /// A member's session.
    Session(Arc<str>),
}

impl ClassicTimer {
    /// The first in order.
    pub const FIRST: ClassicTimer = ClassicTimer::Join;
}

/// A classic group.
#[derive(Debug)]
pub struct ClassicGroup {
    /// What the last record said; the durable part.
    stored: Option<GroupMetadataValue>,
}

impl ClassicGroup {
    /// A group without members.
    pub fn new(_now: Now) -> Self {
        ClassicGroup { stored: None }
    }

    /// A group as its record has it.
    pub fn stored(value: GroupMetadataValue) -> Self {
        ClassicGroup { stored: Some(value) }
    }

    pub fn durable(&self) -> Option<&GroupMetadataValue> {
        self.stored.as_ref()
    }

    pub fn apply(&mut self, value: GroupMetadataValue) {
        self.stored = Some(value);
    }

    pub fn loaded(&mut self, _cx: &mut Cx<'_>) {}

    pub fn join(
        &mut self,
        _cx: &mut Cx<'_>,
        _ticket: Ticket,
        _caller: &Caller,
        _request: JoinGroupRequest,
        _fresh_id: Uuid,
    ) {
    }

    pub fn sync(&mut self, _cx: &mut Cx<'_>, _ticket: Ticket, _caller: &Caller, _request: SyncGroupRequest) {}

    pub fn heartbeat(&mut self, _cx: &mut Cx<'_>, _request: &HeartbeatRequest) -> ErrorCode {
        ErrorCode::UnknownMemberId
    }

    pub fn leave(&mut self, _cx: &mut Cx<'_>, _members: &[MemberIdentity]) -> Vec<MemberResponse> {
        Vec::new()
    }

    pub fn on_timer(&mut self, _cx: &mut Cx<'_>, _timer: ClassicTimer) {}

    /// Whether offsets may be committed so.
    pub fn check_commit(&self, _commit: &CommitOffsets) -> Result<(), ErrorCode> {
        Ok(())
    }

    /// A member has committed: a sign of life.
    pub fn committed(&mut self, _cx: &mut Cx<'_>, _member_id: &str) {}

    /// Whether the group may be deleted.
    pub fn check_delete(&self) -> Result<(), ErrorCode> {
        Ok(())
    }

    /// Whether a member subscribes to the topic: then its offsets are not deleted, nor do they expire.
    pub fn is_subscribed_to(&self, _topic: &str) -> bool {
        false
    }

    pub fn simple() -> Self {
        ClassicGroup { stored: None }
    }
    pub fn expiry(&self) -> super::offsets::Expiry {
        super::offsets::Expiry::Never
    }
    pub fn check_delete_offsets(&self) -> Result<(), ErrorCode> {
        Ok(())
    }
    pub fn delete(&mut self, _cx: &mut Cx<'_>) {}

    pub fn list(&self, group_id: &str) -> ListedGroup {
        ListedGroup { group_id: group_id.into(), protocol_type: String::new(), state: "Empty", group_type: "classic" }
    }

    pub fn describe(&self) -> DescribedGroup {
        DescribedGroup::default()
    }
}

//! Groups as tools see them: list, describe, delete. What is the same for both kinds of group.

use super::offsets::Expiry;
use super::request::{CommitOffsets, ListedGroup};
use super::{Group, GroupShard, Out};
use crate::coordinator::Now;
use crate::wire::errors::ErrorCode;
use kafka_protocol::messages::GroupId;
use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup as DescribedConsumerGroup;
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;

impl Group {
    /// Whether offsets may be committed so.
    pub fn check_commit(&self, commit: &CommitOffsets) -> Result<(), ErrorCode> {
        match self {
            Group::Classic(group) => group.check_commit(commit),
            Group::Consumer(group) => group.check_commit(commit),
        }
    }

    /// Whether it may be deleted.
    pub fn check_delete(&self) -> Result<(), ErrorCode> {
        match self {
            Group::Classic(group) => group.check_delete(),
            Group::Consumer(group) => group.check_delete(),
        }
    }

    /// Whether its offsets may be deleted, those of topics apart that it subscribes to.
    pub fn check_delete_offsets(&self) -> Result<(), ErrorCode> {
        match self {
            Group::Classic(group) => group.check_delete_offsets(),
            Group::Consumer(_) => Ok(()),
        }
    }

    /// Whether a member subscribes to the topic.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        match self {
            Group::Classic(group) => group.is_subscribed_to(topic),
            Group::Consumer(group) => group.is_subscribed_to(topic),
        }
    }

    /// Since when the retention of its offsets counts.
    pub fn expiry(&self) -> Expiry {
        match self {
            Group::Classic(group) => group.expiry(),
            Group::Consumer(_) => Expiry::SinceCommit,
        }
    }
}

impl GroupShard {
    pub(super) fn list(&self) -> Vec<ListedGroup> {
        let listed = |(group_id, group): (&Arc<str>, &Group)| match group {
            Group::Classic(group) => group.list(group_id),
            Group::Consumer(group) => group.list(group_id),
        };
        self.groups().map(listed).collect()
    }

    /// A group that is not classic, or not there, is dead; newer clients are told that it was not found.
    pub(super) fn describe_group(&self, version: i16, group_id: &str) -> DescribedGroup {
        let id = GroupId(StrBytes::from(group_id.to_owned()));
        let text = match self.groups.get(group_id) {
            Some(Group::Classic(group)) => return group.describe().with_group_id(id),
            Some(Group::Consumer(_)) => format!("Group {group_id} is not a classic group."),
            None => format!("Group {group_id} not found."),
        };
        let dead = DescribedGroup::default().with_group_id(id).with_group_state(StrBytes::from_static_str("Dead"));
        match version {
            6.. => dead.with_error_code(ErrorCode::GroupIdNotFound.code()).with_error_message(Some(text.into())),
            _ => dead,
        }
    }

    pub(super) fn describe_consumer_group(&self, group_id: &str) -> DescribedConsumerGroup {
        let id = GroupId(StrBytes::from(group_id.to_owned()));
        let text = match self.groups.get(group_id) {
            Some(Group::Consumer(group)) => {
                return group.describe(group_id, &self.settings.consumer, &*self.world.topics());
            }
            Some(Group::Classic(_)) => format!("Group {group_id} is not a consumer group."),
            None => format!("Group {group_id} not found."),
        };
        let code = ErrorCode::GroupIdNotFound.code();
        DescribedConsumerGroup::default().with_group_id(id).with_error_code(code).with_error_message(Some(text.into()))
    }

    pub(super) fn delete_group(&mut self, now: Now, group_id: &str, out: &mut Out) -> ErrorCode {
        let Some(group) = self.groups.get(group_id) else { return ErrorCode::GroupIdNotFound };
        if let Err(code) = group.check_delete() {
            return code;
        }
        self.delete_all_offsets(group_id, out);
        self.remove_group(now, group_id, out);
        ErrorCode::None
    }

    /// Removes a group without members.
    pub(super) fn remove_group(&mut self, now: Now, group_id: &str, out: &mut Out) {
        self.with_group(now, group_id, out, |group, cx| {
            match group {
                Group::Classic(group) => group.delete(cx),
                Group::Consumer(group) => group.delete(cx),
            }
            cx.cancel_all_timers();
        });
        self.groups.remove(group_id);
    }
}

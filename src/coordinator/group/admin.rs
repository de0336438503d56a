//! Groups as tools see them.
use super::request::ListedGroup;
use super::{Group, GroupShard, Out};
use crate::coordinator::Now;
use crate::wire::errors::ErrorCode;
use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup as DescribedConsumerGroup;
use kafka_protocol::messages::describe_groups_response::DescribedGroup;

impl GroupShard {
    pub(super) fn list(&self) -> Vec<ListedGroup> {
        let listed = |(id, group): (&std::sync::Arc<str>, &Group)| match group {
            Group::Classic(group) => group.list(id),
            Group::Consumer(group) => group.list(id),
        };
        self.groups().map(listed).collect()
    }
    pub(super) fn describe_group(&self, _g: &str) -> DescribedGroup {
        DescribedGroup::default()
    }
    pub(super) fn describe_consumer_group(&self, _g: &str) -> DescribedConsumerGroup {
        DescribedConsumerGroup::default()
    }
    pub(super) fn delete_group(&mut self, _now: Now, _g: &str, _out: &mut Out) -> ErrorCode {
        ErrorCode::None
    }
}

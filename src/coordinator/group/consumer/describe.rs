//! A consumer group as tools see it.

use super::super::assign;
use super::super::request::ListedGroup;
use super::super::settings::{ConsumerSettings, Topics};
use super::members::Partitions;
use super::{ConsumerGroup, Member, State};
use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup, Member as DescribedMember, TopicPartitions,
};
use kafka_protocol::messages::{GroupId, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

/// Member types of ConsumerGroupDescribe.
const CLASSIC: i8 = 0;
const CONSUMER: i8 = 1;

impl ConsumerGroup {
    /// For a list of groups.
    pub fn list(&self, group_id: &str) -> ListedGroup {
        ListedGroup {
            group_id: group_id.into(),
            protocol_type: "consumer".into(),
            state: self.state.name(),
            group_type: "consumer",
        }
    }

    /// Its epochs and members, and what they have and are to have.
    pub fn describe(&self, group_id: &str, settings: &ConsumerSettings, topics: &dyn Topics) -> DescribedGroup {
        let state = &self.state;
        let members = state.members.iter().map(|(id, member)| describe_member(id, member, state, topics));
        DescribedGroup::default()
            .with_group_id(GroupId(string(group_id)))
            .with_group_state(StrBytes::from_static_str(state.name()))
            .with_group_epoch(state.epoch)
            .with_assignment_epoch(state.assignment_epoch)
            .with_assignor_name(string(state.assignor_name(settings)))
            .with_members(members.collect())
    }
}

impl State {
    /// The group's state, in Kafka's spelling.
    pub fn name(&self) -> &'static str {
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch > self.assignment_epoch {
            "Assigning"
        } else if self.members.values().all(|member| member.current.is_reconciled_to(self.assignment_epoch)) {
            "Stable"
        } else {
            "Reconciling"
        }
    }
}

fn describe_member(id: &str, member: &Member, state: &State, topics: &dyn Topics) -> DescribedMember {
    let metadata = &member.metadata;
    let names = metadata.subscribed_topic_names.iter().map(|name| TopicName(string(name)));
    DescribedMember::default()
        .with_member_id(string(id))
        .with_instance_id(metadata.instance_id.as_deref().map(string))
        .with_rack_id(metadata.rack_id.as_deref().map(string))
        .with_member_epoch(member.current.epoch)
        .with_client_id(string(&metadata.client_id))
        .with_client_host(string(&metadata.client_host))
        .with_subscribed_topic_names(names.collect())
        .with_subscribed_topic_regex(metadata.subscribed_topic_regex.as_deref().map(string))
        .with_assignment(current(&member.current.assigned, topics))
        .with_target_assignment(target(&state.target(id), topics))
        .with_member_type(if member.is_classic() { CLASSIC } else { CONSUMER })
}

fn current(partitions: &Partitions, topics: &dyn Topics) -> Assignment {
    let listed = partitions.iter().map(|(topic, partitions)| (*topic, partitions.keys().copied().collect()));
    assignment(listed, topics)
}

fn target(partitions: &assign::Assignment, topics: &dyn Topics) -> Assignment {
    assignment(partitions.iter().map(|(topic, partitions)| (*topic, partitions.iter().copied().collect())), topics)
}

/// Topics that are no more are left out.
fn assignment(listed: impl Iterator<Item = (Uuid, Vec<i32>)>, topics: &dyn Topics) -> Assignment {
    let topic = |(id, partitions): (Uuid, Vec<i32>)| {
        let name = TopicName(string(&topics.by_id(id)?.name));
        Some(TopicPartitions::default().with_topic_id(id).with_topic_name(name).with_partitions(partitions))
    };
    Assignment::default().with_topic_partitions(listed.filter_map(topic).collect())
}

fn string(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

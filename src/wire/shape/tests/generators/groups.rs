//! Random requests about groups and their offsets.

use super::Gen;
use crate::api::messages::{offset_commit, offset_fetch};
use kafka_protocol::messages::{self as m, *};

pub(super) fn offset_commit_request(g: &mut Gen) -> offset_commit::Request {
    use m::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
    let partition = |g: &mut Gen| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(g.int32())
            .with_committed_offset(g.number() as i64)
            .with_committed_metadata(g.maybe(Gen::text))
            .with_unknown_tagged_fields(g.tags())
    };
    let topic = |g: &mut Gen| {
        OffsetCommitRequestTopic::default()
            .with_name(g.until(9, Gen::topic))
            .with_topic_id(g.since(10, Gen::uuid))
            .with_partitions(g.many(partition))
            .with_unknown_tagged_fields(g.tags())
    };
    let request = OffsetCommitRequest::default()
        .with_group_id(g.group())
        .with_generation_id_or_member_epoch(g.int32())
        .with_member_id(g.text())
        .with_group_instance_id(g.since(7, |g| g.maybe(Gen::text)))
        .with_topics(g.many(topic))
        .with_unknown_tagged_fields(g.tags());
    offset_commit::Request(request)
}

pub(super) fn offset_fetch_request(g: &mut Gen) -> offset_fetch::Request {
    use m::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics};
    let topic = |g: &mut Gen| {
        OffsetFetchRequestTopic::default()
            .with_name(g.topic())
            .with_partition_indexes(g.many(Gen::int32))
            .with_unknown_tagged_fields(g.tags())
    };
    let topics = |g: &mut Gen| {
        OffsetFetchRequestTopics::default()
            .with_name(g.until(9, Gen::topic))
            .with_topic_id(g.since(10, Gen::uuid))
            .with_partition_indexes(g.many(Gen::int32))
            .with_unknown_tagged_fields(g.tags())
    };
    let group = |g: &mut Gen| {
        let group = OffsetFetchRequestGroup::default()
            .with_group_id(g.group())
            .with_member_id(g.since(9, |g| g.maybe(Gen::text)))
            .with_topics(g.maybe(|g| g.many(topics)))
            .with_unknown_tagged_fields(g.tags());
        if g.version >= 9 { group.with_member_epoch(g.int32()) } else { group }
    };
    let mut request = OffsetFetchRequest::default()
        .with_group_id(g.until(7, Gen::group))
        .with_groups(g.since(8, |g| g.many(group)))
        .with_require_stable(g.since(7, |g| g.below(2) == 0))
        .with_unknown_tagged_fields(g.tags());
    if g.version <= 7 {
        let all = g.version >= 2 && g.below(4) == 0;
        request.topics = (!all).then(|| g.many(topic));
    }
    offset_fetch::Request(request)
}

pub(super) fn join_group(g: &mut Gen) -> JoinGroupRequest {
    let protocol = |g: &mut Gen| {
        m::join_group_request::JoinGroupRequestProtocol::default()
            .with_name(g.text())
            .with_metadata(g.blob())
            .with_unknown_tagged_fields(g.tags())
    };
    JoinGroupRequest::default()
        .with_group_id(g.group())
        .with_session_timeout_ms(g.int32())
        .with_member_id(g.text())
        .with_group_instance_id(g.since(5, |g| g.maybe(Gen::text)))
        .with_protocol_type(g.text())
        .with_protocols(g.many(protocol))
        .with_reason(g.since(8, |g| g.maybe(Gen::text)))
        .with_unknown_tagged_fields(g.tags())
}

pub(super) fn heartbeat(g: &mut Gen) -> HeartbeatRequest {
    HeartbeatRequest::default()
        .with_group_id(g.group())
        .with_generation_id(g.int32())
        .with_member_id(g.text())
        .with_group_instance_id(g.since(3, |g| g.maybe(Gen::text)))
        .with_unknown_tagged_fields(g.tags())
}

pub(super) fn leave_group(g: &mut Gen) -> LeaveGroupRequest {
    let member = |g: &mut Gen| {
        m::leave_group_request::MemberIdentity::default()
            .with_member_id(g.text())
            .with_group_instance_id(g.maybe(Gen::text))
            .with_reason(g.since(5, |g| g.maybe(Gen::text)))
            .with_unknown_tagged_fields(g.tags())
    };
    LeaveGroupRequest::default()
        .with_group_id(g.group())
        .with_member_id(g.until(2, Gen::text))
        .with_members(g.since(3, |g| g.many(member)))
        .with_unknown_tagged_fields(g.tags())
}

pub(super) fn sync_group(g: &mut Gen) -> SyncGroupRequest {
    let assignment = |g: &mut Gen| {
        m::sync_group_request::SyncGroupRequestAssignment::default()
            .with_member_id(g.text())
            .with_assignment(g.blob())
            .with_unknown_tagged_fields(g.tags())
    };
    SyncGroupRequest::default()
        .with_group_id(g.group())
        .with_generation_id(g.int32())
        .with_member_id(g.text())
        .with_group_instance_id(g.since(3, |g| g.maybe(Gen::text)))
        .with_protocol_type(g.since(5, |g| g.maybe(Gen::text)))
        .with_protocol_name(g.since(5, |g| g.maybe(Gen::text)))
        .with_assignments(g.many(assignment))
        .with_unknown_tagged_fields(g.tags())
}

pub(super) fn describe_groups(g: &mut Gen) -> DescribeGroupsRequest {
    DescribeGroupsRequest::default().with_groups(g.many(Gen::group)).with_unknown_tagged_fields(g.tags())
}

pub(super) fn list_groups(g: &mut Gen) -> ListGroupsRequest {
    ListGroupsRequest::default()
        .with_states_filter(g.since(4, |g| g.many(Gen::text)))
        .with_types_filter(g.since(5, |g| g.many(Gen::text)))
        .with_unknown_tagged_fields(g.tags())
}

pub(super) fn delete_groups(g: &mut Gen) -> DeleteGroupsRequest {
    DeleteGroupsRequest::default().with_groups_names(g.many(Gen::group)).with_unknown_tagged_fields(g.tags())
}

pub(super) fn offset_delete(g: &mut Gen) -> OffsetDeleteRequest {
    use m::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
    let partition = |g: &mut Gen| OffsetDeleteRequestPartition::default().with_partition_index(g.int32());
    let topic =
        |g: &mut Gen| OffsetDeleteRequestTopic::default().with_name(g.topic()).with_partitions(g.many(partition));
    OffsetDeleteRequest::default().with_group_id(g.group()).with_topics(g.many(topic))
}

pub(super) fn consumer_group_heartbeat(g: &mut Gen) -> ConsumerGroupHeartbeatRequest {
    let partitions = |g: &mut Gen| {
        m::consumer_group_heartbeat_request::TopicPartitions::default()
            .with_topic_id(g.uuid())
            .with_partitions(g.many(Gen::int32))
            .with_unknown_tagged_fields(g.tags())
    };
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(g.group())
        .with_member_id(g.text())
        .with_instance_id(g.maybe(Gen::text))
        .with_rack_id(g.maybe(Gen::text))
        .with_subscribed_topic_names(g.maybe(|g| g.many(Gen::topic)))
        .with_subscribed_topic_regex(g.since(1, |g| g.maybe(Gen::text)))
        .with_server_assignor(g.maybe(Gen::text))
        .with_topic_partitions(g.maybe(|g| g.many(partitions)))
        .with_unknown_tagged_fields(g.tags())
}

pub(super) fn consumer_group_describe(g: &mut Gen) -> ConsumerGroupDescribeRequest {
    ConsumerGroupDescribeRequest::default().with_group_ids(g.many(Gen::group)).with_unknown_tagged_fields(g.tags())
}

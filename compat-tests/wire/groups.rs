//! Requests about groups for the walk through the [table](crate::table), and the groups that they are about.

use crate::asking::{text, topic_name};
use crate::client::Client;
use crate::table::{Target, whole};
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::*;
use ottla::api::messages::{offset_commit, offset_fetch};

/// A group that has offsets and no members.
const LASTING: &str = "lasting";
/// A group of one member, which [`prepare`] tells first.
const JOINED: &str = "joined";
const NOWHERE: &str = "no-such-group";
const NOBODY: &str = "nobody";
const SESSION_MS: i32 = 30_000;

/// A group's id.
pub fn group_id(id: &str) -> GroupId {
    GroupId(text(id))
}

/// Asks for a coordinator, until there is one: only then are there groups.
pub fn find_coordinator(client: &mut Client) {
    while client.ask(3, &FindCoordinatorRequest::default().with_key(text("group"))).error_code != 0 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Joins a group, as versions before 4 do without ceremony.
pub fn joining(group: &str, member: &str, metadata: Vec<u8>) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(metadata.into());
    JoinGroupRequest::default()
        .with_group_id(group_id(group))
        .with_member_id(text(member))
        .with_session_timeout_ms(SESSION_MS)
        .with_rebalance_timeout_ms(SESSION_MS)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

/// A commit of somebody who is no member.
pub fn committing(group: &str, topic: OffsetCommitRequestTopic) -> offset_commit::Request {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(5);
    let topics = vec![topic.with_partitions(vec![partition])];
    offset_commit::Request(OffsetCommitRequest::default().with_group_id(group_id(group)).with_topics(topics))
}

/// Makes the groups, and tells members: of [`JOINED`], and of the groups that LeaveGroup 0, 1 and 2 empty.
pub fn prepare(client: &mut Client, topic: &str) -> Vec<String> {
    find_coordinator(client);
    for group in [LASTING, "doomed-0", "doomed-1", "doomed-2"] {
        let named = OffsetCommitRequestTopic::default().with_name(topic_name(topic));
        let codes = client.ask(2, &committing(group, named)).topics.remove(0).partitions;
        assert_eq!(codes[0].error_code, 0, "{group}");
    }
    let mut join = |group: &str, instance: Option<&str>| {
        let version = if instance.is_some() { 5 } else { 3 };
        let request = joining(group, "", b"metadata".to_vec()).with_group_instance_id(instance.map(text));
        let joined = client.ask(version, &request);
        assert_eq!(joined.error_code, 0, "{group}");
        joined.member_id.to_string()
    };
    (3..=5).for_each(|version| drop(join(&format!("leaving-{version}"), Some("instance"))));
    [JOINED, "leaving-0", "leaving-1", "leaving-2"].map(|group| join(group, None)).to_vec()
}

/// A whole request of one of the APIs of groups.
pub fn request(key: ApiKey, version: i16, target: Target) -> Option<Vec<u8>> {
    let exists = target.exists();
    let member = text(target.members.first().map_or(NOBODY, String::as_str));
    Some(match key {
        ApiKey::OffsetCommit => {
            let topic = OffsetCommitRequestTopic::default().with_name(topic_name(target.name));
            whole(version, &committing(LASTING, topic.with_topic_id(target.id)))
        }
        ApiKey::OffsetFetch => whole(version, &offset_fetch(version, target)),
        ApiKey::JoinGroup => {
            let request = joining(&format!("new-{version}"), if exists { "" } else { NOBODY }, b"metadata".to_vec());
            let instance = (version >= 5 && exists).then(|| text("instance"));
            whole(version, &request.with_group_instance_id(instance))
        }
        ApiKey::Heartbeat => {
            let request = HeartbeatRequest::default().with_group_id(group_id(JOINED));
            whole(version, &request.with_generation_id(1).with_member_id(member))
        }
        ApiKey::LeaveGroup => {
            let request = LeaveGroupRequest::default().with_group_id(group_id(&format!("leaving-{version}")));
            if version < 3 {
                let leaving = target.members.get(1 + version as usize).map_or(NOBODY, String::as_str);
                return Some(whole(version, &request.with_member_id(text(leaving))));
            }
            let instance = text(if exists { "instance" } else { NOBODY });
            let identity = MemberIdentity::default().with_group_instance_id(Some(instance));
            whole(version, &request.with_members(vec![identity]))
        }
        ApiKey::SyncGroup => {
            let request = SyncGroupRequest::default().with_group_id(group_id(JOINED));
            let request = request.with_generation_id(1).with_member_id(member);
            let named = |name| (version >= 5).then(|| text(name));
            whole(version, &request.with_protocol_type(named("consumer")).with_protocol_name(named("range")))
        }
        _ => return administration(key, version, target),
    })
}

fn administration(key: ApiKey, version: i16, target: Target) -> Option<Vec<u8>> {
    let exists = target.exists();
    let lasting = group_id(if exists { LASTING } else { NOWHERE });
    let consumers = group_id(&if exists { format!("consumers-{version}") } else { NOWHERE.to_owned() });
    Some(match key {
        ApiKey::DescribeGroups => whole(version, &DescribeGroupsRequest::default().with_groups(vec![lasting])),
        ApiKey::ListGroups => whole(version, &ListGroupsRequest::default()),
        ApiKey::DeleteGroups => {
            let doomed = group_id(&if exists { format!("doomed-{version}") } else { NOWHERE.to_owned() });
            whole(version, &DeleteGroupsRequest::default().with_groups_names(vec![doomed]))
        }
        ApiKey::OffsetDelete => {
            let topic = OffsetDeleteRequestTopic::default().with_name(topic_name(target.name));
            let topic = topic.with_partitions(vec![OffsetDeleteRequestPartition::default()]);
            let request = OffsetDeleteRequest::default().with_group_id(group_id(LASTING));
            whole(version, &request.with_topics(vec![topic]))
        }
        ApiKey::ConsumerGroupHeartbeat => {
            let request = ConsumerGroupHeartbeatRequest::default()
                .with_group_id(consumers)
                .with_member_id(text(NOBODY))
                .with_member_epoch(if exists { 0 } else { 7 })
                .with_rebalance_timeout_ms(SESSION_MS)
                .with_subscribed_topic_names(Some(vec![topic_name(target.name)]));
            whole(version, &request.with_topic_partitions(Some(Vec::<TopicPartitions>::new())))
        }
        ApiKey::ConsumerGroupDescribe => {
            whole(version, &ConsumerGroupDescribeRequest::default().with_group_ids(vec![consumers]))
        }
        _ => return None,
    })
}

/// One group, which stands in the request itself before version 8.
fn offset_fetch(version: i16, target: Target) -> offset_fetch::Request {
    let request = OffsetFetchRequest::default();
    if version < 8 {
        let topic = OffsetFetchRequestTopic::default().with_name(topic_name(target.name));
        let topic = topic.with_partition_indexes(vec![0]);
        return offset_fetch::Request(request.with_group_id(group_id(LASTING)).with_topics(Some(vec![topic])));
    }
    let topic = OffsetFetchRequestTopics::default().with_name(topic_name(target.name)).with_topic_id(target.id);
    let topic = topic.with_partition_indexes(vec![0]);
    let group = OffsetFetchRequestGroup::default().with_group_id(group_id(LASTING)).with_topics(Some(vec![topic]));
    offset_fetch::Request(request.with_groups(vec![group]))
}

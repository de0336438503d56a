//! OffsetFetch 1-10 (key 9): how far groups have come.
//!
//! What was never committed is -1 and no error, also in a group that nobody knows. With `require_stable` an offset that an
//! open transaction may change is UNSTABLE_OFFSET_COMMIT: the client asks again.
//!
//! Versions: 2 null topics are all there are, an error for the whole; 5 leader epochs; 6 flexible; 7 require stable
//! (KIP-447); 8 several groups (KIP-709); 9 member id and epoch (KIP-848); 10 topics by id.
//! (`KafkaApis.handleOffsetFetchRequest`, `OffsetFetchRequest.groups`, `OffsetFetchResponse.Builder`.)

use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::coordinated::code_of;
use super::errors::ErrorCode;
use super::messages::offset_fetch::Request as Message;
use crate::catalog::Image;
use crate::coordinator::group::request::{FetchOffsets, FetchedOffset, Reply, Request};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

pub(super) async fn handle(ctx: Arc<Ctx>, Message(request): Message) -> OffsetFetchResponse {
    let require_stable = request.require_stable;
    let mut groups = Vec::new();
    let mut seen = BTreeSet::new();
    for group in groups_of(request, ctx.version) {
        // Once each: a small request must not have a reply without bounds.
        if !seen.insert(group.group_id.to_string()) {
            continue;
        }
        groups.push(fetch(&ctx, group, require_stable).await);
    }
    let response = OffsetFetchResponse::default().with_throttle_time_ms(throttle(&ctx));
    match ctx.version {
        8.. => response.with_groups(groups),
        version => single(response, groups.pop().unwrap_or_default(), version),
    }
}

/// The request in the form of version 8.
fn groups_of(request: OffsetFetchRequest, version: i16) -> Vec<OffsetFetchRequestGroup> {
    if version >= 8 {
        return request.groups;
    }
    let topics = request.topics.map(|topics| {
        let topic = |topic: kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic| {
            OffsetFetchRequestTopics::default().with_name(topic.name).with_partition_indexes(topic.partition_indexes)
        };
        topics.into_iter().map(topic).collect()
    });
    vec![OffsetFetchRequestGroup::default().with_group_id(request.group_id).with_member_epoch(-1).with_topics(topics)]
}

/// The one answer in the form of before version 8. Until version 1 an error of the group stands at each partition.
fn single(response: OffsetFetchResponse, group: OffsetFetchResponseGroup, version: i16) -> OffsetFetchResponse {
    let code = group.error_code;
    let topic = |topic: OffsetFetchResponseTopics| {
        let partition = |it: OffsetFetchResponsePartitions| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(it.partition_index)
                .with_committed_offset(it.committed_offset)
                .with_committed_leader_epoch(it.committed_leader_epoch)
                .with_metadata(it.metadata)
                .with_error_code(it.error_code)
        };
        OffsetFetchResponseTopic::default()
            .with_name(topic.name)
            .with_partitions(topic.partitions.into_iter().map(partition).collect())
    };
    let response = response.with_topics(group.topics.into_iter().map(topic).collect());
    if version >= 2 { response.with_error_code(code) } else { response }
}

async fn fetch(ctx: &Ctx, group: OffsetFetchRequestGroup, require_stable: bool) -> OffsetFetchResponseGroup {
    let told = OffsetFetchResponseGroup::default().with_group_id(group.group_id.clone());
    if !authorize(ctx, Operation::Describe, Resource::Group(&group.group_id)) {
        return refused(ctx, told, &group, ErrorCode::GroupAuthorizationFailed);
    }
    let image = ctx.broker.catalog().image();
    let places: Option<Vec<Place>> =
        group.topics.as_ref().map(|topics| topics.iter().map(|topic| Place::find(ctx, &image, topic)).collect());
    let asked = |place: &Place| place.asked.clone();
    let fetching = FetchOffsets {
        group_id: group.group_id.to_string(),
        member_id: group.member_id.as_ref().map(|id| id.to_string()),
        member_epoch: group.member_epoch,
        partitions: places.as_ref().map(|places| places.iter().flat_map(asked).collect()),
        require_stable,
    };
    match ctx.broker.groups().ask(&group.group_id, Request::FetchOffsets(fetching)).await {
        Ok(Reply::FetchOffsets(Ok(offsets))) => told.with_topics(match places {
            Some(places) => asked_for(places, offsets),
            None => all(ctx, &image, offsets),
        }),
        Ok(Reply::FetchOffsets(Err(code))) => refused(ctx, told, &group, code),
        other => refused(ctx, told, &group, code_of(&other)),
    }
}

/// A topic of the request: what to ask the group about, or why not to.
struct Place {
    told: OffsetFetchResponseTopics,
    partitions: Vec<i32>,
    asked: Vec<(Arc<str>, Uuid, i32)>,
    code: ErrorCode,
}

impl Place {
    fn find(ctx: &Ctx, image: &Image, topic: &OffsetFetchRequestTopics) -> Self {
        let (name, id): (Option<Arc<str>>, Uuid) = match ctx.version {
            10.. => (image.topic_by_id(topic.topic_id).map(|known| known.name.clone()), topic.topic_id),
            _ => (Some(topic.name.as_str().into()), image.topic(&topic.name).map_or(Uuid::nil(), |known| known.id)),
        };
        let partitions: BTreeSet<i32> = topic.partition_indexes.iter().copied().collect();
        // In the order of the request, but each once.
        let mut left = partitions;
        let partitions: Vec<i32> = topic.partition_indexes.iter().copied().filter(|it| left.remove(it)).collect();
        let code = match &name {
            None => ErrorCode::UnknownTopicId,
            Some(name) if !authorize(ctx, Operation::Describe, Resource::Topic(name)) => {
                ErrorCode::TopicAuthorizationFailed
            }
            Some(_) => ErrorCode::None,
        };
        let asked = match name.filter(|_| code.is_none()) {
            Some(name) => partitions.iter().map(|it| (name.clone(), id, *it)).collect(),
            None => Vec::new(),
        };
        let told = OffsetFetchResponseTopics::default().with_name(topic.name.clone()).with_topic_id(topic.topic_id);
        Place { told, partitions, asked, code }
    }
}

/// What was found, at the places that it was asked for.
fn asked_for(places: Vec<Place>, offsets: Vec<FetchedOffset>) -> Vec<OffsetFetchResponseTopics> {
    let mut offsets = offsets.into_iter();
    let one = |place: Place| {
        let partitions = match place.code {
            ErrorCode::None => offsets.by_ref().take(place.partitions.len()).map(found).collect(),
            code => place.partitions.iter().map(|it| nothing(*it, code)).collect(),
        };
        place.told.with_partitions(partitions)
    };
    places.into_iter().map(one).collect()
}

/// Everything that is committed. By id, a topic without one cannot be told.
fn all(ctx: &Ctx, image: &Image, offsets: Vec<FetchedOffset>) -> Vec<OffsetFetchResponseTopics> {
    let mut topics: Vec<(Arc<str>, OffsetFetchResponseTopics)> = Vec::new();
    for offset in offsets {
        if !authorize(ctx, Operation::Describe, Resource::Topic(&offset.topic)) {
            continue;
        }
        let known = || image.topic(&offset.topic).map_or(Uuid::nil(), |topic| topic.id);
        let id = Some(offset.topic_id).filter(|id| !id.is_nil()).unwrap_or_else(known);
        if topics.last().is_none_or(|(name, told)| *name != offset.topic || told.topic_id != id) {
            if ctx.version >= 10 && id.is_nil() {
                continue;
            }
            let name = TopicName(StrBytes::from(offset.topic.to_string()));
            let told = OffsetFetchResponseTopics::default().with_name(name).with_topic_id(id);
            topics.push((offset.topic.clone(), told));
        }
        if let Some((_, told)) = topics.last_mut() {
            told.partitions.push(found(offset));
        }
    }
    topics.into_iter().map(|(_, told)| told).collect()
}

fn found(offset: FetchedOffset) -> OffsetFetchResponsePartitions {
    if offset.is_unstable {
        return nothing(offset.partition, ErrorCode::UnstableOffsetCommit);
    }
    OffsetFetchResponsePartitions::default()
        .with_partition_index(offset.partition)
        .with_committed_offset(offset.offset)
        .with_committed_leader_epoch(offset.leader_epoch)
        .with_metadata(Some(StrBytes::from(offset.metadata)))
}

fn nothing(partition: i32, code: ErrorCode) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions::default()
        .with_partition_index(partition)
        .with_committed_offset(-1)
        .with_committed_leader_epoch(-1)
        .with_metadata(Some(StrBytes::default()))
        .with_error_code(code.code())
}

/// An error of the whole group; in version 1, which has no place for it, at each partition.
fn refused(
    ctx: &Ctx,
    told: OffsetFetchResponseGroup,
    group: &OffsetFetchRequestGroup,
    code: ErrorCode,
) -> OffsetFetchResponseGroup {
    if ctx.version >= 2 {
        return told.with_error_code(code.code());
    }
    let topics = group.topics.iter().flatten().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|it| nothing(*it, code)).collect();
        OffsetFetchResponseTopics::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    told.with_topics(topics.collect())
}

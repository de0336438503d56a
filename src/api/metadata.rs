//! Metadata 0-13 (key 3): the brokers, and the topics asked for with their partitions and leaders.
//!
//! Asked for by name, by id, or all of them: an empty list in version 0, null from 1 on. One id makes the names of a
//! request count for nothing. A name that does not exist is made with the defaults where the client
//! (`allow_auto_topic_creation`) and the broker (`auto.create.topics.enable`) agree, and answered in the same reply; Kafka
//! answers UNKNOWN_TOPIC_OR_PARTITION and makes it meanwhile. All topics of a request are made in one change of the
//! catalog. Internal topics are not made here: they come with what keeps them. A name given twice is answered once.
//!
//! Every partition is led by this broker, its only replica, under the epoch of this start.
//!
//! Versions: 1 controller, racks, internal flag; 2 cluster id; 4 creation may be forbidden; 5 offline replicas (none);
//! 7 leader epochs (KIP-320); 8-10 authorized operations of the cluster, 8 of topics (KIP-430); 9 flexible; 10 topic ids
//! in replies, 12 in requests (KIP-516); 13 a code for the whole reply (KIP-1102, always 0 here). In 10 and 11 an id
//! or a null name is INVALID_REQUEST. (`KafkaApis.handleTopicMetadataRequest`, `KRaftMetadataCache`,
//! `DefaultAutoTopicCreationManager`.)

use super::admin::{NOT_ASKED, authorized_operations, changing, cluster_operations, may_create};
use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::errors::ErrorCode;
use crate::catalog::{Image, Topic, TopicError, check_name, is_internal};
use indexmap::{IndexMap, IndexSet};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;
use uuid::Uuid;

/// Which topics a request asks for.
enum Asked {
    All,
    Names(IndexSet<TopicName>),
    Ids(IndexSet<Uuid>),
}

/// What became of the topics made for a request, by name.
type Created = IndexMap<String, Result<Arc<Topic>, TopicError>>;

pub(super) async fn handle(ctx: Arc<Ctx>, request: MetadataRequest) -> MetadataResponse {
    let mut topics = match asked(ctx.version, &request) {
        Err(code) => return refused(&ctx, request, code),
        Ok(Asked::All) => all(&ctx),
        Ok(Asked::Ids(ids)) => ids.into_iter().map(|id| by_id(&ctx, id)).collect(),
        Ok(Asked::Names(names)) => by_name(&ctx, names, request.allow_auto_topic_creation).await,
    };
    if request.include_topic_authorized_operations {
        for topic in topics.iter_mut().filter(|topic| topic.error_code != ErrorCode::UnknownTopicId.code()) {
            let name = topic.name.as_ref().map_or("", |name| name.as_str());
            topic.topic_authorized_operations = authorized_operations(&ctx, Resource::Topic(name));
        }
    }
    let cluster_authorized_operations =
        if request.include_cluster_authorized_operations { cluster_operations(&ctx) } else { NOT_ASKED };
    MetadataResponse::default()
        .with_throttle_time_ms(throttle(&ctx))
        .with_brokers(vec![this_broker(&ctx)])
        .with_cluster_id(Some(StrBytes::from(ctx.broker.catalog().image().cluster_id().to_owned())))
        .with_controller_id(ctx.broker.node_id().into())
        .with_topics(topics)
        .with_cluster_authorized_operations(cluster_authorized_operations)
}

fn asked(version: i16, request: &MetadataRequest) -> Result<Asked, ErrorCode> {
    let Some(topics) = request.topics.as_ref().filter(|topics| version > 0 || !topics.is_empty()) else {
        return Ok(Asked::All);
    };
    if version < 12 && topics.iter().any(|topic| topic.name.is_none() || !topic.topic_id.is_nil()) {
        return Err(ErrorCode::InvalidRequest);
    }
    let ids: IndexSet<Uuid> = topics.iter().map(|topic| topic.topic_id).filter(|id| !id.is_nil()).collect();
    if !ids.is_empty() {
        return Ok(Asked::Ids(ids));
    }
    // A null name without an id asks for nothing that there is.
    Ok(Asked::Names(topics.iter().map(|topic| topic.name.clone().unwrap_or_default()).collect()))
}

/// The answer to a request that cannot be: every topic of it has the code.
fn refused(ctx: &Ctx, request: MetadataRequest, code: ErrorCode) -> MetadataResponse {
    let topics = request
        .topics
        .unwrap_or_default()
        .into_iter()
        .map(|topic| failed(code).with_name(Some(topic.name.unwrap_or_default())).with_topic_id(topic.topic_id));
    MetadataResponse::default()
        .with_topics(topics.collect())
        .with_error_code(code.code())
        .with_throttle_time_ms(throttle(ctx))
}

fn this_broker(ctx: &Ctx) -> MetadataResponseBroker {
    let endpoint = ctx.advertised();
    MetadataResponseBroker::default()
        .with_node_id(ctx.broker.node_id().into())
        .with_host(StrBytes::from(endpoint.host.to_string()))
        .with_port(endpoint.port.into())
        .with_rack(ctx.broker.config().broker_rack.clone().map(StrBytes::from))
}

fn all(ctx: &Ctx) -> Vec<MetadataResponseTopic> {
    let image = ctx.broker.catalog().image();
    let visible = |topic: &&Arc<Topic>| authorize(ctx, Operation::Describe, Resource::Topic(&topic.name));
    image.topics().filter(visible).map(|topic| described(ctx, topic)).collect()
}

fn by_id(ctx: &Ctx, id: Uuid) -> MetadataResponseTopic {
    match ctx.broker.catalog().image().topic_by_id(id) {
        None => failed(ErrorCode::UnknownTopicId).with_name(None).with_topic_id(id),
        Some(topic) if authorize(ctx, Operation::Describe, Resource::Topic(&topic.name)) => described(ctx, topic),
        Some(_) => failed(ErrorCode::TopicAuthorizationFailed).with_name(None).with_topic_id(id),
    }
}

async fn by_name(ctx: &Arc<Ctx>, names: IndexSet<TopicName>, allowed: bool) -> Vec<MetadataResponseTopic> {
    let image = ctx.broker.catalog().image();
    let creates = allowed && ctx.broker.config().auto_create_topics_enable;
    let created = match creates {
        true => create(ctx, names.iter().filter(|name| is_to_be_made(ctx, &image, name))).await,
        false => Created::new(),
    };
    let answer = |name: TopicName| match named(ctx, &image, &created, creates, &name) {
        Ok(topic) => described(ctx, topic),
        Err(code) => failed(code).with_is_internal(is_internal(&name)).with_name(Some(name)),
    };
    names.into_iter().map(answer).collect()
}

fn is_to_be_made(ctx: &Ctx, image: &Image, name: &str) -> bool {
    image.topic(name).is_none()
        && check_name(name).is_ok()
        && !is_internal(name)
        && authorize(ctx, Operation::Describe, Resource::Topic(name))
        && may_create(ctx, name)
}

async fn create(ctx: &Arc<Ctx>, names: impl Iterator<Item = &TopicName>) -> Created {
    let names: Vec<String> = names.map(|name| name.to_string()).collect();
    if names.is_empty() {
        return Created::new();
    }
    let broker = ctx.broker.clone();
    let created = changing(move || Ok(names.iter().cloned().zip(broker.create_on_first_use(&names)?).collect())).await;
    // Without the catalog no topic is made, and they are answered as what they are: unknown.
    created.unwrap_or_default()
}

fn named<'a>(
    ctx: &Ctx,
    image: &'a Image,
    created: &'a Created,
    creates: bool,
    name: &str,
) -> Result<&'a Arc<Topic>, ErrorCode> {
    if !authorize(ctx, Operation::Describe, Resource::Topic(name)) {
        return Err(ErrorCode::TopicAuthorizationFailed);
    }
    match (image.topic(name), created.get(name)) {
        (Some(topic), _) | (None, Some(Ok(topic))) => Ok(topic),
        (None, Some(Err(error))) => Err(not_made(name, error)),
        (None, None) => Err(match check_name(name) {
            Err(error) => ErrorCode::from(&error),
            Ok(()) if creates && !may_create(ctx, name) => ErrorCode::TopicAuthorizationFailed,
            Ok(()) => ErrorCode::UnknownTopicOrPartition,
        }),
    }
}

/// A client gives up at once on a name that never can be; everything else it may ask for again.
fn not_made(name: &str, error: &TopicError) -> ErrorCode {
    tracing::warn!(topic = name, %error, "not created on its first use");
    match error {
        TopicError::InvalidName(_) | TopicError::InvalidRequest(_) => ErrorCode::InvalidTopicException,
        _ => ErrorCode::UnknownTopicOrPartition,
    }
}

fn failed(code: ErrorCode) -> MetadataResponseTopic {
    MetadataResponseTopic::default().with_error_code(code.code())
}

fn described(ctx: &Ctx, topic: &Topic) -> MetadataResponseTopic {
    let node: BrokerId = ctx.broker.node_id().into();
    let partition = |index| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(node)
            .with_leader_epoch(ctx.broker.partitions().leader_epoch())
            .with_replica_nodes(vec![node])
            .with_isr_nodes(vec![node])
    };
    MetadataResponseTopic::default()
        .with_name(Some(StrBytes::from(topic.name.to_string()).into()))
        .with_topic_id(topic.id)
        .with_is_internal(is_internal(&topic.name))
        .with_partitions((0..topic.partitions).map(partition).collect())
}

#[cfg(test)]
mod tests;

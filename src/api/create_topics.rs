//! CreateTopics 2-7 (key 19): makes topics, with settings and with partitions placed by hand.
//!
//! All topics of a request go into one change of the catalog, which is durable when the answer is sent; each of them is
//! made or refused by itself. With `validate_only` nothing is made, and the answer is what it would have been, a topic id
//! included that nobody will have. A name given twice is INVALID_REQUEST, once. -1 asks for the defaults; the
//! replication factor is always 1. Settings that are kept without acting yet are named in a warning.
//!
//! Versions: 4 the defaults of the broker (-1, KIP-464; taken in all versions); 5 flexible, and counts and settings in
//! the reply (KIP-525); 6 quota errors (none); 7 topic ids (KIP-516). Gap: `timeout_ms` is not looked at; the answer
//! waits for the disk. (`ControllerApis.createTopics`, `ReplicationControlManager.createTopics`.)

use super::admin::{Refusal, changing, counted, may_create};
use super::config_resource::source_number;
use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::errors::ErrorCode;
use crate::catalog::{CatalogError, Draft, NewTopic, Topic, TopicError};
use crate::config::TopicConfig;
use crate::config::describe::{Described, describe_topic};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;

pub(super) async fn handle(ctx: Arc<Ctx>, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let validate_only = request.validate_only;
    let names = counted(request.topics.iter().map(|topic| topic.name.clone()));
    let twice = names.iter().filter(|(_, count)| **count > 1).map(|(name, _)| refused(name, Refusal::duplicate()));
    let wanted: Vec<CreatableTopic> =
        request.topics.into_iter().filter(|topic| names.get(&topic.name) == Some(&1)).collect();
    let (allowed, forbidden): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|topic| may_create(&ctx, &topic.name));
    let forbidden = forbidden
        .iter()
        .map(|topic| refused(&topic.name, Refusal::text(ErrorCode::TopicAuthorizationFailed, "Authorization failed.")));
    let new: Vec<NewTopic> = allowed.iter().map(new_topic).collect();
    let changed = {
        let ctx = ctx.clone();
        changing(move || create(&ctx, &new, validate_only)).await
    };
    let mut results: Vec<CreatableTopicResult> = match changed {
        Ok(outcomes) => {
            let outcomes = allowed.iter().zip(outcomes);
            outcomes.map(|(topic, outcome)| result(&ctx, &topic.name, outcome)).collect()
        }
        Err(refusal) => allowed.iter().map(|topic| refused(&topic.name, refusal.clone())).collect(),
    };
    results.extend(twice.chain(forbidden));
    CreateTopicsResponse::default().with_topics(results).with_throttle_time_ms(throttle(&ctx))
}

fn new_topic(topic: &CreatableTopic) -> NewTopic {
    let assignments = topic.assignments.iter();
    let configs = topic.configs.iter();
    NewTopic {
        name: topic.name.to_string(),
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: assignments
            .map(|assigned| (assigned.partition_index, assigned.broker_ids.iter().map(|id| id.0).collect()))
            .collect(),
        configs: configs
            .map(|config| (config.name.to_string(), config.value.as_ref().map(|value| value.to_string())))
            .collect(),
    }
}

type Outcome = Result<Arc<Topic>, TopicError>;

fn create(ctx: &Ctx, new: &[NewTopic], validate_only: bool) -> Result<Vec<Outcome>, CatalogError> {
    let catalog = ctx.broker.catalog();
    let default_partitions = ctx.broker.config().num_partitions;
    let outcomes = ctx.broker.with_config_rules(|rules| {
        let decide = |draft: &mut Draft<'_>| -> Vec<Outcome> {
            new.iter().map(|topic| draft.create_topic(topic, default_partitions, rules)).collect()
        };
        match validate_only {
            true => Ok(catalog.preview(decide)),
            false => catalog.update(decide).map(|(outcomes, _)| outcomes),
        }
    })?;
    if !validate_only {
        outcomes.iter().flatten().for_each(|topic| warn_of_idle_settings(topic));
    }
    Ok(outcomes)
}

fn warn_of_idle_settings(topic: &Topic) {
    let idle = TopicConfig::not_acting(&topic.configs);
    if !idle.is_empty() {
        tracing::warn!(topic = %topic.name, settings = idle.join(","), "created with settings that do not act yet");
    }
}

fn result(ctx: &Ctx, name: &StrBytes, outcome: Outcome) -> CreatableTopicResult {
    let topic = match outcome {
        Ok(topic) => topic,
        Err(error) => return refused(name, error.into()),
    };
    let made =
        CreatableTopicResult::default().with_name(name.clone().into()).with_topic_id(topic.id).with_error_message(None);
    if ctx.version < 5 {
        return made;
    }
    if !authorize(ctx, Operation::DescribeConfigs, Resource::Topic(name)) {
        return made.with_topic_config_error_code(ErrorCode::TopicAuthorizationFailed.code());
    }
    // What was just checked can be described.
    let described = describe_topic(ctx.broker.config(), &topic.configs).unwrap_or_default();
    made.with_num_partitions(topic.partitions)
        .with_replication_factor(1)
        .with_configs(Some(described.into_iter().map(setting).collect()))
}

fn setting(described: Described) -> CreatableTopicConfigs {
    CreatableTopicConfigs::default()
        .with_name(StrBytes::from_static_str(described.name))
        .with_value(described.value.map(StrBytes::from))
        .with_read_only(described.read_only)
        .with_config_source(source_number(described.source))
        .with_is_sensitive(described.sensitive)
}

fn refused(name: &StrBytes, refusal: Refusal) -> CreatableTopicResult {
    CreatableTopicResult::default()
        .with_name(name.clone().into())
        .with_error_code(refusal.code.code())
        .with_error_message(refusal.wire_message())
}

#[cfg(test)]
mod tests;

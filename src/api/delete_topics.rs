//! DeleteTopics 1-6 (key 20): ends topics, by name or by id, with all that is in them.
//!
//! All topics of a request end in one change of the catalog. The answer is sent when that is durable and their folders
//! are gone; where the folders cannot be removed the topic is gone all the same, and they go at the next start. A topic
//! given twice, be it once by name and once by id, is INVALID_REQUEST and stays. `delete.topic.enable=false` refuses
//! everything. Internal topics may be deleted, as in Kafka.
//!
//! Versions: 3 TOPIC_DELETION_DISABLED (INVALID_REQUEST before); 4 flexible; 5 messages; 6 ids (KIP-516). Gap:
//! `timeout_ms` is not looked at. (`ControllerApis.deleteTopics`, `ReplicationControlManager.deleteTopics`.)

use super::admin::{Refusal, changing, counted};
use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::errors::ErrorCode;
use crate::catalog::{CatalogError, Draft, Image, Topic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

/// How a topic is given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Given {
    Name(TopicName),
    Id(Uuid),
}

pub(super) async fn handle(ctx: Arc<Ctx>, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let by_name = request.topic_names.into_iter().map(|name| DeleteTopicState::default().with_name(Some(name)));
    let topics: Vec<DeleteTopicState> = by_name.chain(request.topics).collect();
    let responses = match ctx.broker.config().delete_topic_enable {
        true => delete(&ctx, topics).await,
        false => {
            let code = if ctx.version < 3 { ErrorCode::InvalidRequest } else { ErrorCode::TopicDeletionDisabled };
            let refusal = Refusal::text(code, "delete.topic.enable is false.");
            topics.into_iter().map(|topic| refused(topic.name, topic.topic_id, refusal.clone())).collect()
        }
    };
    DeleteTopicsResponse::default().with_responses(responses).with_throttle_time_ms(throttle(&ctx))
}

async fn delete(ctx: &Arc<Ctx>, topics: Vec<DeleteTopicState>) -> Vec<DeletableTopicResult> {
    let mut results = Vec::with_capacity(topics.len());
    let mut wanted = Vec::with_capacity(topics.len());
    for DeleteTopicState { name, topic_id, .. } in topics {
        let wrong = match (name, topic_id.is_nil()) {
            (Some(name), true) => {
                wanted.push(Given::Name(name));
                continue;
            }
            (None, false) => {
                wanted.push(Given::Id(topic_id));
                continue;
            }
            (None, true) => refused(None, topic_id, invalid("Neither topic name nor id were specified.")),
            (name, false) => refused(name, topic_id, invalid("You may not specify both topic name and topic id.")),
        };
        results.push(wrong);
    }
    let (once, twice): (Vec<_>, Vec<_>) = counted(wanted).into_iter().partition(|(_, count)| *count == 1);
    let once: Vec<Given> = once.into_iter().map(|(given, _)| given).collect();
    let twice: Vec<Given> = twice.into_iter().map(|(given, _)| given).collect();
    results.extend(twice.iter().map(|given| not_found(given, given_twice(given))));
    let changed = {
        let (ctx, once) = (ctx.clone(), once.clone());
        changing(move || end(&ctx, &once, &twice)).await
    };
    results.extend(match changed {
        Ok(ended) => {
            forget_offsets(ctx, &ended).await;
            ended
        }
        Err(refusal) => once.iter().map(|given| not_found(given, refusal.clone())).collect(),
    });
    results
}

/// What groups have committed for the deleted topics must not be taken for that of later ones with their names.
async fn forget_offsets(ctx: &Ctx, results: &[DeletableTopicResult]) {
    let ended = results.iter().filter(|result| result.error_code == 0);
    let topics: BTreeMap<Arc<str>, Uuid> =
        ended.filter_map(|result| Some((result.name.as_ref()?.as_str().into(), result.topic_id))).collect();
    if !topics.is_empty() {
        ctx.broker.groups().topics_deleted(&topics).await;
    }
}

/// Ends the topics that were given once, and removes what was in them.
fn end(ctx: &Ctx, once: &[Given], twice: &[Given]) -> Result<Vec<DeletableTopicResult>, CatalogError> {
    let decide = |draft: &mut Draft<'_>| {
        let found: Vec<_> = once.iter().map(|given| find(ctx, draft.image(), given)).collect();
        let by_both = ids_given_by_both(once, twice, &found);
        let mut ended = Vec::new();
        let mut results = Vec::new();
        for (given, found) in once.iter().zip(found) {
            match (found, given) {
                (Err(refused), _) => results.push(refused),
                // The answer is the one to the name.
                (Ok(topic), Given::Id(_)) if by_both.contains(&topic.id) => {}
                (Ok(topic), Given::Name(name)) if by_both.contains(&topic.id) => {
                    let text = "The provided topic name maps to an ID that was already supplied.";
                    results.push(refused(Some(name.clone()), topic.id, invalid(text)));
                }
                (Ok(topic), _) => match prepared(ctx, &topic).and_then(|()| Ok(draft.delete_topic(topic.id)?)) {
                    Ok(topic) => {
                        results.push(done(&topic));
                        ended.push(topic);
                    }
                    Err(refusal) => results.push(not_found(given, refusal)),
                },
            }
        }
        (results, ended)
    };
    let ((results, ended), _) = ctx.broker.catalog().update(decide)?;
    for topic in ended {
        if let Err(error) = ctx.broker.remove_topic(&topic) {
            tracing::error!(topic = %topic.name, %error, "deleted; its folders go at the next start");
        }
    }
    Ok(results)
}

/// What has to be on disk before the topic's name is free for another one.
fn prepared(ctx: &Ctx, topic: &Topic) -> Result<(), Refusal> {
    ctx.broker.partitions().prepare_delete(topic).map_err(|error| {
        tracing::error!(topic = %topic.name, %error, "cannot delete");
        Refusal::text(ErrorCode::KafkaStorageError, "The disk failed; nothing was deleted.")
    })
}

/// Ids of topics that were given by name and by id.
fn ids_given_by_both(
    once: &[Given],
    twice: &[Given],
    found: &[Result<Arc<Topic>, DeletableTopicResult>],
) -> BTreeSet<Uuid> {
    let by_id: BTreeSet<Uuid> = once
        .iter()
        .chain(twice)
        .filter_map(|given| match given {
            Given::Id(id) => Some(*id),
            Given::Name(_) => None,
        })
        .collect();
    let by_name = once.iter().zip(found).filter_map(|(given, found)| match (given, found) {
        (Given::Name(_), Ok(topic)) => Some(topic.id),
        _ => None,
    });
    by_name.filter(|id| by_id.contains(id)).collect()
}

/// The topic, if there is one and the client may delete it.
fn find(ctx: &Ctx, image: &Image, given: &Given) -> Result<Arc<Topic>, DeletableTopicResult> {
    let allowed = |operation, name: &str| {
        authorize(ctx, Operation::Delete, Resource::Cluster) || authorize(ctx, operation, Resource::Topic(name))
    };
    let unauthorized = || Refusal::code(ErrorCode::TopicAuthorizationFailed);
    match given {
        Given::Id(id) => {
            let unknown =
                || not_found(given, Refusal::text(ErrorCode::UnknownTopicId, "There is no topic with this id."));
            let topic = image.topic_by_id(*id).ok_or_else(unknown)?;
            if allowed(Operation::Delete, &topic.name) {
                return Ok(topic.clone());
            }
            let may_know = allowed(Operation::Describe, &topic.name);
            Err(refused(may_know.then(|| wire_name(topic)), *id, unauthorized()))
        }
        Given::Name(name) => {
            if !allowed(Operation::Describe, name) {
                return Err(not_found(given, unauthorized()));
            }
            let unknown = || Refusal::text(ErrorCode::UnknownTopicOrPartition, "There is no topic with this name.");
            let topic = image.topic(name).ok_or_else(|| not_found(given, unknown()))?;
            match allowed(Operation::Delete, name) {
                true => Ok(topic.clone()),
                false => Err(not_found(given, unauthorized())),
            }
        }
    }
}

fn invalid(text: &str) -> Refusal {
    Refusal::text(ErrorCode::InvalidRequest, text)
}

fn given_twice(given: &Given) -> Refusal {
    match given {
        Given::Name(_) => Refusal::duplicate(),
        Given::Id(_) => invalid("Duplicate topic id."),
    }
}

fn wire_name(topic: &Topic) -> TopicName {
    StrBytes::from(topic.name.to_string()).into()
}

fn done(topic: &Topic) -> DeletableTopicResult {
    DeletableTopicResult::default().with_name(Some(wire_name(topic))).with_topic_id(topic.id)
}

/// A refusal that says no more of the topic than the request did.
fn not_found(given: &Given, refusal: Refusal) -> DeletableTopicResult {
    match given {
        Given::Name(name) => refused(Some(name.clone()), Uuid::nil(), refusal),
        Given::Id(id) => refused(None, *id, refusal),
    }
}

fn refused(name: Option<TopicName>, id: Uuid, refusal: Refusal) -> DeletableTopicResult {
    DeletableTopicResult::default()
        .with_name(name)
        .with_topic_id(id)
        .with_error_code(refusal.code.code())
        .with_error_message(refusal.wire_message())
}

#[cfg(test)]
mod tests;

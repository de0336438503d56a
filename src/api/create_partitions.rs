//! CreatePartitions 0-3 (key 37): gives topics more partitions.
//!
//! `count` is how many there shall be in all. All topics of a request go into one change of the catalog, durable when the
//! answer is sent; each is changed or refused by itself. With `validate_only` nothing changes. A name given twice is
//! INVALID_REQUEST, once. Assignments, where given, place every new partition.
//!
//! Versions: 2 flexible; 3 quota errors (none). Gap: `timeout_ms` is not looked at. (`ControllerApis.createPartitions`,
//! `ReplicationControlManager.createPartitions`.)

use super::admin::{Refusal, changing, counted};
use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::errors::ErrorCode;
use crate::catalog::{CatalogError, Draft, TopicError, is_internal};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{BrokerId, CreatePartitionsRequest, CreatePartitionsResponse, TopicName};
use std::sync::Arc;

/// More partitions for one topic.
struct Addition {
    name: TopicName,
    count: i32,
    assignments: Option<Vec<Vec<i32>>>,
}

impl From<CreatePartitionsTopic> for Addition {
    fn from(topic: CreatePartitionsTopic) -> Self {
        let brokers = |ids: Vec<BrokerId>| ids.into_iter().map(|id| id.0).collect();
        let assignments = topic.assignments;
        Self {
            name: topic.name,
            count: topic.count,
            assignments: assignments.map(|all| all.into_iter().map(|one| brokers(one.broker_ids)).collect()),
        }
    }
}

pub(super) async fn handle(ctx: Arc<Ctx>, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let validate_only = request.validate_only;
    let names = counted(request.topics.iter().map(|topic| topic.name.clone()));
    let twice = names.iter().filter(|(_, count)| **count > 1);
    let twice = twice.map(|(name, _)| result(name.clone(), Err(Refusal::duplicate())));
    let wanted = request.topics.into_iter().filter(|topic| names.get(&topic.name) == Some(&1));
    let may_alter = |topic: &CreatePartitionsTopic| authorize(&ctx, Operation::Alter, Resource::Topic(&topic.name));
    let (allowed, forbidden): (Vec<_>, Vec<_>) = wanted.partition(may_alter);
    let forbidden =
        forbidden.into_iter().map(|topic| result(topic.name, Err(Refusal::code(ErrorCode::TopicAuthorizationFailed))));
    let allowed_names: Vec<TopicName> = allowed.iter().map(|topic| topic.name.clone()).collect();
    let additions: Vec<Addition> = allowed.into_iter().map(Addition::from).collect();
    let changed = {
        let ctx = ctx.clone();
        changing(move || add(&ctx, &additions, validate_only)).await
    };
    let mut results: Vec<CreatePartitionsTopicResult> = match changed {
        Ok(outcomes) => {
            let outcomes = allowed_names.into_iter().zip(outcomes);
            outcomes.map(|(name, outcome)| result(name, outcome.map_err(Refusal::from))).collect()
        }
        Err(refusal) => allowed_names.into_iter().map(|name| result(name, Err(refusal.clone()))).collect(),
    };
    results.extend(twice.chain(forbidden));
    CreatePartitionsResponse::default().with_results(results).with_throttle_time_ms(throttle(&ctx))
}

type Outcome = Result<(), TopicError>;

fn add(ctx: &Ctx, additions: &[Addition], validate_only: bool) -> Result<Vec<Outcome>, CatalogError> {
    let decide = |draft: &mut Draft<'_>| -> Vec<Outcome> {
        let add = |it: &Addition| match is_internal(&it.name) {
            // Kafka lets it happen, and loses sight of the groups.
            true => Err(TopicError::InvalidPartitions(format!(
                "The partitions of {} cannot change: what is in it is found by their number.",
                it.name.as_str()
            ))),
            false => draft.add_partitions(&it.name, it.count, it.assignments.as_deref()),
        };
        additions.iter().map(add).collect()
    };
    let catalog = ctx.broker.catalog();
    match validate_only {
        true => Ok(catalog.preview(decide)),
        false => catalog.update(decide).map(|(outcomes, _)| outcomes),
    }
}

fn result(name: TopicName, outcome: Result<(), Refusal>) -> CreatePartitionsTopicResult {
    let result = CreatePartitionsTopicResult::default().with_name(name);
    match outcome {
        Ok(()) => result,
        Err(refusal) => result.with_error_code(refusal.code.code()).with_error_message(refusal.wire_message()),
    }
}

#[cfg(test)]
mod tests;

//! DescribeTransactions 0 (key 65): what is known of transactional ids (KIP-664).
//!
//! An id that nobody has used, or not for long, is TRANSACTIONAL_ID_NOT_FOUND. Topics that the client may not see are left
//! out. (`KafkaApis.handleDescribeTransactionsRequest`.)

use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::errors::ErrorCode;
use super::transactions::code_of;
use crate::coordinator::txn::request::{Description, Reply, Request};
use indexmap::IndexSet;
use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kafka_protocol::messages::{DescribeTransactionsRequest, DescribeTransactionsResponse, TopicName, TransactionalId};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;

pub(super) async fn handle(ctx: Arc<Ctx>, request: DescribeTransactionsRequest) -> DescribeTransactionsResponse {
    // Once each: a small request must not have a reply without bounds.
    let asked: IndexSet<TransactionalId> = request.transactional_ids.into_iter().collect();
    let mut states = Vec::with_capacity(asked.len());
    for id in asked {
        states.push(describe(&ctx, id).await);
    }
    DescribeTransactionsResponse::default().with_throttle_time_ms(throttle(&ctx)).with_transaction_states(states)
}

async fn describe(ctx: &Ctx, id: TransactionalId) -> TransactionState {
    let state = TransactionState::default().with_transactional_id(id.clone());
    match find(ctx, &id).await {
        Ok(found) => state
            .with_transaction_state(StrBytes::from_static_str(found.state))
            .with_transaction_timeout_ms(found.transaction_timeout_ms)
            .with_transaction_start_time_ms(found.transaction_start_time_ms)
            .with_producer_id(found.producer.producer_id.into())
            .with_producer_epoch(found.producer.producer_epoch)
            .with_topics(topics(ctx, &found)),
        Err(code) => state.with_error_code(code.code()),
    }
}

async fn find(ctx: &Ctx, id: &str) -> Result<Description, ErrorCode> {
    if !authorize(ctx, Operation::Describe, Resource::TransactionalId(id)) {
        return Err(ErrorCode::TransactionalIdAuthorizationFailed);
    }
    match ctx.broker.txns().ask(id, Request::Describe { transactional_id: id.to_owned() }).await {
        Ok(Reply::Describe(described)) => described,
        other => Err(code_of(&other)),
    }
}

fn topics(ctx: &Ctx, found: &Description) -> Vec<TopicData> {
    let mut topics: Vec<TopicData> = Vec::new();
    for it in &found.partitions {
        if !authorize(ctx, Operation::Describe, Resource::Topic(&it.topic)) {
            continue;
        }
        if topics.last().is_none_or(|last| *last.topic != *it.topic) {
            topics.push(TopicData::default().with_topic(TopicName(StrBytes::from(it.topic.to_string()))));
        }
        if let Some(last) = topics.last_mut() {
            last.partitions.push(it.partition);
        }
    }
    topics
}

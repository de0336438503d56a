//! AddPartitionsToTxn 0-5 (key 24): partitions become part of a transaction, which begins with the first.
//!
//! Until version 3 producers ask; those of transaction version 2 do not, their writes add the partitions. Since version 4
//! brokers ask about several transactions, also whether partitions are part of one (KIP-890). One partition that cannot be
//! added keeps all others of its transaction out: OPERATION_NOT_ATTEMPTED.
//!
//! Versions: 2 PRODUCER_FENCED; 3 flexible; 4 several transactions, verification; 5 TRANSACTION_ABORTABLE.
//! (`KafkaApis.handleAddPartitionsToTxnRequest`.)

use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::errors::ErrorCode;
use super::transactions::{code_of, known_as_fenced};
use crate::catalog::is_internal;
use crate::coordinator::txn::request::{ProducerIdAndEpoch, Reply, Request, TopicPartition, TransactionVersion};
use kafka_protocol::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};
use std::sync::Arc;

/// From this version on brokers ask.
const BATCHED: i16 = 4;
/// The first version whose clients know PRODUCER_FENCED.
const KNOWS_FENCED: i16 = 2;

pub(super) async fn handle(ctx: Arc<Ctx>, request: AddPartitionsToTxnRequest) -> AddPartitionsToTxnResponse {
    let response = AddPartitionsToTxnResponse::default().with_throttle_time_ms(throttle(&ctx));
    if ctx.version < BATCHED {
        let transaction = AddPartitionsToTxnTransaction::default()
            .with_transactional_id(request.v3_and_below_transactional_id)
            .with_producer_id(request.v3_and_below_producer_id)
            .with_producer_epoch(request.v3_and_below_producer_epoch)
            .with_topics(request.v3_and_below_topics);
        let codes = add(&ctx, &transaction).await;
        return response.with_results_by_topic_v3_and_below(results(&transaction.topics, codes));
    }
    if !authorize(&ctx, Operation::ClusterAction, Resource::Cluster) {
        return response.with_error_code(ErrorCode::ClusterAuthorizationFailed.code());
    }
    let mut told = Vec::with_capacity(request.transactions.len());
    for transaction in request.transactions {
        let codes = add(&ctx, &transaction).await;
        let result = AddPartitionsToTxnResult::default().with_topic_results(results(&transaction.topics, codes));
        told.push(result.with_transactional_id(transaction.transactional_id));
    }
    response.with_results_by_transaction(told)
}

fn results(topics: &[AddPartitionsToTxnTopic], codes: Vec<ErrorCode>) -> Vec<AddPartitionsToTxnTopicResult> {
    let mut codes = codes.into_iter();
    let topic = |topic: &AddPartitionsToTxnTopic| {
        let partition = |index: &i32| {
            let code = codes.next().unwrap_or(ErrorCode::UnknownServerError);
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*index)
                .with_partition_error_code(code.code())
        };
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(topic.partitions.iter().map(partition).collect())
    };
    topics.iter().map(topic).collect()
}

/// One code for each partition, in the order of the request.
async fn add(ctx: &Ctx, transaction: &AddPartitionsToTxnTransaction) -> Vec<ErrorCode> {
    let partitions: Vec<TopicPartition> = transaction.topics.iter().flat_map(partitions_of).collect();
    let all = |code: ErrorCode| vec![code; partitions.len()];
    let id = transaction.transactional_id.to_string();
    if ctx.version < BATCHED && !authorize(ctx, Operation::Write, Resource::TransactionalId(&id)) {
        return all(ErrorCode::TransactionalIdAuthorizationFailed);
    }
    let codes: Vec<ErrorCode> = partitions.iter().map(|it| check(ctx, it)).collect();
    if codes.iter().any(|code| !code.is_none()) {
        let kept_out = |code: ErrorCode| if code.is_none() { ErrorCode::OperationNotAttempted } else { code };
        return codes.into_iter().map(kept_out).collect();
    }
    let producer =
        ProducerIdAndEpoch { producer_id: transaction.producer_id.0, producer_epoch: transaction.producer_epoch };
    let version = if ctx.version < BATCHED { TransactionVersion::V0 } else { TransactionVersion::V2 };
    let asked = partitions.clone();
    let transactional_id = id.clone();
    let request = match transaction.verify_only {
        true => Request::VerifyPartitions { transactional_id, producer, partitions: asked },
        false => Request::AddPartitions { transactional_id, producer, partitions: asked, version },
    };
    let known = |code| known_as_fenced(code, ctx.version >= KNOWS_FENCED);
    match ctx.broker.txns().ask(&id, request).await {
        Ok(Reply::VerifyPartitions(Ok(codes))) => codes,
        Ok(Reply::AddPartitions(code) | Reply::VerifyPartitions(Err(code))) => all(known(code)),
        other => all(code_of(&other)),
    }
}

fn partitions_of(topic: &AddPartitionsToTxnTopic) -> impl Iterator<Item = TopicPartition> {
    let name: Arc<str> = topic.name.as_str().into();
    topic.partitions.iter().map(move |partition| TopicPartition { topic: name.clone(), partition: *partition })
}

fn check(ctx: &Ctx, TopicPartition { topic, partition }: &TopicPartition) -> ErrorCode {
    let is_client = ctx.version < BATCHED;
    if is_client && (is_internal(topic) || !authorize(ctx, Operation::Write, Resource::Topic(topic))) {
        return ErrorCode::TopicAuthorizationFailed;
    }
    let image = ctx.broker.catalog().image();
    let is_there = image.topic(topic).is_some_and(|topic| (0..topic.partitions).contains(partition));
    if is_there { ErrorCode::None } else { ErrorCode::UnknownTopicOrPartition }
}

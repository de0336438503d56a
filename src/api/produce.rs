//! Produce 3-13 (key 0): appends batches, one for each partition.
//!
//! Everything up to the log's queue happens in the order of a connection's requests; the reply waits for what `acks`
//! asks: 0 no reply, 1 the write, -1 the high watermark, by default that is the sync. A retry of a batch that is not
//! durable yet waits for the original. Past `timeout_ms` with acks=-1 the answer is REQUEST_TIMED_OUT; the batch may be
//! stored all the same. Under acks=0 an error closes the connection. One bad partition does not fail the others.
//!
//! Versions: 5 log start offset; 7 zstd; 8 record errors and messages (KIP-467); 9 flexible; 10 leader hints (KIP-951,
//! never sent: there is one broker); 11, 12 transactions V2 (KIP-890); 13 topic ids (KIP-516).
//!
//! Transactions: with the first batch of a transaction in a partition its coordinator is asked, before anything of the request
//! is appended; meanwhile the place of the request among those of its connection is kept. Since version 12 the question
//! makes the partition part of the transaction, before it is whether it is. Batches of two producers in one request are
//! INVALID_PRODUCER_ID_MAPPING.
//!
//! (`ProduceRequest`, `KafkaApis.handleProduceRequest`, `ReplicaManager.handleProduceAppend`.)

use super::Reply;
use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::errors::ErrorCode;
use crate::broker::Served;
use crate::catalog::{Topic, is_internal};
use crate::config::TopicConfig;
use crate::log::Offset;
use crate::partition::{Acks, AppendError, Appended, Appending, Guard, Origin};
use crate::time;
use crate::wire::compression::ZSTD;
use crate::wire::validate::{self, BatchError, Invalid, RecordErrors, Rules, TimestampType, ValidBatch};
use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use kafka_protocol::protocol::StrBytes;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Bytes that the records of one batch may decompress to, for each byte that a batch may have. They stream through a
/// small buffer; this bounds the work that a small request can cause.
const DECOMPRESSED_RATIO: usize = 1024;

/// The client id of Kafka's own tools, which may write to internal topics.
const ADMIN_CLIENT: &str = "__admin_client";

/// One partition's part of a request.
enum Part {
    /// To be appended.
    Checked(Box<Checked>),
    /// Submitted to a log that starts there; the outcome is waited for.
    Appending(Appending, Offset),
    /// Refused.
    Refused(Refusal),
}

/// A batch that may be appended, once its transaction's coordinator has been asked where `guard` says so.
struct Checked {
    served: Arc<Served>,
    topic: Arc<str>,
    partition: i32,
    batch: ValidBatch,
    acks: Acks,
    log_start: Offset,
    now: time::Millis,
    guard: Option<Guard>,
}

/// What is answered for a partition that was refused.
struct Refusal {
    code: ErrorCode,
    message: Option<String>,
    records: Option<RecordErrors>,
    /// Where the log starts, or -1: Kafka tells it where the partition itself refused the batch for what is in it.
    log_start: Offset,
}

impl Refusal {
    fn code(code: ErrorCode) -> Self {
        Self { code, message: None, records: None, log_start: -1 }
    }

    fn text(code: ErrorCode, message: impl ToString) -> Self {
        Self { code, message: Some(message.to_string()), records: None, log_start: -1 }
    }
}

pub(super) fn handle(
    ctx: Arc<Ctx>,
    request: ProduceRequest,
) -> impl Future<Output = Reply<ProduceResponse>> + Send + use<> {
    // In the order of the requests: nothing in here awaits.
    let acks = match request.acks {
        0 => Ok(Acks::None),
        1 => Ok(Acks::Leader),
        -1 => Ok(Acks::All),
        other => Err(Refusal::text(ErrorCode::InvalidRequiredAcks, format!("acks={other} is not one of -1, 0 and 1"))),
    };
    let silent = request.acks == 0;
    let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let deadline = (request.acks == -1).then(|| Instant::now() + timeout);
    let mut topics: Vec<_> = request.topic_data.into_iter().map(|topic| check_topic(&ctx, topic, &acks)).collect();
    let asking =
        transactional::Asking::of(&ctx, request.transactional_id.as_ref().map(|id| id.as_str()), parts_of(&mut topics));
    if asking.is_none() {
        append_all(&ctx, &mut topics);
    }
    let place = asking.as_ref().map(|_| ctx.defer_place());
    async move {
        if let Some(asking) = asking {
            asking.ask(&ctx, parts_of(&mut topics)).await;
            append_all(&ctx, &mut topics);
        }
        drop(place);
        let mut responses = Vec::with_capacity(topics.len());
        let mut failed = false;
        for (mut response, parts) in topics {
            for (index, part) in parts {
                let answer = outcome(part, deadline).await;
                failed |= answer.error_code != 0;
                response.partition_responses.push(answer.with_index(index));
            }
            responses.push(response);
        }
        match silent {
            true if failed => Reply::Close,
            true => Reply::Silent,
            false => {
                Reply::Send(ProduceResponse::default().with_responses(responses).with_throttle_time_ms(throttle(&ctx)))
            }
        }
    }
}

type Parts = Vec<(i32, Part)>;

fn parts_of(topics: &mut [(TopicProduceResponse, Parts)]) -> impl Iterator<Item = &mut Part> {
    topics.iter_mut().flat_map(|(_, parts)| parts).map(|(_, part)| part)
}

/// Appends what has been checked; what it goes to shares a sync.
fn append_all(ctx: &Ctx, topics: &mut [(TopicProduceResponse, Parts)]) {
    let _together = ctx.broker.partitions().disk().together();
    parts_of(topics).for_each(Part::append);
}

fn check_topic(ctx: &Ctx, data: TopicProduceData, acks: &Result<Acks, Refusal>) -> (TopicProduceResponse, Parts) {
    let topic = resolve(ctx, &data);
    let response = TopicProduceResponse::default().with_name(data.name).with_topic_id(data.topic_id);
    let parts = data.partition_data.into_iter().map(|partition| {
        let index = partition.index;
        let refused = |refusal: &Refusal| Refusal::text(refusal.code, refusal.message.clone().unwrap_or_default());
        let part = match (&topic, acks) {
            (_, Err(refusal)) => Err(refused(refusal)),
            (Err(code), _) => Err(Refusal::code(*code)),
            (Ok(topic), Ok(acks)) => check(ctx, topic, partition, *acks),
        };
        (index, part.map_or_else(Part::Refused, |checked| Part::Checked(Box::new(checked))))
    });
    let parts = parts.collect();
    (response, parts)
}

impl Part {
    /// Appends what has been checked.
    fn append(&mut self) {
        let Part::Checked(checked) = self else { return };
        let Checked { served, batch: ValidBatch { header, records }, acks, now, guard, .. } = &mut **checked;
        let (origin, records) = (Origin::Client(*guard), std::mem::take(records));
        let appending = served.partition.append_from(origin, *header, records, *acks, *now);
        *self = Part::Appending(appending, checked.log_start);
    }
}

/// The topic that is written to, or what is wrong with it as a whole.
fn resolve(ctx: &Ctx, data: &TopicProduceData) -> Result<Arc<Topic>, ErrorCode> {
    let image = ctx.broker.catalog().image();
    let found = if ctx.version >= 13 { image.topic_by_id(data.topic_id) } else { image.topic(&data.name) };
    let unknown = if ctx.version >= 13 { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition };
    let topic = found.cloned().ok_or(unknown)?;
    if !authorize(ctx, Operation::Write, Resource::Topic(&topic.name)) {
        return Err(ErrorCode::TopicAuthorizationFailed);
    }
    if is_internal(&topic.name) && ctx.client_id.as_deref() != Some(ADMIN_CLIENT) {
        return Err(ErrorCode::InvalidTopicException);
    }
    Ok(topic)
}

/// Finds the partition of one batch and validates the batch.
fn check(ctx: &Ctx, topic: &Topic, data: PartitionProduceData, acks: Acks) -> Result<Checked, Refusal> {
    let served: Arc<Served> = ctx
        .broker
        .partition_to_append(topic, data.index)
        .map_err(|error| Refusal::text(ErrorCode::from(&error), error))?;
    if served.partition.is_congested() {
        // Retriable, like what the disk says when it is full.
        return Err(Refusal::text(ErrorCode::KafkaStorageError, "the disk does not keep up; try again"));
    }
    let now = time::wall();
    let settings = served.settings();
    let log_start = served.partition.log_start();
    let batch = validated(data.records, &rules(ctx.version, &settings, now), log_start)?;
    let (topic, partition) = (topic.name.clone(), data.index);
    Ok(Checked { served, topic, partition, batch, acks, log_start, now, guard: None })
}

fn validated(records: Option<Bytes>, rules: &Rules, log_start: Offset) -> Result<ValidBatch, Refusal> {
    validate::validate(records, rules).map_err(|error| Refusal {
        code: ErrorCode::from(&error),
        message: Some(error.to_string()),
        log_start: if is_of_content(&error) { log_start } else { -1 },
        records: match error {
            BatchError::InvalidRecords(records) | BatchError::InvalidTimestamps(records) => Some(records),
            _ => None,
        },
    })
}

/// Whether a sound batch is refused for what is in it (`ReplicaManager.appendToLocalLog`), and not already as bytes, for
/// its size, or by `ProduceRequest.validateRecords`.
fn is_of_content(error: &BatchError) -> bool {
    match error {
        BatchError::Corrupt(_) | BatchError::TooLarge(_) | BatchError::LargerThanSegment { .. } => false,
        BatchError::Invalid(Invalid::NoBatch | Invalid::SecondBatch | Invalid::Magic(_)) => false,
        BatchError::Codec { codec, .. } => *codec > ZSTD,
        BatchError::Invalid(_)
        | BatchError::InvalidRecords(_)
        | BatchError::InvalidTimestamps(_)
        | BatchError::Undecodable => true,
    }
}

fn rules(api_version: i16, settings: &TopicConfig, now: time::Millis) -> Rules {
    let max_message_bytes = usize::try_from(settings.max_message_bytes).unwrap_or(0);
    Rules {
        api_version,
        max_message_bytes,
        segment_bytes: usize::try_from(settings.segment_size()).unwrap_or(0),
        compacted: settings.is_compacted(),
        timestamp_type: if settings.is_log_append_time() {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime {
                before_max_ms: settings.message_timestamp_before_max_ms,
                after_max_ms: settings.message_timestamp_after_max_ms,
            }
        },
        now,
        decompressed_limit: max_message_bytes.saturating_mul(DECOMPRESSED_RATIO),
    }
}

/// `None` after the deadline. What acks=1 waits for is on its way, and has none (`ReplicaManager`).
async fn finish(appending: Appending, deadline: Option<Instant>) -> Option<Result<Appended, AppendError>> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline, appending.finish()).await.ok(),
        None => Some(appending.finish().await),
    }
}

async fn outcome(part: Part, deadline: Option<Instant>) -> PartitionProduceResponse {
    let response = PartitionProduceResponse::default().with_base_offset(-1).with_log_append_time_ms(-1);
    let refusal = match part {
        Part::Refused(refusal) => refusal,
        // All of them have been appended, or refused.
        Part::Checked(_) => Refusal::code(ErrorCode::UnknownServerError),
        Part::Appending(appending, log_start) => match finish(appending, deadline).await {
            Some(Ok(appended)) => {
                return response
                    .with_base_offset(appended.base_offset)
                    .with_log_append_time_ms(appended.log_append_time)
                    .with_log_start_offset(appended.log_start_offset);
            }
            Some(Err(error @ AppendError::Sequence(_))) => {
                Refusal { log_start, ..Refusal::text(ErrorCode::from(&error), error) }
            }
            Some(Err(error)) => Refusal::text(ErrorCode::from(&error), error),
            None => Refusal::code(ErrorCode::RequestTimedOut),
        },
    };
    let records = refusal.records.iter().flat_map(|errors| &errors.named).map(|record| {
        BatchIndexAndErrorMessage::default()
            .with_batch_index(record.index)
            .with_batch_index_error_message(Some(StrBytes::from(record.reason.to_string())))
    });
    response
        .with_error_code(refusal.code.code())
        .with_log_start_offset(refusal.log_start)
        .with_record_errors(records.collect())
        .with_error_message(refusal.message.map(StrBytes::from))
}

#[cfg(test)]
mod tests;
mod transactional;

//! ConsumerGroupHeartbeat 0-1 (key 68): a member of a consumer group (KIP-848) comes, stays and goes.
//!
//! Versions: 1 the member chooses its own id; subscription by regular expression. The rules are the coordinator's.
//! (`KafkaApis.handleConsumerGroupHeartbeat`.)

use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::coordinated::{caller, code_of};
use super::errors::ErrorCode;
use crate::coordinator::group::request::{Reply, Request};
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use std::sync::Arc;
use uuid::Uuid;

pub(super) async fn handle(ctx: Arc<Ctx>, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
    beat(&ctx, request).await.with_throttle_time_ms(throttle(&ctx))
}

async fn beat(ctx: &Ctx, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
    let refused = |code: ErrorCode| ConsumerGroupHeartbeatResponse::default().with_error_code(code.code());
    // A copy: the frame is not to be kept while the request waits.
    let group_id = request.group_id.to_string();
    if !authorize(ctx, Operation::Read, Resource::Group(&group_id)) {
        return refused(ErrorCode::GroupAuthorizationFailed);
    }
    let topics = request.subscribed_topic_names.iter().flatten();
    if topics.into_iter().any(|topic| !authorize(ctx, Operation::Describe, Resource::Topic(topic))) {
        return refused(ErrorCode::TopicAuthorizationFailed);
    }
    let beating = Request::ConsumerGroupHeartbeat { caller: caller(ctx), request, fresh_id: Uuid::new_v4() };
    match ctx.broker.groups().ask(&group_id, beating).await {
        Ok(Reply::ConsumerGroupHeartbeat(response)) => response,
        other => refused(code_of(&other)),
    }
}

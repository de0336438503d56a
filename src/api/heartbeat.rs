//! Heartbeat 0-4 (key 12): a member of a classic group is alive, and learns whether there is a rebalance.
//!
//! While the group is being loaded the answer is success, as in Kafka: the member has nothing better to do than to wait.
//!
//! Versions: 3 static members (KIP-345); 4 flexible. (`KafkaApis.handleHeartbeatRequest`,
//! `GroupCoordinatorService.heartbeat`.)

use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::coordinated::code_of;
use super::errors::ErrorCode;
use crate::coordinator::Unavailable;
use crate::coordinator::group::request::{Reply, Request};
use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};
use std::sync::Arc;

pub(super) async fn handle(ctx: Arc<Ctx>, request: HeartbeatRequest) -> HeartbeatResponse {
    let code = beat(&ctx, request).await;
    HeartbeatResponse::default().with_throttle_time_ms(throttle(&ctx)).with_error_code(code.code())
}

async fn beat(ctx: &Ctx, request: HeartbeatRequest) -> ErrorCode {
    // A copy: the frame is not to be kept while the request waits.
    let group_id = request.group_id.to_string();
    if !authorize(ctx, Operation::Read, Resource::Group(&group_id)) {
        return ErrorCode::GroupAuthorizationFailed;
    }
    match ctx.broker.groups().ask(&group_id, Request::Heartbeat(request)).await {
        Ok(Reply::Heartbeat(code)) => code,
        Err(Unavailable::Loading) => ErrorCode::None,
        other => code_of(&other),
    }
}

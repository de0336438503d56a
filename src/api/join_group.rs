//! JoinGroup 0-9 (key 11): a member comes into a classic group, or comes back for a rebalance.
//!
//! Answered when the rebalance is complete, which may take the rebalance timeout; the connection waits meanwhile, as in
//! Kafka. The rules are the coordinator's.
//!
//! Versions: 1 rebalance timeout; 4 a member without an id is given one first (KIP-394); 5 static members (KIP-345); 6
//! flexible; 7 the protocol may be null; 8 reason (KIP-800); 9 a leader may skip the assignment (KIP-814).
//! (`KafkaApis.handleJoinGroupRequest`.)

use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::coordinated::{caller, code_of};
use super::errors::ErrorCode;
use crate::coordinator::group::request::{Reply, Request, refused_join};
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;
use uuid::Uuid;

#[cfg(test)]
mod tests;

/// The first version whose reply may be without a protocol.
const NULLABLE_PROTOCOL: i16 = 7;

pub(super) async fn handle(ctx: Arc<Ctx>, request: JoinGroupRequest) -> JoinGroupResponse {
    let response = join(&ctx, request).await.with_throttle_time_ms(throttle(&ctx));
    with_writable_protocol(response, ctx.version)
}

/// No protocol is null since version 7, and empty before. (The constructor of Kafka's `JoinGroupResponse`.)
fn with_writable_protocol(mut response: JoinGroupResponse, version: i16) -> JoinGroupResponse {
    let protocol = response.protocol_name.filter(|name| !name.is_empty());
    response.protocol_name = if version < NULLABLE_PROTOCOL { Some(protocol.unwrap_or_default()) } else { protocol };
    response
}

async fn join(ctx: &Ctx, request: JoinGroupRequest) -> JoinGroupResponse {
    // Copies: the frame is not to be kept while the request is parked.
    let (group_id, member_id) = (request.group_id.to_string(), StrBytes::from(request.member_id.to_string()));
    if !authorize(ctx, Operation::Read, Resource::Group(&group_id)) {
        return refused_join(ErrorCode::GroupAuthorizationFailed, member_id);
    }
    let joining = Request::JoinGroup { caller: caller(ctx), request, fresh_id: Uuid::new_v4() };
    match ctx.broker.groups().ask(&group_id, joining).await {
        Ok(Reply::JoinGroup(response)) => response,
        other => refused_join(code_of(&other), member_id),
    }
}

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
use crate::coordinator::group::request::{Reply, Request};
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;
use uuid::Uuid;

pub(super) async fn handle(ctx: Arc<Ctx>, request: JoinGroupRequest) -> JoinGroupResponse {
    let mut response = join(&ctx, request).await.with_throttle_time_ms(throttle(&ctx));
    if response.error_code != 0 {
        response.protocol_name = None;
    }
    match &response.protocol_name {
        None if ctx.version < 7 => response.with_protocol_name(Some(StrBytes::default())),
        _ => response,
    }
}

async fn join(ctx: &Ctx, request: JoinGroupRequest) -> JoinGroupResponse {
    // Copies: the frame is not to be kept while the request is parked.
    let (group_id, member_id) = (request.group_id.to_string(), StrBytes::from(request.member_id.to_string()));
    if !authorize(ctx, Operation::Read, Resource::Group(&group_id)) {
        return refused(ErrorCode::GroupAuthorizationFailed, member_id);
    }
    let joining = Request::JoinGroup { caller: caller(ctx), request, fresh_id: Uuid::new_v4() };
    match ctx.broker.groups().ask(&group_id, joining).await {
        Ok(Reply::JoinGroup(response)) => response,
        other => refused(code_of(&other), member_id),
    }
}

fn refused(code: ErrorCode, member_id: StrBytes) -> JoinGroupResponse {
    JoinGroupResponse::default()
        .with_error_code(code.code())
        .with_generation_id(-1)
        .with_protocol_name(None)
        .with_member_id(member_id)
}

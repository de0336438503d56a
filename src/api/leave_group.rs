//! LeaveGroup 0-5 (key 13): members leave a classic group, or are made to leave by a tool.
//!
//! Versions: 3 several members, static ones by their instance id (KIP-345); 4 flexible; 5 reasons (KIP-800). Until version
//! 2 there is one member, and what became of it is the answer's own code. (`KafkaApis.handleLeaveGroupRequest`,
//! `LeaveGroupRequest.normalizedData`, `LeaveGroupResponse`.)

use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::coordinated::code_of;
use super::errors::ErrorCode;
use crate::coordinator::group::request::{Reply, Request};
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};
use std::sync::Arc;

pub(super) async fn handle(ctx: Arc<Ctx>, request: LeaveGroupRequest) -> LeaveGroupResponse {
    let response = LeaveGroupResponse::default().with_throttle_time_ms(throttle(&ctx));
    match leave(&ctx, request).await {
        Ok(members) if ctx.version >= 3 => response.with_members(members),
        Ok(members) => response.with_error_code(members.first().map_or(0, |member| member.error_code)),
        Err(code) => response.with_error_code(code.code()),
    }
}

async fn leave(ctx: &Ctx, request: LeaveGroupRequest) -> Result<Vec<MemberResponse>, ErrorCode> {
    let group_id = request.group_id.to_string();
    if !authorize(ctx, Operation::Read, Resource::Group(&group_id)) {
        return Err(ErrorCode::GroupAuthorizationFailed);
    }
    let members = match ctx.version {
        3.. => request.members,
        _ => vec![MemberIdentity::default().with_member_id(request.member_id)],
    };
    let leaving = Request::LeaveGroup { group_id: group_id.clone(), members };
    match ctx.broker.groups().ask(&group_id, leaving).await {
        Ok(Reply::LeaveGroup(left)) => left,
        other => Err(code_of(&other)),
    }
}

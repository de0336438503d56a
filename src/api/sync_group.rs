//! SyncGroup 0-5 (key 14): the leader hands in the assignments, every member gets its own.
//!
//! Answered when the leader has sent them. The rules are the coordinator's.
//!
//! Versions: 3 static members (KIP-345); 4 flexible; 5 protocol type and name, which have to be there (KIP-559).
//! (`KafkaApis.handleSyncGroupRequest`.)

use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::coordinated::{caller, code_of};
use super::errors::ErrorCode;
use crate::coordinator::group::request::{Reply, Request};
use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};
use std::sync::Arc;

pub(super) async fn handle(ctx: Arc<Ctx>, request: SyncGroupRequest) -> SyncGroupResponse {
    sync(&ctx, request).await.with_throttle_time_ms(throttle(&ctx))
}

async fn sync(ctx: &Ctx, request: SyncGroupRequest) -> SyncGroupResponse {
    // A copy: the frame is not to be kept while the request waits.
    let group_id = request.group_id.to_string();
    if ctx.version >= 5 && (request.protocol_type.is_none() || request.protocol_name.is_none()) {
        return refused(ErrorCode::InconsistentGroupProtocol);
    }
    if !authorize(ctx, Operation::Read, Resource::Group(&group_id)) {
        return refused(ErrorCode::GroupAuthorizationFailed);
    }
    match ctx.broker.groups().ask(&group_id, Request::SyncGroup { caller: caller(ctx), request }).await {
        Ok(Reply::SyncGroup(response)) => response,
        other => refused(code_of(&other)),
    }
}

fn refused(code: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse::default().with_error_code(code.code())
}

//! DeleteGroups 0-2 (key 42): removes groups without members, with all that they committed.
//!
//! Versions: 2 flexible. (`KafkaApis.handleDeleteGroupsRequest`.)

use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::coordinated::code_of;
use super::errors::ErrorCode;
use crate::coordinator::group::request::{Reply, Request};
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) async fn handle(ctx: Arc<Ctx>, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let mut results = Vec::new();
    let mut seen = BTreeSet::new();
    for group_id in request.groups_names {
        // Given twice it is answered once.
        if seen.insert(group_id.to_string()) {
            let code = delete(&ctx, &group_id).await;
            results.push(DeletableGroupResult::default().with_group_id(group_id).with_error_code(code.code()));
        }
    }
    DeleteGroupsResponse::default().with_throttle_time_ms(throttle(&ctx)).with_results(results)
}

async fn delete(ctx: &Ctx, group_id: &str) -> ErrorCode {
    if !authorize(ctx, Operation::Delete, Resource::Group(group_id)) {
        return ErrorCode::GroupAuthorizationFailed;
    }
    match ctx.broker.groups().ask(group_id, Request::DeleteGroup(group_id.to_owned())).await {
        Ok(Reply::DeleteGroup(code)) => code,
        other => code_of(&other),
    }
}

//! DescribeGroups 0-6 (key 15): classic groups with their members.
//!
//! A group that is not there, or not classic, is "Dead". Versions: 3 authorized operations (KIP-430); 4 instance ids
//! (KIP-345); 5 flexible; 6 GROUP_ID_NOT_FOUND with a text. (`KafkaApis.handleDescribeGroupsRequest`.)

use super::admin::{NOT_ASKED, authorized_operations};
use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::coordinated::code_of;
use super::errors::ErrorCode;
use crate::coordinator::group::request::{Reply, Request};
use indexmap::IndexSet;
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};
use std::sync::Arc;

pub(super) async fn handle(ctx: Arc<Ctx>, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let mut groups = Vec::new();
    // Once each: a small request must not have a reply without bounds.
    let asked: IndexSet<GroupId> = request.groups.into_iter().collect();
    for group_id in asked {
        let described = describe(&ctx, group_id).await;
        let operations = match request.include_authorized_operations && described.error_code == 0 {
            true => authorized_operations(&ctx, Resource::Group(&described.group_id)),
            false => NOT_ASKED,
        };
        groups.push(described.with_authorized_operations(operations));
    }
    DescribeGroupsResponse::default().with_throttle_time_ms(throttle(&ctx)).with_groups(groups)
}

async fn describe(ctx: &Ctx, group_id: GroupId) -> DescribedGroup {
    let refused =
        |code: ErrorCode| DescribedGroup::default().with_group_id(group_id.clone()).with_error_code(code.code());
    if !authorize(ctx, Operation::Describe, Resource::Group(&group_id)) {
        return refused(ErrorCode::GroupAuthorizationFailed);
    }
    let asked = Request::DescribeGroup { version: ctx.version, group_id: group_id.to_string() };
    match ctx.broker.groups().ask(&group_id, asked).await {
        Ok(Reply::DescribeGroup(group)) => group,
        other => refused(code_of(&other)),
    }
}

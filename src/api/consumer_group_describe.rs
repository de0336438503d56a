//! ConsumerGroupDescribe 0-1 (key 69): consumer groups (KIP-848) with their members and assignments.
//!
//! Versions: 1 member types. (`KafkaApis.handleConsumerGroupDescribe`.)

use super::admin::{NOT_ASKED, authorized_operations};
use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::coordinated::code_of;
use super::errors::ErrorCode;
use crate::coordinator::group::request::{Reply, Request};
use indexmap::IndexSet;
use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup;
use kafka_protocol::messages::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, GroupId};
use std::sync::Arc;

pub(super) async fn handle(ctx: Arc<Ctx>, request: ConsumerGroupDescribeRequest) -> ConsumerGroupDescribeResponse {
    let mut groups = Vec::new();
    // Once each: a small request must not have a reply without bounds.
    let asked: IndexSet<GroupId> = request.group_ids.into_iter().collect();
    for group_id in asked {
        let described = describe(&ctx, group_id).await;
        let operations = match request.include_authorized_operations && described.error_code == 0 {
            true => authorized_operations(&ctx, Resource::Group(&described.group_id)),
            false => NOT_ASKED,
        };
        groups.push(described.with_authorized_operations(operations));
    }
    ConsumerGroupDescribeResponse::default().with_throttle_time_ms(throttle(&ctx)).with_groups(groups)
}

async fn describe(ctx: &Ctx, group_id: GroupId) -> DescribedGroup {
    let refused =
        |code: ErrorCode| DescribedGroup::default().with_group_id(group_id.clone()).with_error_code(code.code());
    if group_id.is_empty() {
        return refused(ErrorCode::InvalidGroupId);
    }
    if !authorize(ctx, Operation::Describe, Resource::Group(&group_id)) {
        return refused(ErrorCode::GroupAuthorizationFailed);
    }
    match ctx.broker.groups().ask(&group_id, Request::DescribeConsumerGroup(group_id.to_string())).await {
        Ok(Reply::DescribeConsumerGroup(group)) => group,
        other => refused(code_of(&other)),
    }
}

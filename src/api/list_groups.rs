//! ListGroups 0-5 (key 16): all groups of this broker.
//!
//! Versions: 3 flexible; 4 states, and a filter by them (KIP-518); 5 types, and a filter by them (KIP-848). Filters ignore
//! case. A type that no group can have fits none. (`KafkaApis.handleListGroupsRequest`, `GroupMetadataManager.listGroups`.)

use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::errors::ErrorCode;
use crate::coordinator::group::request::ListedGroup;
use kafka_protocol::messages::list_groups_response::ListedGroup as Told;
use kafka_protocol::messages::{ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;

pub(super) async fn handle(ctx: Arc<Ctx>, request: ListGroupsRequest) -> ListGroupsResponse {
    let response = ListGroupsResponse::default().with_throttle_time_ms(throttle(&ctx));
    let groups = match ctx.broker.groups().list().await {
        Ok(groups) => groups,
        Err(error) => return response.with_error_code(ErrorCode::from(&error).code()),
    };
    let sees_all = authorize(&ctx, Operation::Describe, Resource::Cluster);
    let seen = |group: &ListedGroup| {
        let allowed = sees_all || authorize(&ctx, Operation::Describe, Resource::Group(&group.group_id));
        allowed && fits(&request.states_filter, group.state) && fits(&request.types_filter, group.group_type)
    };
    response.with_groups(groups.into_iter().filter(seen).map(|group| told(group, ctx.version)).collect())
}

fn fits(filter: &[StrBytes], word: &str) -> bool {
    filter.is_empty() || filter.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(word))
}

fn told(group: ListedGroup, version: i16) -> Told {
    let told = Told::default()
        .with_group_id(StrBytes::from(group.group_id).into())
        .with_protocol_type(StrBytes::from(group.protocol_type));
    let told = if version >= 4 { told.with_group_state(StrBytes::from_static_str(group.state)) } else { told };
    if version >= 5 { told.with_group_type(StrBytes::from_static_str(group.group_type)) } else { told }
}

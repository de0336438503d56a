//! ListConfigResources 0-1 (key 74): the names of what has settings.
//!
//! All topics, this broker, and the groups that have settings of their own. An empty list of types asks for all; one with a
//! type that does not exist is UNSUPPORTED_VERSION, as with Kafka.
//!
//! Versions: 0 asks for client metrics only (KIP-714); 1 names types (KIP-1142).
//!
//! Gaps: there are no log levels and client metrics here yet, so none are told of. (`KafkaApis.handleListConfigResources`.)

use super::config_resource::Kind;
use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::errors::ErrorCode;
use kafka_protocol::messages::list_config_resources_response::ConfigResource;
use kafka_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;

pub(super) async fn handle(ctx: Arc<Ctx>, request: ListConfigResourcesRequest) -> ListConfigResourcesResponse {
    let response = ListConfigResourcesResponse::default().with_throttle_time_ms(throttle(&ctx));
    if !authorize(&ctx, Operation::DescribeConfigs, Resource::Cluster) {
        return response.with_error_code(ErrorCode::ClusterAuthorizationFailed.code());
    }
    let types = &request.resource_types;
    if types.iter().any(|number| Kind::of(*number).is_none()) {
        return response.with_error_code(ErrorCode::UnsupportedVersion.code());
    }
    let wanted = |kind: Kind| ctx.version >= 1 && (types.is_empty() || types.contains(&kind.number()));
    let mut resources = Vec::new();
    let mut tell = |kind: Kind, name: StrBytes| {
        resources.push(ConfigResource::default().with_resource_type(kind.number()).with_resource_name(name));
    };
    let image = ctx.broker.catalog().image();
    if wanted(Kind::Group) {
        image.groups_with_configs().for_each(|group| tell(Kind::Group, StrBytes::from(group.to_string())));
    }
    if wanted(Kind::Broker) {
        tell(Kind::Broker, StrBytes::from(ctx.broker.node_id().to_string()));
    }
    if wanted(Kind::Topic) {
        image.topics().for_each(|topic| tell(Kind::Topic, StrBytes::from(topic.name.to_string())));
    }
    response.with_config_resources(resources)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Api;
    use crate::api::testing::{ask, create_topic, set_group};
    use crate::broker::Broker;

    async fn listed(version: i16, types: &[i8]) -> (i16, Vec<String>) {
        let broker = Broker::in_memory(&[("node.id", "7")]);
        create_topic(&broker, "t", &[]);
        create_topic(&broker, "u", &[("retention.ms", "1")]);
        set_group(&broker, "g", &[("consumer.session.timeout.ms", "50000")]);
        set_group(&broker, "gone", &[("consumer.session.timeout.ms", "50000")]);
        set_group(&broker, "gone", &[]);
        let request = ListConfigResourcesRequest::default().with_resource_types(types.to_vec());
        let response = ask(&Api::new(broker), version, &request).await;
        let names = response.config_resources.iter().map(|one| format!("{} {}", one.resource_type, one.resource_name));
        (response.error_code, names.collect())
    }

    #[tokio::test]
    async fn what_has_settings() {
        for (version, types, names) in [
            (1, &[][..], &["32 g", "4 7", "2 t", "2 u"][..]),
            (1, &[32], &["32 g"]),
            (1, &[4, 32, 4], &["32 g", "4 7"]),
            (1, &[2], &["2 t", "2 u"]),
            (1, &[8, 16], &[]),
            (0, &[], &[]),
        ] {
            let names: Vec<_> = names.iter().map(|name| name.to_string()).collect();
            assert_eq!(listed(version, types).await, (0, names), "{version} {types:?}");
        }
    }

    #[tokio::test]
    async fn a_type_that_does_not_exist_fails_the_request() {
        for types in [&[0][..], &[77], &[2, -1], &[1]] {
            assert_eq!(listed(1, types).await, (ErrorCode::UnsupportedVersion.code(), vec![]), "{types:?}");
        }
    }
}

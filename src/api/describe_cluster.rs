//! DescribeCluster 0-2 (key 60): the cluster's id, its controller and its brokers: this one.
//!
//! Only the endpoints of brokers are told of, since there are no others: a request for controllers is
//! MISMATCHED_ENDPOINT_TYPE, any other type UNSUPPORTED_ENDPOINT_TYPE.
//!
//! Versions: 0 flexible already (KIP-700); 1 endpoint type (KIP-919); 2 fenced brokers (KIP-1073; there are none).
//! (`AuthHelper.computeDescribeClusterResponse`.)

use super::admin::{NOT_ASKED, Refusal, cluster_operations};
use super::context::{Ctx, throttle};
use super::errors::ErrorCode;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{DescribeClusterRequest, DescribeClusterResponse};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;

/// The endpoint types of the protocol (`EndpointType`).
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(super) async fn handle(ctx: Arc<Ctx>, request: DescribeClusterRequest) -> DescribeClusterResponse {
    let response = DescribeClusterResponse::default().with_throttle_time_ms(throttle(&ctx));
    if let Err(refusal) = check_endpoint(request.endpoint_type) {
        return response.with_error_code(refusal.code.code()).with_error_message(refusal.wire_message());
    }
    let operations = if request.include_cluster_authorized_operations { cluster_operations(&ctx) } else { NOT_ASKED };
    let endpoint = ctx.advertised();
    let this_broker = DescribeClusterBroker::default()
        .with_broker_id(ctx.broker.node_id().into())
        .with_host(StrBytes::from(endpoint.host.to_string()))
        .with_port(endpoint.port.into())
        .with_rack(ctx.broker.config().broker_rack.clone().map(StrBytes::from));
    response
        .with_cluster_id(StrBytes::from(ctx.broker.catalog().image().cluster_id().to_owned()))
        .with_controller_id(ctx.broker.node_id().into())
        .with_brokers(vec![this_broker])
        .with_cluster_authorized_operations(operations)
}

fn check_endpoint(endpoint_type: i8) -> Result<(), Refusal> {
    match endpoint_type {
        BROKERS => Ok(()),
        CONTROLLERS => {
            let text = "This is an endpoint of a broker; controllers were asked for.";
            Err(Refusal::text(ErrorCode::MismatchedEndpointType, text))
        }
        other => Err(Refusal::text(ErrorCode::UnsupportedEndpointType, format!("There is no endpoint type {other}."))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{ctx, received};
    use crate::broker::Broker;

    async fn ask(broker: &Arc<Broker>, version: i16, request: DescribeClusterRequest) -> DescribeClusterResponse {
        received(handle(ctx(broker, version), request).await, version)
    }

    #[tokio::test]
    async fn every_version_tells_of_this_broker() {
        let broker = Broker::in_memory(&[("node.id", "7"), ("cluster.id", "the-cluster"), ("broker.rack", "r1")]);
        for version in 0..=2 {
            let response = ask(&broker, version, DescribeClusterRequest::default()).await;
            assert_eq!((response.error_code, response.error_message), (0, None));
            assert_eq!((response.cluster_id.as_str(), response.controller_id.0), ("the-cluster", 7));
            assert_eq!(response.cluster_authorized_operations, i32::MIN);
            assert_eq!(response.endpoint_type, BROKERS);
            let [told] = &response.brokers[..] else { panic!("{:?}", response.brokers) };
            assert_eq!(
                (told.broker_id.0, told.host.as_str(), told.port, told.is_fenced),
                (7, "127.0.0.1", 9092, false)
            );
            assert_eq!(told.rack.as_ref().unwrap().as_str(), "r1");
            let request = DescribeClusterRequest::default().with_include_cluster_authorized_operations(true);
            assert_eq!(ask(&broker, version, request).await.cluster_authorized_operations, 8096);
        }
    }

    #[tokio::test]
    async fn only_brokers_are_told_of() {
        let broker = Broker::in_memory(&[]);
        for (endpoint_type, code) in [
            (CONTROLLERS, ErrorCode::MismatchedEndpointType),
            (7, ErrorCode::UnsupportedEndpointType),
            (0, ErrorCode::UnsupportedEndpointType),
            (-1, ErrorCode::UnsupportedEndpointType),
        ] {
            for version in 1..=2 {
                let request = DescribeClusterRequest::default().with_endpoint_type(endpoint_type);
                let response = ask(&broker, version, request).await;
                assert_eq!(response.error_code, code.code());
                assert!(response.error_message.is_some());
                assert!(response.brokers.is_empty() && response.cluster_id.is_empty());
            }
        }
    }
}

//! FindCoordinator 0-6 (key 10): who looks after a group or a transactional id.
//!
//! Groups and transactions: this broker, under the address that the client knows it by. The topic that they keep their state
//! in is made by the first question, so that a broker without groups has no such topic; Kafka answers that first question
//! with COORDINATOR_NOT_AVAILABLE, here it is answered when the topic is there. There are no share groups:
//! INVALID_REQUEST, also Kafka's answer before version 6. A key type that does not exist is INVALID_REQUEST.
//!
//! Versions: 1 key type, messages; 3 flexible; 4 several keys (KIP-699), each with its own answer; 5 KIP-890; 6 share
//! groups (KIP-932). (`KafkaApis.handleFindCoordinatorRequest`.)

use super::admin::{Refusal, changing};
use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::errors::ErrorCode;
use crate::catalog::{CONSUMER_OFFSETS, TRANSACTION_STATE};
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;

/// The key types of the protocol (`FindCoordinatorRequest.CoordinatorType`).
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

pub(super) async fn handle(ctx: Arc<Ctx>, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
    let response = FindCoordinatorResponse::default().with_throttle_time_ms(throttle(&ctx));
    if ctx.version >= 4 {
        let mut answers = Vec::new();
        for key in request.coordinator_keys {
            answers.push(answer(&ctx, request.key_type, key).await);
        }
        return response.with_coordinators(answers);
    }
    let one = answer(&ctx, request.key_type, request.key).await;
    response
        .with_node_id(one.node_id)
        .with_host(one.host)
        .with_port(one.port)
        .with_error_code(one.error_code)
        .with_error_message(one.error_message)
}

async fn answer(ctx: &Arc<Ctx>, key_type: i8, key: StrBytes) -> Coordinator {
    match check(ctx, key_type, &key).await {
        Ok(()) => {
            let here = ctx.advertised();
            Coordinator::default()
                .with_key(key)
                .with_node_id(BrokerId(ctx.broker.node_id()))
                .with_host(StrBytes::from(here.host.to_string()))
                .with_port(i32::from(here.port))
        }
        Err(refusal) => Coordinator::default()
            .with_key(key)
            .with_node_id(BrokerId(-1))
            .with_port(-1)
            .with_error_code(refusal.code.code())
            .with_error_message(refusal.wire_message()),
    }
}

/// Whether this broker is the coordinator, or why there is none.
async fn check(ctx: &Arc<Ctx>, key_type: i8, key: &str) -> Result<(), Refusal> {
    match key_type {
        GROUP if !authorize(ctx, Operation::Describe, Resource::Group(key)) => {
            Err(Refusal::code(ErrorCode::GroupAuthorizationFailed))
        }
        GROUP => ensure_topic(ctx, CONSUMER_OFFSETS).await,
        TRANSACTION if !authorize(ctx, Operation::Describe, Resource::TransactionalId(key)) => {
            Err(Refusal::code(ErrorCode::TransactionalIdAuthorizationFailed))
        }
        TRANSACTION => ensure_topic(ctx, TRANSACTION_STATE).await,
        SHARE if !authorize(ctx, Operation::ClusterAction, Resource::Cluster) => {
            Err(Refusal::code(ErrorCode::ClusterAuthorizationFailed))
        }
        SHARE => Err(Refusal::text(ErrorCode::InvalidRequest, "Share groups are not supported by this broker yet.")),
        other => Err(Refusal::text(ErrorCode::InvalidRequest, format!("There is no coordinator of type {other}."))),
    }
}

/// Makes a coordinator's topic if it is not there. Clients ask again where that cannot be done now.
pub(super) async fn ensure_topic(ctx: &Ctx, topic: &'static str) -> Result<(), Refusal> {
    if ctx.broker.catalog().image().topic(topic).is_some() {
        return Ok(());
    }
    let broker = ctx.broker.clone();
    let made = changing(move || broker.create_on_first_use(&[topic.to_owned()])).await;
    let refusal = match made.map(|mut made| made.pop()) {
        Ok(Some(Ok(_))) => return Ok(()),
        Ok(Some(Err(error))) => Refusal::from(error),
        Ok(None) => Refusal::code(ErrorCode::UnknownServerError),
        Err(refusal) => refusal,
    };
    Err(Refusal { code: ErrorCode::CoordinatorNotAvailable, message: refusal.message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{ctx, received};
    use crate::broker::Broker;

    async fn ask(broker: &Arc<Broker>, version: i16, key_type: i8, keys: &[&str]) -> FindCoordinatorResponse {
        let mut keys: Vec<StrBytes> = keys.iter().map(|key| StrBytes::from((*key).to_owned())).collect();
        let request = FindCoordinatorRequest::default().with_key_type(key_type);
        let request = match version {
            4.. => request.with_coordinator_keys(keys),
            _ => request.with_key(keys.remove(0)),
        };
        received(handle(ctx(broker, version), request).await, version)
    }

    #[tokio::test]
    async fn what_has_no_coordinator_has_its_code() {
        let broker = Broker::in_memory(&[]);
        for (key_type, code) in
            [(SHARE, ErrorCode::InvalidRequest), (7, ErrorCode::InvalidRequest), (-1, ErrorCode::InvalidRequest)]
        {
            for version in 1..=3 {
                let response = ask(&broker, version, key_type, &["key"]).await;
                assert_eq!(response.error_code, code.code(), "version {version}, type {key_type}");
                assert_eq!((response.node_id.0, response.host.as_str(), response.port), (-1, "", -1));
                assert!(response.error_message.is_some_and(|text| !text.is_empty()));
            }
            for version in 4..=6 {
                let response = ask(&broker, version, key_type, &["key", "other"]).await;
                let keys: Vec<_> = response.coordinators.iter().map(|it| it.key.as_str()).collect();
                assert_eq!(keys, ["key", "other"]);
                for told in &response.coordinators {
                    assert_eq!(told.error_code, code.code(), "version {version}, type {key_type}");
                    assert_eq!((told.node_id.0, told.host.as_str(), told.port), (-1, "", -1));
                    assert!(told.error_message.as_ref().is_some_and(|text| !text.is_empty()));
                }
            }
        }
        assert!(broker.groups().topic().is_none());
        assert!(ask(&broker, 6, GROUP, &[]).await.coordinators.is_empty());
    }

    #[tokio::test]
    async fn groups_are_coordinated_here_on_a_topic_made_by_the_first_question() {
        for version in 0..=6 {
            let broker = Broker::in_memory(&[("node.id", "5"), ("offsets.topic.num.partitions", "7")]);
            let response = ask(&broker, version, GROUP, &["g"]).await;
            let told = match response.coordinators.first() {
                Some(one) => (one.error_code, one.node_id.0, one.host.to_string(), one.port),
                None => (response.error_code, response.node_id.0, response.host.to_string(), response.port),
            };
            assert_eq!(told, (0, 5, "127.0.0.1".to_owned(), 9092), "version {version}");
            let topic = broker.groups().topic().unwrap();
            let settings = broker.topic_settings(&topic);
            assert_eq!((topic.partitions, settings.segment_bytes), (7, 104_857_600));
            assert_eq!(topic.configs.get("cleanup.policy").map(String::as_str), Some("compact"));
        }
    }
}

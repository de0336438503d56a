use super::*;
use crate::api::testing::{ctx, received};
use crate::broker::Broker;
use kafka_protocol::protocol::StrBytes;

/// Code, id and epoch of the answer.
async fn ask(broker: &Arc<Broker>, version: i16, request: InitProducerIdRequest) -> (ErrorCode, i64, i16) {
    let response = received(handle(ctx(broker, version), request).await, version);
    (ErrorCode::from_code(response.error_code).unwrap(), response.producer_id.0, response.producer_epoch)
}

fn idempotent() -> InitProducerIdRequest {
    InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(i32::MAX)
}

fn of(id: i64, epoch: i16) -> InitProducerIdRequest {
    idempotent().with_producer_id(id.into()).with_producer_epoch(epoch)
}

fn transactional(id: &str) -> InitProducerIdRequest {
    idempotent().with_transactional_id(Some(StrBytes::from(id.to_owned()).into()))
}

#[tokio::test]
async fn every_version_hands_out_a_fresh_id_with_epoch_0() {
    let broker = Broker::in_memory(&[]);
    for (version, id) in (0..=5).zip(0..) {
        assert_eq!(ask(&broker, version, idempotent()).await, (ErrorCode::None, id, 0));
    }
    assert_eq!(ask(&broker, 5, of(4000, 3)).await, (ErrorCode::None, 6, 0));
}

#[tokio::test]
async fn half_of_id_and_epoch_is_an_invalid_request() {
    let broker = Broker::in_memory(&[]);
    for request in [of(4000, -1), of(-1, 3)] {
        assert_eq!(ask(&broker, 5, request).await, (ErrorCode::InvalidRequest, -1, -1));
    }
}

#[tokio::test]
async fn a_transactional_id_gets_a_code_that_nobody_retries() {
    let broker = Broker::in_memory(&[]);
    for version in 0..=5 {
        let refused = (ErrorCode::TransactionalIdAuthorizationFailed, -1, -1);
        assert_eq!(ask(&broker, version, transactional("tx")).await, refused);
        assert_eq!(ask(&broker, version, transactional("")).await, (ErrorCode::InvalidRequest, -1, -1));
    }
    assert!(!broker.is_first(Warning::Transactions));
}

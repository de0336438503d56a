use super::*;
use crate::api::testing::{ctx, received};
use crate::broker::Broker;
use crate::catalog::TRANSACTION_STATE;
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
    idempotent().with_transactional_id(Some(StrBytes::from(id.to_owned()).into())).with_transaction_timeout_ms(60_000)
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
async fn a_transactional_id_keeps_its_producer_and_each_session_has_its_epoch() {
    let broker = Broker::in_memory(&[]);
    assert_eq!(
        ask(&broker, 5, transactional("tx")).await,
        (ErrorCode::NotCoordinator, -1, -1),
        "nobody has looked for it"
    );
    broker.create_on_first_use(&[TRANSACTION_STATE.to_owned()]).unwrap().remove(0).unwrap();
    for (version, epoch) in (0..=5).zip(0..) {
        assert_eq!(ask(&broker, version, transactional("tx")).await, (ErrorCode::None, 0, epoch));
        assert_eq!(ask(&broker, version, transactional("")).await, (ErrorCode::InvalidRequest, -1, -1));
        let long = transactional("tx").with_transaction_timeout_ms(900_001);
        assert_eq!(ask(&broker, version, long).await, (ErrorCode::InvalidTransactionTimeout, -1, -1));
    }
    let session = |epoch| transactional("tx").with_producer_id(0.into()).with_producer_epoch(epoch);
    assert_eq!(ask(&broker, 3, session(2)).await, (ErrorCode::InvalidProducerEpoch, -1, -1));
    assert_eq!(ask(&broker, 4, session(2)).await, (ErrorCode::ProducerFenced, -1, -1));
    assert_eq!(ask(&broker, 4, session(5)).await, (ErrorCode::None, 0, 6));
}

//! FindCoordinator 0-6 (key 10): who looks after a group or a transactional id. Nobody yet.
//!
//! There are no groups yet: COORDINATOR_NOT_AVAILABLE, which clients ask about again, and one warning in the log for all
//! of them. There are no transactions yet: a transactional id gets TRANSACTIONAL_ID_AUTHORIZATION_FAILED, which no client
//! retries, and a message. There are no share groups: INVALID_REQUEST, also Kafka's answer before version 6. A key type
//! that does not exist is INVALID_REQUEST. The API is there all the same, because librdkafka compresses with lz4 only for
//! brokers that have it.
//!
//! Versions: 1 key type, messages; 3 flexible; 4 several keys (KIP-699), each with its own answer; 5 KIP-890; 6 share
//! groups (KIP-932). (`KafkaApis.handleFindCoordinatorRequest`.)

use super::admin::Refusal;
use super::context::{Ctx, Operation, Resource, authorize, throttle};
use super::errors::ErrorCode;
use crate::broker::Warning;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;

/// The key types of the protocol (`FindCoordinatorRequest.CoordinatorType`).
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

const NO_NODE: BrokerId = BrokerId(-1);
const NO_PORT: i32 = -1;

pub(super) async fn handle(ctx: Arc<Ctx>, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
    let response = FindCoordinatorResponse::default().with_throttle_time_ms(throttle(&ctx));
    if ctx.version >= 4 {
        let answer = |key: StrBytes| {
            let refusal = refusal(&ctx, request.key_type, &key);
            Coordinator::default()
                .with_key(key)
                .with_node_id(NO_NODE)
                .with_port(NO_PORT)
                .with_error_code(refusal.code.code())
                .with_error_message(refusal.wire_message())
        };
        return response.with_coordinators(request.coordinator_keys.into_iter().map(answer).collect());
    }
    let refusal = refusal(&ctx, request.key_type, &request.key);
    response
        .with_node_id(NO_NODE)
        .with_port(NO_PORT)
        .with_error_code(refusal.code.code())
        .with_error_message(refusal.wire_message())
}

/// Why there is no coordinator for this key.
fn refusal(ctx: &Ctx, key_type: i8, key: &str) -> Refusal {
    match key_type {
        GROUP if !authorize(ctx, Operation::Describe, Resource::Group(key)) => {
            Refusal::code(ErrorCode::GroupAuthorizationFailed)
        }
        GROUP => {
            if ctx.broker.is_first(Warning::Groups) {
                tracing::warn!(group = key, "consumer groups are not supported yet; their clients go on asking");
            }
            Refusal::text(ErrorCode::CoordinatorNotAvailable, "Consumer groups are not supported by this broker yet.")
        }
        TRANSACTION if !authorize(ctx, Operation::Describe, Resource::TransactionalId(key)) => {
            Refusal::code(ErrorCode::TransactionalIdAuthorizationFailed)
        }
        TRANSACTION => {
            let text = "Transactions are not supported by this broker yet.";
            Refusal::text(ErrorCode::TransactionalIdAuthorizationFailed, text)
        }
        SHARE if !authorize(ctx, Operation::ClusterAction, Resource::Cluster) => {
            Refusal::code(ErrorCode::ClusterAuthorizationFailed)
        }
        SHARE => Refusal::text(ErrorCode::InvalidRequest, "Share groups are not supported by this broker yet."),
        other => Refusal::text(ErrorCode::InvalidRequest, format!("There is no coordinator of type {other}.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{ctx, received};
    use crate::broker::Broker;
    use futures_util::FutureExt;
    use std::io;
    use std::sync::Mutex;

    fn ask(broker: &Arc<Broker>, version: i16, key_type: i8, keys: &[&str]) -> FindCoordinatorResponse {
        let mut keys: Vec<StrBytes> = keys.iter().map(|key| StrBytes::from((*key).to_owned())).collect();
        let request = FindCoordinatorRequest::default().with_key_type(key_type);
        let request = match version {
            4.. => request.with_coordinator_keys(keys),
            _ => request.with_key(keys.remove(0)),
        };
        received(handle(ctx(broker, version), request).now_or_never().unwrap(), version)
    }

    #[test]
    fn every_type_of_key_has_its_code() {
        let broker = Broker::in_memory(&[]);
        for (key_type, code) in [
            (GROUP, ErrorCode::CoordinatorNotAvailable),
            (TRANSACTION, ErrorCode::TransactionalIdAuthorizationFailed),
            (SHARE, ErrorCode::InvalidRequest),
            (7, ErrorCode::InvalidRequest),
            (-1, ErrorCode::InvalidRequest),
        ] {
            for version in if key_type == GROUP { 0..=3 } else { 1..=3 } {
                let response = ask(&broker, version, key_type, &["key"]);
                assert_eq!(response.error_code, code.code(), "version {version}, type {key_type}");
                assert_eq!((response.node_id.0, response.host.as_str(), response.port), (-1, "", -1));
                let text = response.error_message.unwrap_or_default();
                assert_eq!(text.is_empty(), version == 0, "{text:?}");
            }
            for version in 4..=6 {
                let response = ask(&broker, version, key_type, &["key", "other"]);
                let keys: Vec<_> = response.coordinators.iter().map(|it| it.key.as_str()).collect();
                assert_eq!(keys, ["key", "other"]);
                for told in &response.coordinators {
                    assert_eq!(told.error_code, code.code(), "version {version}, type {key_type}");
                    assert_eq!((told.node_id.0, told.host.as_str(), told.port), (-1, "", -1));
                    assert!(told.error_message.as_ref().is_some_and(|text| !text.is_empty()));
                }
            }
        }
        assert!(ask(&broker, 6, GROUP, &[]).coordinators.is_empty());
    }

    /// Where a log goes.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn groups_are_warned_about_once() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let broker = Broker::in_memory(&[]);
            ask(&broker, 0, GROUP, &["one"]);
            ask(&broker, 6, GROUP, &["two", "three"]);
            ask(&broker, 6, TRANSACTION, &["four"]);
        });
        let logged = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let warnings: Vec<&str> = logged.lines().filter(|line| line.contains("WARN")).collect();
        assert!(matches!(warnings[..], [line] if line.contains("group=\"one\"")), "{logged}");
    }
}

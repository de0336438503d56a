//! Help for tests that ask a handler directly: a context, and a reply put through its encoding.

use super::context::{Ctx, Listener, Peer};
use crate::broker::Broker;
use crate::catalog::{NewTopic, Topic};
use bytes::BytesMut;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use std::sync::Arc;

/// Surroundings of a request of this version, to a broker that advertises nothing but the connection's own address,
/// 127.0.0.1:9092.
pub fn ctx(broker: &Arc<Broker>, version: i16) -> Arc<Ctx> {
    let listener = Arc::new(Listener { name: "PLAINTEXT".into(), advertised: None });
    let peer = Peer::new(listener, "127.0.0.1:9092".parse().unwrap(), "127.0.0.1:5000".parse().unwrap());
    Arc::new(Ctx {
        broker: broker.clone(),
        fetch_sessions: Arc::default(),
        api_key: 0,
        version,
        correlation_id: 1,
        client_id: Some("test".into()),
        peer: Arc::new(peer),
    })
}

/// What a client reads: the message encoded and decoded again, with nothing left over.
pub fn received<M: Encodable + Decodable>(message: M, version: i16) -> M {
    let mut bytes = BytesMut::new();
    message.encode(&mut bytes, version).unwrap();
    let mut bytes = bytes.freeze();
    let message = M::decode(&mut bytes, version).unwrap();
    assert!(bytes.is_empty(), "bytes behind the message");
    message
}

/// Makes a topic.
pub fn make_topic(broker: &Broker, name: &str, partitions: i32) -> Arc<Topic> {
    let new = NewTopic { partitions, ..NewTopic::with_defaults(name) };
    let (made, _) =
        broker.with_config_rules(|rules| broker.catalog().update(|draft| draft.create_topic(&new, 1, rules))).unwrap();
    made.unwrap()
}

/// A topic's name as messages have it.
pub fn name(name: &str) -> TopicName {
    StrBytes::from(name.to_owned()).into()
}

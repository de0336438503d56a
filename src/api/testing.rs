//! Help for tests: a handler is asked directly, or the whole table through the bytes of a request.

use super::context::{Ctx, Listener, Peer};
use super::{Answer, Api, Dispatch};
use crate::broker::Broker;
use crate::catalog::{NewTopic, Topic};
use crate::log::Slice;
use bytes::{Buf, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader, TopicName};
use kafka_protocol::protocol::{
    Decodable, Encodable, HeaderVersion, Request, StrBytes, encode_request_header_into_buffer,
};
use std::sync::{Arc, OnceLock};

fn peer() -> Arc<Peer> {
    let listener = Arc::new(Listener { name: "PLAINTEXT".into(), advertised: None });
    Arc::new(Peer::new(listener, "127.0.0.1:9092".parse().unwrap(), "127.0.0.1:5000".parse().unwrap()))
}

/// Surroundings of a request of this version, to a broker that advertises nothing but the connection's own address,
/// 127.0.0.1:9092.
pub fn ctx(broker: &Arc<Broker>, version: i16) -> Arc<Ctx> {
    Arc::new(Ctx {
        place: OnceLock::new(),
        broker: broker.clone(),
        fetch_sessions: Arc::default(),
        api_key: 0,
        version,
        correlation_id: 1,
        client_id: Some("test".into()),
        peer: peer(),
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

/// Sends a request and takes the reply apart to the last byte.
pub async fn ask<Q>(api: &Api, version: i16, request: &Q) -> Q::Response
where
    Q: Request + Encodable + HeaderVersion,
    Q::Response: Decodable + HeaderVersion,
{
    let mut frame = BytesMut::new();
    let header = RequestHeader::default().with_request_api_key(Q::KEY).with_request_api_version(version);
    encode_request_header_into_buffer(&mut frame, &header).unwrap();
    request.encode(&mut frame, version).unwrap();
    let Answer::Send(rope) = api.start(&peer(), frame.freeze()).unwrap().answer.await else { panic!("no reply") };
    let mut reply = BytesMut::new();
    for segment in rope.into_segments() {
        match segment {
            Slice::Memory(bytes) => reply.extend_from_slice(&bytes),
            Slice::File { .. } => panic!("no file here"),
        }
    }
    let mut reply = reply.freeze();
    assert_eq!(reply.get_i32() as usize, reply.len());
    ResponseHeader::decode(&mut reply, Q::Response::header_version(version)).unwrap();
    let response = Q::Response::decode(&mut reply, version).unwrap();
    assert!(reply.is_empty(), "bytes behind the reply");
    response
}

/// Makes a topic of one partition.
pub fn create_topic(broker: &Broker, name: &str, configs: &[(&str, &str)]) {
    let configs = configs.iter().map(|(key, value)| (key.to_string(), Some(value.to_string()))).collect();
    let new = NewTopic { configs, ..NewTopic::with_defaults(name) };
    let created = broker.with_config_rules(|rules| broker.catalog().update(|draft| draft.create_topic(&new, 1, rules)));
    created.unwrap().0.unwrap();
}

/// A string of the protocol.
pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Gives a group settings of its own.
pub fn set_group(broker: &Broker, group: &str, configs: &[(&str, &str)]) {
    let configs = configs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    let set = broker.with_group_config_rules(|rules| {
        broker.catalog().update(|draft| draft.replace_group_configs(group, configs, rules))
    });
    set.unwrap().0.unwrap();
}

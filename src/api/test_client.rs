//! A client for the tests of APIs: asks as bytes, through the table.

use super::context::{Listener, Peer};
use super::{Answer, Api, Dispatch};
use crate::broker::Broker;
use crate::catalog::NewTopic;
use crate::log::Slice;
use bytes::{Buf, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{
    Decodable, Encodable, HeaderVersion, Request, StrBytes, encode_request_header_into_buffer,
};
use std::sync::Arc;

/// Sends a request and takes the reply apart to the last byte.
pub(super) async fn ask<Q>(api: &Api, version: i16, request: &Q) -> Q::Response
where
    Q: Request + Encodable + HeaderVersion,
    Q::Response: Decodable + HeaderVersion,
{
    let mut frame = BytesMut::new();
    let header = RequestHeader::default().with_request_api_key(Q::KEY).with_request_api_version(version);
    encode_request_header_into_buffer(&mut frame, &header).unwrap();
    request.encode(&mut frame, version).unwrap();
    let listener = Arc::new(Listener { name: "PLAINTEXT".into(), advertised: None });
    let peer = Peer::new(listener, "127.0.0.1:9092".parse().unwrap(), "127.0.0.1:5000".parse().unwrap());
    let Answer::Send(rope) = api.start(&Arc::new(peer), frame.freeze()).unwrap().await else { panic!("no reply") };
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
pub(super) fn create_topic(broker: &Broker, name: &str, configs: &[(&str, &str)]) {
    let configs = configs.iter().map(|(key, value)| (key.to_string(), Some(value.to_string()))).collect();
    let new = NewTopic { configs, ..NewTopic::with_defaults(name) };
    let created = broker.with_config_rules(|rules| broker.catalog().update(|draft| draft.create_topic(&new, 1, rules)));
    created.unwrap().0.unwrap();
}

/// A string of the protocol.
pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

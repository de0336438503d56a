//! Apache Kafka's bytes through our codec: decoded, encoded again, compared byte for byte; requests also through the
//! guard, which has to end where they end.

use crate::fixtures::{Exchange, Recorded, exchanges};
use crate::messages::{self, Decoded};
use ottla::wire::shape;

/// Requests that are no valid ones, by the end of their names, and why.
const NO_REQUEST: &[(&str, &str)] = &[
    ("-newer-than-the-broker", "the codec does not know the version"),
    ("-refused-version-99", "the codec does not know the version"),
    ("-refused-key-9999", "there is no such API"),
    ("-refused-short-body", "the body ends inside a count"),
    ("-refused-size-negative", "a size alone"),
    ("-refused-size-huge", "a size alone"),
    ("-refused-size-zero", "a size alone"),
];

const AMPLE: usize = 1 << 30;

#[test]
fn every_request_is_encoded_as_it_was() {
    let mut requests = 0;
    for exchange in exchanges() {
        if NO_REQUEST.iter().any(|(end, _)| exchange.name.ends_with(end)) {
            continue;
        }
        requests += 1;
        check_request(&exchange);
    }
    assert!(requests > 1300, "{requests} requests");
}

fn check_request(exchange: &Exchange) {
    let name = &exchange.name;
    let (key, version) = exchange.api().expect(name);
    let frame = &exchange.request[4..];
    assert_eq!(i32::from_be_bytes(*exchange.request.first_chunk().unwrap()) as usize, frame.len(), "{name}: size");
    let header_version = messages::header_versions(key, version).0;
    assert_eq!(shape::request_header_version(key, version), Some(header_version), "{name}");
    let header = messages::request_header(header_version, frame).expect(name);
    let body = &frame[frame.len() - header.left..];
    let guarded = shape::check(key, version, body, AMPLE).expect(name);
    let trailing = if name.ends_with("-trailing-bytes") { 3 } else { 0 };
    assert_eq!(guarded.consumed, body.len() - trailing, "{name}: the guard ends where the request ends");
    let decoded = messages::request(key, version, body).expect(name);
    assert_eq!(decoded.left, trailing, "{name}: bytes behind the request");
    compare(name, "header", &header, &frame[..frame.len() - header.left]);
    compare(name, "request", &decoded, &body[..body.len() - trailing]);
}

#[test]
fn every_reply_is_encoded_as_it_was() {
    let mut replies = 0;
    for exchange in exchanges() {
        let Recorded::Reply(reply) = &exchange.reply else { continue };
        replies += 1;
        check_reply(&exchange, reply);
    }
    assert!(replies > 1300, "{replies} replies");
}

fn check_reply(exchange: &Exchange, reply: &[u8]) {
    let name = &exchange.name;
    let (key, version) = exchange.api().expect(name);
    // A client that is too new is answered in version 0.
    let version = if name.ends_with("-newer-than-the-broker") { 0 } else { version };
    let frame = &reply[4..];
    assert_eq!(i32::from_be_bytes(*reply.first_chunk().unwrap()) as usize, frame.len(), "{name}: size");
    let header = messages::response_header(messages::header_versions(key, version).1, frame).expect(name);
    let body = &frame[frame.len() - header.left..];
    let decoded = messages::response(key, version, body).expect(name);
    assert_eq!(decoded.left, 0, "{name}: bytes behind the reply");
    compare(name, "header", &header, &frame[..frame.len() - header.left]);
    compare(name, "reply", &decoded, body);
}

/// There is nothing that the codec does not give back as it was.
fn compare(name: &str, what: &str, decoded: &Decoded, bytes: &[u8]) {
    assert_eq!(decoded.encoded, bytes, "{name}: {what}");
}

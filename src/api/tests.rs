use super::context::{Endpoint, Listener};
use super::errors::ErrorCode;
use super::*;

use crate::log::Slice;
use bytes::{Buf, BytesMut};
use futures_util::FutureExt;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, StrBytes, encode_request_header_into_buffer};

fn peer() -> Arc<Peer> {
    let listener = Listener { name: "PLAINTEXT".into(), advertised: None };
    Arc::new(Peer::new(Arc::new(listener), "127.0.0.1:9092".parse().unwrap(), "127.0.0.1:5000".parse().unwrap()))
}

fn api() -> Api {
    Api::new(Broker::in_memory(&[]))
}

fn api_versions_frame(version: i16, name: &str) -> BytesMut {
    let mut frame = BytesMut::new();
    let header = RequestHeader::default()
        .with_request_api_key(18)
        .with_request_api_version(version)
        .with_correlation_id(41)
        .with_client_id(Some(StrBytes::from_static_str("test")));
    encode_request_header_into_buffer(&mut frame, &header).unwrap();
    let mut request = ApiVersionsRequest::default();
    if version >= 3 {
        request = request
            .with_client_software_name(StrBytes::from_string(name.to_owned()))
            .with_client_software_version(StrBytes::from_static_str("1.0"));
    }
    request.encode(&mut frame, version.min(4)).unwrap();
    frame
}

fn answer(api: &Api, frame: BytesMut) -> Bytes {
    let Answer::Send(rope) = api.start(&peer(), frame.freeze()).unwrap().answer.now_or_never().unwrap() else {
        panic!("no reply");
    };
    let mut out = BytesMut::new();
    for segment in rope.into_segments() {
        match segment {
            Slice::Memory(bytes) => out.extend_from_slice(&bytes),
            Slice::File { .. } => panic!("no file here"),
        }
    }
    let mut reply = out.freeze();
    assert_eq!(usize::try_from(reply.get_i32()).unwrap(), reply.len());
    reply
}

fn response(mut reply: Bytes, version: i16) -> ApiVersionsResponse {
    let header = ResponseHeader::decode(&mut reply, ApiVersionsResponse::header_version(version)).unwrap();
    assert_eq!(header.correlation_id, 41);
    let response = ApiVersionsResponse::decode(&mut reply, version).unwrap();
    assert!(reply.is_empty(), "bytes behind the reply");
    response
}

#[test]
fn api_versions_answers_every_version_with_the_table() {
    for version in 0..=4 {
        let response = response(answer(&api(), api_versions_frame(version, "rdkafka")), version);
        assert_eq!(response.error_code, 0);
        let ranges: Vec<_> =
            response.api_keys.iter().map(|key| (key.api_key, key.min_version, key.max_version)).collect();
        let table: Vec<_> = TABLE.iter().map(|row| (row.key, row.advertised_min(), row.max)).collect();
        assert_eq!(ranges, table);
        assert_eq!(response.finalized_features_epoch, if version >= 3 { 0 } else { -1 });
    }
}

#[test]
fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    for version in [5, 99, i16::MAX, -1, i16::MIN] {
        let mut frame = api_versions_frame(4, "x");
        frame[2..4].copy_from_slice(&version.to_be_bytes());
        frame.truncate(8 + usize::from(version == 99));
        let response = response(answer(&api(), frame), 0);
        assert_eq!(response.error_code, ErrorCode::UnsupportedVersion.code());
        let ranges: Vec<_> =
            response.api_keys.iter().map(|key| (key.api_key, key.min_version, key.max_version)).collect();
        assert_eq!(ranges, [(18, 0, 4)]);
    }
}

#[test]
fn a_software_name_outside_the_pattern_is_an_invalid_request() {
    for version in [3, 4] {
        let response = response(answer(&api(), api_versions_frame(version, "-nope-")), version);
        assert_eq!(response.error_code, ErrorCode::InvalidRequest.code());
        assert!(response.api_keys.is_empty());
    }
}

#[test]
fn what_cannot_be_answered_costs_the_connection() {
    let api = api();
    let start = |frame: &[u8]| api.start(&peer(), Bytes::copy_from_slice(frame)).err();
    assert_eq!(start(&[0, 18, 0]), Some(Fatal::Frame(FrameError::Short)));
    assert_eq!(start(&[0x7f, 0xff, 0, 0, 0, 0, 0, 1, 0, 0]), Some(Fatal::UnknownApi(i16::MAX)));
    assert_eq!(start(&[0, 18, 0, 0, 0, 0, 0, 1]), Some(Fatal::Frame(FrameError::Short)));
    let whole = api_versions_frame(4, "rdkafka");
    let malformed = start(&whole[..whole.len() - 3]);
    assert!(matches!(malformed, Some(Fatal::Malformed { api: "ApiVersions", version: 4, .. })), "{malformed:?}");
}

#[test]
fn trailing_bytes_are_tolerated_and_counted() {
    let api = api();
    let mut frame = api_versions_frame(4, "rdkafka");
    frame.extend_from_slice(b"more");
    assert_eq!(response(answer(&api, frame), 4).error_code, 0);
    assert!(api.start(&peer(), Bytes::from_static(&[0, 18, 0, 0])).is_err());
    let (row, counters) = api.counters().find(|(row, _)| row.key == 18).unwrap();
    assert_eq!(row.name, "ApiVersions");
    assert_eq!(counters.trailing.load(Ordering::Relaxed), 1);
    assert_eq!(counters.requests.load(Ordering::Relaxed), 1);
}

#[test]
fn produce_is_advertised_from_version_0() {
    let row = |key: ApiKey| ApiRow {
        key: key as i16,
        name: "",
        min: 3,
        max: 12,
        mode: Mode::Pipelined,
        request_header: |_| 1,
    };
    assert_eq!(row(ApiKey::Produce).advertised_min(), 0);
    assert_eq!(row(ApiKey::Fetch).advertised_min(), 3);
    assert!(!row(ApiKey::Produce).speaks(2));
}

#[test]
fn a_client_without_advertised_listeners_is_told_its_own_connections_address() {
    let api = api();
    let id = RequestId { api_key: 18, api_version: 0, correlation_id: 1 };
    let told = |peer: Peer| api.context(&Arc::new(peer), id, None).advertised();
    let listener = |advertised| Arc::new(Listener { name: "PLAINTEXT".into(), advertised });
    let (local, remote) = ("[::1]:9092".parse().unwrap(), "[::1]:5000".parse().unwrap());
    assert_eq!(told(Peer::new(listener(None), local, remote)), Endpoint { host: "::1".into(), port: 9092 });
    let named = Endpoint { host: "broker.example".into(), port: 1 };
    assert_eq!(told(Peer::new(listener(Some(named.clone())), local, remote)), named);
}

#[test]
fn client_ids_are_kept_once_and_repaired() {
    let peer = peer();
    let first = peer.client_id(b"a");
    assert!(Arc::ptr_eq(&first, &peer.client_id(b"a")));
    assert_eq!(&*peer.client_id(b"b\xff"), "b\u{fffd}");
}

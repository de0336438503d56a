//! Bytes that are no requests, requests that are cut, and strange ways to send good ones.

use super::{Healthy, MIB};
use crate::asking::{FETCH, PRODUCE, create_topic, fetch_request, produce_request, text, topic_name};
use crate::batches::Batch;
use crate::broker::Broker;
use crate::client::{Client, correlation_id, frame, response, sized};
use crate::fixtures::exchanges;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::*;
use std::collections::BTreeSet;
use std::time::Duration;

#[test]
fn what_is_no_frame_closes_the_connection() {
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    let size = |size: i32| size.to_be_bytes().to_vec();
    let greetings: &[(&str, Vec<u8>)] = &[
        ("negative", size(-1)),
        ("the most negative", size(i32::MIN)),
        ("zero", size(0)),
        ("2 GiB", size(i32::MAX)),
        ("one more than allowed", size(100 * MIB as i32 + 1)),
        ("one byte", sized(vec![0, 0, 0, 0, 0])),
        ("seven bytes, where a header begins with eight", sized(vec![0; 11])),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("HTTP, posting", b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n".to_vec()),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("TLS", [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 500]].concat()),
        ("SSH", b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()),
    ];
    for (what, bytes) in greetings {
        let mut client = Client::new(&broker);
        client.send(bytes);
        assert!(client.closes(), "{what}");
    }
    healthy.still_works();
    for word in ["HTTP", "TLS", "SSH"] {
        // One warning a second may be written, whoever comes first.
        let said = broker.log().lines().filter(|line| line.contains(&format!("speaks {word}"))).count();
        assert!(said <= 3, "{word}: {said} lines");
    }
}

#[test]
fn unknown_apis_and_versions_close_the_connection() {
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    let mut client = Client::new(&broker);
    let request = ApiVersionsRequest::default();
    let advertised = client.ask(0, &request).api_keys;
    let known: BTreeSet<i16> = advertised.iter().map(|range| range.api_key).collect();
    let unknown = (0..=100).chain([i16::MIN, -1, 9999, i16::MAX]).filter(|key| !known.contains(key));
    let versions = advertised.iter().filter(|range| range.api_key != ApiKey::ApiVersions as i16).flat_map(|range| {
        let min = if range.api_key == ApiKey::Produce as i16 { 3 } else { range.min_version };
        [i16::MIN, -1, min - 1, range.max_version + 1, i16::MAX].map(|version| (range.api_key, version))
    });
    let mut refused = 0;
    for (key, version) in unknown.map(|key| (key, 0)).chain(versions) {
        let mut client = Client::new(&broker);
        client.send(&header_and(key, version, &[0; 100]));
        assert!(client.closes(), "API {key} version {version}");
        refused += 1;
    }
    assert!(refused > 100);
    for version in [i16::MIN, -1, 5, i16::MAX] {
        client.send(&header_and(ApiKey::ApiVersions as i16, version, &[0xff; 100]));
        let reply = response::<ApiVersionsRequest>(0, client.receive().expect("an answer"));
        assert_eq!(reply.error_code, 35);
        let ranges: Vec<_> = reply.api_keys.iter().map(|it| (it.api_key, it.min_version, it.max_version)).collect();
        assert_eq!(ranges, [(18, 0, 4)]);
    }
    healthy.still_works();
}

/// A request header of version 1, whatever the API would want, and these bytes.
fn header_and(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 4];
    frame.extend_from_slice(&key.to_be_bytes());
    frame.extend_from_slice(&version.to_be_bytes());
    frame.extend_from_slice(&[0, 0, 0, 1, 0xff, 0xff]);
    frame.extend_from_slice(body);
    sized(frame)
}

/// Every cut of one request of each API and version, some cuts of all others.
#[test]
fn requests_that_are_cut_close_the_connection() {
    const SOME: usize = 6;
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    let (mut seen, mut cuts) = (BTreeSet::new(), 0);
    for exchange in exchanges().iter().filter(|exchange| !exchange.is_refused()) {
        let (key, version) = exchange.api().unwrap();
        if exchange.name.ends_with("-newer-than-the-broker") || exchange.name.ends_with("-trailing-bytes") {
            continue;
        }
        let whole = &exchange.request;
        let step = if seen.insert((key, version)) && whole.len() < 1000 { 1 } else { whole.len() / SOME };
        for end in (4..whole.len()).step_by(step) {
            let mut client = Client::new(&broker);
            client.send(&sized(whole[..end].to_vec()));
            assert!(client.closes(), "{} cut at {end}", exchange.name);
            cuts += 1;
        }
    }
    assert!(cuts > 3000, "{cuts}");
    healthy.still_works();
}

#[test]
fn a_frame_that_never_ends_is_no_reason_to_close_nor_to_answer() {
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    let whole = frame(1, 1, &MetadataRequest::default().with_topics(Some(Vec::new())));
    let mut cut: Vec<_> = (1..whole.len()).map(|end| (end, Client::new(&broker))).collect();
    for (end, client) in &mut cut {
        client.send(&whole[..*end]);
    }
    // The rest comes late, and is answered then.
    for (end, client) in &mut cut {
        client.send(&whole[*end..]);
        let reply = response::<MetadataRequest>(1, client.receive().expect("an answer"));
        assert_eq!(reply.brokers.len(), 1);
    }
    healthy.still_works();
}

#[test]
fn one_byte_at_a_time_is_slow_but_good() {
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    let mut client = Client::new(&broker);
    create_topic(&mut client, "slow", 1, &[]);
    for byte in frame(7, PRODUCE, &produce_request("slow", 0, -1, Batch::of(&[b"slowly"]).bytes())) {
        client.send(&[byte]);
        std::thread::sleep(Duration::from_millis(2));
    }
    let reply = client.receive().expect("an answer");
    assert_eq!(correlation_id(&reply), 7);
    let reply = response::<ProduceRequest>(PRODUCE, reply);
    assert_eq!(reply.responses[0].partition_responses[0].error_code, 0);
    healthy.still_works();
}

#[test]
fn what_came_before_the_half_closed_end_is_answered() {
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    let mut client = Client::new(&broker);
    create_topic(&mut client, "half", 1, &[]);
    let mut bytes = Vec::new();
    for id in 0..100 {
        bytes.extend(frame(id, PRODUCE, &produce_request("half", 0, -1, Batch::of(&[b"half"]).bytes())));
    }
    // Not all of the last one.
    bytes.extend(&frame(100, 0, &ApiVersionsRequest::default())[..9]);
    client.send(&bytes);
    client.half_close();
    for id in 0..100 {
        let reply = client.receive().expect("an answer");
        assert_eq!(correlation_id(&reply), id);
        let answer = response::<ProduceRequest>(PRODUCE, reply).responses.remove(0).partition_responses.remove(0);
        assert_eq!((answer.error_code, answer.base_offset), (0, i64::from(id)));
    }
    assert!(client.closes());
    healthy.still_works();
}

#[test]
fn clients_that_go_away_in_the_middle_leave_nothing_behind() {
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    let mut client = Client::new(&broker);
    create_topic(&mut client, "gone", 1, &[]);
    let produce = frame(1, PRODUCE, &produce_request("gone", 0, -1, Batch::of(&[&[7; 1000]]).bytes()));
    let mut waiting = fetch_request("gone", [0], 1000);
    (waiting.max_wait_ms, waiting.min_bytes, waiting.topics[0].partitions[0].fetch_offset) = (i32::MAX, i32::MAX, 0);
    let waiting = frame(1, FETCH, &waiting);
    for round in 0..300 {
        let mut client = Client::new(&broker);
        match round % 3 {
            0 => client.send(&produce),
            1 => client.send(&waiting),
            _ => client.send(&produce[..round.min(produce.len())]),
        }
    }
    healthy.still_works();
}

#[test]
fn ten_thousand_requests_in_one_write_are_answered_in_order() {
    const COUNT: i32 = 10_000;
    let broker = Broker::start(&["log.flush.interval.messages=1000000"]);
    let healthy = Healthy::beside(&broker);
    let mut client = Client::new(&broker);
    create_topic(&mut client, "piped", 1, &[]);
    let base = broker.resident();
    let mut bytes = Vec::new();
    for id in 0..COUNT {
        bytes.extend(match id % 5 {
            0 | 1 => frame(id, PRODUCE, &produce_request("piped", 0, -1, Batch::of(&[b"piped"]).bytes())),
            2 => frame(id, FETCH, &fetch_of_the_end(i32::from(id % 100 == 2))),
            3 => frame(id, 0, &ApiVersionsRequest::default()),
            _ => {
                let topic = MetadataRequestTopic::default().with_name(Some(topic_name("piped")));
                frame(id, 8, &MetadataRequest::default().with_topics(Some(vec![topic])))
            }
        });
    }
    let mut writer = client.stream().try_clone().unwrap();
    let writing = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &bytes).unwrap());
    let ((), peak) = broker.peak_during(|| {
        let mut appended = 0;
        for id in 0..COUNT {
            let reply = client.receive().expect("an answer");
            assert_eq!(correlation_id(&reply), id);
            if id % 5 < 2 {
                let response = response::<ProduceRequest>(PRODUCE, reply);
                let answer = &response.responses[0].partition_responses[0];
                assert_eq!((answer.error_code, answer.base_offset), (0, appended));
                appended += 1;
            }
        }
    });
    writing.join().unwrap();
    assert!(peak < base + 32 * MIB, "{base} bytes grew to {peak}");
    healthy.still_works();
}

/// A fetch that waits so long for what never comes.
fn fetch_of_the_end(max_wait_ms: i32) -> FetchRequest {
    let mut request = fetch_request("healthy", [0], 1);
    (request.min_bytes, request.max_wait_ms) = (i32::MAX, max_wait_ms);
    request
}

#[test]
fn bytes_behind_a_request_are_passed_over() {
    let broker = Broker::start(&[]);
    let mut client = Client::new(&broker);
    let mut whole = frame(1, 0, &ApiVersionsRequest::default());
    whole.extend_from_slice(&[0xff; 1000]);
    client.send(&sized(whole));
    assert_eq!(response::<ApiVersionsRequest>(0, client.receive().expect("an answer")).error_code, 0);
    let named = ApiVersionsRequest::default().with_client_software_name(text("wire"));
    client.ask(3, &named.with_client_software_version(text("1")));
}

#[test]
fn client_ids_may_be_null_long_and_no_text() {
    let broker = Broker::start(&[]);
    let mut client = Client::new(&broker);
    for id in [None, Some(vec![]), Some(vec![0xff; 10]), Some(vec![b'x'; i16::MAX as usize])] {
        let mut frame = vec![0; 4];
        frame.extend_from_slice(&[0, 18, 0, 0, 0, 0, 0, 5]);
        frame.extend_from_slice(&id.as_ref().map_or(-1, |id| id.len() as i16).to_be_bytes());
        frame.extend_from_slice(&id.unwrap_or_default());
        client.send(&sized(frame));
        assert_eq!(correlation_id(&client.receive().expect("an answer")), 5);
    }
    for length in [-2i16, i16::MIN, 100] {
        let mut frame = vec![0; 4];
        frame.extend_from_slice(&[0, 18, 0, 0, 0, 0, 0, 5]);
        frame.extend_from_slice(&length.to_be_bytes());
        let mut client = client.again();
        client.send(&sized(frame));
        assert!(client.closes(), "a client id of {length} bytes");
    }
}

//! Requests whose lengths and counts lie, and whose tagged fields never end.

use super::{Healthy, MIB};
use crate::broker::Broker;
use crate::client::{Client, raw_frame, sized};
use crate::fixtures::exchanges;
use crate::groups::find_coordinator;
use crate::messages;
use kafka_protocol::messages::ApiVersionsRequest;
use std::collections::BTreeMap;

/// Counts and lengths as large as they can be said: fixed and compact.
const LIES: &[[u8; 5]] = &[
    [0x7f, 0xff, 0xff, 0xff, 0xff],
    [0x7f, 0xff, 0xff, 0xff, 0x00],
    [0x00, 0x7f, 0xff, 0xff, 0xff],
    [0x80, 0x00, 0x00, 0x00, 0x00],
    [0xff, 0xff, 0xff, 0xff, 0x0f],
    [0xff, 0xff, 0xff, 0xff, 0x07],
    [0xff, 0xff, 0xff, 0xff, 0xff],
    [0xfe, 0xff, 0xff, 0xff, 0x0f],
    [0x00, 0xff, 0xff, 0xff, 0x7f],
];

const JOIN_GROUP: i16 = 11;

/// What lies may make a process of this kind take.
const SPARE: usize = 24 * MIB;

#[test]
fn five_bytes_of_lies_cost_nothing() {
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    let advertised = Client::new(&broker).ask(0, &ApiVersionsRequest::default()).api_keys;
    let base = broker.resident();
    let ((), peak) = broker.peak_during(|| {
        let mut client = Client::new(&broker);
        for range in advertised {
            for version in range.min_version..=range.max_version {
                for lie in LIES {
                    client.send(&raw_frame(range.api_key, version, lie));
                    client = answered_or_closed(client);
                }
            }
        }
    });
    assert!(peak < base + SPARE, "{base} bytes grew to {peak}");
    healthy.still_works();
}

/// Lies at every place of one recorded request of each API in its lowest and its highest version.
#[test]
fn lies_at_any_place_cost_nothing() {
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    find_coordinator(&mut Client::new(&broker));
    let mut requests: BTreeMap<i16, BTreeMap<i16, Vec<u8>>> = BTreeMap::new();
    for exchange in exchanges().into_iter().filter(|exchange| !exchange.is_refused()) {
        let (key, version) = exchange.api().unwrap();
        if key == JOIN_GROUP && version < 4 {
            // What is still a request of a new member would wait for the members before it, which are gone.
            continue;
        }
        let longest = requests.entry(key).or_default().entry(version).or_default();
        if longest.len() < exchange.request.len() && exchange.request.len() < 400 {
            *longest = exchange.request;
        }
    }
    let base = broker.resident();
    let mut lies = 0;
    let ((), peak) = broker.peak_during(|| {
        let mut client = Client::new(&broker);
        for versions in requests.values() {
            let (lowest, highest) = (versions.values().next().unwrap(), versions.values().next_back().unwrap());
            for request in [lowest, highest] {
                for at in 12..request.len().saturating_sub(5) {
                    let mut lying = request.clone();
                    lying[at..at + 5].copy_from_slice(&LIES[at % LIES.len()]);
                    client.send(&lying);
                    client = answered_or_closed(client);
                    lies += 1;
                }
            }
        }
    });
    assert!(lies > 1000, "{lies}");
    assert!(peak < base + SPARE, "{base} bytes grew to {peak}");
    healthy.still_works();
}

/// Asks for the versions behind what was sent, so that something comes back in any case.
fn answered_or_closed(mut client: Client) -> Client {
    const PROBE: i32 = 0x0bad_cafe;
    client.send(&crate::client::frame(PROBE, 0, &ApiVersionsRequest::default()));
    while let Some(reply) = client.receive() {
        if crate::client::correlation_id(&reply) == PROBE {
            return client;
        }
    }
    client.again()
}

#[test]
fn floods_of_tagged_fields_close_the_connection() {
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    let base = broker.resident();
    let empty_fields = |count: u32, there: usize| {
        let mut fields = unsigned_varint(count);
        for tag in 0..there as u32 {
            fields.extend(unsigned_varint(tag));
            fields.push(0);
        }
        fields
    };
    // In the header of a Metadata request of version 12, and behind its body.
    let header = [&[0; 4][..], &[0, 3, 0, 12, 0, 0, 0, 1, 0xff, 0xff]].concat();
    let body = [1, 0, 0];
    let floods = [
        ("2^31 announced", empty_fields(1 << 31, 0)),
        ("2^32 - 1 announced", empty_fields(u32::MAX, 10)),
        ("65", empty_fields(65, 65)),
        ("a million", empty_fields(1_000_000, 1_000_000)),
        ("one of 2 GiB", [&[1, 9][..], &unsigned_varint(i32::MAX as u32)].concat()),
        ("a number without end", vec![0xff; 100]),
    ];
    let ((), peak) = broker.peak_during(|| {
        for (what, fields) in &floods {
            for (place, bytes) in [
                ("header", [&header[..], fields, &body[..], &[0]].concat()),
                ("body", [&header[..], &[0], &body[..], fields].concat()),
            ] {
                let mut client = Client::new(&broker);
                client.send(&sized(bytes));
                assert!(client.closes(), "{what} in the {place}");
            }
        }
    });
    assert!(peak < base + SPARE, "{base} bytes grew to {peak}");
    // A few are what a newer client may send.
    let mut client = Client::new(&broker);
    let few = empty_fields(60, 60);
    client.send(&sized([&header[..], &few, &body[..], &few].concat()));
    messages::reply(3, 12, &client.receive().expect("an answer")).unwrap();
    healthy.still_works();
}

fn unsigned_varint(mut value: u32) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

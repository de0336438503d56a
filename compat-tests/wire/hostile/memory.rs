//! Memory grows with what clients send, not with what they announce, ask for, or leave unread.

use super::{Healthy, MIB};
use crate::asking::{FETCH, PRODUCE, append, create_topic, fetch_request, produce, produce_request, text, topic_name};
use crate::batches::{Batch, compress, put_record};
use crate::broker::Broker;
use crate::client::{Client, frame};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_topic_partitions_request::TopicRequest;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Request;
use std::time::Duration;

#[test]
fn announced_frames_take_no_memory() {
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    let base = broker.resident();
    let (_clients, peak) = broker.peak_during(|| {
        let clients: Vec<_> = (0..200)
            .map(|_| {
                let mut client = Client::new(&broker);
                let mut begin = (100 * MIB as i32).to_be_bytes().to_vec();
                begin.extend_from_slice(&[0, 0, 0, 9, 0, 0, 0, 1, 0xff, 0xff]);
                begin.extend_from_slice(&[1; 1000]);
                client.send(&begin);
                client
            })
            .collect();
        std::thread::sleep(Duration::from_millis(300));
        clients
    });
    assert!(peak < base + 16 * MIB, "{base} bytes grew to {peak}");
    healthy.still_works();
}

#[test]
fn readers_that_do_not_read_take_little_memory() {
    const READERS: usize = 200;
    const SIZE: usize = MIB - 1000;
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    let mut client = Client::new(&broker);
    create_topic(&mut client, "large", 1, &[]);
    for _ in 0..52 {
        append(&mut client, "large", &vec![7; SIZE]);
    }
    let base = broker.resident();
    let (mut readers, peak) = broker.peak_during(|| {
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                let mut reader = Client::new(&broker);
                reader.send(&frame(1, FETCH, &fetch_request("large", [0], 50 * MIB as i32)));
                reader
            })
            .collect();
        std::thread::sleep(Duration::from_secs(2));
        readers
    });
    assert!(peak < base + 64 * MIB, "{base} bytes grew to {peak}");
    // One that reads after all gets all of it.
    let reply = readers.pop().unwrap().receive().expect("an answer");
    assert!(reply.len() > 49 * MIB, "{}", reply.len());
    healthy.still_works();
}

#[test]
fn decompression_bombs_take_little_memory() {
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    let mut client = Client::new(&broker);
    create_topic(&mut client, "bombs", 1, &[]);
    // Records may become 1,024 times as large as a batch may be: 64 MiB here.
    create_topic(&mut client, "small", 1, &[("max.message.bytes", "65536")]);
    let (fits, too_large) = (one_record(40 * MIB), one_record(65 * MIB));
    let bombs: Vec<(&str, &str, Vec<u8>, i16)> = vec![
        ("gzip", "bombs", bomb(1, compress(1, &fits)), 0),
        ("snappy", "bombs", bomb(2, compress(2, &one_record(20 * MIB))), 0),
        ("lz4", "bombs", bomb(3, compress(3, &fits)), 0),
        ("zstd", "small", bomb(4, compress(4, &fits)), 0),
        ("zstd, too large", "small", bomb(4, compress(4, &too_large)), 10),
        // A frame of zstd that wants a window of 2^41 bytes, a block of snappy that says it becomes 4 GiB.
        ("zstd, window", "bombs", bomb(4, vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff, 0x01, 0x00, 0x00]), 87),
        ("snappy, length", "bombs", bomb(2, vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0x00]), 87),
        ("snappy, blocks", "bombs", bomb(2, lying_blocks()), 87),
        ("lz4, content size", "bombs", bomb(3, lying_lz4()), 87),
        ("gzip, cut", "bombs", bomb(1, compress(1, &fits)[..20_000].to_vec()), 87),
    ];
    let base = broker.resident();
    for (what, topic, bytes, code) in bombs {
        let (answer, peak) = broker.peak_during(|| produce(&mut client, topic, bytes));
        assert_eq!(answer.error_code, code, "{what}: {:?}", answer.error_message);
        assert!(peak < base + 32 * MIB, "{what}: {base} bytes grew to {peak}");
    }
    healthy.still_works();
}

fn one_record(size: usize) -> Vec<u8> {
    let mut record = Vec::new();
    put_record(&mut record, 0, None, &vec![0; size]);
    record
}

fn bomb(codec: u8, payload: Vec<u8>) -> Vec<u8> {
    let mut batch = Batch::of(&[b"x"]).with(|header| header.attributes = i16::from(codec));
    batch.payload = payload;
    batch.bytes()
}

/// The framing of snappy-java, with a block that announces 2 GiB.
fn lying_blocks() -> Vec<u8> {
    [b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".as_slice(), &i32::MAX.to_be_bytes(), &[0; 100]].concat()
}

/// An LZ4 frame whose header says that 2^60 bytes come out of it, and a block that is not there.
fn lying_lz4() -> Vec<u8> {
    [&[0x04, 0x22, 0x4d, 0x18, 0x68, 0x70][..], &(1u64 << 60).to_le_bytes(), &[0x00], &[0xff, 0xff, 0xff, 0x7f]]
        .concat()
}

/// Small questions with large answers, as many as fit a megabyte.
#[test]
fn questions_that_repeat_themselves_take_little_memory() {
    const SPARE: usize = 160 * MIB;
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    let mut client = Client::new(&broker);
    create_topic(&mut client, "many", 200, &[]);
    let long = "x".repeat(30_000);
    let base = broker.resident();
    let advertised: Vec<_> =
        client.ask(0, &ApiVersionsRequest::default()).api_keys.iter().map(|range| range.api_key).collect();
    let topic = MetadataRequestTopic::default().with_name(Some(topic_name("many")));
    let offsets = ListOffsetsPartition::default().with_timestamp(-1).with_current_leader_epoch(-1);
    let offsets = |name: &str, count| {
        let partitions = (0..count).map(|index| offsets.clone().with_partition_index(index)).collect();
        let topic = ListOffsetsTopic::default().with_name(topic_name(name)).with_partitions(partitions);
        ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic])
    };
    let configs = DescribeConfigsResource::default().with_resource_type(2).with_resource_name(text("many"));
    let configs =
        DescribeConfigsRequest::default().with_resources(vec![configs.with_configuration_keys(None); 100_000]);
    let partitions = vec![TopicRequest::default().with_name(topic_name("many")); 100_000];
    let partitions = DescribeTopicPartitionsRequest::default().with_topics(partitions);
    let creates = (0..60_000).map(|index| {
        let topic = create_topics_request::CreatableTopic::default().with_name(topic_name(&format!("t{index}")));
        topic.with_num_partitions(1).with_replication_factor(1)
    });
    let creates = CreateTopicsRequest::default().with_topics(creates.collect()).with_validate_only(true);
    let questions = [
        whole(1, 12, &MetadataRequest::default().with_topics(Some(vec![topic; 100_000]))),
        whole(1, 10, &offsets(&long, 50_000)),
        whole(1, 10, &offsets("many", 50_000)),
        whole(1, 4, &configs),
        whole(1, 0, &partitions),
        whole(1, 7, &creates),
        whole(1, FETCH, &fetch_request(&long, 0..20_000, 1)),
        whole(1, PRODUCE, &many_partitions(&long, 50_000)),
    ];
    for (key, question) in questions.into_iter().filter(|(key, _)| advertised.contains(key)) {
        let (answer, peak) = broker.peak_during(|| {
            client.send(&question);
            client.receive()
        });
        let size = answer.as_ref().map_or(0, Vec::len);
        println!(
            "API {key}: {} bytes asked, {size} answered, {} MiB more",
            question.len(),
            (peak.saturating_sub(base)) / MIB
        );
        assert!(peak < base + SPARE, "API {key}: {base} bytes grew to {peak}");
        if answer.is_none() {
            client = client.again();
        }
    }
    healthy.still_works();
}

fn whole<Q: Request>(id: i32, version: i16, request: &Q) -> (i16, Vec<u8>) {
    (Q::KEY, frame(id, version, request))
}

fn many_partitions(topic: &str, count: i32) -> ProduceRequest {
    let mut request = produce_request(topic, 0, -1, Vec::new());
    let partition = request.topic_data[0].partition_data[0].clone();
    request.topic_data[0].partition_data = (0..count).map(|index| partition.clone().with_index(index)).collect();
    request
}

#[test]
fn two_billion_partitions_are_refused() {
    const CODES: [i16; 2] = [37, 44];
    let broker = Broker::start(&[]);
    let healthy = Healthy::beside(&broker);
    let mut client = Client::new(&broker);
    create_topic(&mut client, "one", 1, &[]);
    let base = broker.resident();
    let ((), peak) = broker.peak_during(|| {
        for count in [10_002, 10_000_000, i32::MAX, i32::MIN] {
            for validate_only in [true, false] {
                let topic = create_topics_request::CreatableTopic::default().with_name(topic_name("many"));
                let topic = topic.with_num_partitions(count).with_replication_factor(1);
                let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_validate_only(validate_only);
                let code = client.ask(7, &request).topics[0].error_code;
                assert!(CODES.contains(&code), "CreateTopics of {count}: {code}");
                let topic = create_partitions_request::CreatePartitionsTopic::default().with_name(topic_name("one"));
                let topic = topic.with_count(count).with_assignments(None);
                let request =
                    CreatePartitionsRequest::default().with_topics(vec![topic]).with_validate_only(validate_only);
                let code = client.ask(3, &request).results[0].error_code;
                assert!(CODES.contains(&code), "CreatePartitions to {count}: {code}");
            }
        }
    });
    assert!(peak < base + 16 * MIB, "{base} bytes grew to {peak}");
    healthy.still_works();
}

/// What many connections send at once waits in their sockets.
#[test]
fn large_requests_share_a_budget() {
    const SPARE: usize = 96 * MIB;
    let broker = Broker::start(&["queued.max.request.bytes=33554432", "socket.request.max.bytes=8388608"]);
    let healthy = Healthy::beside(&broker);
    let mut client = Client::new(&broker);
    create_topic(&mut client, "budget", 1, &[("max.message.bytes", "4194304")]);
    let request = frame(1, PRODUCE, &produce_request("budget", 0, -1, Batch::of(&[&vec![7; 4 * MIB - 1000]]).bytes()));
    let base = broker.resident();
    let ((), peak) = broker.peak_during(|| {
        std::thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    let mut client = Client::new(&broker);
                    client.send(&request);
                    client.receive().expect("an answer");
                });
            }
        });
    });
    // 160 MiB are sent at once, 32 are in flight; the allocator keeps as much again, and some.
    assert!(peak < base + SPARE, "{base} bytes grew to {peak}");
    healthy.still_works();
}

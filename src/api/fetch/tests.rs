use super::*;
use crate::api::Peer;
use crate::api::context::Listener;
use crate::broker::Broker;
use crate::catalog::{NewTopic, Topic};
use crate::partition::Acks;
use crate::time;
use crate::wire::batch::{BatchHeader, HEADER_SIZE, LENGTH_PREFIX, checksum};
use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic, ReplicaState};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{BrokerId, ResponseHeader, TopicName};
use kafka_protocol::protocol::{Decodable, HeaderVersion, StrBytes};
use uuid::Uuid;

/// Long enough for a fetch to be answered by what happens, never by its deadline.
const FOR_EVER_MS: i32 = 600_000;

/// Size of every batch here.
const BATCH: usize = HEADER_SIZE + 39;

/// A broker with clients that fetch from it.
struct Setting {
    broker: Arc<Broker>,
    api: crate::api::Api,
    peer: Arc<Peer>,
}

impl Setting {
    fn new(settings: &[(&str, &str)]) -> Self {
        let broker = Broker::in_memory(settings);
        let listener = Arc::new(Listener { name: "PLAINTEXT".into(), advertised: None });
        let peer = Peer::new(listener, "127.0.0.1:9092".parse().unwrap(), "127.0.0.1:5000".parse().unwrap());
        Setting { api: crate::api::Api::new(broker.clone()), broker, peer: Arc::new(peer) }
    }

    fn topic(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Arc<Topic> {
        let configs = configs.iter().map(|(key, value)| (key.to_string(), Some(value.to_string()))).collect();
        let new = NewTopic { partitions, configs, ..NewTopic::with_defaults(name) };
        let rules = |rules: crate::catalog::ConfigRules<'_>| {
            self.broker.catalog().update(|draft| draft.create_topic(&new, 1, rules))
        };
        self.broker.with_config_rules(rules).unwrap().0.unwrap()
    }

    fn delete(&self, topic: &Topic) {
        self.broker.catalog().update(|draft| draft.delete_topic(topic.id)).unwrap().0.unwrap();
        self.broker.remove_topic(topic).unwrap();
    }

    async fn append(&self, topic: &Topic, partition: i32) {
        let records = Bytes::from_static(&[7; BATCH - HEADER_SIZE]);
        let mut header = BatchHeader {
            base_offset: 0,
            batch_length: (BATCH - LENGTH_PREFIX) as i32,
            leader_epoch: -1,
            magic: 2,
            crc: 0,
            attributes: 0,
            last_offset_delta: 0,
            base_timestamp: 1_000,
            max_timestamp: 1_000,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: 1,
        };
        header.crc = checksum(&header.encode(), &records);
        let served = self.broker.partition(topic, partition).unwrap();
        served.partition.append(header, records, Acks::All, time::wall()).finish().await.unwrap();
    }

    fn start(&self, version: i16, request: FetchRequest) -> impl Future<Output = FetchResponse> + Send + use<> {
        let id = crate::wire::frame::RequestId { api_key: 1, api_version: version, correlation_id: 5 };
        let answering = handle(self.api.context(&self.peer, id, None), request);
        async move {
            let Reply::Raw(rope) = answering.await else { panic!("no reply") };
            decoded(rope, version)
        }
    }

    async fn fetch(&self, version: i16, request: FetchRequest) -> FetchResponse {
        self.start(version, request).await
    }
}

fn decoded(rope: crate::api::rope::Rope, version: i16) -> FetchResponse {
    let mut bytes = BytesMut::new();
    for slice in rope.into_segments() {
        match slice {
            Slice::Memory(part) => bytes.extend_from_slice(&part),
            Slice::File { file, position, length } => {
                let mut part = vec![0; length];
                assert_eq!(file.read_at(&mut part, position, Wait::Allowed).unwrap(), length);
                bytes.extend_from_slice(&part);
            }
        }
    }
    let mut bytes = bytes.freeze();
    assert_eq!(bytes.get_i32() as usize, bytes.len());
    ResponseHeader::decode(&mut bytes, FetchResponse::header_version(version)).unwrap();
    let response = FetchResponse::decode(&mut bytes, version).unwrap();
    assert!(bytes.is_empty());
    response
}

/// A request of a consumer without a session, which does not wait.
fn request(topics: Vec<FetchTopic>) -> FetchRequest {
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(0)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_session_epoch(-1)
        .with_topics(topics)
}

fn waiting(topics: Vec<FetchTopic>, max_wait_ms: i32, min_bytes: i32) -> FetchRequest {
    request(topics).with_max_wait_ms(max_wait_ms).with_min_bytes(min_bytes)
}

fn in_session(id: i32, epoch: i32, topics: Vec<FetchTopic>) -> FetchRequest {
    request(topics).with_session_id(id).with_session_epoch(epoch)
}

fn at(partition: i32, offset: Offset) -> FetchPartition {
    FetchPartition::default()
        .with_partition(partition)
        .with_fetch_offset(offset)
        .with_log_start_offset(-1)
        .with_current_leader_epoch(-1)
        .with_last_fetched_epoch(-1)
        .with_partition_max_bytes(1 << 20)
}

fn named(name: &str, partitions: Vec<FetchPartition>) -> FetchTopic {
    FetchTopic::default().with_topic(TopicName(StrBytes::from_string(name.to_owned()))).with_partitions(partitions)
}

fn by_id(id: Uuid, partitions: Vec<FetchPartition>) -> FetchTopic {
    FetchTopic::default().with_topic_id(id).with_partitions(partitions)
}

/// Partition, error, high watermark, batches.
type Seen = (i32, i16, Offset, usize);

fn seen(response: &FetchResponse) -> Vec<Seen> {
    let one = |data: &PartitionData| {
        let bytes = data.records.as_ref().map_or(0, Bytes::len);
        assert_eq!(bytes % BATCH, 0);
        (data.partition_index, data.error_code, data.high_watermark, bytes / BATCH)
    };
    response.responses.iter().flat_map(|topic| topic.partitions.iter().map(one)).collect()
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("this should not wait")
}

#[tokio::test]
async fn bytes_are_shared_in_order_and_the_first_batch_is_whole() {
    let setting = Setting::new(&[]);
    let topic = setting.topic("t", 3, &[]);
    for partition in [0, 0, 1, 1, 2] {
        setting.append(&topic, partition).await;
    }
    let limited = |max_bytes: usize, partition_max_bytes: usize| {
        let partition = |index| at(index, 0).with_partition_max_bytes(partition_max_bytes as i32);
        request(vec![named("t", vec![partition(0), partition(1), partition(2)])]).with_max_bytes(max_bytes as i32)
    };
    for (max_bytes, partition_max_bytes, batches) in [
        (1 << 20, 1 << 20, [2, 2, 1]),
        (1 << 20, BATCH, [1, 1, 1]),
        (3 * BATCH, 1 << 20, [2, 1, 0]),
        (2 * BATCH, BATCH, [1, 1, 0]),
        (1 << 20, 1, [1, 0, 0]),
        (1, 1 << 20, [1, 0, 0]),
        (0, 0, [1, 0, 0]),
    ] {
        let response = setting.fetch(12, limited(max_bytes, partition_max_bytes)).await;
        let found: Vec<usize> = seen(&response).iter().map(|one| one.3).collect();
        assert_eq!(found, batches, "{max_bytes} {partition_max_bytes}");
    }
    let empty_before = request(vec![named("t", vec![at(0, 2), at(1, 0), at(2, 0)])]).with_max_bytes(1);
    assert_eq!(seen(&setting.fetch(12, empty_before).await), [(0, 0, 2, 0), (1, 0, 2, 1), (2, 0, 1, 0)]);
    let negative = limited(0, 0).with_max_bytes(i32::MIN).with_min_bytes(i32::MIN).with_max_wait_ms(i32::MIN);
    assert_eq!(setting.fetch(12, negative).await.error_code, 0);
}

/// Codes as recorded from Apache Kafka 4.3.1.
#[tokio::test]
async fn errors_of_partitions() {
    let setting = Setting::new(&[]);
    let topic = setting.topic("t", 1, &[]);
    setting.append(&topic, 0).await;
    let unknown = Uuid::from_u128(77);
    let (none, empty) = (None, Some(0));
    for (version, wanted, code, aborted) in [
        (12, named("t", vec![at(0, 1000)]), ErrorCode::OffsetOutOfRange, none),
        (12, named("t", vec![at(0, -1)]), ErrorCode::OffsetOutOfRange, none),
        (12, named("t", vec![at(5, 0)]), ErrorCode::UnknownTopicOrPartition, empty),
        (12, named("t", vec![at(-1, 0)]), ErrorCode::UnknownTopicOrPartition, empty),
        (12, named("u", vec![at(0, 0)]), ErrorCode::UnknownTopicOrPartition, empty),
        (13, by_id(unknown, vec![at(0, 0)]), ErrorCode::UnknownTopicId, empty),
        (13, by_id(Uuid::nil(), vec![at(0, 0)]), ErrorCode::UnknownTopicId, empty),
        (13, by_id(topic.id, vec![at(5, 0)]), ErrorCode::UnknownTopicOrPartition, empty),
        (18, by_id(topic.id, vec![at(0, 0).with_current_leader_epoch(9)]), ErrorCode::UnknownLeaderEpoch, none),
        (18, by_id(topic.id, vec![at(0, 0).with_last_fetched_epoch(9)]), ErrorCode::OffsetOutOfRange, none),
    ] {
        let response = setting.fetch(version, request(vec![wanted])).await;
        let data = &response.responses[0].partitions[0];
        assert_eq!((data.error_code, data.high_watermark, data.log_start_offset), (code.code(), -1, -1));
        assert_eq!(data.aborted_transactions.as_ref().map(Vec::len), aborted, "{code}");
        assert_eq!(data.records.as_ref().map(Bytes::len), Some(0));
    }
    let known_epoch = at(0, 0).with_last_fetched_epoch(0).with_current_leader_epoch(0);
    assert_eq!(seen(&setting.fetch(18, request(vec![by_id(topic.id, vec![known_epoch])])).await), [(0, 0, 1, 1)]);
    let follower = request(vec![by_id(topic.id, vec![at(0, 0)])]);
    let follower =
        follower.with_replica_id(BrokerId(-1)).with_replica_state(ReplicaState::default().with_replica_id(BrokerId(2)));
    let code = ErrorCode::NotLeaderOrFollower.code();
    assert_eq!(seen(&setting.fetch(18, follower).await), [(0, code, -1, 0)]);
}

/// As recorded from Apache Kafka 4.3.1.
#[tokio::test]
async fn an_isolation_level_that_there_is_not_is_refused() {
    let setting = Setting::new(&[]);
    let topic = setting.topic("t", 1, &[]);
    setting.append(&topic, 0).await;
    let code = ErrorCode::UnknownServerError.code();
    for level in [i8::MIN, -1, 2, i8::MAX] {
        let with = |topic| request(vec![topic]).with_isolation_level(level);
        let response = setting.fetch(12, with(named("t", vec![at(0, 0)]))).await;
        assert_eq!((response.error_code, seen(&response)), (code, vec![(0, code, -1, 0)]));
        let response = setting.fetch(13, with(by_id(topic.id, vec![at(0, 0)]))).await;
        assert_eq!((response.error_code, response.responses.len()), (code, 0));
    }
}

#[test]
fn old_clients_are_not_told_of_storage_errors() {
    for (version, told) in
        [(4, ErrorCode::NotLeaderOrFollower), (5, ErrorCode::NotLeaderOrFollower), (6, ErrorCode::KafkaStorageError)]
    {
        assert_eq!(known_to(version, ErrorCode::KafkaStorageError), told);
    }
    assert_eq!(known_to(4, ErrorCode::OffsetOutOfRange), ErrorCode::OffsetOutOfRange);
}

#[tokio::test]
async fn a_client_with_an_older_leader_epoch_is_told_the_leader() {
    let files = Arc::new(crate::log::disk::memory::MemoryFiles::new());
    let config = || crate::config::BrokerConfig::from_pairs([("broker.rack", "r")]).unwrap();
    Broker::open(files.clone(), config(), 64).unwrap().stop().unwrap();
    let broker = Broker::open(files, config(), 64).unwrap();
    let mut setting = Setting::new(&[]);
    (setting.api, setting.broker) = (crate::api::Api::new(broker.clone()), broker);
    let topic = setting.topic("t", 1, &[]);
    for (version, told) in [(15, false), (16, true), (18, true)] {
        let wanted = by_id(topic.id, vec![at(0, 0).with_current_leader_epoch(0)]);
        let response = setting.fetch(version, request(vec![wanted])).await;
        let data = &response.responses[0].partitions[0];
        assert_eq!(data.error_code, ErrorCode::FencedLeaderEpoch.code());
        let leader = (data.current_leader.leader_id.0, data.current_leader.leader_epoch);
        assert_eq!(leader, if told { (1, 1) } else { (-1, -1) });
        let endpoints: Vec<_> = response
            .node_endpoints
            .iter()
            .map(|one| (one.node_id.0, &*one.host, one.port, one.rack.as_deref()))
            .collect();
        assert_eq!(endpoints, if told { vec![(1, "127.0.0.1", 9092, Some("r"))] } else { vec![] });
    }
}

#[tokio::test(start_paused = true)]
async fn without_enough_a_fetch_waits_until_its_time() {
    let setting = Setting::new(&[("fetch.max.bytes", "1024")]);
    let topic = setting.topic("t", 2, &[]);
    setting.append(&topic, 0).await;
    let (new, old) = (|| vec![named("t", vec![at(0, 1)])], || vec![named("t", vec![at(0, 0)])]);
    let with = |partition: FetchPartition| vec![named("t", vec![at(1, 0), partition])];
    let unknown = || vec![named("t", vec![at(0, 1)]), named("u", vec![at(0, 0)])];
    let batch = BATCH as i32;
    for (what, request, waited) in [
        ("nothing new", waiting(new(), 300, 1), 300),
        ("nothing is asked for", waiting(new(), 300, 0), 0),
        ("no time", waiting(new(), 0, 1), 0),
        ("enough", waiting(old(), 300, batch), 0),
        ("not enough", waiting(old(), 300, batch + 1), 300),
        ("nothing is wanted", waiting(vec![], 300, 1), 0),
        ("an error of one", waiting(with(at(0, 99)), 300, 1), 0),
        ("an error of one that does not exist", waiting(unknown(), 300, 1), 300),
        ("none that exists", waiting(vec![named("u", vec![at(0, 0)])], 300, 1), 0),
    ] {
        let before = Instant::now();
        setting.fetch(12, request).await;
        assert_eq!(before.elapsed().as_millis() as i32 / 10 * 10, waited, "{what}");
    }
    for _ in 0..20 {
        setting.append(&topic, 0).await;
    }
    // More than fetch.max.bytes, or than the client's own limit, will never be answered.
    for max_bytes in [1 << 20, 10 * batch] {
        let before = Instant::now();
        let response = setting.fetch(12, waiting(old(), 300, 1 << 20).with_max_bytes(max_bytes)).await;
        assert_eq!((seen(&response)[0].3, before.elapsed()), (10, Duration::ZERO));
    }
}

/// What fits into an answer may be less than there is: it is what there is that ends the wait.
#[tokio::test(start_paused = true)]
async fn what_there_is_counts_not_what_fits() {
    let setting = Setting::new(&[]);
    let topic = setting.topic("t", 2, &[]);
    setting.append(&topic, 0).await;
    setting.append(&topic, 1).await;
    let both = waiting(vec![named("t", vec![at(0, 0), at(1, 0)])], 300, 2 * BATCH as i32 - 1);
    let before = Instant::now();
    let response = setting.fetch(12, both.with_max_bytes(2 * BATCH as i32 - 1)).await;
    assert_eq!(seen(&response), [(0, 0, 1, 1), (1, 0, 1, 0)]);
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn a_waiting_fetch_is_answered_when_enough_has_come() {
    let setting = Setting::new(&[]);
    let topic = setting.topic("t", 2, &[]);
    let wanted = || vec![named("t", vec![at(0, 0), at(1, 0)])];
    let one = tokio::spawn(setting.start(12, waiting(wanted(), FOR_EVER_MS, 1)));
    let three = tokio::spawn(setting.start(12, waiting(wanted(), FOR_EVER_MS, 3 * BATCH as i32)));
    tokio::task::yield_now().await;
    setting.append(&topic, 1).await;
    assert_eq!(seen(&soon(one).await.unwrap()), [(0, 0, 0, 0), (1, 0, 1, 1)]);
    setting.append(&topic, 0).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!three.is_finished());
    setting.append(&topic, 1).await;
    assert_eq!(seen(&soon(three).await.unwrap()), [(0, 0, 1, 1), (1, 0, 2, 2)]);
}

#[tokio::test]
async fn a_waiting_fetch_is_answered_when_its_topic_goes() {
    let setting = Setting::new(&[]);
    let (topic, other) = (setting.topic("t", 1, &[]), setting.topic("other", 1, &[]));
    let wanted = vec![named("t", vec![at(0, 0)]), named("other", vec![at(0, 0)])];
    let fetch = tokio::spawn(setting.start(12, waiting(wanted, FOR_EVER_MS, 1)));
    tokio::task::yield_now().await;
    setting.delete(&topic);
    let code = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(seen(&soon(fetch).await.unwrap()), [(0, code, -1, 0), (0, 0, 0, 0)]);
    drop(other);
}

/// A read ends with its segment: waiting for more than is left in it would be in vain.
#[tokio::test]
async fn old_segments_are_not_kept_back() {
    let setting = Setting::new(&[]);
    let topic = setting.topic("t", 1, &[("internal.segment.bytes", &(2 * BATCH).to_string())]);
    for _ in 0..5 {
        setting.append(&topic, 0).await;
    }
    let fetch =
        |offset| soon(setting.start(12, waiting(vec![named("t", vec![at(0, offset)])], FOR_EVER_MS, 3 * BATCH as i32)));
    assert_eq!(seen(&fetch(0).await), [(0, 0, 5, 2)]);
    assert_eq!(seen(&fetch(3).await), [(0, 0, 5, 1)]);
    let wanted = waiting(vec![named("t", vec![at(0, 4)])], FOR_EVER_MS, 3 * BATCH as i32);
    let waits = tokio::spawn(setting.start(12, wanted));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waits.is_finished());
    // The one that is waited for goes into the next segment, and so does what would be enough.
    for _ in 0..2 {
        setting.append(&topic, 0).await;
    }
    assert_eq!(seen(&soon(waits).await.unwrap())[0].3, 2);
}

/// The course of `fetch-v*-session-*` as recorded from Apache Kafka 4.3.1.
#[tokio::test]
async fn a_session_from_its_opening_to_its_end() {
    for version in [7, 12, 13, 18] {
        let setting = Setting::new(&[]);
        let (one, wide) = (setting.topic("one", 1, &[]), setting.topic("wide", 3, &[]));
        for (topic, partition) in [(&wide, 0), (&wide, 1), (&wide, 2)] {
            setting.append(topic, partition).await;
        }
        let of = |topic: &Topic, partitions| match version {
            13.. => by_id(topic.id, partitions),
            _ => named(&topic.name, partitions),
        };
        let opening = in_session(0, 0, vec![of(&one, vec![at(0, 0)]), of(&wide, vec![at(0, 0), at(1, 1)])]);
        let opened = setting.fetch(version, opening).await;
        assert_eq!(seen(&opened), [(0, 0, 0, 0), (0, 0, 1, 1), (1, 0, 1, 0)]);
        let id = opened.session_id;
        assert!(id > 0);
        let go_on = async |epoch, topics| {
            let response = setting.fetch(version, in_session(id, epoch, topics)).await;
            (response.error_code, response.session_id, seen(&response))
        };
        let wrong_epoch = ErrorCode::InvalidFetchSessionEpoch.code();
        assert_eq!(go_on(9, vec![]).await, (wrong_epoch, 0, vec![]));
        assert_eq!(go_on(1, vec![of(&wide, vec![at(0, 1)])]).await, (0, id, vec![]));
        assert_eq!(go_on(2, vec![]).await, (0, id, vec![]));
        setting.append(&one, 0).await;
        assert_eq!(go_on(3, vec![]).await, (0, id, vec![(0, 0, 1, 1)]));
        assert_eq!(go_on(4, vec![]).await, (0, id, vec![(0, 0, 1, 1)]), "the client has not gone on");
        assert_eq!(go_on(5, vec![of(&one, vec![at(0, 1)])]).await, (0, id, vec![]));
        assert_eq!(go_on(6, vec![of(&wide, vec![at(2, 0)])]).await, (0, id, vec![(2, 0, 1, 1)]));
        let forgotten = ForgottenTopic::default()
            .with_topic(TopicName(StrBytes::from_static_str(if version >= 13 { "" } else { "wide" })))
            .with_topic_id(if version >= 13 { wide.id } else { Uuid::nil() })
            .with_partitions(vec![0, 1, 2]);
        let forget = in_session(id, 7, vec![]).with_forgotten_topics_data(vec![forgotten]);
        assert_eq!(seen(&setting.fetch(version, forget).await), []);
        setting.append(&wide, 0).await;
        let out_of_range = (0, ErrorCode::OffsetOutOfRange.code(), -1, 0);
        assert_eq!(go_on(8, vec![of(&one, vec![at(0, 77)])]).await, (0, id, vec![out_of_range]));
        assert_eq!(go_on(9, vec![]).await, (0, id, vec![out_of_range]));
        assert_eq!(go_on(10, vec![of(&one, vec![at(0, 1)])]).await, (0, id, vec![(0, 0, 1, 0)]));
        assert_eq!(go_on(-1, vec![]).await, (0, 0, vec![]));
        let unknown = ErrorCode::FetchSessionIdNotFound.code();
        assert_eq!(go_on(11, vec![]).await, (unknown, 0, vec![]));
        for (id, epoch) in [(12345, 1), (0, 3), (-7, i32::MAX), (12345, i32::MIN)] {
            let response = setting.fetch(version, in_session(id, epoch, vec![])).await;
            assert_eq!((response.error_code, response.session_id), (unknown, 0));
        }
    }
}

#[tokio::test]
async fn sessions_need_a_slot_and_a_version() {
    let setting = Setting::new(&[("max.incremental.fetch.session.cache.slots", "1")]);
    setting.topic("t", 1, &[]);
    let open = |id, epoch| in_session(id, epoch, vec![named("t", vec![at(0, 0)])]);
    assert_eq!(setting.fetch(6, open(0, 0).with_session_epoch(-1)).await.session_id, 0);
    assert_eq!(setting.fetch(7, open(0, -1)).await.session_id, 0);
    let first = setting.fetch(7, open(0, 0)).await.session_id;
    assert_ne!(first, 0);
    let without = setting.fetch(7, open(0, 0)).await;
    assert_eq!((without.session_id, seen(&without)), (0, vec![(0, 0, 0, 0)]));
    // A full fetch that names a session ends it, and may have its slot.
    let second = setting.fetch(7, open(first, 0)).await.session_id;
    assert!(second != 0 && second != first);
    let by_ids = setting.fetch(13, in_session(second, 1, vec![])).await;
    assert_eq!(by_ids.error_code, ErrorCode::FetchSessionTopicIdError.code());
    assert_eq!(setting.fetch(12, in_session(second, 1, vec![])).await.error_code, 0);
}

#[tokio::test]
async fn a_topic_of_a_session_may_come_go_and_come_back_as_another() {
    let setting = Setting::new(&[]);
    let (kept, topic) = (setting.topic("kept", 1, &[]), setting.topic("t", 1, &[]));
    let wanted = vec![by_id(kept.id, vec![at(0, 0)]), by_id(topic.id, vec![at(0, 0)])];
    let id = setting.fetch(18, in_session(0, 0, wanted)).await.session_id;
    let go_on = async |epoch| {
        let response = setting.fetch(18, in_session(id, epoch, vec![])).await;
        response.responses.iter().map(|topic| (topic.topic_id, topic.partitions[0].error_code)).collect::<Vec<_>>()
    };
    assert_eq!(go_on(1).await, []);
    setting.delete(&topic);
    assert_eq!(go_on(2).await, [(topic.id, ErrorCode::UnknownTopicOrPartition.code())]);
    setting.topic("t", 1, &[]);
    assert_eq!(go_on(3).await, [(topic.id, ErrorCode::InconsistentTopicId.code())]);
    // By name it is the topic that now has the name.
    let wanted = vec![named("t", vec![at(0, 0)]), named("later", vec![at(0, 0)])];
    let opened = setting.fetch(12, in_session(0, 0, wanted)).await;
    assert_eq!(seen(&opened), [(0, 0, 0, 0), (0, ErrorCode::UnknownTopicOrPartition.code(), -1, 0)]);
    setting.topic("later", 1, &[]);
    assert_eq!(seen(&setting.fetch(12, in_session(opened.session_id, 1, vec![])).await), [(0, 0, 0, 0)]);
}

#[tokio::test]
async fn a_request_that_is_overtaken_gives_up() {
    let setting = Setting::new(&[]);
    let topic = setting.topic("t", 1, &[]);
    let wanted = || vec![named("t", vec![at(0, 0)])];
    let id = setting.fetch(12, in_session(0, 0, wanted())).await.session_id;
    let waits = |epoch| {
        let request = in_session(id, epoch, vec![]).with_max_wait_ms(FOR_EVER_MS);
        tokio::spawn(setting.start(12, request))
    };
    let first = waits(1);
    tokio::task::yield_now().await;
    let second = waits(2);
    let overtaken = soon(first).await.unwrap();
    assert_eq!((overtaken.error_code, overtaken.session_id), (ErrorCode::InvalidFetchSessionEpoch.code(), id));
    assert!(!second.is_finished());
    setting.append(&topic, 0).await;
    assert_eq!(seen(&soon(second).await.unwrap()), [(0, 0, 1, 1)]);
    let third = waits(3);
    // The client did not go on, so there is something; one that waits is closed under.
    assert_eq!(seen(&soon(third).await.unwrap()), [(0, 0, 1, 1)]);
    let request = in_session(id, 4, vec![named("t", vec![at(0, 1)])]).with_max_wait_ms(FOR_EVER_MS);
    let fourth = tokio::spawn(setting.start(12, request));
    tokio::task::yield_now().await;
    setting.fetch(12, in_session(id, -1, vec![])).await;
    assert_eq!(soon(fourth).await.unwrap().error_code, ErrorCode::InvalidFetchSessionEpoch.code());
}

#[tokio::test]
async fn a_partition_that_is_named_twice_counts_once() {
    let setting = Setting::new(&[]);
    let topic = setting.topic("t", 2, &[]);
    setting.append(&topic, 0).await;
    let twice = request(vec![named("t", vec![at(0, 99), at(1, 0)]), named("t", vec![at(0, 0)])]);
    assert_eq!(seen(&setting.fetch(12, twice).await), [(0, 0, 1, 1), (1, 0, 0, 0)]);
}

//! What Apache Kafka was asked when `fixtures/wire` was recorded, asked again in the same order of a fresh broker of
//! ours; the answers are compared field by field. Ids of topics, sessions, members and
//! producers in the requests are replaced by ours.

use crate::broker::Broker;
use crate::client::Client;
use crate::fixtures::{Exchange, Recorded, exchanges};
use crate::messages::{self, Decoded};
use crate::transactions;
use crate::tree::Tree;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use uuid::Uuid;

/// What any two brokers may choose for themselves: by its path, and why. Only -1, null and nothing must agree.
const FREE: &[(&str, &str)] = &[
    ("*error_message", "wording"),
    ("*.documentation", "wording"),
    ("cluster_id", "an id"),
    ("brokers[*].port", "a port"),
    ("port", "a port"),
    ("coordinators[*].port", "a port"),
    ("session_id", "an id"),
    ("*log_append_time_ms", "a time"),
    ("*.transaction_start_time_ms", "a time"),
    ("*.last_timestamp", "the time of a marker"),
    ("*.coordinator_epoch", "a leader epoch"),
    ("*assignment.topic_partitions.order", "the order of ids"),
];

/// Where our answer is meant to be another one.
struct Deviation {
    exchange: &'static str,
    path: &'static str,
    kafka: &'static str,
    ottla: &'static str,
    reason: &'static str,
}

const fn deviation(
    exchange: &'static str,
    path: &'static str,
    kafka: &'static str,
    ottla: &'static str,
    reason: &'static str,
) -> Deviation {
    Deviation { exchange, path, kafka, ottla, reason }
}

const ABSENT: &str = "absent";
/// Kafka names all transactions up to the next entry of its index, or to the last stable offset; readers drop no others.
const OF_WHAT_IS_SENT: &str = "exactly the aborted transactions of which records are sent";
const FOR_EVER: &str = "\"9223372036854775807\"";

/// Each must be seen at least once, but for orders, which may agree by chance.
const DEVIATIONS: &[Deviation] = &[
    // What does not exist yet, or cannot.
    deviation("apiversions-*-all", "api_keys.order", "*", "*", "not every API exists yet"),
    deviation("apiversions-*-all", "api_keys[*].*", "*", ABSENT, "not every API exists yet"),
    deviation("apiversions-*-all", "api_keys[2].max_version", "11", "10", "the codec ends with ListOffsets 10"),
    deviation("apiversions-*-all", "api_keys[27].max_version", "2", "1", "the codec ends with WriteTxnMarkers 1"),
    deviation("apiversions-*-all", "*_features.order", "*", "*", "features are published when they are real"),
    deviation("apiversions-*-all", "*_features[*", "*", ABSENT, "features are published when they are real"),
    deviation("apiversions-v03-all", "supported_features", ABSENT, "[]", "features are published when they are real"),
    deviation("apiversions-*-all", "finalized_features_epoch", "*", "0", "features never change while it runs"),
    // Groups.
    deviation("findcoordinator-*-group", "*", "*", "*", "the first question is answered once the topic is there"),
    deviation("findcoordinator-*-groups", "*", "*", "*", "the first question is answered once the topic is there"),
    deviation("findcoordinator-*-txn-first", "*", "*", "*", "the first question is answered once the topic is there"),
    deviation("findcoordinator-*", "error_message", "\"NONE\"", "\"\"", "no error, no text"),
    deviation("offsetcommit-*", "*.partitions.order", "*", "*", "Kafka names first what it refuses"),
    deviation("offsetdelete-*", "*.partitions.order", "*", "*", "Kafka names first what it refuses"),
    deviation("listgroups-*", "groups[unseen].*", "*", ABSENT, "nothing stays of a refused join"),
    deviation("describegroups-*", "groups[unseen].group_state", "\"Empty\"", "\"Dead\"", "as above"),
    deviation("describegroups-v06-*", "groups[unseen].error_*", "*", "*", "as above"),
    deviation("deletegroups-*", "results[unseen].error_code", "0", "69", "as above"),
    deviation("describegroups-*", "groups[*#2].*", "*", ABSENT, "asked twice, answered once: replies are bounded"),
    deviation("offsetfetch-*-txn-*", "groups[*#2].*", "*", ABSENT, "asked twice, answered once: replies are bounded"),
    deviation("offsetfetch-*-txn-*", "groups.order", "*", "*", "as above"),
    // Transactions.
    deviation("txnoffsetcommit-*", "*.partitions.order", "*", "*", "Kafka names first what it refuses"),
    deviation("addpartitionstotxn-*-same-id-twice", "*[*#2].topic_results[*", "*", "*", "Kafka does the first twice"),
    deviation("writetxnmarkers-*-without-topics", "markers*", "*", "*", "answered marker by marker"),
    deviation("writetxnmarkers-*-several", "markers[*#2].*", ABSENT, "*", "answered marker by marker"),
    deviation("describeproducers-*-unknown", "*[99].error_message", "null", "*", "we say what is wrong"),
    deviation("fetch-*-interleaved*-bytes-*", "*.aborted_transactions[*", "*", ABSENT, OF_WHAT_IS_SENT),
    deviation("fetch-*-interleaved*-bytes-*", "*.aborted_transactions", ABSENT, "[]", OF_WHAT_IS_SENT),
    deviation("fetch-*-interleaved*-bytes-*", "*.aborted_transactions.order", "*", "*", OF_WHAT_IS_SENT),
    // Defaults.
    deviation("*", "*[flush.messages].value", FOR_EVER, "\"1\"", "acks=all is answered when it is durable"),
    deviation("*", "*[min.insync.replicas].config_source", "3", "5", "no cluster-wide default, which ELR sets"),
    deviation("describeconfigs-*", "*[node.id].synonyms*", "*", "*", "Kafka has no default node id"),
    // Kafka does it later, or less well.
    deviation("metadata-*-auto-create", "topics[auto-*]*", "*", "*", "the topic is there with the first answer"),
    deviation("produce-*-no-such-codec", "*.error_code", "-1", "76", "Kafka's handler falls over; no retry helps"),
    deviation("produce-*-not-what-the-codec-says", "*.error_code", "-1", "87", "as above"),
    deviation("produce-*", "*.error_message", "null", "*", "we say what is wrong"),
    deviation("createpartitions-*-unknown", "*.error_message", "null", "*", "we say what is wrong"),
    deviation("describeconfigs-*-unknown-topic", "*.error_message", "\"\"", "*", "we say what is wrong"),
    deviation("incrementalalterconfigs-*-no-such-operation", "*.error_message", "null", "*", "we say what is wrong"),
    // Orders that are those of a hash map with Kafka; ours are those of the request, or of the names.
    deviation("metadata-*", "topics.order", "*", "*", "a hash map's order"),
    deviation("deletetopics-*", "responses.order", "*", "*", "a hash map's order"),
    deviation("offsetfetch-*", "*topics.order", "*", "*", "a hash map's order"),
    deviation("offsetfetch-*", "*.partitions.order", "*", "*", "a hash map's order"),
    deviation(
        "consumergroupdescribe-*",
        "*.subscribed_topic_names",
        "[grouped-other, grouped]",
        "[grouped, grouped-other]",
        "a hash set's order",
    ),
    deviation("describegroups-*", "groups.order", "*", "*", "a hash map's order"),
    deviation("consumergroupdescribe-*", "groups.order", "*", "*", "a hash map's order"),
    deviation("listgroups-*", "groups.order", "*", "*", "a hash map's order"),
    deviation("deletegroups-*", "results.order", "*", "*", "a hash map's order"),
    deviation("createpartitions-*", "results.order", "*", "*", "a hash map's order"),
    deviation("describeconfigs-*", "*.configs.order", "*", "*", "a hash map's order"),
    deviation("produce-*", "*.partition_responses.order", "*", "*", "a hash map's order"),
    deviation("addpartitionstotxn-*", "*.order", "*", "*", "a hash map's order"),
    deviation("writetxnmarkers-*", "*.order", "*", "*", "a hash map's order"),
    deviation("describeproducers-*", "*.active_producers.order", "*", "*", "a hash map's order"),
    deviation("describetransactions-*", "*.topics.order", "*", "*", "a hash map's order"),
    deviation("describetransactions-*", "*.partitions", "[1, 0]", "[0, 1]", "a hash set's order"),
    deviation("describetransactions-*", "*.partitions", "[2, 0, 1]", "[0, 1, 2]", "a hash set's order"),
    deviation("describetransactions-*", "*.partitions", "[0, 29, 26]", "[0, 26, 29]", "a hash set's order"),
    deviation("listtransactions-*", "transaction_states.order", "*", "*", "a hash map's order"),
    deviation("listoffsets-*-several", "*.partitions.order", "*", "*", "a hash map's order"),
];

#[test]
fn ottla_answers_as_kafka_did() {
    let broker = Broker::start(&["node.id=1", "group.consumer.assignment.interval.ms=0"]);
    let mut replay = Replay::default();
    let mut client = Client::new(&broker);
    let mut connection = 0;
    for exchange in exchanges() {
        if exchange.connection != connection {
            client = Client::new(&broker);
            connection = exchange.connection;
        }
        replay.exchange(&mut client, &exchange);
    }
    for (deviation, seen) in DEVIATIONS.iter().zip(&replay.seen) {
        let Deviation { exchange, path, kafka, ottla, reason } = deviation;
        if !seen && !path.ends_with(".order") {
            let _ = writeln!(replay.differences, "not seen: {exchange} {path}: {kafka} / {ottla} ({reason})");
        }
    }
    assert!(replay.differences.is_empty(), "exchange, field: Kafka's / ours\n{}", replay.differences);
}

struct Replay {
    /// The recorded ids, and ours in their place.
    ids: BTreeMap<Vec<u8>, Vec<u8>>,
    seen: Vec<bool>,
    differences: String,
}

/// Tells which exchange a panic is about.
struct Asked<'a>(&'a str);

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("it was {}", self.0);
        }
    }
}

impl Default for Replay {
    fn default() -> Self {
        Replay { ids: BTreeMap::new(), seen: vec![false; DEVIATIONS.len()], differences: String::new() }
    }
}

impl Replay {
    fn exchange(&mut self, client: &mut Client, exchange: &Exchange) {
        let name = &exchange.name;
        let _asked = Asked(name);
        // Kafka's markers come after its answer, and so may ours.
        exchange.awaits.iter().for_each(|id| drop(transactions::settled(client, id)));
        let mut request = exchange.request.clone();
        let used: BTreeMap<_, _> = exchange.uses.iter().filter_map(|(_, id)| self.ids.get_key_value(id)).collect();
        replace(&mut request, &used);
        client.send(&request);
        let reply = match &exchange.reply {
            Recorded::Nothing => return,
            Recorded::Closed => {
                // Of bytes that are no request at all nothing can be said but that there is no reply.
                let closed = client.receive().is_none();
                return if !closed {
                    self.differ(name, "", "closed", "a reply")
                };
            }
            Recorded::Reply(reply) => reply,
        };
        let Some(ours) = client.receive() else {
            *client = client.again();
            return self.differ(name, "", "a reply", "closed");
        };
        let (key, version) = exchange.api().unwrap();
        let version = if name.ends_with("-newer-than-the-broker") { 0 } else { version };
        let (id, ours) = messages::reply(key, version, &ours).unwrap_or_else(|error| panic!("{name}: {error}"));
        self.bind(exchange, &ours);
        let mut kafkas = reply[4..].to_vec();
        // A session's id is too short to be looked for.
        replace(&mut kafkas, &self.ids.iter().filter(|(recorded, _)| recorded.len() >= 8).collect());
        let (recorded_id, kafkas) = messages::reply(key, version, &kafkas).unwrap();
        assert_eq!(id, recorded_id, "{name}: the correlation id");
        self.compare(name, &kafkas, &ours);
    }

    /// Learns which ids are ours.
    fn bind(&mut self, exchange: &Exchange, ours: &Decoded) {
        let mut topics = BTreeMap::new();
        ours.fields.visit(&mut |part| {
            if let (Some(name), Some(id)) = (part.field("name"), part.field("topic_id")) {
                topics.insert(name.text().unwrap().to_owned(), id.text().unwrap().parse::<Uuid>().unwrap());
            }
        });
        for (what, recorded) in &exchange.binds {
            let field = |name| ours.fields.field(name).and_then(Tree::text);
            let own = match what.split_once(':') {
                Some(("topic-id", topic)) => topics.get(topic).map(|id| id.as_bytes().to_vec()),
                // Another id for the same producer is a difference, and so is the same for another.
                Some(("producer-id", _)) if self.ids.contains_key(recorded) => continue,
                Some(("producer-id", _)) => field("producer_id")
                    .map(|id| id.parse::<i64>().unwrap().to_be_bytes().to_vec())
                    .filter(|own| self.ids.values().all(|other| other != own)),
                Some(_) => field("member_id").map(|id| id.as_bytes().to_vec()),
                None => Some(field("session_id").unwrap().parse::<i32>().unwrap().to_be_bytes().to_vec()),
            };
            match own {
                // Of the same length as Kafka's, or it cannot take its place.
                Some(own) if own.len() == recorded.len() => drop(self.ids.insert(recorded.clone(), own)),
                other => self.differ(&exchange.name, what, "an id", &format!("{other:?}")),
            }
        }
    }

    fn compare(&mut self, name: &str, kafkas: &Decoded, ours: &Decoded) {
        let (kafkas, ours) = (normalised(kafkas.fields.leaves()), normalised(ours.fields.leaves()));
        let paths: BTreeSet<_> = kafkas.keys().chain(ours.keys()).collect();
        for path in paths {
            let value = |leaves: &BTreeMap<String, String>| leaves.get(path).map_or(ABSENT, String::as_str).to_owned();
            let (kafka, ottla) = (value(&kafkas), value(&ours));
            if kafka != ottla {
                self.differ(name, path, &kafka, &ottla);
            }
        }
    }

    fn differ(&mut self, exchange: &str, path: &str, kafka: &str, ottla: &str) {
        // There is a producer 0, but no session 0.
        let none = if path == "session_id" { "0" } else { "-1" };
        let is_something = |value| ![ABSENT, "null", "\"\"", none].contains(&value);
        let both_something = is_something(kafka) && is_something(ottla);
        if both_something && FREE.iter().any(|(free, _)| matches(free, path)) {
            return;
        }
        let meant = DEVIATIONS.iter().position(|meant| {
            matches(meant.exchange, exchange)
                && matches(meant.path, path)
                && matches(meant.kafka, kafka)
                && matches(meant.ottla, ottla)
        });
        match meant {
            Some(meant) => self.seen[meant] = true,
            None => drop(writeln!(self.differences, "{exchange} {path}: {kafka} / {ottla}")),
        }
    }
}

/// Record bytes without what the broker stamps: the leader epoch, and the time of the append with the checksum over it.
/// Whole batches only; Kafka cuts the last where the size that was asked for ends, and readers drop it.
fn normalised(mut leaves: BTreeMap<String, String>) -> BTreeMap<String, String> {
    for (path, value) in &mut leaves {
        if path.ends_with(".records") && value.starts_with("b\"") {
            *value = unstamped(unescaped(value)).iter().map(|byte| format!("{byte:02x}")).collect();
        }
    }
    leaves
}

fn unstamped(mut batches: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    while let Some(batch) = batches.get_mut(at..).filter(|rest| rest.len() >= 61) {
        batch[12..16].fill(0);
        let is_control = batch[22] & 0x20 != 0;
        if batch[22] & 0x08 != 0 || is_control {
            batch[17..21].fill(0);
            batch[35..43].fill(0);
        }
        if is_control {
            batch[27..35].fill(0);
            // A marker's record is always as long; this is its coordinator's epoch.
            batch.get_mut(73..77).into_iter().for_each(|epoch| epoch.fill(0));
        }
        let size = 12 + i32::from_be_bytes(*batch[8..].first_chunk().unwrap()) as usize;
        if batch.len() < size {
            break;
        }
        at += size;
    }
    batches.truncate(at);
    batches
}

/// The bytes that `Bytes` shows as `b"..."`.
fn unescaped(shown: &str) -> Vec<u8> {
    let mut rest = shown[2..shown.len() - 1].bytes();
    let mut bytes = Vec::new();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next().unwrap() {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'0' => 0,
                b'x' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => other,
            },
            plain => plain,
        });
    }
    bytes
}

/// Puts our ids in the place of the recorded ones. Batches whose checksum was right have a right one afterwards.
fn replace(bytes: &mut [u8], ids: &BTreeMap<&Vec<u8>, &Vec<u8>>) {
    let sealed: Vec<_> = (0..bytes.len()).filter_map(|at| Some((at, sealed_batch(&bytes[at..])?))).collect();
    let lengths: BTreeSet<_> = ids.keys().map(|id| id.len()).collect();
    let mut at = 0;
    while at < bytes.len() {
        let own = lengths.iter().rev().find_map(|length| ids.get(&bytes.get(at..at + length)?.to_vec()));
        if let Some(own) = own {
            bytes[at..at + own.len()].copy_from_slice(own);
        }
        at += own.map_or(1, |own| own.len());
    }
    for (at, size) in sealed {
        let batch = &mut bytes[at..at + size];
        let crc = crc32c::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
    }
}

/// The size of the batch that begins here, if its checksum is right.
fn sealed_batch(bytes: &[u8]) -> Option<usize> {
    let length = i32::from_be_bytes(*bytes.get(8..)?.first_chunk()?);
    let size = usize::try_from(length).ok()? + 12;
    let batch = bytes.get(..size).filter(|batch| batch.len() >= 61 && batch[16] == 2)?;
    (crc32c::crc32c(&batch[21..]).to_be_bytes() == batch[17..21]).then_some(size)
}

/// Whether `text` is `pattern`, in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text
            .strip_prefix(start)
            .is_some_and(|text| (0..=text.len()).any(|skip| text.get(skip..).is_some_and(|text| matches(rest, text)))),
    }
}

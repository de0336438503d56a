//! The small files beside the segments, in Kafka's formats: checkpoints of offsets and epochs, the topic id of a
//! partition, and the names that everything has. Parsing is strict: a file that is not as it should be is no file.

use crate::log::{EpochStart, Offset};
use indexmap::IndexMap;
use uuid::Uuid;

/// Presence alone says that the last stop was clean (`CleanShutdownFileHandler`).
pub const CLEAN_MARKER: &str = ".kafka_cleanshutdown";
/// Presence says that a sync failed. Not synced itself: it lives as long as the page cache that must not be believed.
pub const UNSURE_MARKER: &str = "sync-failed";
/// How far each partition is synced (`OffsetCheckpointFile`).
pub const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
/// The leader epoch history of one partition (`LeaderEpochCheckpointFile`).
pub const LEADER_EPOCHS: &str = "leader-epoch-checkpoint";
/// Extension of a segment's aborted transactions (`TransactionIndex`).
pub const TRANSACTION_INDEX: &str = "txnindex";
/// The topic id of one partition (`PartitionMetadataFile`).
pub const PARTITION_METADATA: &str = "partition.metadata";
/// A partition folder on its way out.
pub const DELETED_SUFFIX: &str = "-delete";
/// A partition folder that nobody knows; kept for the operator to decide.
pub const STRAY_SUFFIX: &str = "-stray";
/// What recovery puts aside rather than delete.
pub const CORRUPT_SUFFIX: &str = "corrupt";

/// `00000000000000000042.log` and the like.
pub fn offset_name(offset: Offset, extension: &str) -> String {
    format!("{offset:020}.{extension}")
}

/// The offset and extension of such a name.
pub fn parse_offset_name(name: &str) -> Option<(Offset, &str)> {
    let (digits, extension) = name.split_once('.')?;
    if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((digits.parse().ok()?, extension))
}

/// Topic and partition of a folder's name, `<topic>-<partition>`.
pub fn parse_partition_dir(name: &str) -> Option<(&str, i32)> {
    if name.ends_with(DELETED_SUFFIX) || name.ends_with(STRAY_SUFFIX) {
        return None;
    }
    let (topic, partition) = name.rsplit_once('-')?;
    let digits = !partition.is_empty() && partition.bytes().all(|b| b.is_ascii_digit());
    if topic.is_empty() || !digits {
        return None;
    }
    Some((topic, partition.parse().ok()?))
}

/// Kafka's text checkpoints: a version line, a count line, then the entries (`CheckpointFile`).
fn checkpoint(entries: impl ExactSizeIterator<Item = String>) -> Vec<u8> {
    let mut out = format!("0\n{}\n", entries.len());
    for entry in entries {
        out.push_str(&entry);
        out.push('\n');
    }
    out.into_bytes()
}

/// The entry lines of a checkpoint, or `None` where version, count or text are wrong.
fn checkpoint_lines(bytes: &[u8]) -> Option<Vec<&str>> {
    // What is written over in place may be cut within its last number.
    if bytes.last().is_some_and(|last| *last != b'\n') {
        return None;
    }
    let mut lines = std::str::from_utf8(bytes).ok()?.lines();
    let Some(version) = lines.next() else { return Some(Vec::new()) };
    let count: usize = lines.next()?.trim().parse().ok()?;
    let entries: Vec<_> = lines.collect();
    (version.trim() == "0" && entries.len() == count).then_some(entries)
}

/// The file of recovery points, from `(topic, partition)` to offset.
pub fn encode_offsets(offsets: &IndexMap<(String, i32), Offset>) -> Vec<u8> {
    checkpoint(offsets.iter().map(|((topic, partition), offset)| format!("{topic} {partition} {offset}")))
}

/// Reads a file of offsets; `None` if it is damaged.
pub fn decode_offsets(bytes: &[u8]) -> Option<IndexMap<(String, i32), Offset>> {
    checkpoint_lines(bytes)?
        .into_iter()
        .map(|line| {
            let mut fields = line.split_whitespace();
            let topic = fields.next()?.to_owned();
            let partition = fields.next()?.parse().ok()?;
            let offset = fields.next()?.parse().ok().filter(|offset| *offset >= 0)?;
            fields.next().is_none().then_some(((topic, partition), offset))
        })
        .collect()
}

/// The file of a partition's epochs.
pub fn encode_epochs(epochs: &[EpochStart]) -> Vec<u8> {
    checkpoint(epochs.iter().map(|entry| format!("{} {}", entry.epoch, entry.start)))
}

/// Reads a file of epochs; `None` if it is damaged or not in rising order.
pub fn decode_epochs(bytes: &[u8]) -> Option<Vec<EpochStart>> {
    let epochs: Vec<_> = checkpoint_lines(bytes)?
        .into_iter()
        .map(|line| {
            let (epoch, start) = line.trim().split_once(' ')?;
            let (epoch, start) = (epoch.parse().ok()?, start.trim().parse().ok()?);
            (epoch >= 0 && start >= 0).then_some(EpochStart { epoch, start })
        })
        .collect::<Option<_>>()?;
    epochs.is_sorted_by(|a, b| a.epoch < b.epoch && a.start <= b.start).then_some(epochs)
}

/// A topic id as Kafka writes it: 16 bytes in URL-safe base64 without padding.
pub fn encode_partition_metadata(topic_id: Uuid) -> Vec<u8> {
    format!("version: 0\ntopic_id: {}\n", base64_url(topic_id)).into_bytes()
}

/// Reads `partition.metadata`; `None` if it is damaged.
pub fn decode_partition_metadata(bytes: &[u8]) -> Option<Uuid> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.lines();
    let version = lines.next()?.strip_prefix("version:")?.trim();
    let id = lines.next()?.strip_prefix("topic_id:")?.trim();
    (version == "0").then(|| parse_base64_url(id)).flatten()
}

const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// 22 characters, as `org.apache.kafka.common.Uuid` prints itself.
pub fn base64_url(id: Uuid) -> String {
    let bits = id.as_u128();
    let digit = |index: u32| {
        // 21 digits of six bits from the top, then the last two bits, shifted up.
        let value = if index < 21 { bits >> (122 - 6 * index) } else { bits << 4 } & 63;
        BASE64_URL.get(value as usize).map_or('A', |byte| char::from(*byte))
    };
    (0..22).map(digit).collect()
}

/// The inverse of [`base64_url`].
pub fn parse_base64_url(text: &str) -> Option<Uuid> {
    if text.len() != 22 {
        return None;
    }
    let mut bits: u128 = 0;
    for (index, byte) in text.bytes().enumerate() {
        let value = BASE64_URL.iter().position(|b| *b == byte)? as u128;
        bits = if index < 21 { bits << 6 | value } else { bits << 2 | value >> 4 };
    }
    Some(Uuid::from_u128(bits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names() {
        assert_eq!(offset_name(42, "log"), "00000000000000000042.log");
        assert_eq!(parse_offset_name("00000000000000000042.timeindex"), Some((42, "timeindex")));
        for bad in [
            "42.log",
            "0000000000000000004x.log",
            "99999999999999999999.log",
            "00000000000000000042",
            "+0000000000000000042.log",
        ] {
            assert_eq!(parse_offset_name(bad), None, "{bad}");
        }
        assert_eq!(parse_partition_dir("a-b-12"), Some(("a-b", 12)));
        for bad in ["a", "-1", "a-", "a-+1", "a-99999999999", "a-0.12ab-delete", "a-0.12ab-stray"] {
            assert_eq!(parse_partition_dir(bad), None, "{bad}");
        }
    }

    #[test]
    fn checkpoints_read_back_and_refuse_damage() {
        let offsets = IndexMap::from([(("a".to_owned(), 0), 5), (("b-c".to_owned(), 11), 0)]);
        let bytes = encode_offsets(&offsets);
        assert_eq!(bytes, b"0\n2\na 0 5\nb-c 11 0\n");
        assert_eq!(decode_offsets(&bytes), Some(offsets));
        assert_eq!(decode_offsets(b""), Some(IndexMap::new()));
        for bad in ["1\n0\n", "0\n2\na 0 5\n", "0\n1\na 0\n", "0\n1\na 0 5 6\n", "0\n1\na 0 -5\n", "x", "0\n"] {
            assert_eq!(decode_offsets(bad.as_bytes()), None, "{bad}");
        }
        let epochs = vec![EpochStart { epoch: 0, start: 0 }, EpochStart { epoch: 4, start: 10 }];
        assert_eq!(decode_epochs(&encode_epochs(&epochs)), Some(epochs));
        assert_eq!(decode_epochs(b"0\n2\n4 10\n0 0\n"), None);
        assert_eq!(decode_epochs(b"0\n1\n4 10"), None, "the last number may have been longer");
    }

    #[test]
    fn topic_ids_are_written_as_kafka_writes_them() {
        // Kafka's Uuid.METADATA_TOPIC_ID, number one.
        assert_eq!(base64_url(Uuid::from_u128(1)), "AAAAAAAAAAAAAAAAAAAAAQ");
        let id = Uuid::from_u128(0xfb5c_5f8e_0c6b_4d2f_9b3a_5d1e_7c80_91a2);
        assert_eq!(decode_partition_metadata(&encode_partition_metadata(id)), Some(id));
        assert_eq!(decode_partition_metadata(b"version: 1\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ\n"), None);
        assert_eq!(decode_partition_metadata(b"version: 0\n"), None);
    }

    proptest! {
        #[test]
        fn base64_round_trips(bits: u128) {
            prop_assert_eq!(parse_base64_url(&base64_url(Uuid::from_u128(bits))), Some(Uuid::from_u128(bits)));
        }

        #[test]
        fn nothing_panics_on_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = (decode_offsets(&bytes), decode_epochs(&bytes), decode_partition_metadata(&bytes));
        }
    }
}

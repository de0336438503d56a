//! Markers: the control records that end a transaction on a partition, with what was decided.
//!
//! Key: version and type, value: version and the epoch of the coordinator that decided (Kafka's `ControlRecordType` and
//! `EndTransactionMarker`). Left out: the control records of KRaft, which no partition of a topic has.

use crate::time::Millis;
use crate::wire::batch::BatchHeader;
use crate::wire::build::{self, Kind};
use crate::wire::entries::{self, Contents};
use crate::wire::fields::FieldReader;
use bytes::Bytes;

const KEY_VERSION: i16 = 0;
const ABORT: i16 = 0;
const COMMIT: i16 = 1;
const VALUE_VERSION: i16 = 0;
/// A marker has a dozen bytes, and nobody compresses it.
const LIMIT: usize = 1024;

/// The end of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Committed, or aborted.
    pub committed: bool,
    /// The epoch of the coordinator that says so: one of an older epoch is a zombie.
    pub coordinator_epoch: i32,
}

impl Marker {
    /// The batch of this marker, as the log takes it.
    pub fn batch(self, producer_id: i64, producer_epoch: i16, timestamp: Millis) -> (BatchHeader, Bytes) {
        let control_type = if self.committed { COMMIT } else { ABORT };
        let key = [KEY_VERSION.to_be_bytes(), control_type.to_be_bytes()].concat();
        let value = [&VALUE_VERSION.to_be_bytes()[..], &self.coordinator_epoch.to_be_bytes()].concat();
        build::parts(Kind::Control { producer_id, producer_epoch }, &[(key.into(), Some(value.into()))], timestamp)
    }

    /// The marker in a control batch; `None` where it holds none, as after the cleaner, or something else. What a newer
    /// version of the value adds is not looked at, as in Kafka.
    pub fn read(header: &BatchHeader, payload: &Bytes) -> Option<Self> {
        let Contents::Control(mut records) = entries::read(header, payload, LIMIT).ok()? else { return None };
        let record = records.next()?.ok()?;
        let key = record.key?;
        let mut key = FieldReader::new(&key, false);
        let (version, control_type) = (key.int16("version").ok()?, key.int16("type").ok()?);
        let value = record.value?;
        let mut value = FieldReader::new(&value, false);
        let value_version = value.int16("version").ok()?;
        let coordinator_epoch = value.int32("coordinator epoch").ok()?;
        let committed = match control_type {
            COMMIT => true,
            ABORT => false,
            _ => return None,
        };
        (version >= KEY_VERSION && value_version >= VALUE_VERSION).then_some(Marker { committed, coordinator_epoch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::batch::HEADER_SIZE;

    #[test]
    fn a_marker_is_kafkas_byte_for_byte_and_reads_as_what_it_is() {
        for committed in [true, false] {
            let marker = Marker { committed, coordinator_epoch: 5 };
            let (header, payload) = marker.batch(7, 3, 1_000);
            #[rustfmt::skip]
            let expected = [32, 0, 0, 0, 8, 0, 0, 0, u8::from(committed), 12, 0, 0, 0, 0, 0, 5, 0];
            assert_eq!(payload, expected[..]);
            assert_eq!((header.size(), header.attributes, header.base_sequence), (HEADER_SIZE + 17, 0x30, -1));
            assert_eq!((header.producer_id, header.producer_epoch, header.max_timestamp), (7, 3, 1_000));
            assert_eq!(Marker::read(&header, &payload), Some(marker));
        }
    }

    #[test]
    fn what_is_no_marker_reads_as_none() {
        let (header, payload) = Marker { committed: true, coordinator_epoch: 5 }.batch(7, 3, 1_000);
        for (at, byte) in [(8, 2), (5, 0xff), (10, 0xff), (0, 34), (4, 6)] {
            let mut changed = payload.to_vec();
            changed[at] = byte;
            assert_eq!(Marker::read(&header, &changed.into()), None, "byte {at}");
        }
        assert_eq!(Marker::read(&BatchHeader { record_count: 0, ..header }, &Bytes::new()), None);
        assert_eq!(Marker::read(&BatchHeader { attributes: 0x10, ..header }, &payload), None);
        assert_eq!(Marker::read(&header, &payload.slice(..10)), None);
    }
}

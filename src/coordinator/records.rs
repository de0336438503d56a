//! What the records of every internal topic have in common: a key begins with the record's type, a value with its version
//! (Kafka's `CoordinatorRecordSerde`).

use super::Unreadable;
use crate::wire::fields::{FieldError, FieldReader, FieldWriter};
use bytes::Bytes;

/// What a batch of one record takes beside its key and value, at most: the header, and the record's own fields.
pub const RECORD_BATCH_BYTES: usize = 61 + 5 + 1 + 10 + 5 + 5 + 5 + 1;

/// What a record's bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded<R> {
    /// A record.
    Known(R),
    /// A record of this type, which this broker keeps nothing of.
    Unknown(i16),
}

/// Why a record has no bytes, or bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The key has less than two bytes.
    #[error("the key is too short for a record's type")]
    NoType,
    /// A newer Kafka wrote the value, or nobody did.
    #[error("record of type {record_type}: version {version} of the value is unknown")]
    Version {
        /// From the key.
        record_type: i16,
        /// From the value.
        version: i16,
    },
    /// A newer Kafka wrote the value: a number of it stands for what is not known.
    #[error("record of type {record_type}: {field} is {value}, which is unknown")]
    Unknown {
        /// From the key.
        record_type: i16,
        /// Which field.
        field: &'static str,
        /// From the value.
        value: i16,
    },
    /// The key is malformed, or a field of it is too long to be written.
    #[error("record of type {record_type}, key: {error}")]
    Key {
        /// From the key.
        record_type: i16,
        /// Which field.
        error: FieldError,
    },
    /// The value is malformed, or a field of it is too long to be written.
    #[error("record of type {record_type}, value: {error}")]
    Value {
        /// From the key.
        record_type: i16,
        /// Which field.
        error: FieldError,
    },
}

impl From<RecordError> for Unreadable {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Version { .. } | RecordError::Unknown { .. } => Unreadable::Newer(error.to_string()),
            RecordError::NoType | RecordError::Key { .. } | RecordError::Value { .. } => {
                Unreadable::Foreign(error.to_string())
            }
        }
    }
}

/// A record whose type has been read, and nothing else yet.
#[derive(Debug)]
pub struct Decoding<'a> {
    /// From the key.
    pub record_type: i16,
    key: FieldReader<'a>,
    value: Option<&'a [u8]>,
}

impl<'a> Decoding<'a> {
    /// Reads the type.
    pub fn new(key: &'a [u8], value: Option<&'a [u8]>) -> Result<Self, RecordError> {
        let mut key = FieldReader::new(key, false);
        let record_type = key.int16("type").map_err(|_| RecordError::NoType)?;
        Ok(Decoding { record_type, key, value })
    }

    /// A text of the key; keys are not flexible.
    pub fn text(&mut self, field: &'static str) -> Result<String, RecordError> {
        self.key.string(field).map_err(|error| RecordError::Key { record_type: self.record_type, error })
    }

    /// A number of the key.
    pub fn int32(&mut self, field: &'static str) -> Result<i32, RecordError> {
        self.key.int32(field).map_err(|error| RecordError::Key { record_type: self.record_type, error })
    }

    /// A value of the versions from 0 to `highest`; a tombstone has none.
    pub fn versioned<T>(
        &self,
        highest: i16,
        read: impl FnOnce(&mut FieldReader<'a>, i16) -> Result<T, FieldError>,
    ) -> Result<Option<T>, RecordError> {
        let record_type = self.record_type;
        let malformed = |error| RecordError::Value { record_type, error };
        let Some(value) = self.value else { return Ok(None) };
        let mut from = FieldReader::new(value, false);
        let version = from.int16("version").map_err(malformed)?;
        if !(0..=highest).contains(&version) {
            return Err(RecordError::Version { record_type, version });
        }
        read(&mut from, version).map(Some).map_err(malformed)
    }
}

/// The bytes of a record; `key` writes what comes after the type, and a tombstone has no value. An error means that a field
/// does not fit its length: text of more than 32767 bytes, most likely.
pub fn encoded(
    record_type: i16,
    key: impl FnOnce(&mut FieldWriter),
    value: Option<FieldWriter>,
) -> Result<(Bytes, Option<Bytes>), RecordError> {
    let mut out = FieldWriter::new(false);
    out.int16(record_type);
    key(&mut out);
    let key = out.finish().map_err(|error| RecordError::Key { record_type, error })?;
    let value = value.map(FieldWriter::finish).transpose();
    Ok((key, value.map_err(|error| RecordError::Value { record_type, error })?))
}

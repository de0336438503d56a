//! [`Record`] to bytes and back.
//!
//! Values of both versions are read; version 1 is written, as Kafka does since transaction.version 1, and of its tagged
//! fields those that are not at their defaults. A state or a way to do transactions that is not known is refused like a
//! version that is not: a newer broker wrote it, and to guess would commit or abort what it did not.

use super::*;
use crate::coordinator::records::{self, Decoded, Decoding, RecordError};
use crate::wire::fields::{FieldError, FieldReader, FieldWriter};
use bytes::Bytes;

const TRANSACTION_LOG: i16 = 0;

/// The version that is written; the first that is flexible, and the highest.
const TRANSACTION_LOG_VALUE: i16 = 1;

const PREVIOUS_PRODUCER_ID: u32 = 0;
const NEXT_PRODUCER_ID: u32 = 1;
const CLIENT_TRANSACTION_VERSION: u32 = 2;
const NEXT_PRODUCER_EPOCH: u32 = 3;

impl Record {
    /// Key and value as Kafka 4.3 writes them. An error means that a text does not fit its length.
    pub fn encode(&self) -> Result<(Bytes, Option<Bytes>), RecordError> {
        let key = |out: &mut FieldWriter| out.string("transactionalId", &self.transactional_id);
        records::encoded(TRANSACTION_LOG, key, self.value.as_ref().map(TransactionLogValue::write))
    }

    /// What `key` and `value` say.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Decoded<Record>, RecordError> {
        let mut from = Decoding::new(key, value)?;
        if from.record_type != TRANSACTION_LOG {
            return Ok(Decoded::Unknown(from.record_type));
        }
        let transactional_id = from.text("transactionalId")?.into();
        let value = from.versioned(TRANSACTION_LOG_VALUE, Raw::read)?.map(Raw::known).transpose()?;
        Ok(Decoded::Known(Record { transactional_id, value }))
    }
}

/// A value whose numbers may stand for what is not known.
struct Raw {
    value: TransactionLogValue,
    status: i8,
    client_version: i16,
}

impl Raw {
    fn read(from: &mut FieldReader, version: i16) -> Result<Raw, FieldError> {
        from.set_flexible(version >= TRANSACTION_LOG_VALUE);
        let producer_id = from.int64("producerId")?;
        let producer_epoch = from.int16("producerEpoch")?;
        let transaction_timeout_ms = from.int32("transactionTimeoutMs")?;
        let status = from.int8("transactionStatus")?;
        let mut value = TransactionLogValue {
            producer_id,
            previous_producer_id: -1,
            next_producer_id: -1,
            producer_epoch,
            next_producer_epoch: -1,
            transaction_timeout_ms,
            transaction_status: TransactionState::Empty,
            transaction_partitions: from.nullable_array("transactionPartitions", PartitionsSchema::read)?,
            transaction_last_update_timestamp_ms: from.int64("transactionLastUpdateTimestampMs")?,
            transaction_start_timestamp_ms: from.int64("transactionStartTimestampMs")?,
            client_transaction_version: TransactionVersion::V0,
        };
        let mut client_version = 0;
        from.tagged_fields(|tag, from| {
            match tag {
                PREVIOUS_PRODUCER_ID => value.previous_producer_id = from.int64("previousProducerId")?,
                NEXT_PRODUCER_ID => value.next_producer_id = from.int64("nextProducerId")?,
                CLIENT_TRANSACTION_VERSION => client_version = from.int16("clientTransactionVersion")?,
                NEXT_PRODUCER_EPOCH => value.next_producer_epoch = from.int16("nextProducerEpoch")?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(Raw { value, status, client_version })
    }

    fn known(self) -> Result<TransactionLogValue, RecordError> {
        let unknown = |field, value| RecordError::Unknown { record_type: TRANSACTION_LOG, field, value };
        let transaction_status =
            TransactionState::from_id(self.status).ok_or(unknown("transactionStatus", self.status.into()))?;
        let client_transaction_version = TransactionVersion::from_level(self.client_version)
            .ok_or(unknown("clientTransactionVersion", self.client_version))?;
        Ok(TransactionLogValue { transaction_status, client_transaction_version, ..self.value })
    }
}

impl TransactionLogValue {
    fn write(&self) -> FieldWriter {
        let mut out = FieldWriter::new(true);
        out.int16(TRANSACTION_LOG_VALUE);
        out.int64(self.producer_id);
        out.int16(self.producer_epoch);
        out.int32(self.transaction_timeout_ms);
        out.int8(self.transaction_status.id());
        let partitions = self.transaction_partitions.as_deref();
        out.nullable_array("transactionPartitions", partitions, |out, topic| topic.write(out));
        out.int64(self.transaction_last_update_timestamp_ms);
        out.int64(self.transaction_start_timestamp_ms);
        out.tagged_fields(|tags| {
            if self.previous_producer_id != -1 {
                tags.field(PREVIOUS_PRODUCER_ID, |out| out.int64(self.previous_producer_id));
            }
            if self.next_producer_id != -1 {
                tags.field(NEXT_PRODUCER_ID, |out| out.int64(self.next_producer_id));
            }
            if self.client_transaction_version != TransactionVersion::V0 {
                tags.field(CLIENT_TRANSACTION_VERSION, |out| out.int16(self.client_transaction_version.level()));
            }
            if self.next_producer_epoch != -1 {
                tags.field(NEXT_PRODUCER_EPOCH, |out| out.int16(self.next_producer_epoch));
            }
        });
        out
    }
}

impl PartitionsSchema {
    fn read(from: &mut FieldReader) -> Result<Self, FieldError> {
        let topic = from.string("topic")?.into();
        let partition_ids = from.array("partitionIds", |from| from.int32("partitionIds"))?;
        from.no_tagged_fields()?;
        Ok(PartitionsSchema { topic, partition_ids })
    }

    fn write(&self, out: &mut FieldWriter) {
        out.string("topic", &self.topic);
        out.array("partitionIds", &self.partition_ids, |out, index| out.int32(*index));
        out.no_tagged_fields();
    }
}

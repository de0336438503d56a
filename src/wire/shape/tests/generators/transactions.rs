//! Random requests about producers and their transactions.

use super::Gen;
use kafka_protocol::messages::{self as m, *};

pub(super) fn init_producer_id(g: &mut Gen) -> InitProducerIdRequest {
    let it = InitProducerIdRequest::default()
        .with_transactional_id(g.maybe(|g| TransactionalId(g.text())))
        .with_transaction_timeout_ms(g.int32())
        .with_unknown_tagged_fields(g.tags());
    if g.version >= 3 { it.with_producer_id(ProducerId(7)).with_producer_epoch(3) } else { it }
}

pub(super) fn add_partitions_to_txn(g: &mut Gen) -> AddPartitionsToTxnRequest {
    use m::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
    let topic = |g: &mut Gen| {
        AddPartitionsToTxnTopic::default()
            .with_name(g.topic())
            .with_partitions(g.many(Gen::int32))
            .with_unknown_tagged_fields(g.tags())
    };
    let it = AddPartitionsToTxnRequest::default().with_unknown_tagged_fields(g.tags());
    if g.version <= 3 {
        return it
            .with_v3_and_below_transactional_id(TransactionalId(g.text()))
            .with_v3_and_below_producer_id(ProducerId(7))
            .with_v3_and_below_producer_epoch(3)
            .with_v3_and_below_topics(g.many(topic));
    }
    let transaction = |g: &mut Gen| {
        AddPartitionsToTxnTransaction::default()
            .with_transactional_id(TransactionalId(g.text()))
            .with_verify_only(g.below(2) == 0)
            .with_topics(g.many(topic))
            .with_unknown_tagged_fields(g.tags())
    };
    it.with_transactions(g.many(transaction))
}

pub(super) fn add_offsets_to_txn(g: &mut Gen) -> AddOffsetsToTxnRequest {
    AddOffsetsToTxnRequest::default()
        .with_transactional_id(TransactionalId(g.text()))
        .with_group_id(g.group())
        .with_unknown_tagged_fields(g.tags())
}

pub(super) fn end_txn(g: &mut Gen) -> EndTxnRequest {
    EndTxnRequest::default()
        .with_transactional_id(TransactionalId(g.text()))
        .with_committed(g.below(2) == 0)
        .with_unknown_tagged_fields(g.tags())
}

pub(super) fn write_txn_markers(g: &mut Gen) -> WriteTxnMarkersRequest {
    use m::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
    let topic = |g: &mut Gen| {
        WritableTxnMarkerTopic::default()
            .with_name(g.topic())
            .with_partition_indexes(g.many(Gen::int32))
            .with_unknown_tagged_fields(g.tags())
    };
    let marker =
        |g: &mut Gen| WritableTxnMarker::default().with_topics(g.many(topic)).with_unknown_tagged_fields(g.tags());
    WriteTxnMarkersRequest::default().with_markers(g.many(marker)).with_unknown_tagged_fields(g.tags())
}

pub(super) fn txn_offset_commit(g: &mut Gen) -> TxnOffsetCommitRequest {
    use m::txn_offset_commit_request::{TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic};
    let partition = |g: &mut Gen| {
        TxnOffsetCommitRequestPartition::default()
            .with_partition_index(g.int32())
            .with_committed_metadata(g.maybe(Gen::text))
            .with_unknown_tagged_fields(g.tags())
    };
    let topic = |g: &mut Gen| {
        TxnOffsetCommitRequestTopic::default()
            .with_name(g.topic())
            .with_partitions(g.many(partition))
            .with_unknown_tagged_fields(g.tags())
    };
    let it = TxnOffsetCommitRequest::default()
        .with_transactional_id(TransactionalId(g.text()))
        .with_group_id(g.group())
        .with_topics(g.many(topic))
        .with_unknown_tagged_fields(g.tags());
    if g.version < 3 {
        return it;
    }
    it.with_member_id(g.text()).with_group_instance_id(g.maybe(Gen::text)).with_generation_id(4)
}

pub(super) fn describe_producers(g: &mut Gen) -> DescribeProducersRequest {
    use m::describe_producers_request::TopicRequest;
    let topic = |g: &mut Gen| {
        TopicRequest::default()
            .with_name(g.topic())
            .with_partition_indexes(g.many(Gen::int32))
            .with_unknown_tagged_fields(g.tags())
    };
    DescribeProducersRequest::default().with_topics(g.many(topic)).with_unknown_tagged_fields(g.tags())
}

pub(super) fn describe_transactions(g: &mut Gen) -> DescribeTransactionsRequest {
    DescribeTransactionsRequest::default()
        .with_transactional_ids(g.many(|g| TransactionalId(g.text())))
        .with_unknown_tagged_fields(g.tags())
}

pub(super) fn list_transactions(g: &mut Gen) -> ListTransactionsRequest {
    let it = ListTransactionsRequest::default()
        .with_state_filters(g.many(Gen::text))
        .with_producer_id_filters(g.many(|g| ProducerId(g.number() as i64)))
        .with_unknown_tagged_fields(g.tags());
    let it = if g.version >= 1 { it.with_duration_filter(9) } else { it };
    if g.version >= 2 { it.with_transactional_id_pattern(g.maybe(Gen::text)) } else { it }
}

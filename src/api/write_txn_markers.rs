//! WriteTxnMarkers 1 (key 27): writes the ends of transactions to partitions.
//!
//! Coordinators of other brokers would send it, and administrators to abort a transaction that hangs (KIP-664): a marker
//! from outside is taken under the rules of transaction version 1, its epoch may be that of the records.
//!
//! Gaps: version 2, which says how the transaction was done; the codec does not know it.
//! (`KafkaApis.handleWriteTxnMarkersRequest`.)

use super::context::{Ctx, Operation, Resource, authorize};
use super::errors::ErrorCode;
use crate::partition::{MarkerEpoch, TransactionEnd};
use crate::wire::control::Marker;
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use kafka_protocol::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use std::sync::Arc;

pub(super) async fn handle(ctx: Arc<Ctx>, request: WriteTxnMarkersRequest) -> WriteTxnMarkersResponse {
    let granted = authorize(&ctx, Operation::Alter, Resource::Cluster)
        || authorize(&ctx, Operation::ClusterAction, Resource::Cluster);
    let mut results = Vec::with_capacity(request.markers.len());
    for marker in request.markers {
        let mut topics = Vec::with_capacity(marker.topics.len());
        for topic in &marker.topics {
            topics.push(end_on(&ctx, &marker, topic, granted).await);
        }
        results.push(WritableTxnMarkerResult::default().with_producer_id(marker.producer_id).with_topics(topics));
    }
    WriteTxnMarkersResponse::default().with_markers(results)
}

async fn end_on(
    ctx: &Ctx,
    marker: &WritableTxnMarker,
    topic: &WritableTxnMarkerTopic,
    granted: bool,
) -> WritableTxnMarkerTopicResult {
    let end = TransactionEnd {
        producer_id: marker.producer_id.0,
        producer_epoch: marker.producer_epoch,
        marker: Marker { committed: marker.transaction_result, coordinator_epoch: marker.coordinator_epoch },
        rule: MarkerEpoch::SameOrHigher,
    };
    let mut told = Vec::with_capacity(topic.partition_indexes.len());
    for &partition in &topic.partition_indexes {
        let code = match granted {
            false => ErrorCode::ClusterAuthorizationFailed,
            true => match ctx.broker.markers().write(&topic.name, partition, end, |append| append()).await {
                Ok(()) => ErrorCode::None,
                Err(error) => (&error).into(),
            },
        };
        let result = WritableTxnMarkerPartitionResult::default().with_partition_index(partition);
        told.push(result.with_error_code(code.code()));
    }
    WritableTxnMarkerTopicResult::default().with_name(topic.name.clone()).with_partitions(told)
}

//! WriteTxnMarkers 1 (key 27): writes the ends of transactions to partitions.
//!
//! Coordinators of other brokers would send it, and administrators to abort a transaction that hangs (KIP-664): a marker
//! from outside is taken under the rules of transaction version 1, its epoch may be that of the records. What a marker names
//! twice is written once.
//!
//! Gaps: version 2, which says how the transaction was done; the codec does not know it.
//! (`KafkaApis.handleWriteTxnMarkersRequest`.)

use super::context::{Ctx, Operation, Resource, authorize};
use super::errors::ErrorCode;
use crate::broker::waiting;
use crate::partition::{MarkerEpoch, TransactionEnd};
use crate::wire::control::Marker;
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use kafka_protocol::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) async fn handle(ctx: Arc<Ctx>, request: WriteTxnMarkersRequest) -> WriteTxnMarkersResponse {
    let granted = authorize(&ctx, Operation::Alter, Resource::Cluster)
        || authorize(&ctx, Operation::ClusterAction, Resource::Cluster);
    let mut results = Vec::with_capacity(request.markers.len());
    for marker in request.markers {
        let codes = if granted { end(&ctx, &marker).await } else { BTreeMap::new() };
        let topics = marker.topics.iter().map(|topic| {
            let partitions = topic.partition_indexes.iter().map(|partition| {
                let code = codes.get(&(&*topic.name, *partition)).copied();
                WritableTxnMarkerPartitionResult::default()
                    .with_partition_index(*partition)
                    .with_error_code(code.unwrap_or(ErrorCode::ClusterAuthorizationFailed).code())
            });
            let partitions = partitions.collect();
            WritableTxnMarkerTopicResult::default().with_name(topic.name.clone()).with_partitions(partitions)
        });
        let result = WritableTxnMarkerResult::default().with_producer_id(marker.producer_id);
        results.push(result.with_topics(topics.collect()));
    }
    WriteTxnMarkersResponse::default().with_markers(results)
}

type Codes<'a> = BTreeMap<(&'a str, i32), ErrorCode>;

/// What becomes of a marker on each partition that it names. All of them share a sync.
async fn end<'a>(ctx: &Ctx, marker: &'a WritableTxnMarker) -> Codes<'a> {
    let named = |topic: &'a WritableTxnMarkerTopic| topic.partition_indexes.iter().map(|it| (topic.name.as_str(), *it));
    let mut codes: Codes<'a> = marker.topics.iter().flat_map(named).map(|it| (it, ErrorCode::None)).collect();
    let end = TransactionEnd {
        producer_id: marker.producer_id.0,
        producer_epoch: marker.producer_epoch,
        marker: Marker { committed: marker.transaction_result, coordinator_epoch: marker.coordinator_epoch },
        rule: MarkerEpoch::SameOrHigher,
    };
    let markers = ctx.broker.markers();
    let prepare = |(topic, partition): &(&str, i32)| markers.prepare(topic, *partition);
    let targets: Vec<_> = waiting(|| codes.keys().map(prepare).collect());
    let begun: Vec<_> = {
        let _together = ctx.broker.partitions().disk().together();
        targets.into_iter().map(|target| target.map(|target| target.begin(end))).collect()
    };
    for (code, begun) in codes.values_mut().zip(begun) {
        let written = match begun {
            Ok(writing) => writing.await,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            *code = (&error).into();
        }
    }
    codes
}

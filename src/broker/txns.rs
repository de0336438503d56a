//! The transaction coordinator of this broker: its shell, the topic that it lives on, and what it has done elsewhere.

use super::markers::{MarkerError, Markers};
use super::{Partitions, ProducerIds, Use};
use crate::catalog::{Catalog, TRANSACTION_STATE, Topic};
use crate::config::BrokerConfig;
use crate::coordinator::txn::TxnShard;
use crate::coordinator::txn::request::{
    Filters, Listed, ProducerIdAndEpoch, Reply, Request, TopicPartition, TransactionVersion, WriteMarkers,
};
use crate::coordinator::txn::settings::TxnSettings;
use crate::coordinator::{Decided, Home, Shell, Unavailable, partition_for};
use crate::partition::{MarkerEpoch, Partition, TransactionEnd};
use crate::time::{self, OncePerSecond};
use crate::wire::control::Marker;
use crate::wire::errors::ErrorCode;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// A marker that could not be written is tried again after this long.
const RETRY: Duration = Duration::from_millis(100);
/// A coordinator that was dropped is loaded again within this long, also where no client asks: its open transactions hold up
/// readers.
const RELOAD: Duration = Duration::from_secs(2);

static FAILURES: OncePerSecond = OncePerSecond::new();

/// All transactional ids. A broker coordinates all of them.
pub struct Txns {
    shell: Shell<TxnShard>,
    config: Arc<BrokerConfig>,
    catalog: Arc<Catalog>,
    partitions: Arc<Partitions>,
    producer_ids: Arc<ProducerIds>,
    markers: Arc<Markers>,
    jobs: Mutex<Option<mpsc::UnboundedReceiver<Job>>>,
    /// Told whenever a transaction has been completed.
    completed: Notify,
}

/// The end of a transaction, to be written.
struct Job {
    index: i32,
    order: WriteMarkers,
    decided: Decided,
}

impl Txns {
    pub(super) fn new(
        config: Arc<BrokerConfig>,
        catalog: Arc<Catalog>,
        partitions: Arc<Partitions>,
        producer_ids: Arc<ProducerIds>,
        markers: Arc<Markers>,
    ) -> Self {
        let (sender, jobs) = mpsc::unbounded_channel();
        let home = TxnHome {
            config: config.clone(),
            catalog: catalog.clone(),
            partitions: partitions.clone(),
            settings: Arc::new(TxnSettings::new(&config)),
            loads: AtomicU64::new(0),
            jobs: sender,
        };
        Txns {
            shell: Shell::new(Arc::new(home)),
            config,
            catalog,
            partitions,
            producer_ids,
            markers,
            jobs: Mutex::new(Some(jobs)),
            completed: Notify::new(),
        }
    }

    /// The topic with the state of transactions; `None` where nobody has asked for a coordinator yet.
    pub fn topic(&self) -> Option<Arc<Topic>> {
        self.catalog.image().topic(TRANSACTION_STATE).cloned()
    }

    /// Asks the coordinator of a transactional id.
    pub async fn ask(&self, transactional_id: &str, request: Request) -> Result<Reply, Unavailable> {
        let topic = self.topic().ok_or(Unavailable::Gone)?;
        self.shell.call(partition_for(transactional_id, topic.partitions), request).await
    }

    /// As [`Txns::ask`], for a request that may need a producer id.
    pub async fn ask_with_id(
        &self,
        transactional_id: &str,
        request: impl Fn(Option<i64>) -> Request,
    ) -> Result<Reply, Unavailable> {
        match self.ask(transactional_id, request(None)).await? {
            Reply::NeedsProducerId => {}
            reply => return Ok(reply),
        }
        let (ids, catalog) = (self.producer_ids.clone(), self.catalog.clone());
        // Waits for the disk once in a block of ids.
        let fresh = tokio::task::spawn_blocking(move || ids.next(&catalog)).await;
        match fresh {
            Ok(Ok(fresh)) => self.ask(transactional_id, request(Some(fresh))).await,
            // Clients come again, as they do where Kafka's coordinator has no ids.
            _ => Err(Unavailable::Loading),
        }
    }

    /// Makes partitions part of a producer's transaction, or with older clients asks whether they are: one code for each, in
    /// the order of `partitions`. Where the producer's last transaction is still being completed this waits for that, for a
    /// while.
    pub async fn admit(
        &self,
        transactional_id: &str,
        producer: ProducerIdAndEpoch,
        partitions: &[TopicPartition],
        version: TransactionVersion,
    ) -> Vec<ErrorCode> {
        let all = |code: ErrorCode| vec![code; partitions.len()];
        if version < TransactionVersion::V2 {
            let (transactional_id, partitions) = (transactional_id.to_owned(), partitions.to_vec());
            let verify = Request::VerifyPartitions { transactional_id: transactional_id.clone(), producer, partitions };
            return match self.ask(&transactional_id, verify).await {
                Ok(Reply::VerifyPartitions(Ok(codes))) => codes,
                Ok(Reply::VerifyPartitions(Err(code))) => all(code),
                Ok(_) => all(ErrorCode::UnknownServerError),
                Err(error) => all((&error).into()),
            };
        }
        let wait_ms = u64::try_from(self.config.add_partitions_to_txn_retry_backoff_max_ms).unwrap_or(0);
        let deadline = tokio::time::Instant::now() + Duration::from_millis(wait_ms);
        loop {
            let completed = self.completed.notified();
            let add = Request::AddPartitions {
                transactional_id: transactional_id.to_owned(),
                producer,
                partitions: partitions.to_vec(),
                version,
            };
            match self.ask(transactional_id, add).await {
                Ok(Reply::AddPartitions(ErrorCode::ConcurrentTransactions)) => {
                    if tokio::time::timeout_at(deadline, completed).await.is_err() {
                        return all(ErrorCode::ConcurrentTransactions);
                    }
                }
                Ok(Reply::AddPartitions(code)) => return all(code),
                Ok(_) => return all(ErrorCode::UnknownServerError),
                Err(error) => return all((&error).into()),
            }
        }
    }

    /// All transactional ids that fit.
    pub async fn list(&self, filters: &Filters) -> Result<Vec<Listed>, Unavailable> {
        let mut transactions = Vec::new();
        for index in 0..self.topic().map_or(0, |topic| topic.partitions) {
            match self.shell.call(index, Request::List(filters.clone())).await? {
                Reply::List(some) => transactions.extend(some),
                _ => return Err(Unavailable::Gone),
            }
        }
        Ok(transactions)
    }

    /// Reads everything: decided transactions are completed, and old ones aborted, whether or not a client comes. Waits for
    /// the disk.
    pub fn load(&self) {
        for index in 0..self.topic().map_or(0, |topic| topic.partitions) {
            match self.shell.load(index) {
                Ok(()) | Err(Unavailable::Loading) => {}
                Err(Unavailable::Stopping) => return,
                Err(error) if FAILURES.lets_through(time::monotonic()) => {
                    tracing::warn!(partition = index, %error, "the coordinator of some transactions is not loaded");
                }
                Err(_) => {}
            }
        }
    }

    /// Keeps time for all transactions and completes those that are decided. Never ends; to be called once.
    pub async fn run(self: Arc<Self>) {
        let Some(mut jobs) = self.jobs.lock().take() else { return };
        let mut writing = FuturesUnordered::new();
        let mut reload = tokio::time::interval(RELOAD);
        let timing = self.shell.run();
        tokio::pin!(timing);
        loop {
            tokio::select! {
                () = &mut timing => {}
                Some(job) = jobs.recv() => writing.push(self.complete(job)),
                Some(()) = writing.next() => {}
                _ = reload.tick() => {
                    let loading = self.clone();
                    tokio::task::spawn_blocking(move || loading.load());
                }
            }
        }
    }

    /// Takes no more requests.
    pub fn stop(&self) {
        self.shell.stop();
    }

    /// Writes the markers of a decided transaction, and has that noted. Ends early where the coordinator that decided is
    /// gone: the next one decides again what is to be done.
    async fn complete(&self, Job { index, order, decided }: Job) {
        if !decided.is_durable().await {
            return;
        }
        let mut markers: FuturesUnordered<_> =
            order.partitions.iter().map(|partition| self.write_marker(partition, &order, &decided)).collect();
        // All of them are appended at once, and share a sync.
        let together = self.partitions.disk().together();
        let mut first = markers.next().now_or_never();
        drop(together);
        loop {
            let written = match first.take() {
                Some(written) => written,
                None => markers.next().await,
            };
            match written {
                Some(true) => {}
                Some(false) => return,
                None => break,
            }
        }
        let noted = Request::MarkersWritten {
            transactional_id: order.transactional_id.clone(),
            producer: order.producer,
            life: order.life,
        };
        // Where it is not noted, the coordinator is gone, and the next one will have the markers written again.
        let _ = self.shell.call(index, noted).await;
        self.completed.notify_waiters();
    }

    /// Tries until it is done; false where it is not to be done any more.
    async fn write_marker(&self, partition: &TopicPartition, order: &WriteMarkers, decided: &Decided) -> bool {
        let end = TransactionEnd {
            producer_id: order.producer.producer_id,
            producer_epoch: order.producer.producer_epoch,
            marker: Marker { committed: order.committed, coordinator_epoch: self.partitions.leader_epoch() },
            rule: match order.version {
                TransactionVersion::V2 => MarkerEpoch::Higher,
                TransactionVersion::V0 | TransactionVersion::V1 => MarkerEpoch::SameOrHigher,
            },
        };
        loop {
            let act = |append: &mut dyn FnMut()| _ = decided.act(append);
            let error = match self.markers.write(&partition.topic, partition.partition, end, act).await {
                Ok(()) => return true,
                Err(MarkerError::Revoked) => return false,
                // The topic was deleted, and its records with it.
                Err(MarkerError::Unknown) => return true,
                // A newer session of the producer has ended it there.
                Err(MarkerError::Refused(refused)) => {
                    tracing::warn!(?partition, ?order, %refused, "a transaction has ended before its marker came");
                    return true;
                }
                Err(error) => error,
            };
            if FAILURES.lets_through(time::monotonic()) {
                tracing::warn!(?partition, %error, "the end of a transaction cannot be written yet");
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Where the shards live.
struct TxnHome {
    config: Arc<BrokerConfig>,
    catalog: Arc<Catalog>,
    partitions: Arc<Partitions>,
    settings: Arc<TxnSettings>,
    /// How many shards have been loaded: each has a number of its own.
    loads: AtomicU64,
    jobs: mpsc::UnboundedSender<Job>,
}

impl Home<TxnShard> for TxnHome {
    fn partition(&self, index: i32) -> Option<Arc<Partition>> {
        let topic = self.catalog.image().topic(TRANSACTION_STATE).cloned()?;
        let served = self.partitions.get(&topic, index, Use::Append, &self.catalog, &self.config);
        Some(served.ok()?.partition.clone())
    }

    fn empty(&self) -> TxnShard {
        TxnShard::new(self.settings.clone(), self.loads.fetch_add(1, Ordering::Relaxed))
    }

    fn carry_out(&self, index: i32, order: WriteMarkers, decided: Decided) {
        // Nobody receives when the broker has stopped.
        let _ = self.jobs.send(Job { index, order, decided });
    }
}

#[cfg(test)]
mod tests;

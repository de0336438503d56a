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
use crate::log::waiting;
use crate::partition::{MarkerEpoch, Partition, SequenceError, TransactionEnd};
use crate::time::{self, OncePerSecond};
use crate::wire::control::Marker;
use crate::wire::errors::ErrorCode;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

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
    /// Whoever waits for the end of a transaction, by its transactional id.
    completed: Mutex<HashMap<Arc<str>, Arc<Notify>>>,
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
            completed: Mutex::default(),
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
        match ProducerIds::fresh(&self.producer_ids, &self.catalog).await {
            Some(fresh) => self.ask(transactional_id, request(Some(fresh))).await,
            // Clients come again, as they do where Kafka's coordinator has no ids.
            None => Err(Unavailable::Loading),
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
            // Taken before the coordinator is asked, so that no end is slept over.
            let last = self.completed.lock().entry(transactional_id.into()).or_default().clone();
            let completed = Box::pin(last.clone().notified_owned());
            let code = self.add(transactional_id, producer, partitions, version).await;
            let again = code == ErrorCode::ConcurrentTransactions
                && tokio::time::Instant::now() < deadline
                && tokio::time::timeout_at(deadline, completed).await.is_ok();
            self.forget_waiting(transactional_id, last);
            if !again {
                return all(code);
            }
        }
    }

    async fn add(
        &self,
        transactional_id: &str,
        producer: ProducerIdAndEpoch,
        partitions: &[TopicPartition],
        version: TransactionVersion,
    ) -> ErrorCode {
        let (id, partitions) = (transactional_id.to_owned(), partitions.to_vec());
        let add = Request::AddPartitions { transactional_id: id, producer, partitions, version };
        match self.ask(transactional_id, add).await {
            Ok(Reply::AddPartitions(code)) => code,
            Ok(_) => ErrorCode::UnknownServerError,
            Err(error) => (&error).into(),
        }
    }

    /// Nobody waits for the end of this transaction any more, unless another request does.
    fn forget_waiting(&self, transactional_id: &str, last: Arc<Notify>) {
        let mut completed = self.completed.lock();
        // In the map, and here.
        if Arc::strong_count(&last) == 2 && completed.get(transactional_id).is_some_and(|it| Arc::ptr_eq(it, &last)) {
            completed.remove(transactional_id);
        }
    }

    /// All transactional ids that fit.
    pub async fn list(&self, filters: Arc<Filters>) -> Result<Vec<Listed>, Unavailable> {
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
        let Some(jobs) = self.jobs.lock().take() else { return };
        tokio::join!(self.shell.run(), self.clone().complete_all(jobs), self.clone().reload());
    }

    async fn complete_all(self: Arc<Self>, mut jobs: mpsc::UnboundedReceiver<Job>) {
        // Each by itself: a partition that is slow to open must not keep the others waiting.
        let mut completing = JoinSet::new();
        loop {
            tokio::select! {
                Some(job) = jobs.recv() => drop(completing.spawn(self.clone().complete(job))),
                Some(_) = completing.join_next() => {}
            }
        }
    }

    async fn reload(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(RELOAD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let loading = self.clone();
            // One that panics has said so; the next comes soon.
            let _ = tokio::task::spawn_blocking(move || loading.load()).await;
        }
    }

    /// Takes no more requests.
    pub fn stop(&self) {
        self.shell.stop();
    }

    /// Writes the markers of a decided transaction, and has that noted. Ends early where the coordinator that decided is
    /// gone: the next one decides again what is to be done.
    async fn complete(self: Arc<Self>, Job { index, order, decided }: Job) {
        if !decided.is_durable().await {
            return;
        }
        let epoch = self.partitions.leader_epoch();
        let mut left: Vec<_> = order.partitions.iter().map(|partition| (partition.clone(), epoch)).collect();
        while !left.is_empty() {
            match self.write_markers(left, &order, &decided).await {
                Some(failed) => left = failed,
                None => return,
            }
            if !left.is_empty() {
                tokio::time::sleep(RETRY).await;
            }
        }
        let transactional_id = order.transactional_id.clone();
        let noted = Request::MarkersWritten { transactional_id, producer: order.producer, life: order.life };
        // Where it is not noted, the coordinator is gone, and the next one will have the markers written again.
        let _ = self.shell.call(index, noted).await;
        let waiting = self.completed.lock().remove(&order.transactional_id);
        waiting.inspect(|completed| completed.notify_waiters());
    }

    /// Writes to all of these partitions, each as of a coordinator epoch, and gives those that have to be tried again; `None`
    /// where nothing is to be done any more.
    async fn write_markers(
        &self,
        partitions: Vec<(TopicPartition, i32)>,
        order: &WriteMarkers,
        decided: &Decided,
    ) -> Option<Vec<(TopicPartition, i32)>> {
        let prepare = || -> Vec<_> {
            let target = |it: &TopicPartition| self.markers.prepare(&it.topic, it.partition);
            partitions.into_iter().map(|(partition, epoch)| (target(&partition), partition, epoch)).collect()
        };
        let targets = waiting(prepare);
        let begun: Vec<_> = {
            // They share a sync.
            let _together = self.partitions.disk().together();
            decided.act(|| {
                let begun = targets.into_iter().map(|(target, partition, epoch)| {
                    (target.map(|target| target.begin(end_of(order, epoch))), partition, epoch)
                });
                begun.collect()
            })?
        };
        let mut failed = Vec::new();
        for (writing, partition, epoch) in begun {
            let written = match writing {
                Ok(writing) => writing.await,
                Err(error) => Err(error),
            };
            match written {
                // Somebody has ended a transaction there by hand, as a coordinator that there is not. There is only this one,
                // and its producers must not wait for ever.
                Err(MarkerError::Refused(SequenceError::StaleCoordinator { current, .. })) => {
                    failed.push((partition, current));
                }
                written if is_done(&partition, order, &written) => {}
                _ => failed.push((partition, epoch)),
            }
        }
        Some(failed)
    }
}

fn end_of(order: &WriteMarkers, coordinator_epoch: i32) -> TransactionEnd {
    TransactionEnd {
        producer_id: order.producer.producer_id,
        producer_epoch: order.producer.producer_epoch,
        marker: Marker { committed: order.committed, coordinator_epoch },
        rule: match order.version {
            TransactionVersion::V2 => MarkerEpoch::Higher,
            TransactionVersion::V0 | TransactionVersion::V1 => MarkerEpoch::SameOrHigher,
        },
    }
}

/// Whether nothing is left to do for a partition.
fn is_done(partition: &TopicPartition, order: &WriteMarkers, written: &Result<(), MarkerError>) -> bool {
    match written {
        Ok(()) => true,
        // The topic was deleted, and its records with it.
        Err(MarkerError::Unknown) => true,
        // A newer session of the producer has ended it there.
        Err(MarkerError::Refused(refused @ SequenceError::StaleEpoch { .. })) => {
            tracing::warn!(?partition, ?order, %refused, "a transaction has ended before its marker came");
            true
        }
        Err(error) => {
            if FAILURES.lets_through(time::monotonic()) {
                tracing::warn!(?partition, %error, "the end of a transaction cannot be written yet");
            }
            false
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

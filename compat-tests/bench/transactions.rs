//! Transactions of small batches, beside Apache Kafka: how many are committed, and how soon their records can be read.
//!
//! A producer is a connection that speaks transaction version 2 by hand: one Produce with a batch for each of its three
//! partitions, EndTxn, and a read_committed Fetch that waits until the records are there. Each has a topic of its own, so that
//! nobody waits for another's transaction. Both brokers run side by side and are loaded in turn; Kafka does not sync before it
//! answers, and is shown as it comes and with `log.flush.interval.messages=1`, by which it does.

use crate::asking::{Connection, text};
use crate::process::{Process, fresh_dir};
use crate::{Options, Spread, raw};
use anyhow::{Context, bail};
use bytes::Bytes;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    CreateTopicsRequest, EndTxnRequest, FetchRequest, FindCoordinatorRequest, InitProducerIdRequest, ProduceRequest,
    TopicName, TransactionalId,
};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const PARTITIONS: i32 = 3;
const VALUE_SIZE: usize = 100;
const UNKNOWN_TOPIC: i16 = 3;
const NOT_LEADER: i16 = 6;
const CONCURRENT_TRANSACTIONS: i16 = 51;
const TRANSACTIONAL: i16 = 0x10;

/// What is measured of one broker in one round.
struct Measured {
    per_second: f64,
    commits_ms: Vec<f64>,
    visible_ms: Vec<f64>,
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    println!(
        "Transactions of one batch to each of {PARTITIONS} partitions, {} s a line, {} rounds in turn\n",
        options.seconds, options.rounds
    );
    println!("| broker | producers | transactions/s | commit p50 ms | p99 ms | readable p50 ms | p99 ms |");
    println!("|---|---|---|---|---|---|---|");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let dirs = [fresh_dir(&options.disk)?, fresh_dir(&options.disk)?, fresh_dir(&options.disk)?];
    let mut ottla = Process::ottla(dirs[0].path(), &[])?;
    ottla.ready()?;
    let kafka = Kafka::start(dirs[1].path(), &[])?;
    let syncing = Kafka::start(dirs[2].path(), &["log.flush.interval.messages=1"])?;
    let brokers = [("Ottla", ottla.port), ("Kafka", kafka.port), ("Kafka, synced", syncing.port)];
    for producers in [1, 64] {
        let mut rounds: Vec<Vec<Measured>> = brokers.iter().map(|_| Vec::new()).collect();
        for round in 0..options.rounds {
            for ((_, port), measured) in brokers.iter().zip(&mut rounds) {
                let time = Duration::from_secs(options.seconds);
                measured.push(runtime.block_on(load(*port, producers, round, time))?);
            }
        }
        for ((name, _), measured) in brokers.iter().zip(rounds) {
            line(name, producers, measured);
        }
    }
    println!();
    ottla.stop().map(drop)
}

fn line(name: &str, producers: usize, measured: Vec<Measured>) {
    let rates = Spread::of(measured.iter().map(|it| it.per_second).collect());
    let (mut commits, mut visible) = (Vec::new(), Vec::new());
    for it in measured {
        commits.extend(it.commits_ms);
        visible.extend(it.visible_ms);
    }
    let [(c50, c99), (v50, v99)] = [commits, visible].map(percentiles);
    println!("| {name} | {producers} | {rates:.0} | {c50:.1} | {c99:.1} | {v50:.1} | {v99:.1} |");
}

fn percentiles(mut figures: Vec<f64>) -> (f64, f64) {
    figures.sort_by(f64::total_cmp);
    let at = |part: usize| figures.get(figures.len() * part / 100).copied().unwrap_or(f64::NAN);
    (at(50), at(99))
}

async fn load(port: u16, producers: usize, round: usize, time: Duration) -> anyhow::Result<Measured> {
    let mut ready = Vec::new();
    for number in 0..producers {
        ready.push(Producer::begin(port, &format!("bench-{producers}-{round}-{number}")).await?);
    }
    let began = Instant::now();
    let mut running = JoinSet::new();
    for mut producer in ready {
        running.spawn(async move {
            let mut times = Vec::new();
            while began.elapsed() < time {
                times.push(producer.transaction().await?);
            }
            anyhow::Ok(times)
        });
    }
    let (mut commits_ms, mut visible_ms) = (Vec::new(), Vec::new());
    while let Some(done) = running.join_next().await {
        for (committed, visible) in done?? {
            commits_ms.push(committed.as_secs_f64() * 1e3);
            visible_ms.push(visible.as_secs_f64() * 1e3);
        }
    }
    Ok(Measured { per_second: commits_ms.len() as f64 / began.elapsed().as_secs_f64(), commits_ms, visible_ms })
}

/// A transactional producer with a topic of its own.
struct Producer {
    connection: Connection,
    name: String,
    id: i64,
    epoch: i16,
    batch: Vec<u8>,
}

impl Producer {
    async fn begin(port: u16, name: &str) -> anyhow::Result<Self> {
        let mut connection = Connection::open(port).await?;
        let topic = CreatableTopic::default()
            .with_name(TopicName(text(name)))
            .with_num_partitions(PARTITIONS)
            .with_replication_factor(1);
        let create = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
        let created = connection.ask(5, &create).await?;
        if created.topics.iter().any(|topic| topic.error_code != 0) {
            bail!("CreateTopics: {created:?}");
        }
        let find = FindCoordinatorRequest::default().with_key_type(1).with_key(text(name));
        while connection.ask(3, &find).await?.error_code != 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let init = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text(name))))
            .with_transaction_timeout_ms(60_000)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1);
        loop {
            let begun = connection.ask(5, &init).await?;
            if begun.error_code == 0 {
                let (id, epoch) = (begun.producer_id.0, begun.producer_epoch);
                return Ok(Producer { connection, name: name.to_owned(), id, epoch, batch: raw::batch(VALUE_SIZE) });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Until the commit is answered, and until the records can be read.
    async fn transaction(&mut self) -> anyhow::Result<(Duration, Duration)> {
        let began = Instant::now();
        let offset = self.produce().await?;
        let end = EndTxnRequest::default()
            .with_transactional_id(TransactionalId(text(&self.name)))
            .with_producer_id(self.id.into())
            .with_producer_epoch(self.epoch)
            .with_committed(true);
        let ended = self.connection.ask(5, &end).await?;
        if ended.error_code != 0 {
            bail!("EndTxn: error {}", ended.error_code);
        }
        (self.id, self.epoch) = (ended.producer_id.0, ended.producer_epoch);
        let committed = began.elapsed();
        self.read(offset).await?;
        Ok((committed, began.elapsed()))
    }

    /// Writes to all partitions; says where the batch of the first is.
    async fn produce(&mut self) -> anyhow::Result<i64> {
        let records = Bytes::from(stamped(&self.batch, self.id, self.epoch));
        let data = |index| PartitionProduceData::default().with_index(index).with_records(Some(records.clone()));
        let topic = TopicProduceData::default()
            .with_name(TopicName(text(&self.name)))
            .with_partition_data((0..PARTITIONS).map(data).collect());
        let request = ProduceRequest::default()
            .with_transactional_id(Some(TransactionalId(text(&self.name))))
            .with_acks(-1)
            .with_timeout_ms(30_000)
            .with_topic_data(vec![topic]);
        loop {
            let produced = self.connection.ask(12, &request).await?;
            let parts = &produced.responses.first().context("no topic")?.partition_responses;
            let codes: Vec<i16> = parts.iter().map(|part| part.error_code).collect();
            match codes.iter().find(|code| **code != 0) {
                None => return Ok(parts.first().context("no partition")?.base_offset),
                // Kafka's topic is there a moment after it was made; the transaction before is not complete yet.
                Some(&(UNKNOWN_TOPIC | NOT_LEADER | CONCURRENT_TRANSACTIONS)) => {}
                Some(code) => bail!("Produce: error {code}"),
            }
        }
    }

    async fn read(&mut self, offset: i64) -> anyhow::Result<()> {
        let partition = FetchPartition::default()
            .with_partition(0)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(offset)
            .with_partition_max_bytes(1 << 20);
        let topic = FetchTopic::default().with_topic(TopicName(text(&self.name))).with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_max_wait_ms(1_000)
            .with_min_bytes(1)
            .with_max_bytes(1 << 20)
            .with_isolation_level(1)
            .with_session_epoch(-1)
            .with_topics(vec![topic]);
        loop {
            let fetched = self.connection.ask(11, &request).await?;
            let part = fetched.responses.first().and_then(|topic| topic.partitions.first()).context("no partition")?;
            match part.error_code {
                0 if part.records.as_ref().is_some_and(|records| !records.is_empty()) => return Ok(()),
                0 => {}
                code => bail!("Fetch: error {code}"),
            }
        }
    }
}

/// The batch as part of a transaction of this producer.
fn stamped(batch: &[u8], id: i64, epoch: i16) -> Vec<u8> {
    let mut batch = batch.to_vec();
    batch[21..23].copy_from_slice(&TRANSACTIONAL.to_be_bytes());
    batch[43..51].copy_from_slice(&id.to_be_bytes());
    batch[51..53].copy_from_slice(&epoch.to_be_bytes());
    batch[53..57].copy_from_slice(&0_i32.to_be_bytes());
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

/// The pinned Apache Kafka.
struct Kafka<'a> {
    dir: &'a Path,
    port: u16,
}

impl<'a> Kafka<'a> {
    fn start(dir: &'a Path, settings: &[&str]) -> anyhow::Result<Self> {
        let port = crate::process::free_port()?;
        let mut command = Command::new(script());
        let started = command.arg("start").arg(dir).arg(port.to_string()).args(settings).status()?;
        if !started.success() {
            bail!("Kafka did not start: {started}");
        }
        Ok(Kafka { dir, port })
    }
}

impl Drop for Kafka<'_> {
    fn drop(&mut self) {
        let stopped = Command::new(script()).arg("stop").arg(self.dir).status();
        if !stopped.is_ok_and(|status| status.success()) {
            eprintln!("Kafka in {} did not stop", self.dir.display());
        }
    }
}

fn script() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka/broker")
}

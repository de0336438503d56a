//! A transaction coordinator on a bench, for tests: what is asked of it, and a second one that only applies its records.

use super::records::{Record, TransactionState};
use super::request::{ProducerIdAndEpoch, Reply, Request, TopicPartition, TransactionVersion, WriteMarkers};
use super::settings::TxnSettings;
use super::transaction::Transaction;
use super::{Out, TxnShard};
use crate::coordinator::{Now, Shard, Ticket};
use crate::wire::errors::ErrorCode;
use std::sync::Arc;

/// The transactional id of most tests.
pub const ID: &str = "tx";
/// What a transaction of most tests may take.
pub const TIMEOUT_MS: i32 = 60_000;

pub struct Bench {
    pub shard: TxnShard,
    pub now: Now,
    pub log: Vec<Record>,
    /// What was to be done, and has not been reported.
    pub commands: Vec<WriteMarkers>,
    pub settings: TxnSettings,
    pub life: u64,
    mirror: TxnShard,
    next_id: i64,
    next_ticket: u64,
}

/// A producer.
pub fn producer(producer_id: i64, producer_epoch: i16) -> ProducerIdAndEpoch {
    ProducerIdAndEpoch { producer_id, producer_epoch }
}

/// Partitions of the topic `t`.
pub fn partitions(indexes: &[i32]) -> Vec<TopicPartition> {
    indexes.iter().map(|&partition| TopicPartition { topic: "t".into(), partition }).collect()
}

impl Bench {
    pub fn new() -> Self {
        Bench::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut TxnSettings)) -> Self {
        let mut settings = TxnSettings::for_tests();
        change(&mut settings);
        let shard = |epoch| TxnShard::new(Arc::new(settings.clone()), epoch);
        let mut bench = Bench {
            shard: shard(1),
            now: Now { monotonic: 0, wall: 1_000_000 },
            log: Vec::new(),
            commands: Vec::new(),
            life: 1,
            mirror: shard(0),
            settings: settings.clone(),
            next_id: 1_000,
            next_ticket: 0,
        };
        bench.step(|shard, now, out| shard.loaded(now, out));
        bench
    }

    /// A bench with [`ID`] in a state, and the producer it has there. Of transactions of `version`, of which one was before.
    pub fn at(state: TransactionState, version: TransactionVersion) -> (Self, ProducerIdAndEpoch) {
        use TransactionState::{CompleteCommit, Empty, Ongoing};
        let mut bench = Bench::new();
        // So that there are epochs before.
        let begun = [(); 3].map(|()| bench.init(None).unwrap());
        let mut producer = begun[2];
        if version == TransactionVersion::V2 {
            producer = bench.end(producer, false, version).unwrap();
            bench.write_markers();
        }
        if state == Empty {
            producer = bench.init(None).unwrap();
        } else {
            assert_eq!(bench.add(producer, &[0], version), ErrorCode::None);
        }
        if ![Empty, Ongoing].contains(&state) {
            let committed = [TransactionState::PrepareCommit, CompleteCommit].contains(&state);
            bench.end(producer, committed, version).unwrap();
        }
        if !state.is_ending() {
            bench.write_markers();
        }
        assert_eq!(bench.tx().state, state);
        let producer = bench.tx().producer;
        (bench, producer)
    }

    /// What is known of [`ID`].
    pub fn tx(&self) -> &Transaction {
        self.shard.transaction(ID).expect("a transactional id")
    }

    pub fn ask(&mut self, request: Request) -> Reply {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        let mut replies = self.step(|shard, now, out| shard.handle(now, ticket, request, out));
        assert_eq!(replies.len(), 1);
        let (told, reply) = replies.remove(0);
        assert_eq!(told, ticket);
        reply
    }

    /// Asks again with a producer id if one is needed; until then nothing may change.
    fn ask_with_id(&mut self, request: impl Fn(Option<i64>) -> Request) -> Reply {
        let written = self.log.len();
        let reply = self.ask(request(None));
        if reply != Reply::NeedsProducerId {
            return reply;
        }
        assert_eq!(self.log.len(), written);
        self.next_id += 1;
        self.ask(request(Some(self.next_id)))
    }

    pub fn init(&mut self, expected: Option<ProducerIdAndEpoch>) -> Result<ProducerIdAndEpoch, ErrorCode> {
        self.init_as(ID, TIMEOUT_MS, expected)
    }

    pub fn init_as(
        &mut self,
        id: &str,
        timeout_ms: i32,
        expected: Option<ProducerIdAndEpoch>,
    ) -> Result<ProducerIdAndEpoch, ErrorCode> {
        let reply = self.ask_with_id(|fresh| Request::InitProducerId {
            transactional_id: id.into(),
            transaction_timeout_ms: timeout_ms,
            expected,
            fresh,
        });
        match reply {
            Reply::InitProducerId(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    pub fn add(&mut self, producer: ProducerIdAndEpoch, indexes: &[i32], version: TransactionVersion) -> ErrorCode {
        let partitions = partitions(indexes);
        match self.ask(Request::AddPartitions { transactional_id: ID.into(), producer, partitions, version }) {
            Reply::AddPartitions(code) => code,
            other => panic!("{other:?}"),
        }
    }

    pub fn verify(&mut self, producer: ProducerIdAndEpoch, indexes: &[i32]) -> Result<Vec<ErrorCode>, ErrorCode> {
        let partitions = partitions(indexes);
        match self.ask(Request::VerifyPartitions { transactional_id: ID.into(), producer, partitions }) {
            Reply::VerifyPartitions(codes) => codes,
            other => panic!("{other:?}"),
        }
    }

    pub fn end(
        &mut self,
        producer: ProducerIdAndEpoch,
        committed: bool,
        version: TransactionVersion,
    ) -> Result<ProducerIdAndEpoch, ErrorCode> {
        let transactional_id = || ID.into();
        let reply = self.ask_with_id(|fresh| Request::EndTransaction {
            transactional_id: transactional_id(),
            producer,
            committed,
            version,
            fresh,
        });
        match reply {
            Reply::EndTransaction(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    /// Reports all markers that were asked for as written.
    pub fn write_markers(&mut self) {
        for command in std::mem::take(&mut self.commands) {
            self.report(&command);
        }
    }

    pub fn report(&mut self, command: &WriteMarkers) {
        let WriteMarkers { transactional_id, producer, life, .. } = command.clone();
        let reply = self.ask(Request::MarkersWritten { transactional_id, producer, life });
        assert_eq!(reply, Reply::MarkersWritten);
    }

    /// Lets time pass on both clocks, and has everything done that is due.
    pub fn advance(&mut self, ms: i64) {
        self.now = Now { monotonic: self.now.monotonic + ms, wall: self.now.wall + ms };
        while self.shard.next_deadline().is_some_and(|at| at <= self.now.monotonic) {
            self.step(|shard, now, out| shard.on_deadline(now, out));
        }
    }

    /// A new coordinator, of what is in the log.
    pub fn restart(&mut self) {
        self.life += 1;
        self.commands.clear();
        self.shard = TxnShard::new(Arc::new(self.settings.clone()), self.life);
        self.log.iter().cloned().for_each(|record| self.shard.apply(record));
        self.step(|shard, now, out| shard.loaded(now, out));
    }

    /// As if it had been in the log.
    pub fn stored(&mut self, change: impl FnOnce(&mut Transaction)) {
        let mut transaction = self.tx().clone();
        change(&mut transaction);
        let record = transaction.record(&ID.into());
        self.mirror.apply(record.clone());
        self.log.push(record);
        self.restart();
    }

    fn step(&mut self, f: impl FnOnce(&mut TxnShard, Now, &mut Out)) -> Vec<(Ticket, Reply)> {
        let mut out = Out::default();
        f(&mut self.shard, self.now, &mut out);
        for record in &out.records {
            let (key, value) = TxnShard::encode(record).unwrap();
            self.mirror.apply(TxnShard::decode(&key, value.as_deref()).unwrap().unwrap());
        }
        assert_eq!(durable(&self.shard), durable(&self.mirror), "what is not in the records is lost in a crash");
        self.log.extend(out.records);
        self.commands.extend(out.commands);
        out.replies
    }
}

/// All that a crash leaves.
pub fn durable(shard: &TxnShard) -> Vec<Record> {
    shard.transactions().map(|(id, transaction)| transaction.record(id)).collect()
}

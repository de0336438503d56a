//! What lies between the clients, the coordinator and the partitions: requests on their way, records in the broker, commands
//! that are carried out.

use super::client::{Ask, Client, Doing, Learnt, Outcome};
use super::coordinator::Coordinator;
use super::partition::{Partition, Sent, Value};
use super::{PARTITIONS, Rules, Setup, Step, Wish};
use crate::coordinator::txn::records::TransactionState;
use crate::coordinator::txn::request::{
    ProducerIdAndEpoch, Reply, Request, TopicPartition, TransactionVersion, WriteMarkers,
};
use crate::coordinator::txn::transaction::Transaction;
use crate::coordinator::{Now, Ticket};
use crate::partition::Guard;
use crate::wire::errors::ErrorCode;
use std::collections::BTreeMap;

const TIMEOUT_MS: i32 = 60_000;
/// Kafka looks for transactions that are too old every ten seconds (`TransactionStateManagerConfig`); two more for what follows.
const GRACE_MS: i64 = 12_000;

/// A record in the broker.
#[derive(Clone, Copy, Debug)]
struct Flight {
    number: u64,
    /// Who waits for it; nobody does for what was repeated.
    client: Option<usize>,
    transactional_id: &'static str,
    sent: Sent,
    at: At,
}

#[derive(Clone, Copy, Debug)]
enum At {
    Arrived,
    /// The coordinator is asked under this guard.
    Asked(Guard),
    Admitted(Guard),
    /// Until the log is durable up to here.
    Stored(usize),
}

/// A command that is carried out.
struct Job {
    command: WriteMarkers,
    /// Up to where each log must be durable.
    ends: Vec<(usize, usize)>,
}

/// Something that can come late, or again.
#[derive(Clone, Debug)]
enum Packet {
    Produce(&'static str, Sent),
    End(&'static str, ProducerIdAndEpoch, bool),
    /// To a shard that has been dropped.
    Report(WriteMarkers),
}

enum Asker {
    Client(usize, Ask),
    Flight(u64),
    Nobody,
}

/// What was written in a transaction, and what its producer was told.
#[derive(Default)]
struct Written {
    values: Vec<Value>,
    told: Option<bool>,
}

pub struct World {
    rules: Rules,
    now: Now,
    coordinator: Coordinator,
    partitions: [Partition; PARTITIONS],
    clients: [Client; 2],
    flights: Vec<Flight>,
    jobs: Vec<Job>,
    /// Reports of jobs that are done, on their way to the coordinator.
    reports: Vec<WriteMarkers>,
    packets: Vec<Packet>,
    asked: BTreeMap<Ticket, Asker>,
    transactions: Vec<Written>,
    /// What readers have seen of each partition.
    pub seen: [Vec<Value>; PARTITIONS],
    next: u64,
}

impl World {
    pub fn new(setup: &Setup, rules: Rules) -> Self {
        let ids = if setup.same_id { ["a", "a"] } else { ["a", "b"] };
        let old = |id: i64| Transaction {
            producer: ProducerIdAndEpoch { producer_id: id, producer_epoch: i16::MAX - 5 },
            state: TransactionState::CompleteAbort,
            ..Transaction::new(id, TIMEOUT_MS, 0)
        };
        let known = setup.old.then(|| [("a".into(), old(1)), ("b".into(), old(2))]);
        World {
            rules,
            now: Now { monotonic: 0, wall: 1_000_000 },
            coordinator: Coordinator::new(known.into_iter().flatten()),
            partitions: std::array::from_fn(|_| Partition::new()),
            clients: [0, 1].map(|at| Client::new(ids[at], setup.versions[at])),
            flights: Vec::new(),
            jobs: Vec::new(),
            reports: Vec::new(),
            packets: Vec::new(),
            asked: BTreeMap::new(),
            transactions: Vec::new(),
            seen: Default::default(),
            next: 1_000,
        }
    }

    pub fn take(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Act(client, wish) => self.act(client, wish),
            Step::Go(which) => self.go(which),
            Step::Flow(which) => return self.flow(which, 6),
            Step::Sync(0, all) => self.coordinator.sync(all),
            Step::Sync(partition, all) => self.partitions[partition - 1].sync(all),
            Step::Repeat(which) => self.repeat(which),
            Step::Pass(ms) => {
                self.now = Now { monotonic: self.now.monotonic + ms, wall: self.now.wall + ms };
                self.coordinator.fire(self.now);
            }
            Step::Set(ms) => self.now.wall += ms,
            Step::Crash(quarters) => self.crash(quarters),
            Step::Reload(quarters) => self.reload(quarters),
        }
        self.settle()?;
        self.look()
    }

    fn act(&mut self, at: usize, wish: Wish) {
        let client = &mut self.clients[at];
        match client.doing {
            Doing::Waiting(_) => return,
            Doing::Again(ask) => return self.send(at, ask),
            Doing::Nothing => {}
        }
        let Some(producer) = client.producer else { return self.send(at, Ask::Init) };
        let transaction = *client.transaction.get_or_insert_with(|| {
            self.transactions.push(Written::default());
            self.transactions.len() - 1
        });
        let values = &mut self.transactions[transaction].values;
        let (bumps_epoch, begun) = (client.version.bumps_epochs(), !values.is_empty());
        match wish {
            Wish::Vanish => *client = Client::new(client.transactional_id, client.version),
            _ if client.must_abort => self.send(at, Ask::End(false)),
            Wish::Write(partition) if !bumps_epoch && !client.added.contains(&partition) => {
                self.send(at, Ask::Add(partition));
            }
            Wish::Write(partition) => {
                let value = Value { transaction, number: values.len() };
                values.push(value);
                let sequence = client.sequences[partition];
                self.send(at, Ask::Produce(Sent { value, partition, producer, sequence, bumps_epoch }));
            }
            Wish::Commit if begun => self.send(at, Ask::End(true)),
            Wish::Abort if begun || bumps_epoch => self.send(at, Ask::End(false)),
            Wish::Commit | Wish::Abort => {}
        }
    }

    fn send(&mut self, at: usize, ask: Ask) {
        let client = &mut self.clients[at];
        client.doing = Doing::Waiting(ask);
        let (id, version) = (client.transactional_id, client.version);
        let producer = client.producer.unwrap_or(ProducerIdAndEpoch { producer_id: -1, producer_epoch: -1 });
        let packet = match ask {
            Ask::Produce(sent) => Some(Packet::Produce(id, sent)),
            Ask::End(committed) => Some(Packet::End(id, producer, committed)),
            Ask::Init | Ask::Add(_) => None,
        };
        // What V0 cannot tell apart must not happen to it.
        self.packets.extend(packet.filter(|_| version.bumps_epochs()));
        let request = match ask {
            Ask::Produce(sent) => return self.arrive(Some(at), id, sent),
            Ask::Init => self.init(id),
            Ask::Add(partition) => add(id, producer, partition, version),
            Ask::End(committed) => self.end(id, producer, committed, version),
        };
        self.ask(Asker::Client(at, ask), request);
    }

    fn init(&mut self, id: &str) -> Request {
        self.next += 1;
        let fresh = Some(self.next as i64);
        Request::InitProducerId {
            transactional_id: id.into(),
            transaction_timeout_ms: TIMEOUT_MS,
            expected: None,
            fresh,
        }
    }

    fn end(&mut self, id: &str, producer: ProducerIdAndEpoch, committed: bool, version: TransactionVersion) -> Request {
        self.next += 1;
        let fresh = Some(self.next as i64);
        Request::EndTransaction { transactional_id: id.into(), producer, committed, version, fresh }
    }

    fn ask(&mut self, asker: Asker, request: Request) {
        let ticket = self.coordinator.ask(self.now, request);
        self.asked.insert(ticket, asker);
    }

    fn arrive(&mut self, client: Option<usize>, transactional_id: &'static str, sent: Sent) {
        self.next += 1;
        self.flights.push(Flight { number: self.next, client, transactional_id, sent, at: At::Arrived });
    }

    /// The network brings something again that was sent once.
    fn repeat(&mut self, which: usize) {
        let Some(packet) = which.checked_rem(self.packets.len()).map(|at| self.packets[at].clone()) else { return };
        match packet {
            Packet::Report(command) => self.report(command),
            Packet::Produce(id, sent) => self.arrive(None, id, sent),
            Packet::End(id, producer, committed) => {
                let request = self.end(id, producer, committed, TransactionVersion::V2);
                self.ask(Asker::Nobody, request);
            }
        }
    }

    /// One of the things that are under way goes on.
    fn go(&mut self, which: usize) {
        let (flights, jobs, reports) = (self.flights.len(), self.jobs.len(), self.reports.len());
        match which.checked_rem(flights + jobs + reports) {
            None => {}
            Some(at) if at < flights => self.fly(at),
            Some(at) if at < flights + jobs => self.work(at - flights),
            Some(at) => {
                let command = self.reports.remove(at - flights - jobs);
                self.report(command);
            }
        }
    }

    fn report(&mut self, command: WriteMarkers) {
        let WriteMarkers { transactional_id, producer, life, .. } = command;
        self.ask(Asker::Nobody, Request::MarkersWritten { transactional_id, producer, life });
    }

    fn flow(&mut self, which: usize, rounds: usize) -> Result<(), String> {
        for round in 0..rounds {
            (0..=PARTITIONS).try_for_each(|log| self.take(Step::Sync(log, true)))?;
            self.take(Step::Go(which.wrapping_add(round)))?;
        }
        Ok(())
    }

    fn fly(&mut self, at: usize) {
        let Flight { number, transactional_id, sent, at: stage, .. } = self.flights[at];
        let (partition, wall) = (&mut self.partitions[sent.partition], self.now.wall);
        let guard = match stage {
            At::Arrived => match partition.verify(&sent, wall) {
                Ok(Some(guard)) => {
                    self.flights[at].at = At::Asked(guard);
                    let request = match sent.bumps_epoch {
                        true => add(transactional_id, sent.producer, sent.partition, TransactionVersion::V2),
                        false => Request::VerifyPartitions {
                            transactional_id: transactional_id.into(),
                            producer: sent.producer,
                            partitions: vec![named(sent.partition)],
                        },
                    };
                    return self.ask(Asker::Flight(number), request);
                }
                Ok(None) => None,
                Err(_) => return self.land(number, Outcome::Refused),
            },
            At::Admitted(guard) => Some(guard),
            At::Asked(_) | At::Stored(_) => return,
        };
        match partition.append(&sent, guard, wall) {
            Ok(end) => self.flights[at].at = At::Stored(end),
            Err(_) => self.land(number, Outcome::Refused),
        }
    }

    /// A record is out of the broker's hands.
    fn land(&mut self, number: u64, outcome: Outcome) {
        let Some(at) = self.flights.iter().position(|flight| flight.number == number) else { return };
        let Flight { client, sent, .. } = self.flights.remove(at);
        let Some(client) = client.map(|at| &mut self.clients[at]) else { return };
        // An instance that is gone waits for nothing.
        if matches!(client.doing, Doing::Waiting(Ask::Produce(waits)) if waits.value == sent.value) {
            client.produced(sent, outcome);
        }
    }

    /// Writes one of the markers of a command, or reports that all are there.
    fn work(&mut self, at: usize) {
        let job = &mut self.jobs[at];
        if let Some(TopicPartition { partition, .. }) = job.command.partitions.pop() {
            let partition = partition as usize;
            job.ends.push((partition, self.partitions[partition].end(&job.command, self.now.wall)));
        } else if job.ends.iter().all(|(partition, end)| self.partitions[*partition].is_durable(*end)) {
            self.reports.push(self.jobs.remove(at).command);
        }
    }

    fn crash(&mut self, quarters: [usize; 1 + PARTITIONS]) {
        for (partition, quarters) in self.partitions.iter_mut().zip(&quarters[1..]) {
            partition.crash(*quarters);
        }
        self.flights.clear();
        self.jobs.clear();
        self.reports.clear();
        self.asked.clear();
        self.clients.iter_mut().for_each(|client| client.lose(|_| true));
        self.coordinator.crash(self.now, quarters[0]);
    }

    fn reload(&mut self, quarters: usize) {
        // A shard that is gone has no standing; what was done for it may still be reported, at any time.
        self.jobs.clear();
        self.packets.extend(self.reports.drain(..).map(Packet::Report));
        self.asked.clear();
        self.clients.iter_mut().for_each(|client| client.lose(|ask| !matches!(ask, Ask::Produce(_))));
        let asked = self.flights.iter().filter(|flight| matches!(flight.at, At::Asked(_)));
        let asked: Vec<u64> = asked.map(|flight| flight.number).collect();
        asked.into_iter().for_each(|number| self.land(number, Outcome::Again));
        self.coordinator.crash(self.now, quarters);
    }

    /// What may leave leaves.
    fn settle(&mut self) -> Result<(), String> {
        for (ticket, reply) in self.coordinator.replies(self.rules.replies_wait) {
            match self.asked.remove(&ticket) {
                Some(Asker::Client(at, ask)) => self.answer(at, ask, reply)?,
                Some(Asker::Flight(number)) => self.admit(number, reply),
                Some(Asker::Nobody) | None => {}
            }
        }
        let commands = self.coordinator.commands(self.rules.commands_wait);
        self.jobs.extend(commands.into_iter().map(|command| Job { command, ends: Vec::new() }));
        let stored = |flight: &Flight| matches!(flight.at, At::Stored(end) if self.partitions[flight.sent.partition].is_durable(end));
        let landed: Vec<u64> = self.flights.iter().filter(|it| stored(it)).map(|it| it.number).collect();
        landed.into_iter().for_each(|number| self.land(number, Outcome::Stored));
        Ok(())
    }

    fn answer(&mut self, at: usize, ask: Ask, reply: Reply) -> Result<(), String> {
        let client = &mut self.clients[at];
        if !matches!(client.doing, Doing::Waiting(_)) {
            return Ok(()); // Its place has been taken.
        }
        let transaction = client.transaction;
        match (client.answered(ask, reply)?, transaction) {
            (Learnt::Ended(committed), Some(transaction)) => self.transactions[transaction].told = Some(committed),
            (Learnt::Fenced, _) => *client = Client::new(client.transactional_id, client.version),
            _ => {}
        }
        Ok(())
    }

    fn admit(&mut self, number: u64, reply: Reply) {
        let Some(flight) = self.flights.iter_mut().find(|flight| flight.number == number) else { return };
        let At::Asked(guard) = flight.at else { return };
        let code = match reply {
            Reply::AddPartitions(code) => code,
            Reply::VerifyPartitions(Ok(codes)) => codes[0],
            Reply::VerifyPartitions(Err(code)) => code,
            other => panic!("{other:?}"),
        };
        match code {
            ErrorCode::None => flight.at = At::Admitted(guard),
            ErrorCode::ConcurrentTransactions => self.land(number, Outcome::Again),
            _ => self.land(number, Outcome::Refused),
        }
    }

    /// What was seen stays, and nothing comes before it. So what is seen at any time must be part of what is seen in the end.
    /// (Not all of a transaction becomes visible in one moment: another one may hold readers back in the midst of it.)
    fn look(&mut self) -> Result<(), String> {
        for (partition, seen) in self.partitions.iter_mut().zip(&mut self.seen) {
            let visible = partition.committed(self.rules.stable);
            if !visible.starts_with(seen) {
                return Err(format!("{visible:?} are visible where {seen:?} were"));
            }
            *seen = visible;
        }
        Ok(())
    }

    /// The clients are gone; all that is under way comes to its end, and within a transaction's timeout, and a bit more, no
    /// reader is held back.
    pub fn finish(&mut self) -> Result<(), String> {
        for pass_ms in [0, TIMEOUT_MS.into(), GRACE_MS] {
            self.take(Step::Pass(pass_ms))?;
            // Each of the things under way may take some steps, and other things may come of it.
            self.flow(0, 200)?;
        }
        let left = (self.flights.len(), self.jobs.len(), self.reports.len());
        if left != (0, 0, 0) || !self.coordinator.is_quiet() {
            return Err(format!("flights, jobs and reports that come to no end: {left:?}"));
        }
        match self.partitions.iter_mut().position(|partition| !partition.is_stable()) {
            Some(partition) => Err(format!("a transaction hangs in partition {partition}")),
            None => self.judge(),
        }
    }

    /// All or nothing of each transaction, as its producer was told, and once.
    fn judge(&self) -> Result<(), String> {
        for (transaction, written) in self.transactions.iter().enumerate() {
            let mut visible = self.seen.concat();
            visible.retain(|value| value.transaction == transaction);
            visible.sort();
            let committed = visible == written.values;
            if !committed && !visible.is_empty() {
                return Err(format!("of {transaction}, which has {:?}, {visible:?} are visible", written.values));
            }
            let told_otherwise = match written.told {
                Some(true) => !committed,
                Some(false) => !visible.is_empty(),
                None => false,
            };
            if told_otherwise {
                return Err(format!("{visible:?} are visible of {transaction}, told to be {:?}", written.told));
            }
        }
        Ok(())
    }
}

fn named(partition: usize) -> TopicPartition {
    TopicPartition { topic: "t".into(), partition: partition as i32 }
}

fn add(id: &str, producer: ProducerIdAndEpoch, partition: usize, version: TransactionVersion) -> Request {
    Request::AddPartitions { transactional_id: id.into(), producer, partitions: vec![named(partition)], version }
}

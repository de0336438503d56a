//! A coordinator over a log whose end is lost in a crash, with the shell's promises: replies leave, and commands are carried
//! out, when all that was emitted up to them is durable.

use crate::coordinator::txn::records::{Record, TransactionState};
use crate::coordinator::txn::request::{Reply, Request, WriteMarkers};
use crate::coordinator::txn::script::durable;
use crate::coordinator::txn::settings::TxnSettings;
use crate::coordinator::txn::transaction::Transaction;
use crate::coordinator::txn::{Out, TxnShard};
use crate::coordinator::{Now, Shard, Ticket};
use std::sync::Arc;

pub struct Coordinator {
    shard: TxnShard,
    /// Has only applied the records.
    mirror: TxnShard,
    log: Vec<Record>,
    durable: usize,
    life: u64,
    held: Vec<(usize, Ticket, Reply)>,
    decided: Vec<(usize, WriteMarkers)>,
    next_ticket: u64,
}

impl Coordinator {
    /// One that has some ids already.
    pub fn new(known: impl IntoIterator<Item = (Arc<str>, Transaction)>) -> Self {
        let log: Vec<Record> = known.into_iter().map(|(id, transaction)| transaction.record(&id)).collect();
        let (held, decided) = (Vec::new(), Vec::new());
        let mut coordinator = Coordinator {
            shard: shard(0),
            mirror: shard(0),
            durable: log.len(),
            log,
            life: 0,
            held,
            decided,
            next_ticket: 0,
        };
        coordinator.load(Now { monotonic: 0, wall: 0 });
        coordinator
    }

    pub fn ask(&mut self, now: Now, request: Request) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.step(|shard, out| shard.handle(now, ticket, request, out));
        ticket
    }

    /// Does what is due.
    pub fn fire(&mut self, now: Now) {
        while self.shard.next_deadline().is_some_and(|at| at <= now.monotonic) {
            self.step(|shard, out| shard.on_deadline(now, out));
        }
    }

    /// All of the log becomes durable, or half of the rest.
    pub fn sync(&mut self, all: bool) {
        let rest = self.log.len() - self.durable;
        self.durable += if all { rest } else { rest / 2 };
    }

    /// The replies that may leave; if they do not wait for what they rest on, that is a fault.
    pub fn replies(&mut self, wait: bool) -> Vec<(Ticket, Reply)> {
        let durable = self.durable;
        self.held
            .extract_if(.., |(end, ..)| !wait || *end <= durable)
            .map(|(_, ticket, reply)| (ticket, reply))
            .collect()
    }

    /// The commands that may be carried out; if they do not wait for what they come from, that is a fault.
    pub fn commands(&mut self, wait: bool) -> Vec<WriteMarkers> {
        let durable = self.durable;
        self.decided.extract_if(.., |(end, _)| !wait || *end <= durable).map(|(_, command)| command).collect()
    }

    /// Of what was not durable a part is left, so many of four; everybody who waits is forgotten.
    pub fn crash(&mut self, now: Now, quarters: usize) {
        self.log.truncate(self.durable + (self.log.len() - self.durable) * quarters / 4);
        self.durable = self.log.len();
        self.held.clear();
        self.decided.clear();
        self.load(now);
    }

    fn load(&mut self, now: Now) {
        self.life += 1;
        self.shard = shard(self.life);
        self.mirror = shard(0);
        for record in &self.log {
            self.shard.apply(record.clone());
            self.mirror.apply(record.clone());
        }
        self.step(|shard, out| shard.loaded(now, out));
    }

    fn step(&mut self, f: impl FnOnce(&mut TxnShard, &mut Out)) {
        let mut out = Out::default();
        f(&mut self.shard, &mut out);
        out.records.iter().cloned().for_each(|record| self.mirror.apply(record));
        assert_eq!(durable(&self.shard), durable(&self.mirror), "what is not in the records is lost in a crash");
        self.log.extend(out.records);
        let end = self.log.len();
        self.held.extend(out.replies.into_iter().map(|(ticket, reply)| (end, ticket, reply)));
        self.decided.extend(out.commands.into_iter().map(|command| (end, command)));
    }

    /// Whether no transaction is under way.
    pub fn is_quiet(&self) -> bool {
        let under_way = |it: &Transaction| it.state == TransactionState::Ongoing || it.state.is_ending();
        !self.shard.transactions().any(|(_, transaction)| under_way(transaction))
    }
}

fn shard(life: u64) -> TxnShard {
    TxnShard::new(Arc::new(TxnSettings::for_tests()), life)
}

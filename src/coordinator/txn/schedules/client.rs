//! A transactional producer: one thing at a time, and again what got no answer.

use super::PARTITIONS;
use super::partition::Sent;
use crate::coordinator::txn::request::{ProducerIdAndEpoch, Reply, TransactionVersion};
use crate::wire::errors::ErrorCode;
use std::collections::BTreeSet;

/// What a client asks for.
#[derive(Clone, Copy, Debug)]
pub enum Ask {
    Init,
    /// With V0 partitions are added by the client.
    Add(usize),
    Produce(Sent),
    /// To commit, or to abort.
    End(bool),
}

/// What a client does.
#[derive(Clone, Copy, Debug)]
pub enum Doing {
    Nothing,
    Waiting(Ask),
    /// There was no answer, or one to come again.
    Again(Ask),
}

/// What a client has learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learnt {
    Nothing,
    /// Its transaction was committed, or aborted.
    Ended(bool),
    /// Another instance has taken its place, or its transaction was aborted for its age.
    Fenced,
}

pub struct Client {
    pub transactional_id: &'static str,
    pub version: TransactionVersion,
    pub producer: Option<ProducerIdAndEpoch>,
    /// The next sequence number of each partition.
    pub sequences: [i32; PARTITIONS],
    /// The number of its transaction.
    pub transaction: Option<usize>,
    /// Something of the transaction was refused.
    pub must_abort: bool,
    /// With V0: the partitions of the transaction.
    pub added: BTreeSet<usize>,
    pub doing: Doing,
}

impl Client {
    pub fn new(transactional_id: &'static str, version: TransactionVersion) -> Self {
        Client {
            transactional_id,
            version,
            producer: None,
            sequences: [0; PARTITIONS],
            transaction: None,
            must_abort: false,
            added: BTreeSet::new(),
            doing: Doing::Nothing,
        }
    }

    /// What it asked for got lost, if it waits for anything that `lost` is true of.
    pub fn lose(&mut self, lost: impl Fn(&Ask) -> bool) {
        if let Doing::Waiting(ask) = self.doing
            && lost(&ask)
        {
            self.doing = Doing::Again(ask);
        }
    }

    /// The coordinator has answered.
    pub fn answered(&mut self, ask: Ask, reply: Reply) -> Result<Learnt, String> {
        self.doing = Doing::Nothing;
        let code = match (&ask, &reply) {
            (Ask::Init, Reply::InitProducerId(Ok(producer))) => {
                *self = Client { producer: Some(*producer), ..Client::new(self.transactional_id, self.version) };
                return Ok(Learnt::Nothing);
            }
            (Ask::Add(partition), Reply::AddPartitions(ErrorCode::None)) => {
                self.added.insert(*partition);
                return Ok(Learnt::Nothing);
            }
            (Ask::End(committed), Reply::EndTransaction(Ok(producer))) => {
                if self.version.bumps_epochs() {
                    (self.producer, self.sequences) = (Some(*producer), [0; PARTITIONS]);
                }
                (self.transaction, self.must_abort) = (None, false);
                self.added.clear();
                return Ok(Learnt::Ended(*committed));
            }
            (Ask::Init, Reply::InitProducerId(Err(code))) | (Ask::Add(_), Reply::AddPartitions(code)) => *code,
            (Ask::End(_), Reply::EndTransaction(Err(code))) => *code,
            _ => return Err(format!("{reply:?} to {ask:?}")),
        };
        match (code, ask) {
            (ErrorCode::ConcurrentTransactions, _) => self.doing = Doing::Again(ask),
            (ErrorCode::ProducerFenced | ErrorCode::InvalidProducerIdMapping, Ask::Add(_) | Ask::End(_)) => {
                return Ok(Learnt::Fenced);
            }
            // That is what V2 says of a transaction that was aborted for its age or for another instance.
            (ErrorCode::InvalidTxnState, Ask::End(true)) if self.version.bumps_epochs() => return Ok(Learnt::Fenced),
            _ => return Err(format!("{code} to {ask:?} of a client that does nothing wrong")),
        }
        Ok(Learnt::Nothing)
    }

    /// A partition has answered: the record is there, is to be sent again, or is refused.
    pub fn produced(&mut self, sent: Sent, outcome: Outcome) {
        self.doing = match outcome {
            Outcome::Again => Doing::Again(Ask::Produce(sent)),
            Outcome::Stored | Outcome::Refused => Doing::Nothing,
        };
        match outcome {
            Outcome::Stored => self.sequences[sent.partition] = sent.sequence + 1,
            Outcome::Refused => self.must_abort = true,
            Outcome::Again => {}
        }
    }
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Stored,
    Again,
    Refused,
}

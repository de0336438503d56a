//! A partition of a topic: its real state, over a log whose end is lost in a crash.

use crate::coordinator::txn::request::{ProducerIdAndEpoch, WriteMarkers};
use crate::log::Offset;
use crate::partition::aborted::Aborted;
use crate::partition::epochs::Epochs;
use crate::partition::producers::{MarkerVerdict, Producers, Verdict};
use crate::partition::state::PartitionState;
use crate::partition::{Guard, MarkerEpoch, Origin, SequenceError, Verify};
use crate::time::Millis;
use crate::wire::batch::BatchHeader;
use crate::wire::build::{self, Kind};
use crate::wire::control::Marker;
use bytes::Bytes;

/// What a producer writes: the number of its transaction, and its own in that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Value {
    pub transaction: usize,
    pub number: usize,
}

/// A record on its way.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub value: Value,
    pub partition: usize,
    pub producer: ProducerIdAndEpoch,
    pub sequence: i32,
    /// The producer's epoch rises with each transaction.
    pub bumps_epoch: bool,
}

impl Sent {
    fn batch(&self) -> (BatchHeader, Bytes) {
        let ProducerIdAndEpoch { producer_id, producer_epoch } = self.producer;
        let record = (Bytes::from_static(b"key"), Some(Bytes::from(format!("{:?}", self.value))));
        let (header, payload) = build::parts(Kind::Transactional { producer_id, producer_epoch }, &[record], 0);
        (BatchHeader { base_sequence: self.sequence, ..header }, payload)
    }
}

enum Stored {
    Value(Value),
    End(Marker),
}

/// One batch is one record.
pub struct Partition {
    state: PartitionState,
    log: Vec<(BatchHeader, Stored)>,
    /// So much of the log is durable, and published.
    durable: usize,
    guards: u64,
}

impl Partition {
    pub fn new() -> Self {
        Partition { state: begun(0), log: Vec::new(), durable: 0, guards: 0 }
    }

    pub fn verify(&mut self, sent: &Sent, now: Millis) -> Result<Option<Guard>, SequenceError> {
        self.guards += 1;
        self.state.verify(Verify::of(&sent.batch().0, sent.bumps_epoch), Guard(self.guards), now)
    }

    /// Appends a record, unless it is there; tells up to where the log must be durable.
    pub fn append(&mut self, sent: &Sent, guard: Option<Guard>, now: Millis) -> Result<usize, SequenceError> {
        let (header, payload) = sent.batch();
        match self.state.check(&header, Origin::Client(guard))? {
            Verdict::Duplicate(stored) => Ok(stored.last_offset as usize + 1),
            Verdict::Append => Ok(self.push(header, payload, Stored::Value(sent.value), now)),
        }
    }

    /// Ends a transaction, unless it has ended; tells up to where the log must be durable.
    pub fn end(&mut self, command: &WriteMarkers, now: Millis) -> usize {
        let ProducerIdAndEpoch { producer_id, producer_epoch } = command.producer;
        let marker = Marker { committed: command.committed, coordinator_epoch: self.state.leader_epoch() };
        let rule = if command.version.bumps_epochs() { MarkerEpoch::Higher } else { MarkerEpoch::SameOrHigher };
        match self.state.check_marker(producer_id, producer_epoch, marker, rule) {
            Ok(MarkerVerdict::Append) => {
                let (header, payload) = marker.batch(producer_id, producer_epoch, now);
                self.push(header, payload, Stored::End(marker), now)
            }
            // As for Kafka's coordinator there is nothing more to do where a newer one has been.
            Ok(MarkerVerdict::Written) | Err(_) => self.log.len(),
        }
    }

    fn push(&mut self, header: BatchHeader, payload: Bytes, stored: Stored, now: Millis) -> usize {
        let header = self.state.stamp(header, payload).header;
        let marker = if let Stored::End(marker) = &stored { Some(*marker) } else { None };
        self.state.apply(&header, marker, now);
        self.log.push((header, stored));
        self.log.len()
    }

    pub fn is_durable(&self, end: usize) -> bool {
        end <= self.durable
    }

    /// All of the log becomes durable, or half of the rest.
    pub fn sync(&mut self, all: bool) {
        let rest = self.log.len() - self.durable;
        self.durable += if all { rest } else { rest / 2 };
    }

    /// Of what was not durable a part is left, so many of four.
    pub fn crash(&mut self, quarters: usize) {
        self.log.truncate(self.durable + (self.log.len() - self.durable) * quarters / 4);
        self.durable = self.log.len();
        self.state = begun(self.state.leader_epoch() + 1);
        for (header, stored) in &self.log {
            let marker = if let Stored::End(marker) = stored { Some(*marker) } else { None };
            self.state.apply(header, marker, 0);
        }
    }

    /// What a reader of committed records sees, from the beginning; `stable` off is a fault: it sees all that is published.
    pub fn committed(&mut self, stable: bool) -> Vec<Value> {
        let published = self.durable as Offset;
        let below = if stable { self.state.last_stable(published) } else { published };
        let aborted = self.state.aborted(0, below);
        let is_aborted = |header: &BatchHeader| {
            aborted.iter().any(|it| {
                it.producer_id == header.producer_id && (it.first_offset..=it.last_offset).contains(&header.base_offset)
            })
        };
        let visible = self.log.iter().filter(|(header, _)| header.base_offset < below && !is_aborted(header));
        visible.filter_map(|(_, stored)| if let Stored::Value(value) = stored { Some(*value) } else { None }).collect()
    }

    /// Whether nothing holds readers of committed records back.
    pub fn is_stable(&mut self) -> bool {
        let end = self.log.len() as Offset;
        self.state.last_stable(end) == end
    }
}

fn begun(leader_epoch: i32) -> PartitionState {
    let mut state = PartitionState::new(0, Producers::default(), Aborted::default(), Epochs::default());
    assert_eq!(state.lead(leader_epoch), Ok(()));
    state
}

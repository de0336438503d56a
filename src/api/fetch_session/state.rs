//! One fetch session, as a value (KIP-227; Kafka's `FetchSession`, `CachedPartition`, `IncrementalFetchContext`).
//!
//! [`State::begin`] takes a request in and says what to read, [`State::finish`] takes the outcome and says what of it
//! the client does not know yet. Pure: no clock, no lock, no catalog. Left out: followers, and with them log start
//! offsets that a fetcher reports and diverging epochs.

use crate::api::errors::ErrorCode;
use crate::api::fetch_reply::FetchedPartition;
use crate::log::Offset;
use indexmap::IndexMap;
use std::collections::HashSet;
use std::sync::Arc;
use uuid::Uuid;

/// Bytes that a partition in a session is reckoned at, the text of its topic's name aside.
const PARTITION_BYTES: usize = 256;

/// How a request calls a topic. Within a session it is always one of the two.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TopicKey {
    /// Up to version 12.
    Name(Arc<str>),
    /// From version 13 (KIP-516).
    Id(Uuid),
}

/// A partition as a request calls it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PartitionKey {
    /// Its topic.
    pub topic: TopicKey,
    /// Its number.
    pub index: i32,
}

/// What a client wants of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// From where.
    pub fetch_offset: Offset,
    /// The leader epoch that the client knows, or -1.
    pub leader_epoch: i32,
    /// The leader epoch of the last record it has, or -1; consumers do not tell.
    pub last_fetched_epoch: i32,
    /// At most so many bytes.
    pub max_bytes: i32,
}

/// A partition that is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which.
    pub partition: PartitionKey,
    /// The name that its topic id had when it was first seen; `None` for one that has not been resolved.
    pub name: Option<Arc<str>>,
    /// What of it.
    pub params: Params,
}

/// What a request says of partitions. One that is named twice counts once, with its last wishes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Wanted from now on, or wanted otherwise than before.
    pub wanted: IndexMap<PartitionKey, Params>,
    /// Wanted no more; goes before [`Asked::wanted`].
    pub forgotten: HashSet<PartitionKey>,
}

/// Finds the present name of a topic id.
pub type NameOf<'a> = &'a dyn Fn(Uuid) -> Option<Arc<str>>;

/// A session.
#[derive(Clone, Debug)]
pub struct State {
    /// Of the next request; [`CLOSED`] when there is none.
    epoch: i32,
    uses_ids: bool,
    /// In the order in which they are read.
    partitions: IndexMap<PartitionKey, Cached>,
    bytes: usize,
}

/// What is remembered of a partition.
#[derive(Clone, Debug)]
struct Cached {
    params: Params,
    name: Option<Arc<str>>,
    /// As the client was told last; -1 for never, or after an error.
    high_watermark: Offset,
    /// As the client was told last.
    log_start: Offset,
    /// Records of it go out with the answer that is being made.
    sent: bool,
}

/// No request has this epoch and an open session: it ends one (`FetchMetadata.FINAL_EPOCH`).
pub const CLOSED: i32 = -1;

/// Where an incremental request leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// To reading these. The number goes to [`State::finish`].
    Read(Vec<Wanted>, i32),
    /// No partition is left: the session is closed, and the request is answered without one.
    Closed,
}

impl State {
    /// A session that begins with the answer to its first request.
    pub fn new<'a>(uses_ids: bool, told: impl Iterator<Item = (&'a Wanted, &'a FetchedPartition)>) -> State {
        let mut state = State { epoch: 1, uses_ids, partitions: IndexMap::new(), bytes: 0 };
        for (wanted, answer) in told {
            let cached = Cached {
                params: wanted.params,
                name: wanted.name.clone(),
                high_watermark: answer.high_watermark,
                log_start: answer.log_start_offset,
                sent: false,
            };
            state.insert(wanted.partition.clone(), cached);
        }
        state
    }

    /// Number of partitions.
    pub fn len(&self) -> usize {
        self.partitions.len()
    }

    /// Memory that it is reckoned at.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the next request in. Requests that come out of order, or from a client that lost count, are
    /// INVALID_FETCH_SESSION_EPOCH; one that calls topics otherwise than the session is FETCH_SESSION_TOPIC_ID_ERROR.
    /// Either changes nothing.
    pub fn begin(
        &mut self,
        epoch: i32,
        uses_ids: bool,
        asked: &Asked,
        name_of: NameOf<'_>,
    ) -> Result<Begun, ErrorCode> {
        if self.epoch != epoch || epoch <= 0 {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if self.uses_ids != uses_ids {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        self.update(asked);
        if self.partitions.is_empty() {
            self.close();
            return Ok(Begun::Closed);
        }
        self.epoch = next_epoch(epoch);
        Ok(Begun::Read(self.wanted(name_of), self.epoch))
    }

    fn update(&mut self, asked: &Asked) {
        for (key, params) in &asked.wanted {
            match self.partitions.get_mut(key) {
                Some(cached) => cached.params = *params,
                None => {
                    let new = Cached { params: *params, name: None, high_watermark: -1, log_start: -1, sent: false };
                    self.insert(key.clone(), new);
                }
            }
        }
        if !asked.forgotten.is_empty() {
            self.partitions.retain(|key, _| !asked.forgotten.contains(key));
            self.bytes = self.partitions.keys().map(cost).sum();
        }
    }

    fn insert(&mut self, key: PartitionKey, cached: Cached) {
        let cost = cost(&key);
        if self.partitions.insert(key, cached).is_none() {
            self.bytes = self.bytes.saturating_add(cost);
        }
    }

    fn wanted(&mut self, name_of: NameOf<'_>) -> Vec<Wanted> {
        let one = |(key, cached): (&PartitionKey, &mut Cached)| {
            if let (TopicKey::Id(id), None) = (&key.topic, &cached.name) {
                cached.name = name_of(*id);
            }
            Wanted { partition: key.clone(), name: cached.name.clone(), params: cached.params }
        };
        self.partitions.iter_mut().map(one).collect()
    }

    /// No request goes on from here.
    pub fn close(&mut self) {
        self.epoch = CLOSED;
    }

    /// Whether the request that [`State::begin`] gave this number is the last one that began.
    pub fn is_last(&self, number: i32) -> bool {
        self.epoch == number
    }

    /// Which of the outcomes are told: `true` for those that the client cannot know. After another request began the
    /// answer is INVALID_FETCH_SESSION_EPOCH, since nobody knows which of the two the client will see last.
    ///
    /// Partitions with records go to the end of the reading order, so that those behind them have their turn.
    pub fn finish<'a>(
        &mut self,
        number: i32,
        outcomes: impl Iterator<Item = (&'a Wanted, &'a FetchedPartition)>,
    ) -> Result<Vec<bool>, ErrorCode> {
        if !self.is_last(number) {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        let told = outcomes
            .map(|(wanted, answer)| self.partitions.get_mut(&wanted.partition).is_none_or(|cached| cached.tell(answer)))
            .collect();
        self.partitions.sort_by(|_, one, _, other| one.sent.cmp(&other.sent));
        self.partitions.values_mut().for_each(|cached| cached.sent = false);
        Ok(told)
    }
}

impl Cached {
    /// Whether this is news to the client, and remembers that it knows now.
    fn tell(&mut self, answer: &FetchedPartition) -> bool {
        self.sent = answer.records_size() > 0;
        let failed = answer.error_code.is_some();
        let moved = self.high_watermark != answer.high_watermark || self.log_start != answer.log_start_offset;
        // An error is told every time, and so is its end: no partition has this high watermark.
        self.high_watermark = if failed { -1 } else { answer.high_watermark };
        self.log_start = answer.log_start_offset;
        self.sent || moved || failed || answer.preferred_read_replica >= 0
    }
}

/// The epoch after this one: it wraps to 1, as 0 opens sessions.
fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

fn cost(key: &PartitionKey) -> usize {
    let name = match &key.topic {
        TopicKey::Name(name) => name.len(),
        TopicKey::Id(_) => 0,
    };
    PARTITION_BYTES.saturating_add(name)
}

#[cfg(test)]
mod tests;

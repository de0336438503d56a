//! What a fetch asks for, and what of the outcome it is told: fetch sessions (KIP-227).
//!
//! A session spares client and broker the partitions that have not changed: the request names those that are wanted
//! otherwise than before, the answer those with news. The rules are in `fetch_session/state.rs`, who may have a session
//! in `cache.rs`; both are pure. Here are the clock, the random ids and the locks: one on the cache, for moments, and one
//! on each session, for as long as its partitions are gone through. Neither is held while something is waited for, nor
//! one while the other is taken.
//!
//! A session belongs to whoever knows its id, as with Kafka. A request that another one of its session overtakes gives
//! up waiting and is answered INVALID_FETCH_SESSION_EPOCH. Left out: followers' sessions.

mod cache;
mod state;

pub use state::{PartitionKey, TopicKey, Wanted};

use super::context::Ctx;
use super::errors::ErrorCode;
use super::fetch_reply::{FetchReply, FetchedPartition, FetchedTopic};
use crate::catalog::{Image, Topic};
use crate::log::Waiter;
use crate::time;
use cache::{Cache, Size};
use kafka_protocol::messages::FetchRequest;
use parking_lot::Mutex;
use state::{Asked, Begun, CLOSED, NameOf, Params, State};
use std::sync::Arc;
use uuid::Uuid;

/// The sessions of a broker.
#[derive(Debug, Default)]
pub struct FetchSessions {
    cache: Mutex<Cache<Arc<Mutex<Live>>>>,
}

/// A session in use.
#[derive(Debug)]
struct Live {
    state: State,
    /// Wakes the request that is being answered, if there is one.
    waiter: Arc<Waiter>,
}

/// A fetch that has been placed in its session, or not.
pub(super) enum Opening {
    Session(Session),
    Refused(ErrorCode),
}

/// One fetch's view of its session.
pub(super) struct Session {
    wanted: Vec<Wanted>,
    place: Place,
    waiter: Arc<Waiter>,
}

/// Where the answer goes.
enum Place {
    /// To a client that has no session and gets none.
    Nowhere,
    /// Into a session of its own, if there is room for one.
    New { sessions: Arc<FetchSessions>, slots: usize, uses_ids: bool },
    /// Into this session, of which it is the request with this number.
    Open { id: i32, live: Arc<Mutex<Live>>, number: i32 },
}

impl FetchSessions {
    /// Finds the session of a request, or what is wrong with it (`FetchManager.newContext`).
    pub(super) fn open(self: &Arc<Self>, ctx: &Ctx, request: FetchRequest) -> Opening {
        let (id, epoch) = if ctx.version >= 7 { (request.session_id, request.session_epoch) } else { (0, CLOSED) };
        let uses_ids = ctx.version >= 13;
        let asked = asked(request, uses_ids);
        let image = ctx.broker.catalog().image();
        let name_of = |id: Uuid| image.topic_by_id(id).map(|topic| topic.name.clone());
        if epoch != 0 && epoch != CLOSED {
            return self.go_on(id, epoch, uses_ids, asked, &name_of);
        }
        if id != 0 {
            self.close(id);
        }
        let slots = usize::try_from(ctx.broker.config().max_incremental_fetch_session_cache_slots).unwrap_or(0);
        let place = match epoch {
            CLOSED => Place::Nowhere,
            _ => Place::New { sessions: self.clone(), slots, uses_ids },
        };
        Opening::Session(Session { wanted: all_of(asked, &name_of), place, waiter: Waiter::new() })
    }

    fn go_on(self: &Arc<Self>, id: i32, epoch: i32, uses_ids: bool, asked: Asked, name_of: NameOf<'_>) -> Opening {
        let Some(live) = self.cache.lock().get(id).cloned() else {
            return Opening::Refused(ErrorCode::FetchSessionIdNotFound);
        };
        let waiter = Waiter::new();
        let (begun, size, overtaken) = {
            let mut live = live.lock();
            let begun = match live.state.begin(epoch, uses_ids, &asked, name_of) {
                Ok(begun) => begun,
                Err(code) => return Opening::Refused(code),
            };
            (begun, live.size(), std::mem::replace(&mut live.waiter, waiter.clone()))
        };
        overtaken.wake();
        match begun {
            Begun::Closed => {
                self.cache.lock().remove(id);
                Opening::Session(Session { wanted: all_of(asked, name_of), place: Place::Nowhere, waiter })
            }
            // It was evicted in this moment, or has outgrown the memory: the client begins another one.
            Begun::Read(..) if !self.cache.lock().touch(id, time::monotonic(), size) => {
                Opening::Refused(ErrorCode::FetchSessionIdNotFound)
            }
            Begun::Read(wanted, number) => {
                Opening::Session(Session { wanted, place: Place::Open { id, live, number }, waiter })
            }
        }
    }

    /// Ends a session; a request that is waiting in it gives up.
    fn close(&self, id: i32) {
        let closed = self.cache.lock().remove(id);
        if let Some(live) = closed {
            let mut live = live.lock();
            live.state.close();
            live.waiter.wake();
        }
    }

    /// Keeps what the client is being told; 0 where there is no room.
    fn keep(&self, slots: usize, state: State) -> i32 {
        let live = Live { state, waiter: Waiter::new() };
        let size = live.size();
        let session = Arc::new(Mutex::new(live));
        self.cache.lock().create(time::monotonic(), slots, size, random_id, session).unwrap_or(0)
    }
}

impl Live {
    fn size(&self) -> Size {
        Size { partitions: self.state.len(), bytes: self.state.bytes() }
    }
}

/// A random number, so that a client that lost its session does not stumble into another's.
fn random_id() -> i32 {
    let [.., a, b, c, d] = Uuid::new_v4().into_bytes();
    i32::from_be_bytes([a, b, c, d])
}

/// What a request says of partitions.
fn asked(request: FetchRequest, uses_ids: bool) -> Asked {
    let key = |name: &str, id| if uses_ids { TopicKey::Id(id) } else { TopicKey::Name(name.into()) };
    let mut asked = Asked::default();
    for topic in request.topics {
        let key = key(&topic.topic, topic.topic_id);
        for partition in topic.partitions {
            let params = Params {
                fetch_offset: partition.fetch_offset,
                leader_epoch: partition.current_leader_epoch,
                last_fetched_epoch: partition.last_fetched_epoch,
                max_bytes: partition.partition_max_bytes,
            };
            asked.wanted.insert(PartitionKey { topic: key.clone(), index: partition.partition }, params);
        }
    }
    for topic in request.forgotten_topics_data {
        let key = key(&topic.topic, topic.topic_id);
        asked.forgotten.extend(topic.partitions.iter().map(|index| PartitionKey { topic: key.clone(), index: *index }));
    }
    asked
}

/// A full request wants exactly what it names.
fn all_of(asked: Asked, name_of: NameOf<'_>) -> Vec<Wanted> {
    let one = |(partition, params): (PartitionKey, Params)| {
        let name = match &partition.topic {
            TopicKey::Name(_) => None,
            TopicKey::Id(id) => name_of(*id),
        };
        Wanted { partition, name, params }
    };
    asked.wanted.into_iter().map(one).collect()
}

impl Wanted {
    /// The topic as it is now. For an id that has been seen and is gone it matters whether its name lives on, as with
    /// Kafka, which finds logs by name.
    pub(super) fn topic(&self, image: &Image) -> Result<Arc<Topic>, ErrorCode> {
        let id = match &self.partition.topic {
            TopicKey::Name(name) => return image.topic(name).cloned().ok_or(ErrorCode::UnknownTopicOrPartition),
            TopicKey::Id(id) => *id,
        };
        if let Some(topic) = image.topic_by_id(id) {
            return Ok(topic.clone());
        }
        Err(match &self.name {
            None => ErrorCode::UnknownTopicId,
            Some(name) if image.topic(name).is_some() => ErrorCode::InconsistentTopicId,
            Some(_) => ErrorCode::UnknownTopicOrPartition,
        })
    }
}

impl Session {
    /// What to read, in order.
    pub(super) fn wanted(&self) -> &[Wanted] {
        &self.wanted
    }

    /// Wakes this fetch: when it has been overtaken, and for whatever else it is registered for.
    pub(super) fn waiter(&self) -> &Arc<Waiter> {
        &self.waiter
    }

    /// Whether another request of the session began after this one: its answer would not be believed.
    pub(super) fn is_overtaken(&self) -> bool {
        match &self.place {
            Place::Open { live, number, .. } => !live.lock().state.is_last(*number),
            _ => false,
        }
    }

    /// The answer from the outcomes, which are in the order of [`Session::wanted`].
    pub(super) fn reply(self, answers: Vec<FetchedPartition>) -> FetchReply {
        let told = || self.wanted.iter().zip(&answers);
        let session_id = match self.place {
            Place::Nowhere => 0,
            Place::New { sessions, slots, uses_ids } => sessions.keep(slots, State::new(uses_ids, told())),
            Place::Open { id, live, number } => {
                let news = live.lock().state.finish(number, told());
                return match news {
                    Ok(news) => {
                        let news = self.wanted.iter().zip(answers).zip(news).filter(|(_, is_news)| *is_news);
                        FetchReply {
                            topics: by_topic(news.map(|(told, _)| told)),
                            session_id: id,
                            ..Default::default()
                        }
                    }
                    Err(code) => FetchReply { error_code: Some(code), session_id: id, ..Default::default() },
                };
            }
        };
        FetchReply { topics: by_topic(self.wanted.iter().zip(answers)), session_id, ..FetchReply::default() }
    }
}

/// Neighbours of one topic go together.
fn by_topic<'a>(told: impl Iterator<Item = (&'a Wanted, FetchedPartition)>) -> Vec<FetchedTopic> {
    let mut topics: Vec<FetchedTopic> = Vec::new();
    let mut last: Option<&TopicKey> = None;
    for (wanted, answer) in told {
        let key = &wanted.partition.topic;
        match topics.last_mut() {
            Some(topic) if last == Some(key) => topic.partitions.push(answer),
            _ => {
                let (name, id) = match key {
                    TopicKey::Name(name) => (name.clone(), Uuid::nil()),
                    TopicKey::Id(id) => ("".into(), *id),
                };
                topics.push(FetchedTopic { name, id, partitions: vec![answer] });
                last = Some(key);
            }
        }
    }
    topics
}

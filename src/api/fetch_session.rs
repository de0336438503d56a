//! What a fetch asks for.
//!
//! Left out for now: sessions (KIP-227). Every answer says that there is none, as Kafka does when its cache is full.

#[cfg(test)]
mod cache;
#[cfg(test)]
mod state;

use super::context::Ctx;
use super::errors::ErrorCode;
use super::fetch_reply::{FetchReply, FetchedPartition, FetchedTopic};
use crate::catalog::{Image, Topic};
use crate::log::Offset;
use kafka_protocol::messages::FetchRequest;
use std::sync::Arc;
use uuid::Uuid;

/// The sessions of a broker.
#[derive(Debug, Default)]
pub struct FetchSessions {}

/// A partition that is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    name: Arc<str>,
    id: Uuid,
    /// The partition.
    pub index: i32,
    /// From where.
    pub fetch_offset: Offset,
    /// The leader epoch that the client knows, or -1.
    pub leader_epoch: i32,
    /// At most so many bytes.
    pub max_bytes: i32,
}

/// A fetch that has been placed in its session, or not.
pub(super) enum Opening {
    Session(Session),
    Refused(ErrorCode),
}

/// One fetch's view of its session.
pub(super) struct Session {
    wanted: Vec<Wanted>,
}

impl FetchSessions {
    pub(super) fn open(&self, ctx: &Ctx, request: FetchRequest) -> Opening {
        if request.session_id != 0 && request.session_epoch > 0 && ctx.version >= 7 {
            return Opening::Refused(ErrorCode::FetchSessionIdNotFound);
        }
        let mut wanted = Vec::new();
        for topic in request.topics {
            let name: Arc<str> = topic.topic.as_str().into();
            for partition in topic.partitions {
                wanted.push(Wanted {
                    name: name.clone(),
                    id: topic.topic_id,
                    index: partition.partition,
                    fetch_offset: partition.fetch_offset,
                    leader_epoch: partition.current_leader_epoch,
                    max_bytes: partition.partition_max_bytes,
                });
            }
        }
        Opening::Session(Session { wanted })
    }
}

impl Wanted {
    /// The topic as it is now: by its id where the request has one, else by its name.
    pub(super) fn topic(&self, image: &Image) -> Result<Arc<Topic>, ErrorCode> {
        if self.id.is_nil() {
            return image.topic(&self.name).cloned().ok_or(ErrorCode::UnknownTopicOrPartition);
        }
        image.topic_by_id(self.id).cloned().ok_or(ErrorCode::UnknownTopicId)
    }
}

impl Session {
    /// What to read, in order.
    pub(super) fn wanted(&self) -> &[Wanted] {
        &self.wanted
    }

    /// The answer from the outcomes, which are in the order of [`Session::wanted`].
    pub(super) fn reply(&mut self, answers: Vec<FetchedPartition>) -> FetchReply {
        let mut topics: Vec<FetchedTopic> = Vec::new();
        for (wanted, answer) in self.wanted.iter().zip(answers) {
            match topics.last_mut() {
                Some(last) if last.id == wanted.id && last.name == wanted.name => last.partitions.push(answer),
                _ => topics.push(FetchedTopic { name: wanted.name.clone(), id: wanted.id, partitions: vec![answer] }),
            }
        }
        FetchReply { topics, ..FetchReply::default() }
    }
}

//! Offsets committed in transactions, through the shard: who may commit so, what readers are told, and what is left after
//! the records have been read back.

use crate::coordinator::group::records::Record;
use crate::coordinator::group::request::{CommitOffset, CommitOffsets, FetchOffsets, FetchedOffset, Reply, Request};
use crate::coordinator::group::script::Nothing;
use crate::coordinator::group::settings::GroupSettings;
use crate::coordinator::group::{GroupShard, Out};
use crate::coordinator::{Now, Shard, Ticket};
use crate::wire::errors::ErrorCode;
use std::sync::Arc;
use uuid::Uuid;

const NOW: Now = Now { monotonic: 0, wall: 1_000_000 };

/// What is in the log: whose transaction it is part of, or how one ended.
enum Logged {
    Record(Option<i64>, Box<Record>),
    End(i64, bool),
}

struct Bench {
    shard: GroupShard,
    log: Vec<Logged>,
}

fn empty() -> GroupShard {
    GroupShard::new(Arc::new(GroupSettings::for_tests()), Arc::new(Nothing))
}

impl Bench {
    fn new() -> Self {
        Bench { shard: empty(), log: Vec::new() }
    }

    fn ask(&mut self, producer_id: Option<i64>, request: Request) -> Reply {
        let mut out = Out::default();
        self.shard.handle(NOW, Ticket(1), request, &mut out);
        self.log.extend(out.records.into_iter().map(|record| Logged::Record(producer_id, Box::new(record))));
        out.replies.pop().unwrap().1
    }

    fn commit(&mut self, producer_id: Option<i64>, offset: i64) -> Result<Vec<ErrorCode>, ErrorCode> {
        self.commit_as(producer_id, offset, -1, "")
    }

    fn commit_as(
        &mut self,
        producer_id: Option<i64>,
        offset: i64,
        generation: i32,
        member_id: &str,
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        let it = CommitOffset {
            topic: "t".into(),
            topic_id: Uuid::nil(),
            partition: 0,
            offset,
            leader_epoch: -1,
            metadata: None,
        };
        let commit = CommitOffsets {
            version: 3,
            group_id: "g".into(),
            member_id: member_id.into(),
            generation_id_or_member_epoch: generation,
            retention_time_ms: -1,
            producer_id,
            partitions: vec![it],
            ..CommitOffsets::default()
        };
        let Reply::CommitOffsets(committed) = self.ask(producer_id, Request::CommitOffsets(commit)) else {
            panic!("another answer")
        };
        committed
    }

    fn end(&mut self, producer_id: i64, committed: bool) {
        self.shard.end_transaction(producer_id, committed);
        self.log.push(Logged::End(producer_id, committed));
    }

    /// The offset, and whether it is unstable; as of now and as of a shard that has read all records.
    fn told(&mut self, require_stable: bool) -> (i64, bool) {
        let mut again = empty();
        for logged in &self.log {
            match logged {
                Logged::Record(None, record) => again.apply(Record::clone(record)),
                Logged::Record(Some(producer_id), record) => {
                    again.apply_in_transaction(*producer_id, Record::clone(record))
                }
                Logged::End(producer_id, committed) => again.end_transaction(*producer_id, *committed),
            }
        }
        assert!(again.offsets() == self.shard.offsets() && again.pending == self.shard.pending);
        let fetch = FetchOffsets {
            group_id: "g".into(),
            member_epoch: -1,
            partitions: Some(vec![("t".into(), Uuid::nil(), 0)]),
            require_stable,
            ..FetchOffsets::default()
        };
        let all = FetchOffsets { partitions: None, ..fetch.clone() };
        let found = self.fetched(fetch);
        let among_all = self.fetched(all);
        if among_all.offset != -1 || among_all.is_unstable {
            assert_eq!((among_all.offset, among_all.is_unstable), (found.offset, found.is_unstable));
        }
        (found.offset, found.is_unstable)
    }

    fn fetched(&mut self, fetch: FetchOffsets) -> FetchedOffset {
        let Reply::FetchOffsets(Ok(mut offsets)) = self.ask(None, Request::FetchOffsets(fetch)) else {
            panic!("another answer")
        };
        let nothing = FetchedOffset {
            topic: "t".into(),
            partition: 0,
            offset: -1,
            leader_epoch: -1,
            metadata: String::new(),
            topic_id: Uuid::nil(),
            is_unstable: false,
        };
        offsets.pop().unwrap_or(nothing)
    }
}

#[test]
fn offsets_of_a_transaction_appear_with_its_commit_alone() {
    let mut bench = Bench::new();
    assert_eq!(bench.commit(Some(7), 5), Ok(vec![ErrorCode::None]));
    assert_eq!((bench.told(false), bench.told(true)), ((-1, false), (-1, true)));
    bench.end(7, true);
    assert_eq!((bench.told(false), bench.told(true)), ((5, false), (5, false)));
    bench.commit(Some(7), 9).unwrap();
    assert_eq!((bench.told(false), bench.told(true)), ((5, false), (-1, true)));
    bench.end(7, false);
    assert_eq!(bench.told(true), (5, false));
}

#[test]
fn the_last_commit_counts() {
    let mut bench = Bench::new();
    bench.commit(Some(7), 5).unwrap();
    bench.commit(None, 6).unwrap();
    assert_eq!((bench.told(false), bench.told(true)), ((6, false), (-1, true)));
    bench.end(7, true);
    assert_eq!(bench.told(true), (6, false));
}

#[test]
fn what_is_deleted_does_not_come_back_with_a_commit() {
    for whole_group in [false, true] {
        let mut bench = Bench::new();
        bench.commit(Some(7), 5).unwrap();
        let deleted = match whole_group {
            true => bench.ask(None, Request::DeleteGroup("g".into())),
            false => {
                bench.ask(None, Request::DeleteOffsets { group_id: "g".into(), partitions: vec![("t".into(), 0)] })
            }
        };
        assert!(matches!(deleted, Reply::DeleteGroup(ErrorCode::None) | Reply::DeleteOffsets(Ok(_))), "{deleted:?}");
        bench.end(7, true);
        assert_eq!(bench.told(true), (-1, false));
    }
}

#[test]
fn a_producer_may_say_for_whom_it_commits_and_is_held_to_it() {
    let mut bench = Bench::new();
    assert_eq!(bench.commit_as(Some(7), 5, 0, "m"), Err(ErrorCode::IllegalGeneration), "no such group");
    bench.commit(None, 1).unwrap();
    assert_eq!(bench.commit_as(Some(7), 5, 3, "m"), Err(ErrorCode::UnknownMemberId));
    assert_eq!(bench.commit_as(Some(7), 5, -1, "m"), Ok(vec![ErrorCode::None]), "without members anybody may");
}

//! What happens between two crashes: operations, and how a seed makes a row of them.

use crate::random::Random;
use ottla::log::{Flush, LogConfig};
use ottla::partition::Acks;

/// Operations in a script, at most.
pub const LENGTH: usize = 200;

/// The page-cache mode of the scripts. `ms` only counts in [`Op::FlushDue`].
pub const LATER: Flush = Flush::Later { messages: 40, ms: 1000 };

/// One operation. Partitions and producers are numbers from 0; those that do not exist are taken modulo.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op {
    /// The next batch of a producer, or of one that is not idempotent.
    Append {
        part: usize,
        producer: Option<i64>,
        records: i32,
        value: usize,
        time: i64,
        acks: Acks,
    },
    /// A producer's last batch again, or the one so many before it.
    Retry {
        part: usize,
        producer: i64,
        back: usize,
        acks: Acks,
    },
    /// A producer's next batch begins a new producer epoch.
    Bump {
        part: usize,
        producer: i64,
    },
    /// A batch of a producer's epoch before the current one.
    Stale {
        part: usize,
        producer: i64,
    },
    /// The next batch of a producer's transaction.
    Write {
        part: usize,
        producer: i64,
        value: usize,
        time: i64,
    },
    /// The end of a producer's transaction.
    End {
        part: usize,
        producer: i64,
        committed: bool,
    },
    Round,
    Checkpoint,
    /// Page-cache mode: what is old enough is synced.
    FlushDue,
    /// To page-cache mode or back.
    Mode {
        part: usize,
        later: bool,
    },
    /// Everything published is read.
    Read {
        part: usize,
    },
    /// The topic is deleted and made again; the old log is taken out at once, or only at [`Op::RemoveDeleted`].
    Recreate {
        part: usize,
        late: bool,
    },
    RemoveDeleted,
    /// A clean stop and a start.
    Restart,
    /// kill -9 and a start.
    Kill,
    /// Power fails here, and comes back.
    Power {
        survivors: u64,
    },
    Fault(Fault),
}

/// What goes wrong next, after so many that go well.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    Write(u64),
    Sync(u64),
    SyncDir(u64),
    /// So many bytes are left on the disk.
    Space(u64),
    /// There is space again, and nothing more goes wrong.
    Mended,
}

/// What a script runs on.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub parts: usize,
    pub config: LogConfig,
    /// Partitions are opened when they are first used, not at the start.
    pub lazy: bool,
}

impl Setup {
    pub fn new(parts: usize, segment_bytes: u32) -> Self {
        let config = LogConfig {
            segment_bytes,
            segment_ms: u64::MAX,
            index_interval_bytes: 300,
            index_bytes: 1 << 20,
            flush: Flush::EveryRound,
        };
        Self { parts, config, lazy: false }
    }

    pub fn drawn(random: &mut Random) -> Self {
        let config = LogConfig {
            segment_bytes: random.pick(&[700, 1500, 3000, 8000, 100_000]),
            segment_ms: random.pick(&[u64::MAX, u64::MAX, 200]),
            index_interval_bytes: random.pick(&[0, 100, 600, 4096]),
            index_bytes: random.pick(&[48, 1 << 20, 1 << 20]),
            flush: if random.percent(30) { LATER } else { Flush::EveryRound },
        };
        Self { parts: random.pick(&[1, 1, 2, 3, 4]), config, lazy: random.percent(30) }
    }
}

/// What a seed's script is like: each has its own habits, so that rare things come in numbers somewhere.
struct Habits {
    parts: usize,
    producers: i64,
    value: usize,
    /// Appends between rounds, about.
    burst: u64,
    mode: u64,
    recreate: u64,
    restart: u64,
    fault: u64,
    checkpoint: u64,
    transactions: u64,
}

fn acks(random: &mut Random) -> Acks {
    random.pick(&[Acks::All, Acks::All, Acks::All, Acks::Leader, Acks::None])
}

/// A row of operations on `setup`.
pub fn drawn(random: &mut Random, setup: &Setup) -> Vec<Op> {
    let habits = Habits {
        parts: setup.parts,
        producers: random.pick(&[1, 2, 4]),
        value: random.pick(&[10, 300, 900, 2500]),
        burst: random.pick(&[1, 2, 4, 8]),
        mode: random.pick(&[0, 0, 4]),
        recreate: random.pick(&[0, 0, 4]),
        restart: random.pick(&[0, 2, 5]),
        fault: random.pick(&[0, 0, 0, 4]),
        checkpoint: random.pick(&[0, 3, 12]),
        transactions: random.pick(&[0, 0, 8, 25]),
    };
    let length = 20 + random.index(LENGTH - 19);
    let mut time = 1000;
    let mut ops = Vec::with_capacity(length);
    while ops.len() < length {
        ops.push(draw(random, &habits, &mut time));
    }
    ops
}

fn draw(random: &mut Random, habits: &Habits, time: &mut i64) -> Op {
    let part = random.index(habits.parts);
    let producer = random.below(habits.producers as u64) as i64;
    let rare = [
        (habits.mode, Op::Mode { part, later: random.percent(50) }),
        (habits.mode, Op::FlushDue),
        (habits.recreate, Op::Recreate { part, late: random.percent(50) }),
        (habits.recreate, Op::RemoveDeleted),
        (habits.restart, Op::Restart),
        (habits.restart, Op::Kill),
        (habits.restart / 2, Op::Power { survivors: random.below(50) }),
        (habits.fault, Op::Fault(fault(random))),
        (habits.fault, Op::Fault(Fault::Mended)),
        (habits.checkpoint, Op::Checkpoint),
        (habits.transactions, Op::Write { part, producer, value: random.index(habits.value), time: *time }),
        (habits.transactions / 2, Op::End { part, producer, committed: random.percent(40) }),
        (2, Op::Read { part }),
        (2, Op::Bump { part, producer }),
        (1, Op::Stale { part, producer }),
        (10, Op::Retry { part, producer, back: random.index(6), acks: acks(random) }),
    ];
    let mut drawn = random.below(100);
    for (weight, op) in rare {
        if drawn < weight {
            return op;
        }
        drawn -= weight;
    }
    if random.below(habits.burst + 1) == 0 {
        return Op::Round;
    }
    *time += random.pick(&[-40, 0, 1, 5, 30]);
    Op::Append {
        part,
        producer: random.percent(80).then_some(producer),
        records: 1 + random.below(4) as i32,
        value: random.index(habits.value),
        time: *time,
        acks: acks(random),
    }
}

fn fault(random: &mut Random) -> Fault {
    let soon = random.below(6);
    match random.below(4) {
        0 => Fault::Write(soon),
        1 => Fault::Sync(soon),
        2 => Fault::SyncDir(soon),
        _ => Fault::Space(random.below(4000)),
    }
}

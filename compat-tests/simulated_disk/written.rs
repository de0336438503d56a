//! Scripts made by hand, stopped at every boundary. Most hold fast a fault that the engine once had.

use crate::inspect::{Opening, ROOT, inspect, open_disk, open_part};
use crate::model::Down;
use crate::runs::{Bent, everywhere, on_two_threads};
use crate::script::{Fault, Op, Setup};
use crate::world::World;
use ottla::log::disk::memory::{KEEP_ALL, LOSE_ALL, MemoryFiles, Rules};
use ottla::log::disk::{Files, Open};
use ottla::partition::Acks;
use std::io::IoSlice;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

struct Script {
    name: &'static str,
    setup: Setup,
    ops: Vec<Op>,
}

/// The next batch of producer 1.
fn put(part: usize, value: usize) -> Op {
    put_by(1, part, value)
}

fn put_by(producer: i64, part: usize, value: usize) -> Op {
    Op::Append { part, producer: Some(producer), records: 2, value, time: 1000 + value as i64, acks: Acks::All }
}

/// The next batch of producer 1's or 2's transaction.
fn write(producer: i64, value: usize) -> Op {
    Op::Write { part: 0, producer, value, time: 1000 + value as i64 }
}

fn end(producer: i64, committed: bool) -> Op {
    Op::End { part: 0, producer, committed }
}

fn again(part: usize, back: usize) -> Op {
    Op::Retry { part, producer: 1, back, acks: Acks::All }
}

/// A batch to each of the first partitions and a round for them all.
fn round_of(parts: usize, value: usize) -> Vec<Op> {
    (0..parts).map(|part| put(part, value)).chain([Op::Round]).collect()
}

fn times(count: usize, ops: &[Op]) -> Vec<Op> {
    ops.repeat(count)
}

fn with(setup: Setup, change: impl FnOnce(&mut Setup)) -> Setup {
    let mut setup = setup;
    change(&mut setup);
    setup
}

fn later(setup: Setup) -> Setup {
    with(setup, |setup| setup.config.flush = crate::script::LATER)
}

fn scripts() -> Vec<Script> {
    let mut scripts = durable();
    scripts.extend(transactional());
    scripts.extend(page_cache());
    scripts.extend(deletions());
    scripts.extend(faults());
    scripts
}

fn durable() -> Vec<Script> {
    let to_page_cache = Op::Mode { part: 0, later: true };
    let to_durable = Op::Mode { part: 0, later: false };
    vec![
        Script {
            name: "one partition, synced each round",
            setup: Setup::new(1, 100_000),
            ops: times(4, &[put(0, 300), put(0, 700), Op::Round]),
        },
        Script {
            name: "one partition that rolls at each batch",
            setup: Setup::new(1, 500),
            ops: times(5, &[put(0, 250), Op::Round]),
        },
        Script {
            name: "several segments in one round",
            setup: Setup::new(1, 900),
            ops: [times(6, &[put(0, 200)]), vec![Op::Round], times(3, &[put(0, 200)]), vec![Op::Round]].concat(),
        },
        Script {
            name: "three partitions through the journal, never checkpointed",
            setup: Setup::new(3, 1200),
            ops: times(4, &round_of(3, 250)),
        },
        Script {
            name: "the journal between checkpoints, its file used again",
            setup: Setup::new(2, 1200),
            ops: [times(2, &[round_of(2, 200), vec![Op::Checkpoint]].concat()), times(2, &round_of(2, 100))].concat(),
        },
        Script {
            name: "journal rounds and single rounds in turn",
            setup: Setup::new(2, 800),
            ops: times(3, &[round_of(2, 150), vec![put(0, 100), Op::Round]].concat()),
        },
        Script {
            name: "a checkpoint at the end of a segment, then a roll",
            setup: Setup::new(1, 600),
            ops: times(3, &[put(0, 200), Op::Round, Op::Checkpoint]),
        },
        Script {
            name: "rolls in page-cache mode, then durable through the journal",
            setup: Setup::new(2, 700),
            ops: [
                vec![to_page_cache, put(0, 250), put(0, 250), Op::Round, to_durable],
                times(2, &round_of(2, 250)),
                vec![Op::Checkpoint],
                round_of(2, 250),
            ]
            .concat(),
        },
        Script {
            name: "clean stops and starts, with the last five sent again",
            setup: Setup::new(2, 900),
            ops: [
                times(3, &round_of(2, 120)),
                vec![Op::Restart, again(0, 2), again(1, 0), again(0, 1), Op::Round],
                times(2, &round_of(2, 120)),
                vec![Op::Restart, again(0, 4), put(0, 30), Op::Round],
            ]
            .concat(),
        },
        Script {
            name: "kills and starts, epochs of leader and producer that go up",
            setup: Setup::new(1, 700),
            ops: times(
                3,
                &[
                    put(0, 200),
                    Op::Round,
                    Op::Kill,
                    Op::Bump { part: 0, producer: 1 },
                    put(0, 100),
                    Op::Stale { part: 0, producer: 1 },
                    Op::Round,
                ],
            ),
        },
        Script {
            name: "the window torn at a roll",
            setup: Setup::new(1, 900),
            ops: times(
                3,
                &[put(0, 20), put_by(2, 0, 20), put(0, 30), put(0, 20), put(0, 300), Op::Round, again(0, 3), Op::Round],
            ),
        },
    ]
}

fn transactional() -> Vec<Script> {
    vec![
        Script {
            name: "transactions over segments, checkpoints between them",
            setup: Setup::new(1, 700),
            ops: times(
                2,
                &[
                    write(1, 100),
                    write(2, 150),
                    Op::Round,
                    end(1, false),
                    Op::Round,
                    write(1, 200),
                    Op::Checkpoint,
                    end(2, false),
                    end(1, true),
                    Op::Round,
                ],
            ),
        },
        Script {
            name: "transactions that are open at kills and clean stops",
            setup: Setup::new(1, 600),
            ops: [
                vec![write(1, 100), end(1, false), write(1, 100), write(2, 50), Op::Round, Op::Restart],
                vec![end(1, false), write(1, 100), Op::Round, Op::Kill, write(1, 90), end(2, false), Op::Round],
                vec![Op::Restart, end(1, false), Op::Round, Op::Restart, write(2, 100), Op::Round],
            ]
            .concat(),
        },
        Script {
            name: "transactions in page-cache mode",
            setup: later(Setup::new(1, 700)),
            ops: [
                times(3, &[write(1, 200), end(1, false), Op::Round]),
                vec![Op::FlushDue],
                times(2, &[write(1, 200), end(1, false), Op::Round]),
                vec![Op::Restart, write(1, 100), Op::Round, Op::Kill, end(1, false), Op::Round],
            ]
            .concat(),
        },
    ]
}

fn page_cache() -> Vec<Script> {
    vec![
        Script {
            name: "page-cache mode that rolls, never synced",
            setup: later(Setup::new(1, 700)),
            ops: times(5, &[put(0, 400), Op::Round]),
        },
        Script {
            name: "page-cache mode, flushed and checkpointed",
            setup: later(Setup::new(2, 800)),
            ops: times(
                2,
                &[round_of(2, 300), vec![Op::FlushDue], round_of(2, 200), vec![Op::Checkpoint, put(0, 200), Op::Round]]
                    .concat(),
            ),
        },
        Script {
            name: "page-cache mode, killed and stopped",
            setup: later(with(Setup::new(1, 800), |setup| setup.config.index_interval_bytes = 0)),
            ops: vec![
                put(0, 300),
                put(0, 300),
                Op::Round,
                Op::Kill,
                put(0, 300),
                Op::Round,
                Op::Restart,
                put(0, 300),
                Op::Round,
            ],
        },
    ]
}

fn deletions() -> Vec<Script> {
    let recreate = |late| Op::Recreate { part: 0, late };
    vec![
        Script {
            name: "deleted, removed, made again",
            setup: Setup::new(2, 700),
            ops: [
                times(2, &round_of(2, 200)),
                vec![Op::Checkpoint, recreate(false), Op::RemoveDeleted],
                times(2, &round_of(2, 100)),
            ]
            .concat(),
        },
        Script {
            name: "made again before the old log is gone",
            setup: Setup::new(2, 600),
            ops: [
                times(3, &round_of(2, 200)),
                vec![Op::Checkpoint, put(0, 50), recreate(true)],
                times(2, &round_of(2, 100)),
                vec![Op::Checkpoint, Op::RemoveDeleted],
                round_of(2, 100),
            ]
            .concat(),
        },
        Script {
            name: "deleted while batches are on their way, before there is a folder",
            setup: with(Setup::new(2, 600), |setup| setup.lazy = true),
            ops: [
                vec![put(0, 200), put(1, 100), recreate(true)],
                round_of(2, 100),
                vec![Op::RemoveDeleted, Op::Restart],
                round_of(2, 80),
            ]
            .concat(),
        },
    ]
}

fn faults() -> Vec<Script> {
    let fault = Op::Fault;
    vec![
        Script {
            name: "the disk is full, and then is not",
            setup: Setup::new(2, 900),
            ops: [
                round_of(2, 200),
                vec![fault(Fault::Space(700))],
                times(2, &round_of(2, 300)),
                vec![Op::Checkpoint, fault(Fault::Mended)],
                times(2, &round_of(2, 150)),
            ]
            .concat(),
        },
        Script {
            name: "a write fails in the middle of a round, and other batches come to its place",
            setup: Setup::new(1, 100_000),
            ops: vec![
                put(0, 600),
                Op::Round,
                put(0, 600),
                put_by(2, 0, 600),
                fault(Fault::Write(0)),
                Op::Round,
                fault(Fault::Mended),
                put_by(2, 0, 600),
                Op::Round,
                put(0, 600),
                Op::Round,
            ],
        },
        Script {
            name: "a sync fails, the process goes on after a restart",
            setup: Setup::new(2, 900),
            ops: [
                round_of(2, 200),
                vec![put(0, 600), fault(Fault::Sync(0)), Op::Round],
                times(2, &round_of(2, 150)),
                vec![put(1, 400), put(0, 400), fault(Fault::Sync(0)), Op::Round, put(1, 100), Op::Round],
            ]
            .concat(),
        },
        Script {
            name: "a log that failed is opened again in vain, and then there is a checkpoint",
            setup: Setup::new(1, 500),
            ops: (0..12)
                .flat_map(|after| {
                    let failed = [put(0, 200), Op::Round, fault(Fault::Write(0)), put(0, 200), Op::Round];
                    let in_vain = [fault(Fault::Write(after)), put(0, 200), Op::Checkpoint, fault(Fault::Mended)];
                    [&failed[..], &in_vain].concat()
                })
                .collect(),
        },
        Script {
            name: "a checkpoint fails",
            setup: later(Setup::new(1, 700)),
            ops: vec![
                put(0, 300),
                put(0, 300),
                Op::Round,
                fault(Fault::Sync(1)),
                Op::Checkpoint,
                put(0, 300),
                Op::Round,
                fault(Fault::SyncDir(0)),
                Op::Checkpoint,
                put(0, 200),
                Op::Round,
            ],
        },
    ]
}

#[test]
fn each_is_stopped_at_every_boundary() {
    let scripts = scripts();
    assert!(scripts.len() >= 20, "{} scripts", scripts.len());
    let boundaries = AtomicU64::new(0);
    let outcome = on_two_threads(scripts.len() as u64, |number| {
        let Script { name, setup, ops } = &scripts[number as usize];
        let steps = everywhere(name, *setup, ops, Bent::default())?;
        boundaries.fetch_add(steps, Ordering::Relaxed);
        Ok(())
    });
    println!("{} scripts, {} boundaries", scripts.len(), boundaries.load(Ordering::Relaxed));
    if let Some((_, error)) = outcome {
        panic!("{error}");
    }
}

/// What a clean stop left was changed by somebody else: the start scans, and may be stopped anywhere.
#[test]
fn files_that_are_not_as_a_clean_stop_left_them() {
    let setup = Setup::new(2, 700);
    let mut world = World::new(setup, Rules::default(), Opening::default()).unwrap();
    world.start().unwrap();
    let ops = [times(4, &round_of(2, 200)), vec![Op::Kill], times(2, &round_of(2, 150))].concat();
    world.run(&ops, 0).unwrap();
    assert_eq!(world.stop().unwrap(), Some(Down::Clean));
    let folder = Path::new(ROOT).join("t0-0");
    let last = world.files.contents().into_keys().filter(|path| path.extension().is_some_and(|e| e == "log"));
    let last = last.filter(|path| path.starts_with(&folder)).max().unwrap();
    let damages: [&dyn Fn(&MemoryFiles); 2] =
        [&|files| files.remove(&folder.join("leader-epoch-checkpoint")).unwrap(), &|files| {
            let file = files.open(&last, Open::Write).unwrap();
            file.write_at(&mut [IoSlice::new(&[7; 100])], file.len().unwrap()).unwrap();
        }];
    for damage in damages {
        let damaged = world.files.after_kill();
        damage(&damaged);
        let damaged = damaged.after_crash(KEEP_ALL);
        inspect(&damaged.after_kill(), &world.model, Down::Clean, Opening::default()).unwrap();
        for at in 0..200 {
            let victim = damaged.after_kill();
            victim.crash_at(at);
            if let Ok(disk) = open_disk(&victim, &world.model, Opening::default()) {
                let _ = (0..2).map(|part| open_part(&disk, &world.model, part, false)).collect::<Vec<_>>();
            }
            for survivors in [LOSE_ALL, KEEP_ALL, 2 * at + 2, 2 * at + 3] {
                let left = victim.after_crash(survivors);
                inspect(&left, &world.model, Down::Power, Opening::default())
                    .unwrap_or_else(|error| panic!("stopped at step {at}, survivors {survivors}: {error}"));
            }
            if !victim.crashed() {
                break;
            }
        }
    }
}

//! Scripts with a crash in them, and many of them on two threads.

use crate::inspect::{Checked, Opening, inspect};
use crate::model::Down;
use crate::random::Random;
use crate::script::{self, Op, Setup};
use crate::world::{Ended, World};
use ottla::log::disk::memory::{KEEP_ALL, LOSE_ALL, MemoryFiles, Rules};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Scripts in the test command.
const SEEDS: u64 = 2000;

/// What is bent for a run, to see that the checks notice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bent {
    pub rules: Rules,
    pub opening: Opening,
}

fn panicked(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("with something that is no text"))
}

/// Runs a seed's script; an error carries the trace.
pub fn simulate(seed: u64, bent: Bent) -> Checked {
    let mut random = Random::new(seed);
    let setup = Setup::drawn(&mut random);
    let ops = script::drawn(&mut random, &setup);
    let mut world = World::new(setup, bent.rules, bent.opening)?;
    let outcome = catch_unwind(AssertUnwindSafe(|| with_a_crash(&mut world, &ops, &mut random)));
    outcome.unwrap_or_else(|payload| Err(panicked(&*payload))).map_err(|error| {
        format!("seed {seed}: {error}\n{setup:?}\n{}\n(OTTLA_SIM_SEED={seed} runs it alone)", world.trace.join("\n"))
    })
}

/// What the death of the process leaves, the choice made at random.
fn fate(world: &World, random: &mut Random) -> (Down, MemoryFiles) {
    let files = &world.files;
    match random.below(8) {
        0 | 1 if world.can_be_killed() => (Down::Killed, files.after_kill()),
        2 => (Down::Power, files.after_crash(LOSE_ALL)),
        3 => (Down::Power, files.after_crash(KEEP_ALL)),
        _ => (Down::Power, files.after_crash(2 + random.next() / 2)),
    }
}

fn with_a_crash(world: &mut World, ops: &[Op], random: &mut Random) -> Checked {
    let dies_in = random.index(ops.len() + 1);
    let dies_after = random.below(40);
    if dies_in == 0 {
        world.die_at(dies_after);
    }
    let mut next = 0;
    let mut ended = if world.start()? { Ended::Done } else { Ended::Died(0) };
    if ended == Ended::Done {
        ended = world.run(&ops[..dies_in], 0)?;
        next = dies_in;
    }
    if ended == Ended::Done {
        world.die_at(world.steps() + dies_after);
        ended = world.run(ops, next)?;
    }
    while let Ended::Died(index) = ended {
        let (down, files) = fate(world, random);
        world.trace.push(format!("   died in operation {index}, then {down:?}"));
        world.recovery_holds(down, &files, random)?;
        world.come_back(down, Some(files))?;
        ended = world.run(ops, index + 1)?;
    }
    let (down, files) = fate(world, random);
    world.trace.push(format!("   the end, then {down:?}"));
    world.recovery_holds(down, &files, random)
}

/// Runs a script, stopped at every boundary in turn, with several choices of what survives each time.
pub fn everywhere(name: &str, setup: Setup, ops: &[Op], bent: Bent) -> Checked<u64> {
    let mut whole = World::new(setup, bent.rules, bent.opening)?;
    let started = whole.start()?;
    let ended = whole.run(ops, 0).map_err(|error| format!("{name}, not stopped: {error}"))?;
    assert!(started && ended == Ended::Done, "{name}: nothing stops it");
    for at in 0..=whole.steps() {
        let mut world = World::new(setup, bent.rules, bent.opening)?;
        let outcome = catch_unwind(AssertUnwindSafe(|| stopped(&mut world, ops, at, bent)));
        outcome
            .unwrap_or_else(|payload| Err(panicked(&*payload)))
            .map_err(|error| format!("{name}, stopped at step {at}: {error}\n{}", world.trace.join("\n")))?;
    }
    Ok(whole.steps())
}

fn stopped(world: &mut World, ops: &[Op], at: u64, bent: Bent) -> Checked {
    let mut random = Random::new(at);
    world.die_at(at);
    let ended = if world.start()? { world.run(ops, 0)? } else { Ended::Died(0) };
    let next = match ended {
        Ended::Died(index) => index + 1,
        Ended::Done => ops.len(),
    };
    let files = world.files.clone();
    if world.can_be_killed() {
        world.recovery_holds(Down::Killed, &files.after_kill(), &mut random)?;
    }
    for survivors in [LOSE_ALL, KEEP_ALL, 2 + 3 * at, 3 + 3 * at, 4 + 3 * at] {
        world
            .recovery_holds(Down::Power, &files.after_crash(survivors), &mut random)
            .map_err(|error| format!("survivors {survivors}: {error}"))?;
    }
    // The script goes on as if nothing had been; what it does on top of the recovered state has to hold as well.
    let (down, left) = fate(world, &mut random);
    world.come_back(down, Some(left))?;
    world.run(ops, next)?;
    inspect(&world.files.after_crash(LOSE_ALL), &world.model, Down::Power, bent.opening).map(drop)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Calls `f` with the numbers below `count` on two threads; the error of the smallest number that has one.
pub fn on_two_threads(count: u64, f: impl Fn(u64) -> Checked + Sync) -> Option<(u64, String)> {
    let next = AtomicU64::new(0);
    let worst: Mutex<Option<(u64, String)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    if let Err(error) = f(number) {
                        // Numbers are given out in order: with this, no smaller one is left to be begun.
                        next.fetch_max(count, Ordering::Relaxed);
                        let mut worst = worst.lock().unwrap();
                        if worst.as_ref().is_none_or(|(other, _)| number < *other) {
                            *worst = Some((number, error));
                        }
                    }
                }
            });
        }
    });
    worst.into_inner().unwrap()
}

#[test]
fn scripts_drawn_by_seeds() {
    if let Some(seed) = number("OTTLA_SIM_SEED") {
        simulate(seed, Bent::default()).unwrap_or_else(|error| panic!("{error}"));
        return;
    }
    let count = number("OTTLA_SIM_SEEDS").unwrap_or(SEEDS);
    if let Some((_, error)) = on_two_threads(count, |seed| simulate(seed, Bent::default())) {
        panic!("{error}");
    }
}

#[test]
fn a_seed_is_the_same_script_every_time() {
    for seed in [3, 77] {
        let run = || {
            let mut random = Random::new(seed);
            let setup = Setup::drawn(&mut random);
            let ops = script::drawn(&mut random, &setup);
            let mut world = World::new(setup, Rules::default(), Opening::default()).unwrap();
            world.start().unwrap();
            world.run(&ops[..10], 0).unwrap();
            (ops, world.trace.clone())
        };
        assert_eq!(run(), run());
    }
}

//! Two transactional producers, their coordinator and the partitions that they write to, in random order, with crashes that
//! lose what is not durable: what readers of committed records see of a transaction is all of it or nothing, what a producer
//! was told of its end is so, and in the end nothing holds readers back.
//!
//! The coordinator's state and those of the partitions are the real ones; what is played here is what lies between them, as
//! the broker does it ([`world`]). The same schedules notice every rule that is left out.

mod client;
mod coordinator;
mod partition;
mod world;

use super::request::TransactionVersion;
use crate::coordinator::breaks::{Break, with_broken};
use crate::coordinator::seeds::seeds;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use world::World;

const PARTITIONS: usize = 2;

/// Rules of what lies between, which can be left out.
#[derive(Clone, Copy, Debug)]
struct Rules {
    /// Commands are carried out when what they come from is durable.
    commands_wait: bool,
    /// Replies leave when what they rest on is durable.
    replies_wait: bool,
    /// Readers of committed records get no further than the last stable offset.
    stable: bool,
}

const ALL: Rules = Rules { commands_wait: true, replies_wait: true, stable: true };

/// Who there is.
#[derive(Clone, Debug)]
struct Setup {
    /// Both producers have the same transactional id: they are instances of one application.
    same_id: bool,
    versions: [TransactionVersion; 2],
    /// The epochs of the producers' ids are nearly used up.
    old: bool,
}

/// What a client that has nothing else to do likes to do.
#[derive(Clone, Copy, Debug)]
enum Wish {
    /// Write to a partition.
    Write(usize),
    /// Commit if anything was written.
    Commit,
    Abort,
    /// Be replaced by a new instance.
    Vanish,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A client does what it has to do next, or what it likes.
    Act(usize, Wish),
    /// One of the things that are under way goes on.
    Go(usize),
    /// The broker has time for some of them.
    Flow(usize),
    /// All that one of the logs has becomes durable, or half of it: the coordinator's, or a partition's.
    Sync(usize, bool),
    /// A request that was on its way for long arrives, again.
    Repeat(usize),
    Pass(i64),
    /// The wall clock is set.
    Set(i64),
    /// The broker dies, and begins anew with what is durable and so many quarters of the rest.
    Crash([usize; 1 + PARTITIONS]),
    /// The coordinator's log fails, and the coordinator is loaded anew.
    Reload(usize),
}

fn setup() -> impl Strategy<Value = Setup> {
    let version = || prop_oneof![1 => Just(TransactionVersion::V0), 2 => Just(TransactionVersion::V2)];
    let parts = (any::<bool>(), [version(), version()], proptest::bool::weighted(0.2));
    parts.prop_map(|(same_id, versions, old)| Setup { same_id, versions, old })
}

fn step() -> impl Strategy<Value = Step> {
    let wish = prop_oneof![
        12 => (0..PARTITIONS).prop_map(Wish::Write),
        5 => Just(Wish::Commit),
        1 => Just(Wish::Abort),
        1 => Just(Wish::Vanish),
    ];
    prop_oneof![
        30 => (0..2usize, wish).prop_map(|(client, wish)| Step::Act(client, wish)),
        15 => any::<usize>().prop_map(Step::Go),
        15 => any::<usize>().prop_map(Step::Flow),
        15 => (0..=PARTITIONS, any::<bool>()).prop_map(|(log, all)| Step::Sync(log, all)),
        4 => any::<usize>().prop_map(Step::Repeat),
        2 => (1..40_000i64).prop_map(Step::Pass),
        1 => (-3_600_000..3_600_000i64).prop_map(Step::Set),
        1 => [0..5usize, 0..5, 0..5].prop_map(Step::Crash),
        1 => (0..5usize).prop_map(Step::Reload),
    ]
}

fn run(setup: &Setup, rules: Rules, steps: &[Step]) -> Result<World, String> {
    let mut world = World::new(setup, rules);
    steps.iter().try_for_each(|step| world.take(*step))?;
    world.finish()?;
    Ok(world)
}

fn schedules(rules: Rules, cases: u32, shrink: bool) -> Result<(), String> {
    let max_shrink_iters = if shrink { 4_096 } else { 0 };
    // The default random source prints the seed of what it finds.
    let mut runner =
        TestRunner::new(Config { cases, failure_persistence: None, max_shrink_iters, ..Config::default() });
    let any_schedule = (setup(), prop::collection::vec(step(), 1..250));
    let found =
        runner.run(&any_schedule, |(setup, steps)| run(&setup, rules, &steps).map(drop).map_err(TestCaseError::fail));
    found.map_err(|error| error.to_string())
}

#[test]
fn transactions_are_all_or_nothing() {
    schedules(ALL, seeds(), true).unwrap_or_else(|error| panic!("{error}"));
}

/// The rarest takes 200 schedules in the mean: a crash must come after a marker and before the decision.
#[test]
fn every_rule_that_is_left_out_is_noticed() {
    const MOST: u32 = 20_000;
    let broken =
        [Rules { commands_wait: false, ..ALL }, Rules { replies_wait: false, ..ALL }, Rules { stable: false, ..ALL }];
    for rules in broken {
        assert!(schedules(rules, MOST, false).is_err(), "{rules:?} was not noticed");
    }
    for rule in [Break::ProducerEpoch, Break::Fence] {
        assert!(with_broken(rule, || schedules(ALL, MOST, false)).is_err(), "{rule:?} was not noticed");
    }
}

/// With V0 the next transaction of a producer looks like the last, and what is late about that must not count for it. Too rare
/// for the dice.
fn a_late_report() -> Result<World, String> {
    let writes = || Step::Act(0, Wish::Write(0));
    let (commits, flows) = (|| Step::Act(0, Wish::Commit), || Step::Flow(0));
    let written = || [writes(), flows(), writes(), flows()];
    // The markers are there, and the report is on its way when the coordinator is loaded anew.
    let reported = [commits(), Step::Sync(0, true), Step::Go(0), Step::Sync(1, true), Step::Go(0), Step::Reload(0)];
    // It comes when the next transaction is decided, and the broker dies before its markers are there.
    let late = [commits(), Step::Sync(0, true), Step::Repeat(0), Step::Sync(0, true), Step::Crash([0; 3])];
    let steps = [&[writes(), flows()], &written()[..], &reported, &[flows()], &written()[..], &late].concat();
    let setup = Setup { same_id: false, versions: [TransactionVersion::V0; 2], old: false };
    run(&setup, ALL, &steps)
}

#[test]
fn a_report_that_is_late_does_not_count_for_the_next_transaction() {
    let world = a_late_report().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(world.seen[0].len(), 2, "two transactions of one record");
    let without = with_broken(Break::LateReport, a_late_report);
    assert_eq!(without.err().as_deref(), Some("a transaction hangs in partition 0"));
}

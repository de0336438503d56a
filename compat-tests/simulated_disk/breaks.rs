//! The suite proves itself: without each of these guards it finds something wrong, soon.

use crate::inspect::Opening;
use crate::runs::{Bent, everywhere, on_two_threads, simulate};
use crate::script::{Op, Setup};
use ottla::log::disk::Checks;
use ottla::log::disk::memory::Rules;

/// Seeds within which a broken engine has to be found out.
const SEEDS: u64 = 200;

/// The first seed that finds the break, and what it says.
fn found(bent: Bent) -> String {
    let (seed, error) = on_two_threads(SEEDS, |seed| simulate(seed, bent)).expect("the break is found");
    let line = error.lines().next().unwrap_or_default().to_owned();
    println!("seed {seed}: {line}");
    line
}

fn without(checks: Checks) -> Bent {
    Bent { opening: Opening { checks, ..Opening::default() }, ..Bent::default() }
}

#[test]
fn no_sync_before_the_answer() {
    found(Bent { rules: Rules { sync_lies: true, ..Rules::default() }, ..Bent::default() });
}

#[test]
fn no_directory_sync_after_create_or_rename() {
    found(Bent { rules: Rules { sync_dir_lies: true, ..Rules::default() }, ..Bent::default() });
}

#[test]
fn a_window_of_one_batch_instead_of_five() {
    let opening = Opening { window_of_one: true, ..Opening::default() };
    let said = found(Bent { opening, ..Bent::default() });
    assert!(said.contains("OutOfOrder"), "{said}");
}

#[test]
fn only_kafkas_snapshot_is_left_of_the_transactions() {
    let opening = Opening { window_of_one: true, no_transaction_indexes: true, ..Opening::default() };
    let write = Op::Write { part: 0, producer: 1, value: 10, time: 1000 };
    let ops = [write, Op::End { part: 0, producer: 1, committed: false }, Op::Round, Op::Restart, write, Op::Round];
    let said = everywhere("aborted", Setup::new(1, 700), &ops, Bent { opening, ..Bent::default() }).unwrap_err();
    assert!(said.contains("aborted []"), "{said}");
}

/// No break: the state file knows what should be there, and the list is made again from the batches.
#[test]
fn transaction_indexes_may_be_lost() {
    let opening = Opening { no_transaction_indexes: true, ..Opening::default() };
    if let Some((_, error)) = on_two_threads(SEEDS, |seed| simulate(seed, Bent { opening, ..Bent::default() })) {
        panic!("{error}");
    }
}

#[test]
fn checksums_are_not_looked_at_in_recovery() {
    found(without(Checks { crc: false, ..Checks::default() }));
}

#[test]
fn indexes_are_believed_after_an_unclean_stop() {
    found(without(Checks { rebuild_indexes: false, ..Checks::default() }));
}

#[test]
fn the_journal_is_not_replayed() {
    let said = found(without(Checks { replay_journal: false, ..Checks::default() }));
    assert!(said.contains("batches are left"), "{said}");
}

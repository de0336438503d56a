//! Real clients (librdkafka) against the real binary, on a free port and in a temporary directory.
//!
//! One file is one story. `common` has the broker's process, `clients` what librdkafka is asked for, `ledger` who sent
//! what and what of it was acknowledged, `proxy` a wire that breaks. Consumers are assigned their partitions, but in
//! `groups`. Deadlines only end hangs; a random run prints its seed, and COMPAT_SEED repeats it.

#![cfg(test)]

mod clients;
mod common;
mod ledger;
mod proxy;

mod admin;
mod groups;
mod history;
mod idempotence;
mod kills;
mod order;
mod process;
mod records;
mod settings;
mod time;

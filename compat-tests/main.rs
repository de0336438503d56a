//! Real clients (librdkafka) against the real binary, on a free port and in a temporary directory.
//!
//! One file is one story. `common` has the broker's process, `clients` what librdkafka is asked for, `ledger` who sent
//! what and what of it was acknowledged, `proxy` a wire that breaks, `stage` a broker that comes and goes behind it,
//! `actors` clients that are processes of their own, `isolation` what is committed and what is not. Consumers are assigned
//! their partitions where there is no word of groups. Deadlines only end hangs; a random run prints its seed, and
//! COMPAT_SEED repeats it. COMPAT_AGAINST=kafka tries the stories that have a stage on Apache Kafka.

#![cfg(test)]

mod actors;
mod clients;
mod common;
mod isolation;
mod ledger;
mod proxy;
mod stage;

mod admin;
mod copier;
mod groups;
mod history;
mod idempotence;
mod kills;
mod order;
mod process;
mod records;
mod settings;
mod time;
mod transactions;

//! What the broker costs, in release, on this machine: `scripts/bench` prints the README's tables.
//!
//! CPU is the first figure. Loads run against Ottla and against a null server in turn ([`null`]: a thread for each
//! connection, checksum, base offset, one write; nothing else), so that what the machine does meanwhile falls on both; the
//! ratio of a round is taken within the round. What other processes used is printed with the figures: MB/s means little
//! where that is much.
//!
//! `transactions` runs beside Apache Kafka, and only when it is asked for: it needs Java. Left out: other brokers, latency at a fixed rate, TLS.
//!
//! ```text
//! scripts/bench [throughput] [durable] [start] [partitions] [groups] [transactions] [--rounds=5] [--mb=1000] [--seconds=5] [--disk=<directory>]
//! scripts/bench load <port> produce|fetch <megabytes> <bytes of a record>    puts a running broker under load, for a profiler
//! ```

mod asking;
mod durable;
mod groups;
mod injected;
mod memory;
mod null;
mod partitions;
mod process;
mod raw;
mod throughput;
mod transactions;

use anyhow::{Context, bail};
use std::path::PathBuf;

/// What to run, and how much of it.
#[derive(Debug, Clone)]
pub struct Options {
    /// Rounds of each load; figures are medians.
    pub rounds: usize,
    /// Megabytes (10^6 bytes) of each load.
    pub megabytes: usize,
    /// How long each durable load runs.
    pub seconds: u64,
    /// A directory on a disk, for what has to be durable.
    pub disk: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.first().map(String::as_str) {
        Some("null-server") => return null::run(&arguments),
        Some("broker") => return injected::run(&arguments),
        Some("load") => return throughput::against(&arguments),
        _ => {}
    }
    let mut sections = Vec::new();
    let mut options = Options {
        rounds: 5,
        megabytes: 1000,
        seconds: 5,
        disk: PathBuf::from(option_env!("CARGO_TARGET_TMPDIR").unwrap_or("target")),
    };
    for argument in &arguments {
        match argument.split_once('=') {
            Some(("--rounds", value)) => options.rounds = value.parse()?,
            Some(("--mb", value)) => options.megabytes = value.parse()?,
            Some(("--seconds", value)) => options.seconds = value.parse()?,
            Some(("--disk", value)) => options.disk = value.into(),
            None if !argument.starts_with('-') => sections.push(argument.as_str()),
            _ => bail!("unknown argument {argument}"),
        }
    }
    if sections.is_empty() {
        sections = vec!["throughput", "durable", "start", "partitions", "groups"];
    }
    process::allow_many_files()?;
    for section in sections {
        match section {
            "throughput" => throughput::run(&options),
            "durable" => durable::run(&options),
            "start" => memory::run(&options),
            "partitions" => partitions::run(&options),
            "groups" => groups::run(&options),
            "transactions" => transactions::run(&options),
            other => bail!("no section {other}"),
        }
        .with_context(|| section.to_owned())?;
    }
    Ok(())
}

/// The middle of some figures, and the least and the largest of them.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The largest.
    pub most: f64,
}

impl Spread {
    /// Of at least one figure.
    pub fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
        Spread { median: at(figures.len() / 2), least: at(0), most: at(figures.len().saturating_sub(1)) }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let places = f.precision().unwrap_or(2);
        let Spread { median, least, most } = self;
        write!(f, "{median:.places$} [{least:.places$}-{most:.places$}]")
    }
}

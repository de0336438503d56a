//! Ten thousand partitions, each with a record: what they cost, and how soon the broker is back.

use crate::process::{Process, fresh_dir};
use crate::{Options, raw};
use anyhow::bail;
use std::time::Instant;

const PARTITIONS: i32 = 10_000;
const AT_ONCE: usize = 100;
const TOPIC: &str = "many";

pub fn run(options: &Options) -> anyhow::Result<()> {
    let dir = fresh_dir(&options.disk)?;
    let setting = format!("--num.partitions={PARTITIONS}");
    let start = || -> anyhow::Result<(Process, f64)> {
        let mut broker = Process::ottla(dir.path(), &[&setting])?;
        let ready = broker.ready()?.as_secs_f64() * 1000.0;
        Ok((broker, ready))
    };
    println!("{PARTITIONS} partitions of one topic, durable, on a disk\n");
    println!("| what | time | open files | resident |");
    println!("|---|---|---|---|");
    let (broker, _) = start()?;
    let began = Instant::now();
    raw::touch_topic(&mut raw::connect(broker.port)?, TOPIC)?;
    report("created", &broker, millis(began))?;
    let began = Instant::now();
    fill(broker.port)?;
    report("first record in each, acks=all", &broker, millis(began))?;
    let began = Instant::now();
    fill(broker.port)?;
    report("second record in each", &broker, millis(began))?;
    let began = Instant::now();
    broker.stop()?;
    println!("| clean stop | {:.0} ms | | |", millis(began));
    let (broker, ready) = start()?;
    report("start after it, to the first answer", &broker, ready)?;
    let began = Instant::now();
    fill(broker.port)?;
    report("third record in each", &broker, millis(began))?;
    broker.kill()?;
    let (broker, ready) = start()?;
    report("start after kill -9, to the first answer", &broker, ready)?;
    let began = Instant::now();
    fill(broker.port)?;
    report("fourth record in each", &broker, millis(began))?;
    broker.stop()?;
    println!();
    Ok(())
}

fn millis(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1000.0
}

fn report(what: &str, broker: &Process, ms: f64) -> anyhow::Result<()> {
    let (files, mib) = (broker.open_files()?, broker.resident_kib()? as f64 / 1024.0);
    println!("| {what} | {ms:.0} ms | {files} | {mib:.0} MiB |");
    Ok(())
}

/// One record for every partition.
fn fill(port: u16) -> anyhow::Result<()> {
    let mut stream = raw::connect(port)?;
    let batch = raw::batch(100);
    let all: Vec<i32> = (0..PARTITIONS).collect();
    for some in all.chunks(AT_ONCE) {
        let reply = raw::call(&mut stream, &raw::produce(TOPIC, some, &batch, -1))?;
        match raw::produce_error(&reply, TOPIC, some.len())? {
            0 => {}
            code => bail!("Produce: error {code}"),
        }
    }
    Ok(())
}

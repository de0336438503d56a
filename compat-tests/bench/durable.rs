//! Group commit: many connections, each waiting for one small durable batch, and how many of them share a sync.

use crate::process::{MEMORY, Process, fresh_dir};
use crate::{Options, raw};
use anyhow::{Context, bail};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const TOPIC: &str = "durable";
const CONNECTIONS: i32 = 64;
const VALUE_SIZE: usize = 1_000;
const GOAL: f64 = 15.0;

pub fn run(options: &Options) -> anyhow::Result<()> {
    println!(
        "{CONNECTIONS} connections, each waiting for one batch of one 1 KB record, acks=all, durable; {} s a line\n",
        options.seconds
    );
    println!(
        "| directory | partitions | sync takes | requests a sync | goal | records/s | rounds | syncs | through the journal | us of CPU a request |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (name, parent) in [("disk", options.disk.as_path()), ("tmpfs", Path::new(MEMORY))] {
        for partitions in [1, 64] {
            for delay_ms in [0, 5] {
                line(options, name, parent, partitions, delay_ms)?;
            }
        }
    }
    println!();
    Ok(())
}

fn line(options: &Options, name: &str, parent: &Path, partitions: i32, delay_ms: u64) -> anyhow::Result<()> {
    let dir = fresh_dir(parent)?;
    let mut broker = match delay_ms {
        0 => Process::ottla(dir.path(), &[&format!("--num.partitions={partitions}")])?,
        ms => Process::role("broker", dir.path(), &[&ms.to_string(), &partitions.to_string()])?,
    };
    broker.ready()?;
    raw::touch_topic(&mut raw::connect(broker.port)?, TOPIC)?;
    let (cpu, began) = (broker.cpu()?, Instant::now());
    let requests = load(broker.port, partitions, Duration::from_secs(options.seconds))?;
    let (cpu, elapsed) = (broker.cpu()? - cpu, began.elapsed().as_secs_f64());
    let log = broker.stop()?;
    let counter = |name: &str| counter(&log, name);
    let (rounds, syncs, batches) = (counter("rounds")?, counter("syncs")?, counter("batches")?);
    if batches < requests {
        bail!("{requests} requests were acknowledged, {batches} batches written");
    }
    println!(
        "| {name} | {partitions} | {} | {:.1} | {GOAL} | {:.0} | {rounds} | {syncs} | {} | {:.1} |",
        if delay_ms == 0 { "as it does".to_owned() } else { format!("{delay_ms} ms more") },
        requests as f64 / syncs as f64,
        requests as f64 / elapsed,
        counter("journal_rounds")?,
        cpu * 1e6 / requests as f64,
    );
    Ok(())
}

/// A figure of the last line that says it.
fn counter(log: &str, name: &str) -> anyhow::Result<u64> {
    let said = log.lines().rev().flat_map(str::split_whitespace);
    let value = said.filter_map(|word| word.strip_prefix(name)?.strip_prefix('=')).next();
    Ok(value.with_context(|| format!("the broker did not say its {name}: {log}"))?.parse()?)
}

/// How many requests were acknowledged.
fn load(port: u16, partitions: i32, time: Duration) -> anyhow::Result<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let batch = raw::batch(VALUE_SIZE);
    runtime.block_on(async {
        let until = Instant::now() + time;
        let mut clients = JoinSet::new();
        for connection in 0..CONNECTIONS {
            let request = raw::produce(TOPIC, &[connection % partitions], &batch, -1);
            clients.spawn(client(port, request, until));
        }
        let mut requests = 0;
        while let Some(done) = clients.join_next().await {
            requests += done??;
        }
        Ok(requests)
    })
}

async fn client(port: u16, request: Vec<u8>, until: Instant) -> anyhow::Result<u64> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let mut requests = 0;
    let mut reply = Vec::new();
    while Instant::now() < until {
        stream.write_all(&request).await?;
        reply.resize(stream.read_u32().await? as usize, 0);
        stream.read_exact(&mut reply).await?;
        match raw::produce_error(&reply, TOPIC, 1)? {
            0 => requests += 1,
            code => bail!("Produce: error {code}"),
        }
    }
    Ok(requests)
}

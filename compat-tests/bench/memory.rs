//! The start of an empty broker, and what it holds while nothing happens.

use crate::process::{MEMORY, Process, fresh_dir};
use crate::{Options, Spread, raw};
use anyhow::bail;
use std::path::Path;
use std::time::Duration;

const CONNECTIONS: usize = 2_000;
const TOPIC: &str = "first";

pub fn run(options: &Options) -> anyhow::Result<()> {
    println!("| what | figure | goal |");
    println!("|---|---|---|");
    for (name, parent) in [("disk", options.disk.as_path()), ("tmpfs", Path::new(MEMORY))] {
        let figures = (0..options.rounds).map(|_| first_acknowledged(parent)).collect::<anyhow::Result<_>>()?;
        println!(
            "| start on an empty directory to the first acknowledged produce, {name} | {:.0} ms | 100 ms |",
            Spread::of(figures)
        );
    }
    for (name, produces) in [("ApiVersions", false), ("ApiVersions and a Produce of 1 KB", true)] {
        // A broker each: memory that connections have given back would hide what the next ones take.
        let dir = fresh_dir(MEMORY)?;
        let mut broker = Process::ottla(dir.path(), &[])?;
        broker.ready()?;
        std::thread::sleep(Duration::from_secs(10));
        let idle = broker.resident_kib()?;
        println!("| resident ten seconds after ready | {:.1} MiB | 20 MiB |", idle as f64 / 1024.0);
        let connections = (0..CONNECTIONS).map(|_| used(broker.port, produces)).collect::<anyhow::Result<Vec<_>>>()?;
        std::thread::sleep(Duration::from_secs(1));
        let slope = (broker.resident_kib()?.saturating_sub(idle)) as f64 / connections.len() as f64;
        println!("| an idle connection after {name}, over {CONNECTIONS} | {slope:.1} KiB | 16 KiB |");
        drop(connections);
        std::thread::sleep(Duration::from_secs(1));
        println!("| resident after those connections are gone | {:.1} MiB | |", broker.resident_kib()? as f64 / 1024.0);
    }
    println!();
    Ok(())
}

fn first_acknowledged(parent: &Path) -> anyhow::Result<f64> {
    let dir = fresh_dir(parent)?;
    let mut broker = Process::ottla(dir.path(), &[])?;
    broker.ready()?;
    let mut stream = raw::connect(broker.port)?;
    raw::touch_topic(&mut stream, TOPIC)?;
    produce_one(&mut stream)?;
    let elapsed = broker.began.elapsed();
    broker.stop()?;
    Ok(elapsed.as_secs_f64() * 1000.0)
}

fn produce_one(stream: &mut std::net::TcpStream) -> anyhow::Result<()> {
    let reply = raw::call(stream, &raw::produce(TOPIC, &[0], &raw::batch(1_000), -1))?;
    match raw::produce_error(&reply, TOPIC, 1)? {
        0 => Ok(()),
        code => bail!("Produce: error {code}"),
    }
}

/// A connection that has been used.
fn used(port: u16, produces: bool) -> anyhow::Result<std::net::TcpStream> {
    let mut stream = raw::connect(port)?;
    raw::call(&mut stream, &raw::Request::new(raw::API_VERSIONS, 0).finish())?;
    if produces {
        raw::touch_topic(&mut stream, TOPIC)?;
        produce_one(&mut stream)?;
    }
    Ok(stream)
}

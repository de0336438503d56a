//! Loads of librdkafka, in page-cache mode on tmpfs, against Ottla and the null server in turn.

use crate::process::{self, MEMORY, PAGE_CACHE, Process, fresh_dir};
use crate::{Options, Spread};
use anyhow::{Context, bail};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const WITHIN: Duration = Duration::from_secs(120);
const TOPIC: &str = "load";

/// A size of records, and what the broker may cost with it, as a multiple of the null server.
struct Load {
    name: &'static str,
    value_size: usize,
    produce_goal: f64,
    fetch_goal: f64,
}

const LOADS: [Load; 2] = [
    Load { name: "1 KB", value_size: 1_000, produce_goal: 1.6, fetch_goal: 1.7 },
    Load { name: "1 MB", value_size: 1_000_000, produce_goal: 1.6, fetch_goal: 1.7 },
];

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Ottla,
    Null,
}

/// What one load cost.
#[derive(Clone, Copy)]
struct Cost {
    /// Seconds of CPU for a GB: the broker's and the client's.
    broker: f64,
    client: f64,
    megabytes_per_second: f64,
    /// Cores that other processes used meanwhile.
    others: f64,
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    touch_memory(options.megabytes + 500)?;
    println!(
        "librdkafka, 1 partition, linger.ms=5, acks=1, page-cache mode, tmpfs; {} MB a load, median of {} rounds [range]\n",
        options.megabytes, options.rounds
    );
    println!(
        "| load | Ottla, CPU s/GB | null server, CPU s/GB | ratio | goal | Ottla MB/s | null MB/s | client s/GB | other processes, cores |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for load in &LOADS {
        let mut rounds = Vec::new();
        for round in 0..options.rounds {
            let order = if round % 2 == 0 { [Kind::Ottla, Kind::Null] } else { [Kind::Null, Kind::Ottla] };
            let mut costs = [None; 2];
            for kind in order {
                let slot = usize::from(kind == Kind::Null);
                costs[slot] = Some(one_round(kind, load, options.megabytes)?);
            }
            let [Some(ottla), Some(null)] = costs else { bail!("a round is missing") };
            rounds.push((ottla, null));
        }
        let produce = rounds.iter().map(|(ottla, null)| (ottla.0, null.0)).collect::<Vec<_>>();
        let fetch = rounds.iter().map(|(ottla, null)| (ottla.1, null.1)).collect::<Vec<_>>();
        print_line(&format!("produce {}", load.name), load.produce_goal, &produce);
        print_line(&format!("fetch {}, cached", load.name), load.fetch_goal, &fetch);
    }
    println!();
    Ok(())
}

fn print_line(name: &str, goal: f64, rounds: &[(Cost, Cost)]) {
    let of = |f: &dyn Fn(&(Cost, Cost)) -> f64| Spread::of(rounds.iter().map(f).collect());
    println!(
        "| {name} | {:.2} | {:.2} | {:.2} | {goal} | {:.0} | {:.0} | {:.2} | {:.1} |",
        of(&|(ottla, _)| ottla.broker),
        of(&|(_, null)| null.broker),
        of(&|(ottla, null)| ottla.broker / null.broker),
        of(&|(ottla, _)| ottla.megabytes_per_second),
        of(&|(_, null)| null.megabytes_per_second),
        of(&|(ottla, _)| ottla.client),
        of(&|(ottla, null)| (ottla.others + null.others) / 2.0),
    );
}

/// Produces to a fresh broker and fetches it all back.
fn one_round(kind: Kind, load: &Load, megabytes: usize) -> anyhow::Result<(Cost, Cost)> {
    let dir = fresh_dir(MEMORY)?;
    let mut broker = match kind {
        Kind::Ottla => Process::ottla(dir.path(), &[PAGE_CACHE])?,
        Kind::Null => Process::role("null-server", dir.path(), &[])?,
    };
    broker.ready()?;
    let count = megabytes * 1_000_000 / load.value_size;
    let produced = measured(&broker, megabytes, || produce(broker.port, count, load.value_size))?;
    let fetched = measured(&broker, megabytes, || fetch(broker.port, count, load.value_size))?;
    broker.kill()?;
    Ok((produced, fetched))
}

fn measured(broker: &Process, megabytes: usize, load: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Cost> {
    let gigabytes = megabytes as f64 / 1000.0;
    let (broker_cpu, own, machine, began) =
        (broker.cpu()?, process::own_cpu()?, process::machine_cpu()?, Instant::now());
    load()?;
    let elapsed = began.elapsed().as_secs_f64();
    let (broker_cpu, own) = (broker.cpu()? - broker_cpu, process::own_cpu()? - own);
    Ok(Cost {
        broker: broker_cpu / gigabytes,
        client: own / gigabytes,
        megabytes_per_second: megabytes as f64 / elapsed,
        others: (process::machine_cpu()? - machine - broker_cpu - own) / elapsed,
    })
}

/// `load <port> produce|fetch <megabytes> <bytes of a record>`: a broker that is running already.
pub fn against(arguments: &[String]) -> anyhow::Result<()> {
    let [_, port, what, megabytes, value_size] = arguments else { bail!("load <port> produce|fetch <MB> <bytes>") };
    let (port, value_size, megabytes) = (port.parse()?, value_size.parse()?, megabytes.parse::<usize>()?);
    let (count, began) = (megabytes * 1_000_000 / value_size, Instant::now());
    match what.as_str() {
        "produce" => produce(port, count, value_size)?,
        "fetch" => fetch(port, count, value_size)?,
        other => bail!("{other} is neither produce nor fetch"),
    }
    println!("{:.0} MB/s", megabytes as f64 / began.elapsed().as_secs_f64());
    Ok(())
}

/// Counts what was acknowledged.
struct Acknowledged(Arc<AtomicUsize>);

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_ok() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn client(port: u16) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", format!("127.0.0.1:{port}"));
    config
}

fn produce(port: u16, count: usize, value_size: usize) -> anyhow::Result<()> {
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let producer: BaseProducer<Acknowledged> = client(port)
        .set("acks", "1")
        .set("linger.ms", "5")
        .set("message.max.bytes", "1040000")
        .set("queue.buffering.max.kbytes", "262144")
        .create_with_context(Acknowledged(acknowledged.clone()))?;
    let value: Vec<u8> = (0..value_size).map(|at| (at * 31) as u8).collect();
    let began = Instant::now();
    for at in 0..count {
        let mut record = BaseRecord::<(), [u8]>::to(TOPIC).partition(0).payload(&value);
        while let Err((error, unsent)) = producer.send(record) {
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                bail!("cannot produce: {error}");
            }
            if began.elapsed() > WITHIN {
                bail!("the broker does not take {count} records in time");
            }
            producer.poll(Duration::from_millis(1));
            record = unsent;
        }
        if at % 1000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(WITHIN).context("not all was acknowledged in time")?;
    let acknowledged = acknowledged.load(Ordering::Relaxed);
    if acknowledged != count { bail!("{acknowledged} of {count} records were acknowledged") } else { Ok(()) }
}

/// Reads from the beginning, and wants every offset in order.
fn fetch(port: u16, count: usize, value_size: usize) -> anyhow::Result<()> {
    let consumer: BaseConsumer = client(port)
        .set("group.id", "bench")
        .set("enable.auto.commit", "false")
        .set("queued.min.messages", "1000000")
        .set("queued.max.messages.kbytes", "131072")
        .set("fetch.queue.backoff.ms", "1")
        .create()?;
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(TOPIC, 0, Offset::Beginning)?;
    consumer.assign(&partitions)?;
    let began = Instant::now();
    let mut next = 0;
    while next < count {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let size = message.payload().map_or(0, <[u8]>::len);
                if message.offset() != next as i64 || size != value_size {
                    bail!("offset {} of {size} bytes where {next} was due", message.offset());
                }
                next += 1;
            }
            Some(Err(error)) => tracing::debug!(%error, "consumer"),
            None if began.elapsed() > WITHIN => bail!("{next} of {count} records came in time"),
            None => {}
        }
    }
    Ok(())
}

/// Memory that a virtual machine has given back costs more at its first use: both brokers find it used.
fn touch_memory(megabytes: usize) -> anyhow::Result<()> {
    let dir = fresh_dir(MEMORY)?;
    let mut file = File::create(dir.path().join("touched"))?;
    let block = vec![1; 1_000_000];
    (0..megabytes).try_for_each(|_| file.write_all(&block))?;
    Ok(())
}

//! Seeking by time, over several segments and across a kill.

use crate::clients::{Admin, config, consumer, read_from, watermarks};
use crate::common::{DEADLINE, Ottla, temp_dir};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::fs;

const START: i64 = 1_600_000_000_000;
const STEP: i64 = 1_000;
const RECORDS: i64 = 300;

/// The offset that a time leads to; `None` past the last.
fn offset_at(consumer: &BaseConsumer, time: i64) -> Option<i64> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition_offset("t", 0, Offset::Offset(time)).unwrap();
    let found = consumer.offsets_for_times(asked, DEADLINE).unwrap();
    let found = found.find_partition("t", 0).unwrap();
    found.error().unwrap();
    match found.offset() {
        Offset::Offset(offset) => Some(offset),
        Offset::End => None,
        other => panic!("{other:?}"),
    }
}

fn check(broker: &Ottla) {
    let consumer = consumer(&broker.bootstrap());
    assert_eq!(watermarks(&consumer, "t", 0), (0, RECORDS));
    for (time, offset) in [
        (0, Some(0)),
        (START, Some(0)),
        (START + 1, Some(1)),
        (START + 100 * STEP - 1, Some(100)),
        (START + 100 * STEP, Some(100)),
        // Offset 150 has the time of 50: what is asked for later comes after it.
        (START + 150 * STEP, Some(151)),
        (START + 149 * STEP + 1, Some(151)),
        (START + (RECORDS - 1) * STEP, Some(RECORDS - 1)),
        (START + (RECORDS - 1) * STEP + 1, None),
    ] {
        assert_eq!(offset_at(&consumer, time), offset, "at {}", time - START);
    }
    for number in (0..RECORDS).filter(|number| *number != 150) {
        assert_eq!(offset_at(&consumer, START + number * STEP), Some(number));
    }
    let from = offset_at(&consumer, START + 123 * STEP).unwrap();
    let read = read_from(&consumer, "t", &[(0, from)]).remove(0);
    assert_eq!(read.first().unwrap().timestamp.to_millis(), Some(START + 123 * STEP));
    assert_eq!(read.len(), 177);
}

#[test]
fn a_time_leads_to_the_first_record_not_before_it() {
    let dir = temp_dir();
    let broker = Ottla::start(dir.path(), &[]);
    Admin::new(&broker).create("t", 1, &[("segment.bytes", "1048576")]);
    // One record fills a fifth of what an index entry is made for.
    let settings = [("compression.codec", "none"), ("linger.ms", "20"), ("batch.num.messages", "7")];
    let producer: BaseProducer = config(&broker.bootstrap(), &settings).create().unwrap();
    let value = vec![b'v'; 16_384];
    for number in 0..RECORDS {
        let time = START + STEP * if number == 150 { 50 } else { number };
        let record = BaseRecord::<(), _>::to("t").partition(0).payload(&value).timestamp(time);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(DEADLINE).unwrap();
    let files = fs::read_dir(dir.path().join("t-0")).unwrap().map(|entry| entry.unwrap().path());
    let segments = files.filter(|path| path.extension().is_some_and(|it| it == "log")).count();
    assert!(segments >= 4, "{segments} segments");
    check(&broker);
    broker.kill();
    let broker = Ottla::start(dir.path(), &[]);
    check(&broker);
    broker.stop().assert_sound();
    let broker = Ottla::start(dir.path(), &[]);
    check(&broker);
    broker.stop().assert_sound();
}

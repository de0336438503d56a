//! Static members: they come back without a rebalance, and of two with the same instance id the first is fenced.

use super::judge;
use super::member::Member;
use crate::clients::Admin;
use crate::common::{Rng, until};
use crate::stage::Stage;
use std::collections::BTreeSet;

const PARTITIONS: i32 = 12;

fn start(stage: &Stage, instance: &str) -> Member {
    let settings = [
        ("group.instance.id", instance),
        ("client.id", instance),
        ("partition.assignment.strategy", "range"),
        // Nobody's session ends here.
        ("session.timeout.ms", "60000"),
        ("heartbeat.interval.ms", "200"),
    ];
    Member::start(&stage.bootstrap(), "g", "t", &settings)
}

#[test]
fn they_come_back_to_what_they_had() {
    let mut stage = Stage::new(&mut Rng::seeded(), &[]);
    Admin::at(&stage.direct()).create("t", PARTITIONS, &[]);
    let (first, second) = (start(&stage, "a"), start(&stage, "b"));
    let half = |member: &Member| member.last().filter(|owned| owned.partitions.len() == 6);
    let (before, of_second) = until("both have their half", || Some((half(&first)?, half(&second)?)));
    assert_eq!(before.generation, of_second.generation);
    let undisturbed = second.told().owned.len();
    let back = |member: &Member, after: &str| {
        let owned = until(after, || member.last());
        assert_eq!((owned.generation, &owned.partitions), (before.generation, &before.partitions), "{after}");
        owned.member_id
    };

    let mut ids = BTreeSet::from([before.member_id.clone()]);
    first.leave();
    let again = start(&stage, "a");
    ids.insert(back(&again, "it is back after an orderly end"));
    again.kill();
    let again = start(&stage, "a");
    ids.insert(back(&again, "it is back after kill -9"));
    again.kill();
    stage.kill();
    stage.start();
    let again = start(&stage, "a");
    ids.insert(back(&again, "it is back after the broker was killed as well"));

    let other = start(&stage, "a");
    ids.insert(back(&other, "another one takes its place"));
    let fatal = until("the first one is told", || again.told().fatal);
    assert_eq!(fatal, "FencedInstanceId");
    assert_eq!(other.told().fatal, None);
    assert_eq!(ids.len(), 5, "a member id of its own each time: {ids:?}");
    assert_eq!(second.told().owned.len(), undisturbed, "the other member notices nothing: {:?}", second.told().owned);

    let records = judge::records(&stage.direct(), "g");
    let (last, generation) = judge::generations(&records).pop_last().unwrap();
    assert_eq!(last, before.generation);
    assert_eq!(generation.members, BTreeSet::from(["a".to_string(), "b".to_string()]));
    assert_eq!(generation.shares.unwrap()["a"], before.partitions);
    drop((again, other, second));
    stage.stop();
}

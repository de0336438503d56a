//! The catalog on a file system that crashes at every step.

use super::*;
use crate::log::disk::memory::{KEEP_ALL, LOSE_ALL, MemoryFiles, Rules};
use std::collections::BTreeSet;

const DIR: &str = "/var/data";

fn no_rules() -> ConfigRules<'static> {
    ConfigRules { list_default: &|_| None, check: &|_| Ok(()) }
}

fn identity() -> Identity {
    Identity { node_id: Some(1), cluster_id: None }
}

/// Ids that differ between processes.
fn ids(process: u128) -> FreshIds {
    let mut next = process << 64;
    FreshIds::from_source(move || {
        next += 1;
        Uuid::from_u128(next)
    })
}

fn open(files: &MemoryFiles, process: u128) -> Result<Catalog, CatalogError> {
    Catalog::open(Arc::new(files.clone()), Path::new(DIR), &identity(), ids(process))
}

fn create(catalog: &Catalog, name: &str) -> Result<Arc<Topic>, CatalogError> {
    let new = NewTopic { partitions: 3, ..NewTopic::with_defaults(name) };
    Ok(catalog.update(|draft| draft.create_topic(&new, 1, no_rules()).unwrap())?.0)
}

/// What a crash must not change: all but the epoch, which every start raises.
type Known = (Vec<Arc<Topic>>, Vec<Arc<DeletedTopic>>, i64, Vec<(Arc<str>, Configs)>);

fn known(image: &Image) -> Known {
    let groups =
        image.groups_with_configs().map(|name| (name.clone(), Configs::clone(image.group_configs(name).unwrap())));
    (image.topics().cloned().collect(), image.deleted().cloned().collect(), image.next_producer_id(), groups.collect())
}

/// One change, the n-th; over time every kind, and names that come again.
fn change(draft: &mut Draft<'_>, n: u64) {
    let name = format!("topic-{}", n % 4);
    if n.is_multiple_of(3) {
        let change = if n.is_multiple_of(2) { ConfigChange::Delete } else { ConfigChange::Set(n.to_string()) };
        draft.alter_group_configs(&format!("group-{}", n % 4), &[("c".to_owned(), change)], no_rules()).unwrap();
    }
    if draft.image().topic(&name).is_none() {
        let configs = vec![("k".to_owned(), Some("v".repeat(n as usize * 97 % 700)))];
        let new = NewTopic { configs, ..NewTopic::with_defaults(&name) };
        draft.create_topic(&new, 2, no_rules()).unwrap();
        return;
    }
    match n % 5 {
        0 => drop(draft.allocate_producer_ids().unwrap()),
        1 => drop(draft.delete_topic_by_name(&name).unwrap()),
        2 => {
            let gone = draft.image().deleted().next().map(|gone| gone.id);
            gone.into_iter().for_each(|id| draft.folders_removed(id).unwrap());
        }
        3 => draft.add_partitions(&name, draft.image().topic(&name).unwrap().partitions + 1, None).unwrap(),
        _ => {
            let changes = [("c".to_owned(), ConfigChange::Set(n.to_string()))];
            draft.alter_configs(&name, &changes, no_rules()).unwrap();
        }
    }
}

/// Several processes one after the other on what the last one left. What each found is checked against what was
/// acknowledged; the violations are returned.
#[derive(Default)]
struct History {
    process: u128,
    changes: u64,
    acknowledged: Option<Known>,
    in_flight: Option<Known>,
    epochs: BTreeSet<i32>,
    violations: Vec<String>,
}

impl History {
    /// Opens the catalog and changes it until a crash or for so many changes.
    fn run(&mut self, files: &MemoryFiles, changes: u64) {
        self.process += 1;
        let catalog = match open(files, self.process) {
            Ok(catalog) => catalog,
            Err(_) if files.crashed() => return,
            Err(e) => return self.violations.push(format!("does not open: {e}")),
        };
        let image = catalog.image();
        if !self.epochs.insert(image.boot_epoch()) || self.epochs.last() != Some(&image.boot_epoch()) {
            self.violations.push(format!("epoch {} again", image.boot_epoch()));
        }
        let found = known(&image);
        let expected = [self.acknowledged.take(), self.in_flight.take()];
        if expected[0].is_some() && !expected.contains(&Some(found.clone())) {
            self.violations.push(format!("found {found:?} and not one of {expected:?}"));
        }
        self.acknowledged = Some(found);
        for _ in 0..changes {
            self.changes += 1;
            let mut tried = None;
            let done = catalog.update(|draft| {
                change(draft, self.changes);
                tried = Some(known(draft.image()));
            });
            match done {
                Ok((_, image)) => self.acknowledged = Some(known(&image)),
                Err(_) if files.crashed() => return self.in_flight = tried,
                Err(e) => return self.violations.push(format!("does not change: {e}")),
            }
            assert_eq!(Some(known(&catalog.image())), self.acknowledged);
        }
    }
}

/// A crash at every step of a script, twice, then one more start; under several seeds.
fn violations(rules: Rules) -> Vec<String> {
    let mut violations = Vec::new();
    let mut at = 0;
    loop {
        let first = MemoryFiles::with_rules(rules);
        first.crash_at(at);
        let mut before = History::default();
        before.run(&first, 24);
        for seed in 0..6 {
            let (acknowledged, in_flight) = (before.acknowledged.clone(), before.in_flight.clone());
            let epochs = before.epochs.clone();
            let mut history = History { acknowledged, in_flight, epochs, ..History::default() };
            history.process = before.process;
            history.changes = before.changes;
            let second = if seed == 5 { first.after_kill() } else { first.after_crash(seed) };
            second.crash_at((at * 7 + seed * 3) % 25);
            history.run(&second, 6);
            let third = second.after_crash(at * 8 + seed);
            history.run(&third, 6);
            violations.extend(history.violations.into_iter().map(|what| format!("step {at}, seed {seed}: {what}")));
        }
        violations.append(&mut before.violations);
        if !first.crashed() {
            return violations;
        }
        at += 1;
    }
}

#[test]
fn what_was_acknowledged_survives_a_crash_at_any_step() {
    let found = violations(Rules::default());
    assert!(found.is_empty(), "{} violations, first: {}", found.len(), found[0]);
}

#[test]
fn survival_rests_on_both_kinds_of_sync() {
    assert!(!violations(Rules { sync_lies: true, ..Rules::default() }).is_empty());
    assert!(!violations(Rules { sync_dir_lies: true, ..Rules::default() }).is_empty());
}

#[test]
fn blocks_of_producer_ids_never_come_again() {
    let mut seen = BTreeSet::new();
    let mut files = MemoryFiles::new();
    for process in 1..60 {
        files.crash_at(files.steps() + u64::try_from(process).unwrap() % 23);
        if let Ok(catalog) = open(&files, process) {
            while let Ok((block, _)) = catalog.update(|draft| draft.allocate_producer_ids().unwrap()) {
                assert!(seen.insert(block.first), "{block:?} again");
                assert_eq!(seen.last(), Some(&block.first));
            }
        }
        files = if process % 3 == 0 { files.after_kill() } else { files.after_crash(u64::try_from(process).unwrap()) };
    }
    assert!(seen.len() > 100);
}

#[test]
fn a_deleted_topic_does_not_come_back_and_its_name_is_free() {
    let files = MemoryFiles::new();
    let catalog = open(&files, 1).unwrap();
    let old = create(&catalog, "t").unwrap();
    catalog.update(|draft| draft.delete_topic(old.id).unwrap()).unwrap();
    let new = create(&catalog, "t").unwrap();
    assert_ne!(old.id, new.id);
    for left in [files.after_crash(LOSE_ALL), files.after_kill()] {
        let image = open(&left, 2).unwrap().image();
        assert_eq!(image.topics().collect::<Vec<_>>(), [&new]);
        assert_eq!(image.topic_by_id(old.id), None);
        assert_eq!(image.deleted().map(|gone| (gone.id, gone.partitions)).collect::<Vec<_>>(), [(old.id, 3)]);
    }
    catalog.update(|draft| draft.folders_removed(old.id).unwrap()).unwrap();
    assert_eq!(open(&files.after_crash(LOSE_ALL), 3).unwrap().image().deleted().len(), 0);
}

#[test]
fn after_a_failed_write_nothing_is_changed_until_a_restart() {
    let faults: [fn(&MemoryFiles); 3] =
        [|files| files.fail_write(0), |files| files.fail_sync(0), |files| files.set_space(Some(20))];
    for fault in faults {
        let files = MemoryFiles::new();
        let catalog = open(&files, 1).unwrap();
        create(&catalog, "kept").unwrap();
        let before = catalog.image();
        fault(&files);
        assert!(matches!(create(&catalog, "lost"), Err(CatalogError::Io { .. })));
        files.set_space(None);
        assert!(matches!(create(&catalog, "late"), Err(CatalogError::Failed(_))));
        assert_eq!(catalog.image(), before);

        // What the failed sync dropped from memory must not be believed by the next process.
        let next = files.after_kill();
        let image = open(&next, 2).unwrap().image();
        assert!(image.topic("kept").is_some() && image.topic("late").is_none());
        for seed in [LOSE_ALL, KEEP_ALL, 2, 3] {
            assert_eq!(known(&open(&next.after_crash(seed), 3).unwrap().image()), known(&image));
        }
    }
}

#[test]
fn a_request_with_several_topics_is_there_whole_or_not_at_all() {
    let mut seen = BTreeSet::new();
    for at in 0..8 {
        for seed in 0..20 {
            let files = MemoryFiles::new();
            let catalog = open(&files, 1).unwrap();
            files.crash_at(files.steps() + at);
            let many = catalog.update(|draft| {
                for n in 0..30 {
                    draft.create_topic(&NewTopic::with_defaults(&format!("t{n}")), 1, no_rules()).unwrap();
                }
            });
            let left = open(&files.after_crash(seed), 2).unwrap().image().topics().len();
            assert!(left == 30 || left == 0 && many.is_err(), "{left}");
            seen.insert(left);
        }
    }
    assert_eq!(seen, BTreeSet::from([0, 30]));
}

#[test]
fn commands_of_one_update_see_each_other_and_share_a_limit() {
    let files = MemoryFiles::new();
    let catalog = open(&files, 1).unwrap();
    let (results, image) = catalog
        .update(|draft| {
            [("a", 6_000), ("a", 1), ("b", 4_001), ("c", 4_000), ("d", 1)].map(|(name, partitions)| {
                let new = NewTopic { partitions, ..NewTopic::with_defaults(name) };
                draft.create_topic(&new, 1, no_rules()).map(|topic| topic.name.clone())
            })
        })
        .unwrap();
    assert_eq!(results.map(|result| result.is_ok()), [true, false, false, true, false]);
    assert_eq!(image.topics().len(), 2);

    let steps = files.steps();
    let previewed = catalog.preview(|draft| draft.delete_topic_by_name("a").map(|topic| topic.partitions));
    assert_eq!(previewed, Ok(6_000));
    assert!(catalog.update(|draft| draft.delete_topic_by_name("no")).unwrap().0.is_err());
    assert_eq!((files.steps(), catalog.image()), (steps, image.clone()), "nothing to write, nothing written");

    let bad = vec![Record::ProducerIds { next: 5 }, Record::ProducerIds { next: 5 }];
    assert!(matches!(catalog.commit(bad), Err(CatalogError::Contradiction(_))));
    assert_eq!((files.steps(), catalog.image()), (steps, image));
    assert_eq!(catalog.commit(vec![Record::ProducerIds { next: 5 }]).unwrap().next_producer_id(), 5);
}

#[test]
fn the_file_does_not_grow_for_ever() {
    let files = MemoryFiles::new();
    let catalog = open(&files, 1).unwrap();
    create(&catalog, "t").unwrap();
    let value = "v".repeat(30_000);
    let mut longest = 0;
    for n in 0..200 {
        let changes = [("k".to_owned(), ConfigChange::Set(format!("{n}{value}")))];
        catalog.update(|draft| draft.alter_configs("t", &changes, no_rules()).unwrap()).unwrap();
        longest = longest.max(files.contents()[&Path::new(DIR).join(FILE)].len());
    }
    assert!(longest < 2 << 20, "{longest}");
    let image = catalog.image();
    assert_eq!(known(&open(&files.after_crash(LOSE_ALL), 2).unwrap().image()), known(&image));
}

#[test]
fn the_first_start_makes_an_identity_that_stays() {
    let files = MemoryFiles::new();
    let first = open(&files, 1).unwrap().image();
    assert_eq!((first.boot_epoch(), first.node_id(), first.topics().len()), (0, 1, 0));
    assert_eq!(parse_id(first.cluster_id()), Some(Uuid::from_u128((1 << 64) + 1)));
    let second = open(&files, 2).unwrap().image();
    assert_eq!(second.boot_epoch(), 1);
    assert_eq!((second.cluster_id(), second.directory_id()), (first.cluster_id(), first.directory_id()));

    // Without its meta.properties the directory still belongs to the cluster.
    files.remove(&Path::new(DIR).join(META_PROPERTIES)).unwrap();
    let third = open(&files, 3).unwrap().image();
    assert_eq!(third.cluster_id(), first.cluster_id());
    for wrong in
        [Identity { node_id: Some(2), ..identity() }, Identity { cluster_id: Some("other".into()), ..identity() }]
    {
        let error = Catalog::open(Arc::new(files.clone()), Path::new(DIR), &wrong, ids(4)).unwrap_err();
        assert!(matches!(error, CatalogError::Identity { .. }), "{error}");
    }
}

#[test]
fn a_lost_catalog_is_not_replaced_by_an_empty_one() {
    let files = MemoryFiles::new();
    create(&open(&files, 1).unwrap(), "t").unwrap();
    files.create_dir(&Path::new(DIR).join("t-0")).unwrap();
    files.remove(&Path::new(DIR).join(FILE)).unwrap();
    let error = open(&files, 2).unwrap_err();
    assert!(error.to_string().contains("/var/data holds partitions (t-0) but no catalog.ottla"), "{error}");
}

#[test]
fn a_damaged_catalog_does_not_open_and_stays_as_it_is() {
    let files = MemoryFiles::new();
    create(&open(&files, 1).unwrap(), "t").unwrap();
    open(&files, 2).unwrap();
    let path = Path::new(DIR).join(FILE);
    let file = files.open(&path, Open::Write).unwrap();
    file.write_at(&mut [IoSlice::new(b"!")], file.len().unwrap() - 10).unwrap();
    let before = files.contents();
    let error = open(&files, 3).unwrap_err();
    assert!(error.to_string().starts_with("/var/data/catalog.ottla, line 3: the checksum does not match"), "{error}");
    assert_eq!(files.contents(), before);
}

#[test]
fn it_works_on_the_operating_systems_files() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("a/b");
    let open = |process| Catalog::open(Arc::new(crate::log::disk::OsFiles), &data, &identity(), ids(process)).unwrap();
    let topic = create(&open(1), "t").unwrap();
    let image = open(2).image();
    assert_eq!((image.topic("t"), image.boot_epoch()), (Some(&topic), 1));
}

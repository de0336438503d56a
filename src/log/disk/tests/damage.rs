//! Folders that somebody has changed, or that a disk has lost something of.

use super::*;
use crate::log::EpochStart;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// A log that was filled in five segments or so, and stopped in an orderly way.
fn stopped(dir: &Path) -> Offset {
    let first = disk(dir, Checks::default());
    let log = first.open_log(&name("t"), CONFIG, false, &|_| false).unwrap().log;
    let mut end = 0;
    for _ in 0..20 {
        let batch = batch(end, 1, 100);
        let epochs = (end == 0).then(|| vec![EpochStart { epoch: 1, start: 0 }]);
        let roll = log.rolls_before(&batch.header).then(OwnerState::default);
        end = batch.header.next_offset();
        log.submit(Append { batch, roll, epochs });
        first.round();
    }
    let files = vec![StateFile { extension: StateFile::PRODUCERS, bytes: b"state".to_vec() }];
    first.close([(log, OwnerState { files, ..OwnerState::default() })].into_iter()).unwrap();
    end
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.join("t-0")).unwrap().map(|entry| entry.unwrap().path());
    let mut logs: Vec<_> = entries.filter(|path| path.extension().is_some_and(|it| it == "log")).collect();
    logs.sort();
    logs
}

/// Sets a recovery point as an error says.
fn set_point(dir: &Path, refused: &str, synced: Offset) {
    let path = dir.join("recovery-point-offset-checkpoint");
    let points = std::fs::read_to_string(&path).unwrap();
    let whole = refused.rsplit_once(" to ").unwrap().1.split(',').next().unwrap();
    let set = points.replace(&format!("t 0 {synced}\n"), &format!("t 0 {whole}\n"));
    assert_ne!(set, points);
    std::fs::write(&path, set).unwrap();
}

/// What was synced and is gone is not for the broker to cut off: its offsets would be given to other records, and the state
/// of its end believed for theirs.
#[test]
fn a_log_that_was_shortened_after_a_clean_stop_is_left_as_it_is() {
    let shorten: [&dyn Fn(&Path); 3] = [
        // At the end of a batch.
        &|last| {
            let bytes = std::fs::read(last).unwrap();
            std::fs::write(last, &bytes[..bytes.len() - (HEADER_SIZE + 100)]).unwrap();
        },
        &|last| std::fs::remove_file(last).unwrap(),
        &|last| segments(last.ancestors().nth(2).unwrap()).iter().for_each(|it| std::fs::remove_file(it).unwrap()),
    ];
    for shorten in shorten {
        let dir = tempfile::tempdir().unwrap();
        let end = stopped(dir.path());
        shorten(segments(dir.path()).last().unwrap());
        let left = || {
            let files = std::fs::read_dir(dir.path().join("t-0")).unwrap().map(|entry| entry.unwrap().path());
            files.map(|path| (std::fs::read(&path).unwrap(), path)).collect::<BTreeSet<_>>()
        };
        let before = left();
        let mut refused = String::new();
        for start in 0..2 {
            let disk = disk(dir.path(), Checks::default());
            for _ in 0..2 {
                let error = disk.open_log(&name("t"), CONFIG, false, &|_| false).unwrap_err();
                assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
                refused = error.to_string();
                assert!(refused.contains(&format!("synced up to {end}")), "start {start}: {refused}");
            }
            // The second start is not clean, and its scan makes indexes anew.
            assert!(start > 0 || left() == before);
            disk.close(std::iter::empty()).unwrap();
        }
        set_point(dir.path(), &refused, end);
        let disk = disk(dir.path(), Checks::default());
        let opened = disk.open_log(&name("t"), CONFIG, false, &|_| false).unwrap();
        assert!(opened.end < end && opened.states.iter().all(|(offset, _)| *offset <= opened.end));
        assert_eq!(read_all_from(&*opened.log, 0, 300).len(), usize::try_from(opened.end).unwrap());
    }
}

/// Kafka would believe it beside the next segment that begins there.
#[test]
fn a_transaction_index_without_its_segment_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let end = stopped(dir.path());
    let index = |base| dir.path().join(format!("t-0/{base:020}.txnindex"));
    [0, end].iter().for_each(|base| std::fs::write(index(*base), b"entries").unwrap());
    let disk = disk(dir.path(), Checks::default());
    let opened = disk.open_log(&name("t"), CONFIG, false, &|_| false).unwrap();
    assert_eq!(opened.transaction_indexes, [(0, b"entries".to_vec())]);
    assert_eq!((index(0).exists(), index(end).exists()), (true, false));
}

#[test]
fn what_is_put_aside_does_not_replace_what_was_before() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("recovery-point-offset-checkpoint"), "0\n0\n").unwrap();
    for content in ["one", "two", "three"] {
        std::fs::create_dir_all(dir.path().join("t-0")).unwrap();
        std::fs::write(dir.path().join("t-0/00000000000000000007.log"), content).unwrap();
        let disk = disk(dir.path(), Checks::default());
        assert_eq!(disk.open_log(&name("t"), CONFIG, false, &|_| false).unwrap().end, 0);
    }
    let aside = ["", ".1", ".2"].map(|number| format!("t-0/00000000000000000007.log{number}.corrupt"));
    assert_eq!(aside.map(|file| std::fs::read_to_string(dir.path().join(file)).unwrap()), ["one", "two", "three"]);
}

/// It may not say any more whose it is.
#[test]
fn a_topic_made_again_does_not_inherit_a_damaged_one() {
    let dir = tempfile::tempdir().unwrap();
    stopped(dir.path());
    std::fs::remove_dir_all(dir.path().join("t-0")).unwrap();
    std::fs::create_dir(dir.path().join("t-0")).unwrap();
    let disk = disk(dir.path(), Checks::default());
    assert!(disk.open_log(&name("t"), CONFIG, false, &|_| false).is_err());
    disk.delete_log(&name("t"), None).unwrap();
    let again = LogName { topic_id: Uuid::from_u128(8), ..name("t") };
    assert_eq!(disk.open_log(&again, CONFIG, false, &|_| false).unwrap().end, 0);
}

/// Batches that the journal has cannot follow on what is left; so the advice names the journals too.
#[test]
fn after_a_crash_the_journals_go_with_what_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let first = disk(dir.path(), Checks::default());
    let logs = ["t", "u"].map(|topic| first.open_log(&name(topic), CONFIG, false, &|_| false).unwrap().log);
    let mut ends = [0, 0];
    let mut round = || {
        logs.iter().zip(&mut ends).for_each(|(log, end)| submit(log, end, 1, 100));
        first.round();
    };
    (0..3).for_each(|_| round());
    first.checkpoint().unwrap();
    (0..2).for_each(|_| round());
    let log = segments(dir.path()).remove(0);
    let bytes = std::fs::read(&log).unwrap();
    std::fs::write(&log, &bytes[..2 * (HEADER_SIZE + 100)]).unwrap();

    let journals = || {
        let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|path| path.extension().is_some_and(|it| it == "journal")).collect::<Vec<_>>()
    };
    let refused = || {
        let disk = disk(dir.path(), Checks::default());
        assert_eq!(disk.open_log(&name("u"), CONFIG, false, &|_| false).unwrap().end, 5, "the other goes on");
        disk.open_log(&name("t"), CONFIG, false, &|_| false).unwrap_err().to_string()
    };
    let error = refused();
    assert!(error.contains("synced up to 3, but whole only up to 2") && error.contains("*.journal"), "{error}");
    set_point(dir.path(), &error, 3);
    assert!(!journals().is_empty(), "kept for whoever mends it");
    refused();
    journals().iter().for_each(|path| std::fs::remove_file(path).unwrap());
    let disk = disk(dir.path(), Checks::default());
    assert_eq!(disk.open_log(&name("t"), CONFIG, false, &|_| false).unwrap().end, 2);
}

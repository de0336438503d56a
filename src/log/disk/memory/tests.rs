use super::*;
use crate::log::disk::{read_all, replace};
use std::collections::BTreeSet;

fn path(name: &str) -> PathBuf {
    Path::new("/d").join(name)
}

/// A file system with the durable, empty directory `/d`.
fn with_dir() -> MemoryFiles {
    let files = MemoryFiles::new();
    files.create_dir(Path::new("/d")).unwrap();
    files.sync_dir(Path::new("/")).unwrap();
    files
}

fn write(files: &MemoryFiles, name: &str, position: u64, bytes: &[u8]) -> Arc<dyn File> {
    let file = files.open(&path(name), Open::Create).unwrap();
    file.write_at(&mut [IoSlice::new(bytes)], position).unwrap();
    file
}

/// A durable file.
fn durable(files: &MemoryFiles, name: &str, bytes: &[u8]) -> Arc<dyn File> {
    let file = write(files, name, 0, bytes);
    file.sync().unwrap();
    files.sync_dir(Path::new("/d")).unwrap();
    file
}

fn read(files: &MemoryFiles, name: &str) -> Option<Vec<u8>> {
    match read_all(files, &path(name)) {
        Ok(content) => Some(content),
        Err(e) if e.kind() == ErrorKind::NotFound => None,
        Err(e) => panic!("{e}"),
    }
}

/// All that 300 seeds leave of a file.
fn outcomes(files: &MemoryFiles, name: &str) -> BTreeSet<Option<Vec<u8>>> {
    (0..300).map(|seed| read(&files.after_crash(seed), name)).collect()
}

fn one(content: &[u8]) -> BTreeSet<Option<Vec<u8>>> {
    BTreeSet::from([Some(content.to_vec())])
}

#[test]
fn synced_bytes_under_a_synced_name_survive() {
    let files = with_dir();
    durable(&files, "f", b"hello");
    assert_eq!(outcomes(&files, "f"), one(b"hello"));
}

#[test]
fn nothing_survives_surely_without_both_syncs() {
    let files = with_dir();
    let file = write(&files, "f", 0, b"hello");
    assert_eq!(read(&files.after_crash(LOSE_ALL), "f"), None);
    assert_eq!(read(&files.after_crash(KEEP_ALL), "f").unwrap(), b"hello");
    file.sync().unwrap();
    assert!(outcomes(&files, "f").contains(&None), "a synced file without a durable name may be lost");

    let files = with_dir();
    write(&files, "f", 0, b"hello");
    files.sync_dir(Path::new("/d")).unwrap();
    let expected = [b"".to_vec(), vec![0; 5], b"hello".to_vec()].map(Some);
    assert_eq!(outcomes(&files, "f"), BTreeSet::from(expected), "the length may come without the data");
}

#[test]
fn a_directory_needs_its_own_parents_sync() {
    let files = MemoryFiles::new();
    files.create_dir(Path::new("/d")).unwrap();
    durable(&files, "f", b"hello");
    assert_eq!(outcomes(&files, "f"), BTreeSet::from([None, Some(b"hello".to_vec())]));
}

#[test]
fn unsynced_sectors_survive_in_any_subset_and_in_any_version() {
    let files = with_dir();
    let file = durable(&files, "f", &[b'a'; 2 * SECTOR]);
    for letter in [b'b', b'c'] {
        file.write_at(&mut [IoSlice::new(&[letter; 2 * SECTOR])], 0).unwrap();
    }
    let mut expected = BTreeSet::new();
    for first in *b"abc" {
        for second in *b"abc" {
            expected.insert(Some([[first; SECTOR], [second; SECTOR]].concat()));
        }
    }
    assert_eq!(outcomes(&files, "f"), expected);
    file.sync().unwrap();
    assert_eq!(outcomes(&files, "f"), one(&[b'c'; 2 * SECTOR]));
}

#[test]
fn an_unsynced_cut_may_be_lost_and_never_brings_back_what_it_cut() {
    let files = with_dir();
    let file = durable(&files, "f", b"old");
    file.set_len(0).unwrap();
    file.set_len(3).unwrap();
    let expected = [b"old".to_vec(), b"".to_vec(), b"\0\0\0".to_vec()].map(Some);
    assert_eq!(outcomes(&files, "f"), BTreeSet::from(expected));
}

#[test]
fn unsynced_names_survive_each_by_itself() {
    let files = with_dir();
    for name in ["a", "b", "c"] {
        durable(&files, name, name.as_bytes());
    }
    files.rename(&path("a"), &path("x")).unwrap();
    files.rename(&path("b"), &path("y")).unwrap();
    files.remove(&path("c")).unwrap();
    let mut seen = BTreeSet::new();
    for seed in 0..300 {
        let names: Vec<String> =
            files.after_crash(seed).list(Path::new("/d")).unwrap().into_iter().map(|e| e.name).collect();
        assert!(names.contains(&"a".into()) != names.contains(&"x".into()), "a rename is atomic: {names:?}");
        assert!(names.contains(&"b".into()) != names.contains(&"y".into()), "a rename is atomic: {names:?}");
        seen.insert(names.concat());
    }
    let all = ["abc", "ab", "bcx", "bx", "acy", "ay", "cxy", "xy"].map(String::from);
    assert_eq!(seen, BTreeSet::from(all));
    files.sync_dir(Path::new("/d")).unwrap();
    assert_eq!(files.after_crash(LOSE_ALL).list(Path::new("/d")).unwrap().len(), 2);
}

#[test]
fn a_file_never_has_two_names() {
    let files = with_dir();
    durable(&files, "a", b"1");
    files.rename(&path("a"), &path("b")).unwrap();
    files.rename(&path("b"), &path("c")).unwrap();
    for seed in 0..100 {
        assert_eq!(files.after_crash(seed).contents().len(), 1);
    }
}

#[test]
fn a_rename_between_directories_belongs_to_the_new_one() {
    let files = with_dir();
    files.create_dir(&path("sub")).unwrap();
    durable(&files, "a", b"1");
    files.rename(&path("a"), &path("sub/a")).unwrap();
    files.sync_dir(Path::new("/d")).unwrap();
    assert_eq!(read(&files.after_crash(LOSE_ALL), "a").unwrap(), b"1");
    // The old name used again and synced must not cost the file that was moved away.
    durable(&files, "a", b"2");
    assert_eq!(outcomes(&files, "a"), one(b"2"));
    assert_eq!(outcomes(&files, "sub/a"), one(b"1"));
}

/// Replaces a file; at every boundary and under every seed it holds one content or the other.
fn replace_tears(rules: Rules) -> bool {
    let old = vec![b'o'; 1500];
    let new = vec![b'n'; 2100];
    let mut torn = false;
    for at in 0.. {
        let files = with_dir();
        durable(&files, "f.tmp", &[b'g'; 3000]);
        durable(&files, "f", &old);
        files.set_rules(rules);
        files.crash_at(files.steps() + at);
        let done = replace(&files, &path("f"), &new).is_ok();
        assert_eq!(files.crashed(), !done);
        for seed in 0..60 {
            let left = read(&files.after_crash(seed), "f");
            torn |= left.as_ref() != Some(&new) && (done || left.as_ref() != Some(&old));
        }
        let left = read(&files.after_kill(), "f").unwrap();
        assert!(left == new || !done && left == old);
        if done {
            return torn;
        }
    }
    unreachable!()
}

#[test]
fn replace_is_atomic_and_rests_on_each_rule() {
    assert!(!replace_tears(Rules::default()));
    assert!(replace_tears(Rules { sync_lies: true, ..Rules::default() }));
    assert!(replace_tears(Rules { sync_dir_lies: true, ..Rules::default() }));
    assert!(!replace_tears(Rules { sync_dir_lies: true, names_durable_at_once: true, ..Rules::default() }));
}

#[test]
fn a_crash_may_cut_a_write_between_sectors() {
    let mut lengths = BTreeSet::new();
    for at in 1..5 {
        let files = with_dir();
        files.crash_at(files.steps() + at);
        let file = files.open(&path("f"), Open::Create).unwrap();
        let done = file.write_at(&mut [IoSlice::new(&[1; 300]), IoSlice::new(&[2; 4000])], 100);
        assert_eq!(done.is_ok(), at == 4);
        assert_eq!(file.len().is_ok(), at == 4, "after the crash every call fails");
        lengths.insert(read(&files.after_kill(), "f").unwrap().len());
    }
    assert_eq!(lengths, BTreeSet::from([0, 3 * 512, 6 * 512, 4400]));
}

#[test]
fn death_of_the_process_loses_nothing_but_makes_nothing_durable() {
    let files = with_dir();
    write(&files, "f", 0, b"hello");
    let next = files.after_kill();
    assert_eq!(read(&next, "f").unwrap(), b"hello");
    assert_eq!(read(&next.after_crash(LOSE_ALL), "f"), None);
    next.remove(&path("f")).unwrap();
    assert_eq!(read(&files, "f").unwrap(), b"hello", "the two are independent");
}

#[test]
fn a_failed_sync_forgets_and_the_next_one_lies() {
    let files = with_dir();
    let file = durable(&files, "f", b"old");
    file.write_at(&mut [IoSlice::new(b"new!")], 0).unwrap();
    files.fail_sync(0);
    assert_eq!(file.sync().unwrap_err().raw_os_error(), Some(5));
    file.sync().unwrap();
    assert_eq!(read(&files, "f").unwrap(), b"new!");
    assert_eq!(outcomes(&files, "f"), one(b"old\0"));
}

#[test]
fn faults_hit_the_call_they_are_meant_for() {
    let files = with_dir();
    let file = durable(&files, "f", b"0123");
    files.fail_write(1);
    file.write_at(&mut [IoSlice::new(b"a")], 0).unwrap();
    assert!(file.write_at(&mut [IoSlice::new(b"b")], 0).is_err());
    file.write_at(&mut [IoSlice::new(b"c")], 1).unwrap();
    files.fail_read(1);
    assert_eq!(read(&files, "f").unwrap(), b"ac23");
    assert!(read_all(&files, &path("f")).is_err());
    files.fail_sync_dir(0);
    assert!(files.sync_dir(Path::new("/d")).is_err());

    files.set_cold(true);
    let cold = file.read_at(&mut [0; 4], 0, Wait::Never).unwrap_err();
    assert_eq!(cold.kind(), ErrorKind::WouldBlock);
    assert_eq!(file.read_at(&mut [0; 4], 2, Wait::Allowed).unwrap(), 2);
}

#[test]
fn a_full_disk_takes_what_fits() {
    let files = with_dir();
    files.set_space(Some(10));
    let file = write(&files, "f", 0, b"12345678");
    let full = file.write_at(&mut [IoSlice::new(b"abcdef")], 6).unwrap_err();
    assert_eq!(full.raw_os_error(), Some(28));
    assert_eq!(read(&files, "f").unwrap(), b"123456abcd");
    assert!(file.set_len(11).is_err());
    file.set_len(4).unwrap();
    file.set_len(10).unwrap();
    files.remove(&path("f")).unwrap();
    write(&files, "g", 0, b"1234567890");
}

#[test]
fn errors_are_those_of_an_operating_system() {
    let files = with_dir();
    durable(&files, "f", b"1");
    let kind = |result: io::Result<()>| result.unwrap_err().kind();
    assert_eq!(kind(files.open(&path("none"), Open::Write).map(drop)), ErrorKind::NotFound);
    assert_eq!(kind(files.open(&path("no/f"), Open::Create).map(drop)), ErrorKind::NotFound);
    assert_eq!(kind(files.open(Path::new("/d"), Open::Write).map(drop)), ErrorKind::IsADirectory);
    assert_eq!(kind(files.create_dir(&path("f/x"))), ErrorKind::NotADirectory);
    assert_eq!(kind(files.sync_dir(Path::new(""))), ErrorKind::NotFound);
    assert_eq!(kind(files.rename(&path("none"), &path("x"))), ErrorKind::NotFound);
    assert_eq!(kind(files.rename(Path::new("/d"), &path("x"))), ErrorKind::InvalidInput);
    let read_only = files.open(&path("f"), Open::Read).unwrap();
    assert_eq!(read_only.write_at(&mut [IoSlice::new(b"x")], 0).unwrap_err().raw_os_error(), Some(9));
    files.create_dir(&path("a/b")).unwrap();
    write(&files, "a/b/f", 0, b"1");
    let held = files.open(&path("a/b/f"), Open::Read).unwrap();
    files.remove_dir(&path("a")).unwrap();
    assert_eq!(files.list(Path::new("/d")).unwrap(), [Entry { name: "f".into(), is_dir: false }]);
    assert_eq!(held.read_at(&mut [0], 0, Wait::Allowed).unwrap(), 1, "an open file outlives its name");
}

#[test]
fn the_same_seed_leaves_the_same() {
    let files = with_dir();
    durable(&files, "a", &[1; 5000]);
    write(&files, "a", 100, &[2; 9000]);
    write(&files, "b", 0, &[3; 900]);
    for seed in 0..20 {
        assert_eq!(files.after_crash(seed).contents(), files.after_crash(seed).contents());
    }
}

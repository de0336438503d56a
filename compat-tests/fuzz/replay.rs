//! The fuzz targets' corpus as an ordinary test. An input that once found something is added to the corpus.

#![cfg(test)]

#[path = "src/lib.rs"]
mod targets;

use std::fs;
use std::path::Path;

fn replay(corpus: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("compat-tests/fuzz/corpus").join(corpus);
    let mut inputs: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(inputs.len() > 10, "the corpus is there");
    for input in inputs {
        println!("{}", input.display());
        target(&fs::read(input).unwrap());
    }
}

#[test]
fn frame_requests() {
    replay("frame_requests", targets::frame_requests);
}

#[test]
fn batch() {
    replay("batch", targets::batch);
}

#[test]
fn kept() {
    replay("kept", targets::kept);
}

#[test]
fn recovery() {
    replay("recovery", targets::recovery);
}

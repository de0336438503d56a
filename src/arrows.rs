//! Keeps the arrows between the modules: reads every `crate::` path in the code and compares it with the order.

use std::fs;
use std::path::{Path, PathBuf};

/// Each may use those after it.
const ORDER: [&str; 10] =
    ["server", "connection", "api", "broker", "coordinator", "catalog", "partition", "log", "wire", "time"];
/// Stand side by side: the first may not use the second though it is after it.
const APART: (&str, &str) = ("coordinator", "catalog");
/// The last module that may use `config`.
const LAST_WITH_CONFIG: &str = "partition";
/// Where Kafka's message types may appear.
const WITH_MESSAGES: [&str; 3] = ["api", "connection", "coordinator"];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The code of a file without comments and without its tests, which may reach anywhere.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The first segments of all `crate::` paths, those in braces too.
fn used(code: &str) -> Vec<String> {
    let heads = code.split("crate::").skip(1).flat_map(|rest| match rest.strip_prefix('{') {
        Some(list) => list.split('}').next().unwrap_or_default().split(',').map(str::trim).collect(),
        None => vec![rest],
    });
    heads.map(|head| head.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()).collect()
}

fn rank(module: &str) -> Option<usize> {
    ORDER.iter().position(|name| *name == module)
}

#[test]
fn modules_use_only_what_stands_after_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut files, mut wrong) = (Vec::new(), Vec::new());
    sources(&root, &mut files);
    assert!(files.len() > 50, "the sources were not found");
    for file in files {
        let inside = file.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        let module = inside.split(['/', '.']).next().unwrap().to_owned();
        let is_test = inside.contains("tests") || inside.contains("test_log");
        if is_test || ["lib", "main", "arrows", "readme"].contains(&module.as_str()) {
            continue;
        }
        let code = code(&file);
        for target in used(&code) {
            let allowed = match (rank(&module), rank(&target)) {
                _ if target == module => true,
                _ if (module.as_str(), target.as_str()) == APART => false,
                (Some(from), Some(to)) => from < to,
                (Some(from), None) if target == "config" => Some(from) <= rank(LAST_WITH_CONFIG),
                // Configuration stands beside: it uses nothing of the rest.
                _ => false,
            };
            if !allowed {
                wrong.push(format!("{inside} uses {target}"));
            }
        }
        if code.contains("kafka_protocol::messages") && !WITH_MESSAGES.contains(&module.as_str()) {
            wrong.push(format!("{inside} uses Kafka's message types"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

//! Keeps the tables in README.md true. With `OTTLA_WRITE_README=1` in the environment they are written instead.

use crate::api;
use crate::config::readme;
use std::path::Path;

/// `text` with the content of the table of this name replaced.
fn with_table(text: &str, name: &str, table: &str) -> String {
    let start = format!("<!-- table: {name} -->\n");
    let (before, rest) = text.split_once(&start).unwrap();
    let (_, after) = rest.split_once("<!-- end -->").unwrap();
    format!("{before}{start}{}\n<!-- end -->{after}", table.trim_end())
}

#[test]
fn the_tables_are_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let tables = [
        ("api", api::readme_table()),
        ("defaults", readme::different_defaults()),
        ("settings", readme::acting()),
        ("inert", readme::without_effect()),
    ];
    let right = tables.iter().fold(text.clone(), |text, (name, table)| with_table(&text, name, table));
    if std::env::var_os("OTTLA_WRITE_README").is_some() {
        std::fs::write(&path, right).unwrap();
    } else {
        assert!(text == right, "README.md is behind the code; OTTLA_WRITE_README=1 cargo test readme mends it");
    }
}

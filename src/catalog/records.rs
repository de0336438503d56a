//! The catalog's file: what is in it, and how it is read.
//!
//! Lines of `crc32c-in-hex json`. The first is a [`Header`]; each line after it is a list of [`Record`]s that were
//! committed together, so that a commit is there whole or not at all. The header says how many lines were written
//! with it, by replacing the file; later ones were appended, and only the last of those can have been torn by a
//! crash. Anything else that does not read is damage, and the broker does not start: to go on without a topic that
//! was acknowledged would be worse.

use super::CatalogError;
use super::image::{Configs, Contradiction, Image};
use serde::{Deserialize, Serialize};
use std::path::Path;
use uuid::Uuid;

const FORMAT: &str = "ottla-catalog";

/// Raised when an older broker would misread what a newer one writes.
const VERSION: u32 = 1;

/// One change of what exists. Stored as it is here: a field or kind that is added makes older brokers refuse the
/// file, none may change its meaning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Record {
    /// The broker started, with this leader epoch.
    Started {
        /// Higher than all before it.
        epoch: i32,
    },
    /// A topic came to be.
    TopicCreated {
        /// Its name.
        name: String,
        /// Its id, never seen before.
        id: Uuid,
        /// At least 1.
        partitions: i32,
        /// Its settings.
        #[serde(default, skip_serializing_if = "Configs::is_empty")]
        configs: Configs,
    },
    /// A topic has more partitions.
    PartitionsAdded {
        /// The topic.
        id: Uuid,
        /// How many it has now.
        partitions: i32,
    },
    /// A topic's settings are these.
    ConfigsSet {
        /// The topic.
        id: Uuid,
        /// All of them.
        configs: Configs,
    },
    /// A group's settings are these; a group need not exist to have some. Without any it is as if never named.
    GroupConfigsSet {
        /// The group.
        group: String,
        /// All of them.
        configs: Configs,
    },
    /// A topic is no more; its folders are to be removed.
    TopicDeleted {
        /// The name it had.
        name: String,
        /// The id it had.
        id: Uuid,
        /// How many partitions it had.
        partitions: i32,
    },
    /// The folders of a deleted topic are gone.
    FoldersRemoved {
        /// The topic.
        id: Uuid,
    },
    /// Producer ids below this were handed out.
    ProducerIds {
        /// The first that was not.
        next: i64,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: String,
    version: u32,
    cluster_id: String,
    node_id: i32,
    /// Lines after this one that were written with it.
    lines: usize,
}

/// Enough of a header to tell a newer file from a damaged one.
#[derive(Debug, Deserialize)]
struct AnyHeader {
    format: String,
    version: u32,
}

/// What a file says.
#[derive(Debug)]
pub(super) struct Stored {
    /// As of the last whole line.
    pub image: Image,
    /// Whether a torn line was left out.
    pub torn: bool,
}

/// One line.
fn line(content: &impl Serialize) -> Result<Vec<u8>, CatalogError> {
    let json = serde_json::to_vec(content).map_err(|e| CatalogError::Unwritable(e.to_string()))?;
    let mut line = format!("{:08x} ", crc32c::crc32c(&json)).into_bytes();
    line.extend_from_slice(&json);
    line.push(b'\n');
    Ok(line)
}

/// The line of a commit.
pub(super) fn encode_commit(records: &[Record]) -> Result<Vec<u8>, CatalogError> {
    line(&records)
}

/// A whole file that says what the image says.
pub(super) fn encode_file(image: &Image) -> Result<Vec<u8>, CatalogError> {
    let records = image.records();
    let mut file = line(&Header {
        format: FORMAT.into(),
        version: VERSION,
        cluster_id: image.cluster_id().to_owned(),
        node_id: image.node_id,
        lines: records.len(),
    })?;
    for record in records {
        file.extend(encode_commit(&[record])?);
    }
    Ok(file)
}

/// The JSON of a line without its line end, or what is wrong with it.
fn checked(line: &[u8]) -> Result<&[u8], &'static str> {
    let (crc, json) = line.split_at_checked(9).ok_or("the line is too short")?;
    let crc = crc.strip_suffix(b" ").and_then(|hex| std::str::from_utf8(hex).ok());
    let crc = crc.and_then(|hex| u32::from_str_radix(hex, 16).ok()).ok_or("the line does not begin with a checksum")?;
    if crc == crc32c::crc32c(json) { Ok(json) } else { Err("the checksum does not match") }
}

/// Whether a bad line begins with a whole commit: then it is not a torn one, but two whose line end is damaged.
fn begins_whole(line: &[u8]) -> bool {
    let Some((_, json)) = line.split_at_checked(9) else { return false };
    let mut values = serde_json::Deserializer::from_slice(json).into_iter::<serde::de::IgnoredAny>();
    let Some(Ok(_)) = values.next() else { return false };
    let (whole, after) = line.split_at(9 + values.byte_offset());
    checked(whole).is_ok() && after.iter().any(|byte| *byte != 0)
}

/// Reads a file. `path` is for the errors alone.
pub(super) fn decode_file(path: &Path, content: &[u8]) -> Result<Stored, CatalogError> {
    let damaged = |number: usize, what: &str| CatalogError::Damaged {
        path: path.to_owned(),
        line: number,
        what: what.to_owned(),
    };
    let newer = |number: usize, what: String| CatalogError::Newer { path: path.to_owned(), line: number, what };
    let mut lines =
        content.split_inclusive(|byte| *byte == b'\n').enumerate().map(|(n, line)| (n + 1, line)).peekable();
    let (_, first) = lines.next().ok_or_else(|| damaged(1, "the file is empty"))?;
    let header = read_header(first).map_err(|e| match e {
        HeaderError::Damaged(what) => damaged(1, what),
        HeaderError::Newer(what) => newer(1, what),
    })?;
    let mut image = Image::new();
    image.cluster_id = header.cluster_id.into();
    image.node_id = header.node_id;
    let mut read = 0;
    let mut torn = false;
    while let Some((number, line)) = lines.next() {
        let json = line.strip_suffix(b"\n").ok_or("the line has no end").and_then(checked);
        let json = match json {
            Ok(json) => json,
            Err(_) if lines.peek().is_none() && read >= header.lines && !begins_whole(line) => {
                torn = true;
                break;
            }
            Err(what) => return Err(damaged(number, what)),
        };
        let records: Vec<Record> = serde_json::from_slice(json).map_err(|e| newer(number, e.to_string()))?;
        for record in &records {
            image.apply(record).map_err(|Contradiction(what)| damaged(number, &what))?;
        }
        read += 1;
    }
    if read < header.lines {
        return Err(damaged(read + 2, "the file ends too early"));
    }
    Ok(Stored { image, torn })
}

enum HeaderError {
    Damaged(&'static str),
    Newer(String),
}

fn read_header(line: &[u8]) -> Result<Header, HeaderError> {
    let json = line.strip_suffix(b"\n").ok_or("the line has no end").and_then(checked).map_err(HeaderError::Damaged)?;
    let any: AnyHeader = serde_json::from_slice(json).map_err(|e| HeaderError::Newer(e.to_string()))?;
    if any.format != FORMAT {
        return Err(HeaderError::Damaged("the file is not a catalog"));
    }
    if any.version != VERSION {
        return Err(HeaderError::Newer(format!("version {} of the format", any.version)));
    }
    serde_json::from_slice(json).map_err(|e| HeaderError::Newer(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commits() -> (Image, Vec<Vec<u8>>) {
        let mut image = Image::new();
        image.cluster_id = "c".into();
        image.apply(&Record::Started { epoch: 4 }).unwrap();
        let configs = Configs::from([("a".to_owned(), "1\n\"é".to_owned())]);
        image
            .apply(&Record::TopicCreated { name: "t".into(), id: Uuid::from_u128(5), partitions: 3, configs })
            .unwrap();
        let lines = [
            vec![Record::ProducerIds { next: 1000 }],
            vec![
                Record::PartitionsAdded { id: Uuid::from_u128(5), partitions: 4 },
                Record::ConfigsSet { id: Uuid::from_u128(5), configs: Configs::new() },
                Record::GroupConfigsSet { group: "g".into(), configs: Configs::from([("b".into(), "2".into())]) },
            ],
        ];
        (image, lines.iter().map(|records| encode_commit(records).unwrap()).collect())
    }

    fn decode(content: &[u8]) -> Result<Stored, CatalogError> {
        decode_file(Path::new("/d/catalog"), content)
    }

    #[test]
    fn the_format_is_pinned() {
        let (image, commits) = commits();
        let file = String::from_utf8([encode_file(&image).unwrap(), commits.concat()].concat()).unwrap();
        let expected = r#"00000000 {"format":"ottla-catalog","version":1,"cluster_id":"c","node_id":0,"lines":2}
00000000 [{"kind":"started","epoch":4}]
00000000 [{"kind":"topic_created","name":"t","id":"00000000-0000-0000-0000-000000000005","partitions":3,"configs":{"a":"1\n\"é"}}]
00000000 [{"kind":"producer_ids","next":1000}]
00000000 [{"kind":"partitions_added","id":"00000000-0000-0000-0000-000000000005","partitions":4},{"kind":"configs_set","id":"00000000-0000-0000-0000-000000000005","configs":{}},{"kind":"group_configs_set","group":"g","configs":{"b":"2"}}]
"#;
        for (found, expected) in file.lines().zip(expected.lines()) {
            assert_eq!(found[9..], expected[9..]);
            assert_eq!(found[..8], format!("{:08x}", crc32c::crc32c(&expected.as_bytes()[9..])));
        }
        assert_eq!(file.len(), expected.len());
    }

    #[test]
    fn a_file_cut_or_zeroed_anywhere_in_its_last_commit_is_as_before_that_commit() {
        let (image, commits) = commits();
        let before = [encode_file(&image).unwrap(), commits[0].clone()].concat();
        let whole = [before.clone(), commits[1].clone()].concat();
        let expected = decode(&before).unwrap().image;
        for cut in before.len()..whole.len() {
            let stored = decode(&whole[..cut]).unwrap();
            assert_eq!((stored.image, stored.torn), (expected.clone(), cut > before.len()));
            let mut zeroed = whole.clone();
            zeroed[cut] = 0;
            let stored = decode(&zeroed).unwrap();
            assert_eq!((stored.image, stored.torn), (expected.clone(), true));
        }
        let image = decode(&whole).unwrap().image;
        assert_eq!(image.topic("t").unwrap().partitions, 4);
        assert_eq!(image.group_configs("g").unwrap()["b"], "2");
    }

    #[test]
    fn damage_before_the_last_commit_names_the_line() {
        let (image, commits) = commits();
        let snapshot = encode_file(&image).unwrap();
        let whole = [snapshot.clone(), commits.concat()].concat();
        let last = whole.len() - commits[1].len();
        for at in 0..last {
            for flip in [1, 0x80] {
                let mut content = whole.clone();
                content[at] ^= flip;
                let expected = content[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
                match decode(&content).unwrap_err() {
                    CatalogError::Damaged { line, path, .. } => {
                        assert_eq!((line, path.to_str().unwrap()), (expected, "/d/catalog"), "byte {at}");
                    }
                    other => panic!("{other}"),
                }
            }
        }
        // What was written by replacing the file cannot be torn.
        for cut in 0..snapshot.len() {
            assert!(matches!(decode(&snapshot[..cut]), Err(CatalogError::Damaged { .. })), "{cut}");
        }
    }

    #[test]
    fn what_a_newer_version_wrote_is_named() {
        let (image, commits) = commits();
        let file = encode_file(&image).unwrap();
        let text = |content: &[u8]| decode(content).unwrap_err().to_string();
        let unknown = line(&serde_json::json!([{"kind": "acl", "who": "x"}])).unwrap();
        let message = text(&[file.clone(), unknown, commits[0].clone()].concat());
        assert!(message.contains("line 4") && message.contains("`acl`") && message.contains("newer"), "{message}");
        let field = line(&serde_json::json!([{"kind": "started", "epoch": 9, "rack": "x"}])).unwrap();
        let message = text(&[file.clone(), field].concat());
        assert!(message.contains("line 4") && message.contains("`rack`"), "{message}");
        let header = line(&serde_json::json!({"format": FORMAT, "version": 2})).unwrap();
        assert!(text(&header).contains("version 2 of the format"));
    }

    #[test]
    fn records_that_contradict_each_other_are_damage() {
        let (image, commits) = commits();
        let twice = [encode_file(&image).unwrap(), commits[0].clone(), commits[0].clone()].concat();
        assert!(matches!(decode(&twice), Err(CatalogError::Damaged { line: 5, .. })));
    }
}

//! `meta.properties`: which cluster, broker and log directory this is, in Kafka's format (`MetaProperties`, version 1).
//!
//! Java's escapes are not read: the characters that would need them are refused in cluster ids.

use super::CatalogError;
use super::ids::{FreshIds, id_text, is_reserved, parse_id};
use crate::log::disk::{Files, read_all, replace};
use std::path::Path;
use uuid::Uuid;

/// Name of the file in each log directory.
pub const FILE: &str = "meta.properties";

/// Who a broker is told to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `node.id`, where it was given; without it the first start takes 1 and later ones what is stored.
    pub node_id: Option<i32>,
    /// The cluster id asked for (`CLUSTER_ID`); without it the first start makes one.
    pub cluster_id: Option<String>,
}

/// What the file of one log directory says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    /// The cluster.
    pub cluster_id: String,
    /// The broker.
    pub node_id: i32,
    /// The log directory; Kafka may have left it out.
    pub directory_id: Option<Uuid>,
}

impl MetaProperties {
    /// Reads a log directory's file and checks it against what the broker is told to be; makes it where there is
    /// none, and completes it. Durable on return. All log directories of a broker must be given one cluster id.
    pub fn open(
        files: &dyn Files,
        dir: &Path,
        identity: &Identity,
        ids: &mut FreshIds,
    ) -> Result<(MetaProperties, Uuid), CatalogError> {
        let path = dir.join(FILE);
        let io = CatalogError::io(&path);
        let wrong = |what: String| CatalogError::Identity { path: path.clone(), what };
        let found = match files.exists(&path).map_err(&io)? {
            true => Some(read_all(files, &path).map_err(&io)?),
            false => None,
        };
        let mut meta = match &found {
            Some(content) => MetaProperties::parse(content).map_err(wrong)?,
            None => MetaProperties {
                cluster_id: identity.cluster_id.clone().unwrap_or_else(|| id_text(ids.fresh())),
                node_id: identity.node_id.unwrap_or(1),
                directory_id: None,
            },
        };
        meta.check(identity).map_err(wrong)?;
        let directory_id = meta.directory_id.unwrap_or_else(|| ids.fresh());
        if found.is_none() || meta.directory_id.is_none() {
            meta.directory_id = Some(directory_id);
            replace(files, &path, meta.to_string().as_bytes()).map_err(&io)?;
        }
        // A start that was killed may have left a file whose name is not durable.
        files.sync_dir(dir).map_err(&io)?;
        Ok((meta, directory_id))
    }

    fn check(&self, identity: &Identity) -> Result<(), String> {
        check_cluster_id(&self.cluster_id)?;
        if let Some(wanted) = identity.node_id.filter(|wanted| *wanted != self.node_id) {
            return Err(format!(
                "this is the data of node.id {}, but node.id is set to {wanted}: set it back, or use another log.dirs",
                self.node_id
            ));
        }
        match &identity.cluster_id {
            Some(wanted) if *wanted != self.cluster_id => Err(format!(
                "this is the data of cluster {}, but cluster {wanted} is asked for: leave CLUSTER_ID out, or use \
                 another log.dirs",
                self.cluster_id
            )),
            _ => Ok(()),
        }
    }

    fn parse(content: &[u8]) -> Result<MetaProperties, String> {
        let text = std::str::from_utf8(content).map_err(|_| "it is not text")?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '!']));
        let pairs: Vec<(&str, &str)> =
            lines.filter_map(|line| line.split_once('=')).map(|(key, value)| (key.trim(), value.trim())).collect();
        // Of a key that is there twice Java keeps the last.
        let get = |key: &str| pairs.iter().rev().find(|pair| pair.0 == key).map(|pair| pair.1);
        let need = |key: &str| get(key).ok_or_else(|| format!("{key} is missing"));
        match get("version") {
            Some("1") => {}
            Some(version) => return Err(format!("version {version} is not supported, only 1 is")),
            None => return Err("version is missing".into()),
        }
        let node_id = need("node.id")?;
        let directory_id = get("directory.id").map(|text| match parse_id(text) {
            Some(id) if !is_reserved(id) => Ok(id),
            _ => Err(format!("directory.id {text} is not an id")),
        });
        Ok(MetaProperties {
            cluster_id: need("cluster.id")?.to_owned(),
            node_id: node_id.parse().map_err(|_| format!("node.id {node_id} is not a number"))?,
            directory_id: directory_id.transpose()?,
        })
    }
}

impl std::fmt::Display for MetaProperties {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "version=1\ncluster.id={}\nnode.id={}", self.cluster_id, self.node_id)?;
        self.directory_id.map_or(Ok(()), |id| writeln!(f, "directory.id={}", id_text(id)))
    }
}

fn check_cluster_id(id: &str) -> Result<(), String> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=64).contains(&id.len()) && id.bytes().all(legal) {
        return Ok(());
    }
    Err(format!("the cluster id {id:?} is not made of 1 to 64 ASCII letters, digits, '-', '_' and '.'"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::disk::memory::{LOSE_ALL, MemoryFiles};

    const DIR: &str = "/d";

    fn ids() -> FreshIds {
        let mut next = 1000;
        FreshIds::from_source(move || {
            next += 1;
            Uuid::from_u128(next)
        })
    }

    fn identity(node_id: i32, cluster_id: Option<&str>) -> Identity {
        Identity { node_id: Some(node_id), cluster_id: cluster_id.map(String::from) }
    }

    fn open(files: &MemoryFiles, node_id: i32, cluster_id: Option<&str>) -> Result<(MetaProperties, Uuid), String> {
        MetaProperties::open(files, Path::new(DIR), &identity(node_id, cluster_id), &mut ids())
            .map_err(|e| e.to_string())
    }

    fn with(content: &str) -> MemoryFiles {
        let files = MemoryFiles::new();
        files.create_dir(Path::new(DIR)).unwrap();
        replace(&files, &Path::new(DIR).join(FILE), content.as_bytes()).unwrap();
        files
    }

    #[test]
    fn the_first_start_makes_it_and_the_next_reads_it() {
        let files = MemoryFiles::new();
        files.create_dir(Path::new(DIR)).unwrap();
        let (first, directory) = open(&files, 3, None).unwrap();
        let text = String::from_utf8(read_all(&files, &Path::new(DIR).join(FILE)).unwrap()).unwrap();
        assert_eq!(
            text,
            "version=1\ncluster.id=AAAAAAAAAAAAAAAAAAAD6Q\nnode.id=3\ndirectory.id=AAAAAAAAAAAAAAAAAAAD6g\n"
        );
        let again = open(&files, 3, Some("AAAAAAAAAAAAAAAAAAAD6Q")).unwrap();
        assert_eq!(again, (first, directory));
    }

    #[test]
    fn a_start_killed_at_any_step_is_made_good_by_the_next() {
        for at in 1..10 {
            let files = MemoryFiles::new();
            files.create_dir(Path::new(DIR)).unwrap();
            files.sync_dir(Path::new("/")).unwrap();
            files.crash_at(files.steps() + at);
            let first = open(&files, 3, Some("c"));
            assert_eq!(first.is_ok(), at >= 6);
            let next = files.after_kill();
            let found = open(&next, 3, None).unwrap();
            assert_eq!(open(&next.after_crash(LOSE_ALL), 3, None).unwrap(), found, "step {at}");
        }
    }

    #[test]
    fn kafkas_own_file_is_read_and_completed() {
        let files =
            with("#\n#Sat Oct 12 10:00:00 UTC 2024\ncluster.id=MkU3OEVBNTcwNTJENDM2Qk\n node.id = 1\nversion=1\n");
        let (meta, directory) = open(&files, 1, None).unwrap();
        assert_eq!(meta.cluster_id, "MkU3OEVBNTcwNTJENDM2Qk");
        assert_eq!(open(&files, 1, None).unwrap().1, directory, "a directory id is made once");
    }

    #[test]
    fn a_wrong_identity_says_how_to_mend_it() {
        let files = with("version=1\ncluster.id=abc\nnode.id=1\n");
        for (node_id, cluster_id, expected) in [
            (2, None, "/d/meta.properties: this is the data of node.id 1, but node.id is set to 2"),
            (1, Some("xyz"), "this is the data of cluster abc, but cluster xyz is asked for"),
        ] {
            let message = open(&files, node_id, cluster_id).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn garbage_is_refused() {
        for (content, expected) in [
            ("", "version is missing"),
            ("version=0\nbroker.id=1\n", "version 0"),
            ("version=1\nnode.id=1\n", "cluster.id is missing"),
            ("version=1\ncluster.id=a\n", "node.id is missing"),
            ("version=1\ncluster.id=a\nnode.id=x\n", "node.id x"),
            ("version=1\ncluster.id=a\\:b\nnode.id=1\n", "cluster id"),
            ("version=1\ncluster.id=a\nnode.id=1\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAA\n", "directory.id"),
        ] {
            let message = open(&with(content), 1, None).unwrap_err();
            assert!(message.contains(expected), "{content:?}: {message}");
        }
        let files = MemoryFiles::new();
        files.create_dir(Path::new(DIR)).unwrap();
        assert!(open(&files, 1, Some("a b")).is_err());
        assert!(!files.exists(&Path::new(DIR).join(FILE)).unwrap());
    }
}

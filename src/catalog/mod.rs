//! What exists: topics, their ids and settings, settings of groups, blocks of producer ids, and the epoch of this start. Durable before
//! it is seen, and seen whole.
//!
//! Readers take [`Catalog::image`], a value that never changes. Changes are made one after the other by
//! [`Catalog::update`]: decide on a [`Draft`], append and sync, then show the new image. Every start writes the file
//! anew: what a killed process left unsynced, or a failed sync dropped from memory, then rests on new bytes. All
//! calls that write block.

mod groups;
mod ids;
mod image;
mod meta;
mod records;
mod topics;

pub use groups::MAX_GROUP_NAME_LENGTH;
pub use ids::{FreshIds, id_text, is_reserved, parse_id};
pub use image::{Configs, Contradiction, DeletedTopic, Image, ProducerIdBlock, Topic};
pub use meta::{FILE as META_PROPERTIES, Identity, MetaProperties};
pub use records::Record;
pub use topics::{
    CONSUMER_OFFSETS, ConfigChange, ConfigRules, MAX_NAME_LENGTH, MAX_PARTITIONS_PER_REQUEST, NewTopic,
    PRODUCER_ID_BLOCK_SIZE, SHARE_GROUP_STATE, TRANSACTION_STATE, TopicError, check_name, is_internal,
};

use crate::log::disk::{File, Files, Open, read_all, replace};
use parking_lot::Mutex;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// Name of the catalog's file, in the first log directory.
pub const FILE: &str = "catalog.ottla";

/// The file is written anew when what was appended is more than this and four times the rest.
const COMPACT_BYTES: u64 = 1 << 20;

/// Why the catalog cannot be opened or changed.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The file system failed.
    #[error("{path}: {source}")]
    Io {
        /// What was being read or written.
        path: PathBuf,
        /// How.
        source: io::Error,
    },
    /// The file is not what was written.
    #[error("{path}, line {line}: {what}. The catalog is damaged: restore the file from a copy")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// The file is whole but not understood.
    #[error("{path}, line {line}: not understood ({what}). Was it written by a newer version?")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is not understood.
        what: String,
    },
    /// The directory belongs to another broker or cluster.
    #[error("{path}: {what}")]
    Identity {
        /// The file that says so.
        path: PathBuf,
        /// What it says and what to do.
        what: String,
    },
    /// There are partitions but no catalog.
    #[error(
        "{dir} holds partitions ({example}) but no {FILE}: restore that file, or use another directory for log.dirs"
    )]
    Orphans {
        /// The log directory.
        dir: PathBuf,
        /// One of them.
        example: String,
    },
    /// A write failed before; what is on disk is known again after a restart.
    #[error("the catalog takes no changes until a restart, since a write failed: {0}")]
    Failed(Arc<str>),
    /// A record does not follow from the image; nothing was written.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    /// A record cannot be put into text; nothing was written.
    #[error("a record cannot be written: {0}")]
    Unwritable(String),
}

impl CatalogError {
    fn io(path: &Path) -> impl Fn(io::Error) -> CatalogError + use<> {
        let path = path.to_owned();
        move |source| CatalogError::Io { path: path.clone(), source }
    }
}

/// The catalog. One process has it open at a time; the lock on the log directory is the broker's.
#[derive(Debug)]
pub struct Catalog {
    image: Mutex<Arc<Image>>,
    /// Held over I/O: changes are made one after the other.
    writer: Mutex<Writer>,
}

#[derive(Debug)]
struct Writer {
    files: Arc<dyn Files>,
    path: PathBuf,
    file: Arc<dyn File>,
    length: u64,
    /// Length when the file was last written anew.
    base: u64,
    ids: FreshIds,
    failed: Option<Arc<str>>,
}

impl Catalog {
    /// Opens the catalog of the broker whose first log directory this is, makes both at the first start, and begins
    /// a new boot epoch.
    pub fn open(
        files: Arc<dyn Files>,
        dir: &Path,
        identity: &Identity,
        mut ids: FreshIds,
    ) -> Result<Catalog, CatalogError> {
        let path = dir.join(FILE);
        let io = CatalogError::io(&path);
        let mut identity = identity.clone();
        let mut image = Image::new();
        if files.exists(&path).map_err(&io)? {
            let stored = records::decode_file(&path, &read_all(&*files, &path).map_err(&io)?)?;
            if stored.torn {
                tracing::warn!("{}: left out a change that was being written at the last stop", path.display());
            }
            image = stored.image;
            check_identity(&path, &image, &identity)?;
            identity.cluster_id = Some(image.cluster_id().to_owned());
        } else {
            make_dir(&*files, dir)?;
            refuse_orphans(&*files, dir)?;
        }
        let (meta, directory_id) = MetaProperties::open(&*files, dir, &identity, &mut ids)?;
        image.cluster_id = meta.cluster_id.into();
        image.node_id = meta.node_id;
        image.directory_id = directory_id;
        let epoch = image.boot_epoch().saturating_add(1);
        image.apply(&Record::Started { epoch })?;
        let (file, length) = write_anew(&*files, &path, &image)?;
        let writer = Writer { files, path, file, length, base: length, ids, failed: None };
        Ok(Catalog { image: Mutex::new(Arc::new(image)), writer: Mutex::new(writer) })
    }

    /// What exists now. Cheap; never waits for a write.
    pub fn image(&self) -> Arc<Image> {
        self.image.lock().clone()
    }

    /// Changes what exists. `decide` sees the image of all earlier changes and adds its own to the draft; they are
    /// durable and visible on return, together. A draft without changes writes nothing. After a write that failed
    /// every call fails until a restart, and whether that change is there is known only then.
    pub fn update<T>(&self, decide: impl FnOnce(&mut Draft<'_>) -> T) -> Result<(T, Arc<Image>), CatalogError> {
        let mut writer = self.writer.lock();
        if let Some(why) = &writer.failed {
            return Err(CatalogError::Failed(why.clone()));
        }
        let mut draft = Draft { image: self.image(), records: Vec::new(), made: 0, ids: &mut writer.ids };
        let answer = decide(&mut draft);
        let Draft { image, records, .. } = draft;
        if !records.is_empty() {
            writer.write(&records, &image)?;
            *self.image.lock() = image.clone();
        }
        Ok((answer, image))
    }

    /// What [`Catalog::update`] would answer; nothing is changed.
    pub fn preview<T>(&self, decide: impl FnOnce(&mut Draft<'_>) -> T) -> T {
        let mut writer = self.writer.lock();
        decide(&mut Draft { image: self.image(), records: Vec::new(), made: 0, ids: &mut writer.ids })
    }

    /// Makes records durable and visible, together, or refuses all of them.
    pub fn commit(&self, records: Vec<Record>) -> Result<Arc<Image>, CatalogError> {
        // Tried before, so that a contradiction in the last one does not leave the others behind.
        let (tried, image) = self.update(|draft| {
            let mut image = Image::clone(&draft.image);
            records.iter().try_for_each(|record| image.apply(record))?;
            records.into_iter().try_for_each(|record| draft.add(record))
        })?;
        tried.map_err(CatalogError::from)?;
        Ok(image)
    }
}

impl Writer {
    fn write(&mut self, records: &[Record], image: &Image) -> Result<(), CatalogError> {
        let line = records::encode_commit(records)?;
        let appended = self.length - self.base + line.len() as u64;
        let written = if appended > COMPACT_BYTES.max(4 * self.base) {
            write_anew(&*self.files, &self.path, image).map(|(file, length)| {
                self.file = file;
                self.base = length;
                self.length = length;
            })
        } else {
            let append = self.file.write_at(&mut [IoSlice::new(&line)], self.length);
            append.and_then(|()| self.file.sync()).map_err(CatalogError::io(&self.path)).map(|()| {
                self.length += line.len() as u64;
            })
        };
        written.inspect_err(|e| {
            tracing::error!("{e}: the catalog takes no more changes until a restart");
            self.failed = Some(e.to_string().into());
        })
    }
}

/// Replaces the file by one that says what the image says; it is durable on return.
fn write_anew(files: &dyn Files, path: &Path, image: &Image) -> Result<(Arc<dyn File>, u64), CatalogError> {
    let content = records::encode_file(image)?;
    replace(files, path, &content).map_err(CatalogError::io(path))?;
    let file = files.open(path, Open::Write).map_err(CatalogError::io(path))?;
    Ok((file, content.len() as u64))
}

fn check_identity(path: &Path, image: &Image, identity: &Identity) -> Result<(), CatalogError> {
    let wrong = |what| Err(CatalogError::Identity { path: path.to_owned(), what });
    if let Some(wanted) = identity.node_id.filter(|wanted| *wanted != image.node_id()) {
        return wrong(format!("this is the catalog of node.id {}, not of {wanted}", image.node_id()));
    }
    match &identity.cluster_id {
        Some(wanted) if wanted != image.cluster_id() => {
            wrong(format!("this is the catalog of cluster {}, not of {wanted}", image.cluster_id()))
        }
        _ => Ok(()),
    }
}

/// Makes the directory, and the names on the way to it durable. Some of them may be older and not ours to open.
fn make_dir(files: &dyn Files, dir: &Path) -> Result<(), CatalogError> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    files.create_dir(dir).map_err(CatalogError::io(dir))?;
    for parent in dir.ancestors().filter_map(Path::parent) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        match files.sync_dir(parent) {
            Err(e) if !matches!(e.kind(), InvalidInput | PermissionDenied | ReadOnlyFilesystem | Unsupported) => {
                return Err(CatalogError::io(parent)(e));
            }
            _ => {}
        }
    }
    Ok(())
}

/// To start with an empty catalog beside partitions would be to lose them without a word.
fn refuse_orphans(files: &dyn Files, dir: &Path) -> Result<(), CatalogError> {
    let is_partition = |name: &str| {
        name.rsplit_once('-').is_some_and(|(topic, partition)| {
            topics::check_name(topic).is_ok() && !partition.is_empty() && partition.bytes().all(|b| b.is_ascii_digit())
        })
    };
    let entries = files.list(dir).map_err(CatalogError::io(dir))?;
    match entries.into_iter().find(|entry| entry.is_dir && is_partition(&entry.name)) {
        Some(entry) => Err(CatalogError::Orphans { dir: dir.to_owned(), example: entry.name }),
        None => Ok(()),
    }
}

/// Changes being decided: an image that already has them, and their records. What one command adds the next one
/// sees. Each command either adds all of its change or none.
#[derive(Debug)]
pub struct Draft<'a> {
    image: Arc<Image>,
    records: Vec<Record>,
    /// Partitions made so far.
    made: i32,
    ids: &'a mut FreshIds,
}

impl Draft<'_> {
    /// What would exist.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Adds a record.
    pub fn add(&mut self, record: Record) -> Result<(), Contradiction> {
        Arc::make_mut(&mut self.image).apply(&record)?;
        self.records.push(record);
        Ok(())
    }

    /// Makes a topic (CreateTopics, and the first use of a name).
    pub fn create_topic(
        &mut self,
        new: &NewTopic,
        default_partitions: i32,
        rules: ConfigRules<'_>,
    ) -> Result<Arc<Topic>, TopicError> {
        let id = self.ids.fresh();
        let record = topics::create_topic(&self.image, new, id, default_partitions, self.made, rules)?;
        self.add(record)?;
        let topic = self.image.topic_by_id(id).ok_or(TopicError::UnknownId)?;
        self.made = self.made.saturating_add(topic.partitions);
        Ok(topic.clone())
    }

    /// Ends a topic, by its id. Answers what it was.
    pub fn delete_topic(&mut self, id: Uuid) -> Result<Arc<Topic>, TopicError> {
        let topic = self.image.topic_by_id(id).cloned().ok_or(TopicError::UnknownId)?;
        self.add(topics::delete_topic(&self.image, id)?)?;
        Ok(topic)
    }

    /// Ends a topic, by its name. Answers what it was.
    pub fn delete_topic_by_name(&mut self, name: &str) -> Result<Arc<Topic>, TopicError> {
        let topic = self.image.topic(name).cloned().ok_or_else(|| TopicError::UnknownName(name.to_owned()))?;
        self.delete_topic(topic.id)
    }

    /// Gives a topic more partitions (CreatePartitions): `count` in all; `assignments` has the brokers of each new
    /// one, where the client chose them.
    pub fn add_partitions(
        &mut self,
        name: &str,
        count: i32,
        assignments: Option<&[Vec<i32>]>,
    ) -> Result<(), TopicError> {
        let record = topics::add_partitions(&self.image, name, count, assignments, self.made)?;
        let before = self.image.topic(name).map_or(0, |topic| topic.partitions);
        self.add(record)?;
        self.made = self.made.saturating_add(count.saturating_sub(before));
        Ok(())
    }

    /// Changes some settings of a topic (IncrementalAlterConfigs).
    pub fn alter_configs(
        &mut self,
        name: &str,
        changes: &[(String, ConfigChange)],
        rules: ConfigRules<'_>,
    ) -> Result<(), TopicError> {
        let record = topics::alter_configs(&self.image, name, changes, rules)?;
        Ok(record.map_or(Ok(()), |record| self.add(record))?)
    }

    /// Replaces all settings of a topic (AlterConfigs).
    pub fn replace_configs(&mut self, name: &str, configs: Configs, rules: ConfigRules<'_>) -> Result<(), TopicError> {
        let record = topics::replace_configs(&self.image, name, configs, rules)?;
        Ok(record.map_or(Ok(()), |record| self.add(record))?)
    }

    /// Changes some settings of a group (IncrementalAlterConfigs).
    pub fn alter_group_configs(
        &mut self,
        group: &str,
        changes: &[(String, ConfigChange)],
        rules: ConfigRules<'_>,
    ) -> Result<(), TopicError> {
        let record = groups::alter_configs(&self.image, group, changes, rules)?;
        Ok(record.map_or(Ok(()), |record| self.add(record))?)
    }

    /// Replaces all settings of a group (AlterConfigs).
    pub fn replace_group_configs(
        &mut self,
        group: &str,
        configs: Configs,
        rules: ConfigRules<'_>,
    ) -> Result<(), TopicError> {
        let record = groups::replace_configs(&self.image, group, configs, rules)?;
        Ok(record.map_or(Ok(()), |record| self.add(record))?)
    }

    /// Takes the next block of producer ids. They may be used when the update has returned.
    pub fn allocate_producer_ids(&mut self) -> Result<ProducerIdBlock, TopicError> {
        let (block, record) = topics::allocate_producer_ids(&self.image)?;
        self.add(record)?;
        Ok(block)
    }

    /// The folders of a deleted topic are gone for good.
    pub fn folders_removed(&mut self, id: Uuid) -> Result<(), Contradiction> {
        self.add(Record::FoldersRemoved { id })
    }
}

#[cfg(test)]
mod tests;

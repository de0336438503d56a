//! Which folder is whose: those of deleted topics go, those of nobody are put aside, and a topic made under the name of
//! a deleted one finds the place empty.
//!
//! A topic's name may come back before its old folder is gone, and what the disk knows of the two may be torn by a
//! power cut. So a folder is renamed before anything in it is removed, and the rename is durable before anything is
//! written, or removed, that takes it for granted.

use super::directory::{Census, Disk, Known};
use super::files::Open;
use super::journal::LogName;
use super::partition_log::DiskLog;
use super::recovery::folder_topic_id;
use super::sidecars::{DELETED_SUFFIX, PARTITION_METADATA, STRAY_SUFFIX, parse_partition_dir};
use crate::log::LogConfig;
use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Weak};
use uuid::Uuid;

/// A request comes with a topic that was deleted since.
fn too_late() -> io::Error {
    io::Error::other("the folder belongs to a topic made since")
}

impl Disk {
    /// Removes folders of deleted topics, puts unknown ones aside, and lists the others. Nothing is open yet.
    pub(super) fn sort_folders(&self, census: Census<'_>) -> io::Result<Vec<(LogName, LogConfig)>> {
        let (files, root) = (&*self.shared.files, &self.shared.root);
        let mut partitions = Vec::new();
        for entry in files.list(root)?.into_iter().filter(|entry| entry.is_dir) {
            let path = root.join(&entry.name);
            let Some((topic, partition)) = parse_partition_dir(&entry.name) else { continue };
            match census(topic, partition, folder_topic_id(&self.shared, &path)) {
                Known::Exists(topic_id, config) => {
                    partitions.push((LogName { topic: topic.to_owned(), topic_id, partition }, config));
                }
                Known::Deleted => {
                    *self.names_unsettled.lock() = true;
                    self.put_aside(&entry.name, DELETED_SUFFIX)?;
                }
                Known::Unknown => {
                    *self.names_unsettled.lock() = true;
                    tracing::warn!(folder = %path.display(), "belongs to no topic; put aside as {STRAY_SUFFIX}");
                    self.put_aside(&entry.name, STRAY_SUFFIX)?;
                }
            }
        }
        self.remove_put_aside()?;
        Ok(partitions)
    }

    /// A topic made again under an old name must not inherit how far the old one was synced.
    pub(super) fn forget_points_but_of(&self, partitions: &[(LogName, LogConfig)]) {
        let known: HashSet<_> = partitions.iter().map(|(name, _)| (name.topic.as_str(), name.partition)).collect();
        let mut points = self.recovery_points.lock();
        let before = points.len();
        points.retain(|(topic, partition), _| known.contains(&(topic.as_str(), *partition)));
        if points.len() < before {
            *self.names_unsettled.lock() = true;
        }
    }

    /// A topic made under the name of one that was just deleted may come before that one's log and folder are out of the
    /// way. The log may be there before the folder is.
    pub(super) fn clear_the_way(&self, name: &LogName, gone: &dyn Fn(Uuid) -> bool) -> io::Result<()> {
        let open = self.open_there(name).map(|log| log.name().topic_id);
        for topic_id in open.into_iter().chain(folder_topic_id(&self.shared, &self.shared.root.join(name.dir()))) {
            if topic_id == name.topic_id {
                continue;
            }
            if !gone(topic_id) {
                return Err(too_late());
            }
            self.delete_log(&LogName { topic_id, ..name.clone() }, None)?;
        }
        Ok(())
    }

    /// The open log of a partition of that name, whatever its topic's id.
    fn open_there(&self, name: &LogName) -> Option<Arc<DiskLog>> {
        self.logs.lock().get(&(name.topic.clone(), name.partition)).and_then(Weak::upgrade)
    }

    /// Takes note of a log that was opened. Of two that want the same folder the first has it.
    pub(super) fn note_open(&self, log: &Arc<DiskLog>) -> io::Result<()> {
        let name = log.name();
        let mut logs = self.logs.lock();
        let key = (name.topic.clone(), name.partition);
        match logs.get(&key).and_then(Weak::upgrade) {
            Some(other) if other.name() != name => Err(too_late()),
            _ => {
                logs.insert(key, Arc::downgrade(log));
                Ok(())
            }
        }
    }

    /// To be called before a topic's deletion is decided, for each of its partitions: makes durable whose the folder is.
    /// A folder whose topic id was lost belongs to the topic that has its name, which from then on may be another.
    pub fn prepare_delete(&self, name: &LogName) -> io::Result<()> {
        let (files, dir) = (&*self.shared.files, self.shared.root.join(name.dir()));
        if let Some(log) = self.open_there(name) {
            log.writing().may_be_deleted = true;
        }
        if folder_topic_id(&self.shared, &dir) == Some(name.topic_id) {
            files.open(&dir.join(PARTITION_METADATA), Open::Write)?.sync()?;
            files.sync_dir(&dir)?;
        }
        Ok(())
    }

    /// Takes a log out for good: its folder is renamed, and removed by [`Disk::remove_deleted`].
    pub fn delete_log(&self, name: &LogName, log: Option<&DiskLog>) -> io::Result<()> {
        let open = self.open_there(name).filter(|open| open.name() == name);
        if open.is_some() {
            self.logs.lock().remove(&(name.topic.clone(), name.partition));
        }
        log.into_iter().chain(open.as_deref()).for_each(DiskLog::end_deleted);
        self.dirty.lock().shift_remove(name);
        let mut unsettled = self.names_unsettled.lock();
        let stored = folder_topic_id(&self.shared, &self.shared.root.join(name.dir()));
        // What is damaged may not say any more whose it is; the next topic of its name must not find it.
        let lost = stored.is_none() && self.damaged.lock().contains_key(name);
        if stored != Some(name.topic_id) && !lost {
            return Ok(());
        }
        self.recovery_points.lock().shift_remove(&(name.topic.clone(), name.partition));
        *unsettled = true;
        self.put_aside(&name.dir(), DELETED_SUFFIX)
    }

    /// Makes earlier [`Disk::delete_log`] calls durable and removes the folders.
    pub fn remove_deleted(&self) -> io::Result<()> {
        self.settle_names()?;
        self.remove_put_aside()
    }

    /// Lets the disk know of folders that were renamed and of recovery points that were dropped.
    pub(super) fn settle_names(&self) -> io::Result<()> {
        let mut unsettled = self.names_unsettled.lock();
        if *unsettled {
            self.shared.files.sync_dir(&self.shared.root)?;
            self.store_recovery_points()?;
            *unsettled = false;
        }
        Ok(())
    }

    /// Renames a folder so that nobody takes it for a partition's. There may be one of that name from before.
    fn put_aside(&self, dir: &str, suffix: &str) -> io::Result<()> {
        let (files, root) = (&*self.shared.files, &self.shared.root);
        let mut number = 0;
        let aside = loop {
            let aside = root.join(format!("{dir}.{number}{suffix}"));
            if !files.exists(&aside)? {
                break aside;
            }
            number += 1;
        };
        match files.rename(&root.join(dir), &aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes the folders of deleted topics. If their new names were lost after that, what is left of one would be
    /// taken for a partition's.
    fn remove_put_aside(&self) -> io::Result<()> {
        let (files, root) = (&*self.shared.files, &self.shared.root);
        let deleted: Vec<_> = files
            .list(root)?
            .into_iter()
            .filter(|entry| entry.is_dir && entry.name.ends_with(DELETED_SUFFIX))
            .collect();
        if deleted.is_empty() {
            return Ok(());
        }
        files.sync_dir(root)?;
        for entry in deleted {
            match files.remove_dir(&root.join(entry.name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

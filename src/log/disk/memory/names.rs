//! The names of the simulated file system: a tree, and changes of it that can be applied again to another.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(super) type Inode = u64;

/// The root directory.
pub(super) const ROOT: Inode = 0;

/// A name in a directory.
pub(super) type Place = (Inode, String);

/// A change of names. A rename is one change, with its old place in `from`.
#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Link { to: Place, inode: Inode, from: Option<Place> },
    Unlink { at: Place, inode: Inode },
}

impl NameChange {
    /// The directory whose sync makes it durable.
    pub(super) fn home(&self) -> Inode {
        match self {
            NameChange::Link { to, .. } => to.0,
            NameChange::Unlink { at, .. } => at.0,
        }
    }

    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        let (one, other) = match self {
            NameChange::Link { to, from, .. } => (to, from.as_ref()),
            NameChange::Unlink { at, .. } => (at, None),
        };
        std::iter::once(one).chain(other)
    }
}

/// Which names there are. Each file and directory has at most one.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) entries: BTreeMap<Inode, BTreeMap<String, Inode>>,
    pub(super) places: BTreeMap<Inode, Place>,
}

impl Names {
    pub(super) fn get(&self, place: &Place) -> Option<Inode> {
        self.entries.get(&place.0)?.get(&place.1).copied()
    }

    pub(super) fn forget(&mut self, inode: Inode) {
        if let Some((dir, name)) = self.places.remove(&inode)
            && let Some(entries) = self.entries.get_mut(&dir)
        {
            entries.remove(&name);
        }
    }

    pub(super) fn apply(&mut self, change: &NameChange) {
        let (place, inode) = match change {
            NameChange::Link { to, inode, .. } => (to, *inode),
            NameChange::Unlink { at, inode } => (at, *inode),
        };
        if let Some(displaced) = self.get(place) {
            self.forget(displaced);
        }
        self.forget(inode);
        if let NameChange::Link { to, .. } = change {
            self.entries.entry(to.0).or_default().insert(to.1.clone(), inode);
            self.places.insert(inode, to.clone());
        }
    }

    /// Calls for everything that can be reached from the root, a directory before what is in it.
    pub(super) fn walk(&self, mut visit: impl FnMut(Inode, &Path)) {
        let mut left = vec![(ROOT, PathBuf::from("/"))];
        while let Some((inode, path)) = left.pop() {
            visit(inode, &path);
            for (name, child) in self.entries.get(&inode).into_iter().flatten().rev() {
                left.push((*child, path.join(name)));
            }
        }
    }
}

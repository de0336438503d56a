//! What the simulated file system knows of one file's content, and how a seed picks what survives of it.

use super::{KEEP_ALL, LOSE_ALL, SECTOR, WRITE_PIECES};
use std::collections::BTreeMap;

/// A change of a file's content that is not synced.
#[derive(Clone, Debug)]
pub(super) enum DataChange {
    Write { position: usize, bytes: Vec<u8> },
    SetLen(usize),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    /// As programs see it.
    pub(super) content: Vec<u8>,
    /// As of the last sync.
    pub(super) durable: Vec<u8>,
    /// Since the last sync.
    pub(super) pending: Vec<DataChange>,
}

pub(super) fn put(content: &mut Vec<u8>, position: usize, bytes: &[u8]) {
    let end = position + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[position..end].copy_from_slice(bytes);
}

/// The parts of a write that lie in one sector each: sector, position, bytes.
pub(super) fn sectors(position: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, usize, &[u8])> {
    let mut rest = bytes;
    let mut at = position;
    std::iter::from_fn(move || {
        let (part, after) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
        let found = (at / SECTOR, at, part);
        rest = after;
        at += part.len();
        (!part.is_empty()).then_some(found)
    })
}

impl Content {
    pub(super) fn change(&mut self, change: DataChange) {
        match &change {
            DataChange::Write { position, bytes } => put(&mut self.content, *position, bytes),
            DataChange::SetLen(length) => self.content.resize(*length, 0),
        }
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            match change {
                DataChange::Write { position, bytes } => put(&mut self.durable, position, &bytes),
                DataChange::SetLen(length) => self.durable.resize(length, 0),
            }
        }
    }

    /// A sync that failed: the lengths reach the disk, the data never will.
    pub(super) fn sync_lost(&mut self) {
        self.pending.clear();
        self.durable.resize(self.content.len(), 0);
    }

    /// What a power cut leaves of it.
    pub(super) fn survivor(&self, chance: &mut Chance) -> Vec<u8> {
        let mut versions: BTreeMap<usize, usize> = BTreeMap::new();
        let mut lengths = 0;
        let mut length = self.durable.len();
        for change in &self.pending {
            let before = length;
            match change {
                DataChange::Write { position, bytes } => {
                    sectors(*position, bytes).for_each(|(sector, ..)| *versions.entry(sector).or_default() += 1);
                    length = length.max(position + bytes.len());
                }
                DataChange::SetLen(to) => length = *to,
            }
            lengths += usize::from(length != before);
        }
        versions.values_mut().for_each(|count| *count = chance.data.some_of(&mut chance.random, *count));
        let lengths = chance.lengths.some_of(&mut chance.random, lengths);
        self.rebuilt(versions, lengths)
    }

    /// The durable content with so many versions of each sector and so many changes of length applied.
    pub(super) fn rebuilt(&self, mut versions: BTreeMap<usize, usize>, mut lengths: usize) -> Vec<u8> {
        let mut image = self.durable.clone();
        let mut survived = image.len();
        let mut length = image.len();
        for change in &self.pending {
            let before = length;
            match change {
                DataChange::Write { position, bytes } => {
                    for (sector, at, part) in sectors(*position, bytes) {
                        if let Some(left) = versions.get_mut(&sector).filter(|left| **left > 0) {
                            *left -= 1;
                            put(&mut image, at, part);
                        }
                    }
                    length = length.max(position + bytes.len());
                }
                DataChange::SetLen(to) => length = *to,
            }
            if length != before && lengths > 0 {
                lengths -= 1;
                survived = length;
                if length < before {
                    image.truncate(length);
                }
            }
        }
        image.resize(survived, 0);
        image
    }
}

/// Splitmix64.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// How much of one kind of change survives.
#[derive(Clone, Copy, Debug)]
pub(super) enum Survives {
    Nothing,
    Something,
    Everything,
}

impl Survives {
    pub(super) fn some_of(self, random: &mut Random, count: usize) -> usize {
        match self {
            Survives::Nothing => 0,
            Survives::Something => random.below(count as u64 + 1) as usize,
            Survives::Everything => count,
        }
    }
}

/// What a seed means. All or nothing of one kind is as telling as a mixture, so both are frequent.
pub(super) struct Chance {
    pub(super) random: Random,
    pub(super) names: Survives,
    pub(super) lengths: Survives,
    pub(super) data: Survives,
}

impl Chance {
    pub(super) fn new(seed: u64) -> Chance {
        let mut random = Random(seed);
        let mut draw = || match (seed, random.below(4)) {
            (LOSE_ALL, _) => Survives::Nothing,
            (KEEP_ALL, _) => Survives::Everything,
            (_, 0) => Survives::Nothing,
            (_, 1) => Survives::Everything,
            _ => Survives::Something,
        };
        let (names, lengths, data) = (draw(), draw(), draw());
        Chance { random, names, lengths, data }
    }
}

/// The lengths of the pieces in which a write reaches the page cache, cut between sectors.
pub(super) fn pieces(position: usize, length: usize) -> Vec<usize> {
    let first = position / SECTOR;
    let count = (position + length).div_ceil(SECTOR).saturating_sub(first);
    let each = count.div_ceil(WRITE_PIECES).max(1);
    let mut cuts: Vec<usize> =
        (1..WRITE_PIECES).map(|n| (first + n * each) * SECTOR).filter(|cut| *cut < position + length).collect();
    cuts.push(position + length);
    let mut before = position;
    cuts.iter().map(|cut| cut - std::mem::replace(&mut before, *cut)).collect()
}

//! Committed offsets.
use super::records::{OffsetCommitKey, OffsetCommitValue};
use super::request::{CommitOffsets, FetchOffsets, FetchedOffset};
use super::{GroupShard, Out};
use crate::coordinator::Now;
use crate::wire::errors::ErrorCode;
use std::sync::Arc;

/// What is committed.
#[derive(Debug, Default)]
pub struct Offsets {}

impl Offsets {
    pub fn apply(&mut self, _key: OffsetCommitKey, _value: Option<OffsetCommitValue>) {}
}

impl GroupShard {
    pub(super) fn commit_offsets(
        &mut self,
        _now: Now,
        _commit: &CommitOffsets,
        _out: &mut Out,
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        Ok(Vec::new())
    }
    pub(super) fn fetch_offsets(&self, _fetch: &FetchOffsets) -> Result<Vec<FetchedOffset>, ErrorCode> {
        Ok(Vec::new())
    }
    pub(super) fn delete_offsets(
        &mut self,
        _g: &str,
        _p: &[(Arc<str>, i32)],
        _out: &mut Out,
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        Ok(Vec::new())
    }
    pub(super) fn delete_offsets_of_topics(&mut self, _t: &[Arc<str>], _out: &mut Out) {}
    pub(super) fn clean_up(&mut self, _now: Now, _out: &mut Out) {}
}

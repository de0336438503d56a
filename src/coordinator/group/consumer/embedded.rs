//! What consumers of the classic protocol put into the bytes that it carries (`ConsumerProtocolSubscription` and
//! `ConsumerProtocolAssignment`, versions 0 to 3), read and written by hand: the bytes come from clients, and the
//! protocol library believes any count in them. Left out: what only client assignors need.

use super::super::assign::Assignment;
use super::super::settings::Topics;
use super::members::Partitions;
use super::reconcile::Owned;
use crate::wire::fields::{FieldError, FieldReader, FieldWriter};
use bytes::Bytes;
use std::collections::BTreeSet;
use uuid::Uuid;

/// The protocol type of consumers.
pub const PROTOCOL_TYPE: &str = "consumer";
/// The highest version; a later one is read as this.
const HIGHEST_VERSION: i16 = 3;

/// Partitions by the name of their topic.
type Named = Vec<(String, Vec<i32>)>;

/// What a consumer says when it joins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// The version in which it said so, and in which its assignment is written.
    pub version: i16,
    /// Names of topics.
    pub topics: Vec<String>,
    /// What it still owns.
    pub owned: Named,
    /// Where it is.
    pub rack_id: Option<String>,
}

/// Reads a subscription.
pub fn subscription(bytes: &[u8]) -> Result<Subscription, FieldError> {
    let mut reader = FieldReader::new(bytes, false);
    let version = version(&mut reader)?;
    let topics = reader.array("Topics", |reader| reader.string("Topics"))?;
    user_data(&mut reader)?;
    let mut subscription = Subscription { version, topics, ..Subscription::default() };
    if version >= 1 {
        subscription.owned = named(&mut reader, "OwnedPartitions")?;
    }
    if version >= 2 {
        reader.int32("GenerationId")?;
    }
    if version >= 3 {
        subscription.rack_id = reader.nullable_string("RackId")?;
    }
    Ok(subscription)
}

/// Reads an assignment: the partitions, and whether the leader has put data of its own beside them.
pub fn assignment(bytes: &[u8]) -> Result<(Named, bool), FieldError> {
    let mut reader = FieldReader::new(bytes, false);
    version(&mut reader)?;
    let partitions = named(&mut reader, "AssignedPartitions")?;
    Ok((partitions, user_data(&mut reader)?))
}

/// Writes an assignment. Topics that are no more are left out.
pub fn write_assignment<'a>(
    version: i16,
    partitions: impl Iterator<Item = (&'a Uuid, Vec<i32>)>,
    topics: &dyn Topics,
) -> Bytes {
    let named: Vec<_> = partitions.filter_map(|(id, partitions)| Some((topics.by_id(*id)?.name, partitions))).collect();
    let mut writer = FieldWriter::new(false);
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    writer.int16(version);
    writer.int32(count(named.len()));
    for (name, partitions) in &named {
        writer.string("Topic", name);
        writer.int32(count(partitions.len()));
        partitions.iter().for_each(|partition| writer.int32(*partition));
    }
    writer.int32(-1); // No user data.
    // Names of topics are short, so nothing here is too long to write.
    writer.finish().unwrap_or_default()
}

/// What a member has, in the form of [`write_assignment`].
pub fn listed(partitions: &Partitions) -> impl Iterator<Item = (&Uuid, Vec<i32>)> {
    partitions.iter().map(|(topic, partitions)| (topic, partitions.keys().copied().collect()))
}

/// What a member is to have, in the form of [`write_assignment`].
pub fn listed_target(target: &Assignment) -> impl Iterator<Item = (&Uuid, Vec<i32>)> {
    target.iter().map(|(topic, partitions): (_, &BTreeSet<i32>)| (topic, partitions.iter().copied().collect()))
}

/// Partitions of topics that exist, by their ids.
pub fn by_id(named: Named, topics: &dyn Topics) -> Owned {
    named.into_iter().filter_map(|(name, partitions)| Some((topics.by_name(&name)?.id, partitions))).collect()
}

fn version(reader: &mut FieldReader<'_>) -> Result<i16, FieldError> {
    match reader.int16("Version")? {
        version @ 0.. => Ok(version.min(HIGHEST_VERSION)),
        version => Err(FieldError::Length { field: "Version", length: version.into() }),
    }
}

fn named(reader: &mut FieldReader<'_>, field: &'static str) -> Result<Named, FieldError> {
    reader.array(field, |reader| {
        Ok((reader.string("Topic")?, reader.array("Partitions", |reader| reader.int32("Partitions"))?))
    })
}

/// Skips user data; whether there is any.
fn user_data(reader: &mut FieldReader<'_>) -> Result<bool, FieldError> {
    let size = usize::try_from(reader.int32("UserData")?).unwrap_or(0);
    reader.take("UserData", size).map(|data| !data.is_empty())
}

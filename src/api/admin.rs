//! What the APIs about topics and the cluster share: a refusal with its text, work that waits for the catalog, names
//! given twice, and the bit field of what a client may do (KIP-430).

use super::context::{Ctx, Operation, Resource, authorize};
use super::errors::ErrorCode;
use crate::catalog::{CatalogError, TopicError};
use indexmap::IndexMap;
use kafka_protocol::protocol::StrBytes;
use std::hash::Hash;

/// Authorized operations of a reply whose request did not ask for them.
pub(super) const NOT_ASKED: i32 = i32::MIN;

/// What goes wrong with one topic, or with all of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub code: ErrorCode,
    pub message: Option<String>,
}

impl Refusal {
    pub fn code(code: ErrorCode) -> Self {
        Self { code, message: None }
    }

    pub fn text(code: ErrorCode, message: impl ToString) -> Self {
        Self { code, message: Some(message.to_string()) }
    }

    /// A topic given more than once.
    pub fn duplicate() -> Self {
        Self::text(ErrorCode::InvalidRequest, "Duplicate topic name.")
    }

    /// The message as replies have it.
    pub fn wire_message(self) -> Option<StrBytes> {
        self.message.map(StrBytes::from)
    }
}

impl From<TopicError> for Refusal {
    fn from(error: TopicError) -> Self {
        Self::text(ErrorCode::from(&error), error)
    }
}

/// The client is not told of paths; the log is.
impl From<CatalogError> for Refusal {
    fn from(error: CatalogError) -> Self {
        tracing::error!(%error, "a change of the catalog failed");
        Self::text(ErrorCode::from(&error), "The broker cannot change its catalog. Its log says why.")
    }
}

/// Runs a change of the catalog where it may wait for the disk.
pub(super) async fn changing<T: Send + 'static>(
    change: impl FnOnce() -> Result<T, CatalogError> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::task::spawn_blocking(change).await {
        Ok(changed) => Ok(changed?),
        Err(_ended) => Err(Refusal::code(ErrorCode::UnknownServerError)),
    }
}

/// How often each is given, in the order of the first ones.
pub(super) fn counted<T: Hash + Eq>(given: impl IntoIterator<Item = T>) -> IndexMap<T, usize> {
    let mut counted = IndexMap::new();
    for one in given {
        let count: &mut usize = counted.entry(one).or_default();
        *count = count.saturating_add(1);
    }
    counted
}

/// Whether the client may make a topic of this name.
pub(super) fn may_create(ctx: &Ctx, name: &str) -> bool {
    authorize(ctx, Operation::Create, Resource::Cluster) || authorize(ctx, Operation::Create, Resource::Topic(name))
}

/// The operations that a client may perform on a resource, one bit for each by its number (`AclOperation`, of those in
/// `AclEntry.supportedOperations`).
pub(super) fn authorized_operations(ctx: &Ctx, resource: Resource<'_>) -> i32 {
    use Operation::*;
    let supported: &[Operation] = match resource {
        Resource::Topic(_) => &[Read, Write, Create, Delete, Alter, Describe, DescribeConfigs, AlterConfigs],
        Resource::Cluster => &[Create, Alter, Describe, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite],
        Resource::Group(_) => &[Read, Delete, Describe, DescribeConfigs, AlterConfigs],
        Resource::TransactionalId(_) => &[Write, Describe],
    };
    let allowed = supported.iter().filter(|operation| authorize(ctx, **operation, resource));
    allowed.fold(0, |bits, operation| bits | (1 << number(*operation)))
}

/// As [`authorized_operations`] of the cluster: none for a client that may not even see it.
pub(super) fn cluster_operations(ctx: &Ctx) -> i32 {
    match authorize(ctx, Operation::Describe, Resource::Cluster) {
        true => authorized_operations(ctx, Resource::Cluster),
        false => 0,
    }
}

fn number(operation: Operation) -> u32 {
    match operation {
        Operation::Read => 3,
        Operation::Write => 4,
        Operation::Create => 5,
        Operation::Delete => 6,
        Operation::Alter => 7,
        Operation::Describe => 8,
        Operation::ClusterAction => 9,
        Operation::DescribeConfigs => 10,
        Operation::AlterConfigs => 11,
        Operation::IdempotentWrite => 12,
    }
}

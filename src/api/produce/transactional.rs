//! What a transaction needs before a batch of it may be appended: one producer, and a coordinator that knows of it.

use super::{Checked, Part, Refusal};
use crate::api::context::{Ctx, Operation, Resource, authorize};
use crate::api::errors::ErrorCode;
use crate::api::transactions::{told_to_writers, version_of_produce};
use crate::coordinator::txn::request::{ProducerIdAndEpoch, TopicPartition};
use crate::partition::{AppendError, Verify};

/// What the coordinator of a request's transaction is to be asked.
pub(super) struct Asking {
    transactional_id: String,
    producer: ProducerIdAndEpoch,
    partitions: Vec<TopicPartition>,
}

impl Asking {
    /// Refuses what cannot be part of a transaction; `None` where there is nothing to ask. Whether a request is
    /// transactional its batches say (CVE-2018-17196).
    pub fn of<'a>(
        ctx: &Ctx,
        transactional_id: Option<&str>,
        parts: impl Iterator<Item = &'a mut Part>,
    ) -> Option<Self> {
        let mut parts: Vec<&mut Part> = parts.collect();
        let mut producers = parts.iter().filter_map(|part| producer(part));
        let producer = producers.next()?;
        let is_one = producers.all(|other| other == producer);
        let granted = |id: &&str| authorize(ctx, Operation::Write, Resource::TransactionalId(id));
        let Some(transactional_id) = transactional_id.filter(granted) else {
            refuse_all(&mut parts, || Refusal::code(ErrorCode::TransactionalIdAuthorizationFailed));
            return None;
        };
        if !is_one {
            let text = "Transactional records contained more than one producer ID";
            refuse_all(&mut parts, || Refusal::text(ErrorCode::InvalidProducerIdMapping, text));
            return None;
        }
        let bumps_epoch = version_of_produce(ctx.version).bumps_epochs();
        let partitions: Vec<TopicPartition> =
            parts.into_iter().filter_map(|part| to_be_verified(part, bumps_epoch)).collect();
        let transactional_id = transactional_id.to_owned();
        (!partitions.is_empty()).then_some(Asking { transactional_id, producer, partitions })
    }

    /// Asks, and refuses what the coordinator does not let in.
    pub async fn ask(self, ctx: &Ctx, parts: impl Iterator<Item = &mut Part>) {
        let version = version_of_produce(ctx.version);
        let admitting = ctx.broker.txns().admit(&self.transactional_id, self.producer, &self.partitions, version);
        let mut codes = admitting.await.into_iter();
        for part in parts.filter(|part| matches!(part, Part::Checked(checked) if checked.guard.is_some())) {
            match codes.next().unwrap_or(ErrorCode::UnknownServerError) {
                ErrorCode::None => {}
                code => *part = refused(told_to_writers(code, version)),
            }
        }
    }
}

fn producer(part: &Part) -> Option<ProducerIdAndEpoch> {
    let Part::Checked(checked) = part else { return None };
    let header = &checked.batch.header;
    let (producer_id, producer_epoch) = (header.producer_id, header.producer_epoch);
    header.is_transactional().then_some(ProducerIdAndEpoch { producer_id, producer_epoch })
}

/// Takes a guard where the coordinator has to be asked.
fn to_be_verified(part: &mut Part, bumps_epoch: bool) -> Option<TopicPartition> {
    let Part::Checked(checked) = part else { return None };
    let Checked { served, topic, partition, batch, now, guard, .. } = &mut **checked;
    if !batch.header.is_transactional() {
        return None;
    }
    match served.partition.verify(Verify::of(&batch.header, bumps_epoch), *now) {
        Ok(None) => None,
        Ok(taken) => {
            *guard = taken;
            Some(TopicPartition { topic: topic.clone(), partition: *partition })
        }
        Err(error) => {
            let error = AppendError::from(error);
            *part = Part::Refused(Refusal::text(ErrorCode::from(&error), error));
            None
        }
    }
}

fn refuse_all(parts: &mut [&mut Part], refusal: impl Fn() -> Refusal) {
    for part in parts {
        **part = Part::Refused(refusal());
    }
}

fn refused((code, message): (ErrorCode, Option<String>)) -> Part {
    Part::Refused(match message {
        Some(message) => Refusal::text(code, message),
        None => Refusal::code(code),
    })
}

//! AlterConfigs 0-2 (key 33): replaces all settings that a topic or group has of its own; and what IncrementalAlterConfigs has in
//! common with it.
//!
//! Resources succeed and fail one by one; what succeeds becomes durable together, before the answer, and open
//! partitions and groups follow it. A group need not exist. A resource that is named twice is INVALID_REQUEST both times, and so is one with a setting named
//! twice, or without a value. With `validate_only` nothing is changed. Settings that are stored without an effect are
//! warned about when they are set.
//!
//! Versions: 1 throttled after the reply; 2 flexible.
//!
//! Gaps: a broker's settings cannot be changed while it runs, and log levels and client metrics have none yet:
//! INVALID_REQUEST with a text. (`ConfigAdminManager`, `ControllerConfigurationValidator`, `ConfigurationControlManager`.)

use super::config_resource::{Kind, Refusal, check_node_id};
use super::context::{Ctx, Operation, throttle};
use super::errors::ErrorCode;
use crate::broker::Broker;
use crate::catalog::{ConfigChange, ConfigRules, Configs, Draft, Image, Topic, TopicError, check_name};
use crate::config::{TopicConfig, group};
use kafka_protocol::messages::alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};
use kafka_protocol::protocol::StrBytes;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// A resource and what is to become of it.
pub(super) struct Alteration {
    pub resource_type: i8,
    pub name: StrBytes,
    /// Or what is wrong with how it is written.
    pub change: Result<Change, Refusal>,
}

/// What is to become of the settings of a topic or group.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// These change, in this order.
    Some(Vec<(String, ConfigChange)>),
    /// These replace all.
    All(Configs),
}

/// Whose settings change, by name.
enum Owner {
    Topic(String),
    Group(String),
}

/// What became of a resource.
pub(super) struct Altered {
    pub resource_type: i8,
    pub name: StrBytes,
    pub outcome: Result<(), Refusal>,
}

impl Altered {
    pub fn error_code(&self) -> i16 {
        self.outcome.as_ref().err().map_or(ErrorCode::None, |refusal| refusal.code).code()
    }

    pub fn error_message(&self) -> Option<StrBytes> {
        self.outcome.as_ref().err()?.text()
    }
}

pub(super) async fn handle(ctx: Arc<Ctx>, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let alterations = request.resources.into_iter().map(replacement).collect();
    let altered = alter(&ctx, alterations, request.validate_only).await;
    let responses = altered.into_iter().map(|one| {
        AlterConfigsResourceResponse::default()
            .with_error_code(one.error_code())
            .with_error_message(one.error_message())
            .with_resource_type(one.resource_type)
            .with_resource_name(one.name)
    });
    AlterConfigsResponse::default().with_responses(responses.collect()).with_throttle_time_ms(throttle(&ctx))
}

fn replacement(resource: AlterConfigsResource) -> Alteration {
    let entries = || resource.configs.iter().map(|config| (&*config.name, config.value.as_deref()));
    let change = check_entries(entries()).map(|()| {
        Change::All(entries().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect())
    });
    Alteration { resource_type: resource.resource_type, name: resource.resource_name, change }
}

/// Refuses settings that are named twice, and those that need a value and have none.
pub(super) fn check_entries<'a>(entries: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    let mut without_value = Vec::new();
    for (name, value) in entries {
        if !seen.insert(name) {
            return Err(Refusal::invalid(format!("The setting {name} is named twice")));
        }
        if value.is_none() {
            without_value.push(name);
        }
    }
    match without_value.as_slice() {
        [] => Ok(()),
        names => Err(Refusal::invalid(format!("Null is no value for: {}", names.join(", ")))),
    }
}

/// Does what the alterations say; answers in their order.
pub(super) async fn alter(ctx: &Arc<Ctx>, alterations: Vec<Alteration>, validate_only: bool) -> Vec<Altered> {
    let mut named: HashMap<(i8, StrBytes), usize> = HashMap::new();
    for one in &alterations {
        *named.entry((one.resource_type, one.name.clone())).or_default() += 1;
    }
    let mut changes: Vec<(Owner, Change)> = Vec::new();
    let mut altered = Vec::with_capacity(alterations.len());
    for one in alterations {
        let key = (one.resource_type, one.name.clone());
        let checked = match named.get(&key) {
            Some(1) => check(ctx, one.resource_type, &one.name, one.change),
            _ => Err(Refusal::invalid("Each resource must be named at most once")),
        };
        let outcome = checked.map(|change| changes.push(change));
        altered.push(Altered { resource_type: one.resource_type, name: one.name, outcome });
    }
    let ctx = ctx.clone();
    let applying = tokio::task::spawn_blocking(move || apply(&ctx.broker, &changes, validate_only));
    let mut outcomes = applying.await.unwrap_or_default().into_iter();
    for one in altered.iter_mut().filter(|one| one.outcome.is_ok()) {
        let failed = || Err(Refusal::new(ErrorCode::UnknownServerError, "The broker failed while it did this."));
        one.outcome = outcomes.next().unwrap_or_else(failed);
    }
    altered
}

/// Whether it is something that the client may change, before anybody looks whether it exists.
fn check(
    ctx: &Ctx,
    resource_type: i8,
    name: &str,
    change: Result<Change, Refusal>,
) -> Result<(Owner, Change), Refusal> {
    let change = change?;
    let kind =
        Kind::of(resource_type).ok_or_else(|| Refusal::invalid(format!("Unknown resource type {resource_type}")))?;
    kind.authorize(ctx, Operation::AlterConfigs, name)?;
    match kind {
        Kind::Topic if name.is_empty() => Err(Refusal::invalid("There are no settings for all topics")),
        Kind::Topic => {
            check_name(name)?;
            Ok((Owner::Topic(name.to_owned()), change))
        }
        Kind::Broker => {
            if !name.is_empty() {
                check_node_id(name, ctx.broker.node_id(), " or the empty string")?;
            }
            Err(Refusal::invalid(
                "This broker's settings cannot be changed while it runs yet: give them at its start, as flags or in its \
                 configuration file, and restart it.",
            ))
        }
        Kind::BrokerLogger => Err(Refusal::invalid("Log levels cannot be changed while this broker runs yet.")),
        Kind::ClientMetrics => {
            Err(Refusal::invalid("Client metrics subscriptions are not supported by this broker yet."))
        }
        Kind::Group => Ok((Owner::Group(name.to_owned()), change)),
    }
}

/// What became of each change. Waits for the disk.
fn apply(broker: &Broker, changes: &[(Owner, Change)], validate_only: bool) -> Vec<Result<(), Refusal>> {
    if changes.is_empty() {
        return Vec::new();
    }
    broker.with_config_rules(|topics| {
        broker.with_group_config_rules(|groups| {
            let decide = |draft: &mut Draft<'_>| -> Vec<Result<Before, Refusal>> {
                let mut decide = |(owner, change): &(Owner, Change)| match owner {
                    Owner::Topic(name) => alter_topic(draft, name, change, topics),
                    Owner::Group(name) => alter_group(draft, name, change, groups),
                };
                changes.iter().map(&mut decide).collect()
            };
            if validate_only {
                return broker.catalog().preview(decide).into_iter().map(|outcome| outcome.map(drop)).collect();
            }
            match broker.catalog().update(decide) {
                Ok((outcomes, _)) => {
                    outcomes.into_iter().map(|outcome| outcome.map(|before| follow(broker, before))).collect()
                }
                Err(error) => {
                    let refusal = Refusal::new(ErrorCode::from(&error), error.to_string());
                    changes.iter().map(|_| Err(refusal.clone())).collect()
                }
            }
        })
    })
}

/// What was changed, as it was before.
enum Before {
    Topic(Arc<Topic>),
    Group(String, Configs),
}

fn alter_topic(draft: &mut Draft<'_>, name: &str, change: &Change, rules: ConfigRules<'_>) -> Result<Before, Refusal> {
    let before = draft.image().topic(name).cloned().ok_or_else(|| TopicError::UnknownName(name.to_owned()))?;
    match change {
        Change::Some(changes) => draft.alter_configs(name, changes, rules)?,
        Change::All(configs) => draft.replace_configs(name, configs.clone(), rules)?,
    }
    Ok(Before::Topic(before))
}

fn alter_group(draft: &mut Draft<'_>, name: &str, change: &Change, rules: ConfigRules<'_>) -> Result<Before, Refusal> {
    let before = of_group(draft.image(), name);
    match change {
        Change::Some(changes) => draft.alter_group_configs(name, changes, rules)?,
        Change::All(configs) => draft.replace_group_configs(name, configs.clone(), rules)?,
    }
    Ok(Before::Group(name.to_owned(), before))
}

fn of_group(image: &Image, name: &str) -> Configs {
    image.group_configs(name).map_or_else(Configs::new, |configs| Configs::clone(configs))
}

/// Brings changed settings to the partitions of their topic. Groups look for theirs whenever they need them.
fn follow(broker: &Broker, before: Before) {
    let (kind, name, idle) = match before {
        Before::Topic(before) => {
            broker.settings_changed(before.id);
            let image = broker.catalog().image();
            let Some(after) = image.topic_by_id(before.id) else { return };
            let idle = newly_idle(TopicConfig::not_acting(&after.configs), &before.configs, &after.configs);
            ("topic", after.name.to_string(), idle)
        }
        Before::Group(name, before) => {
            let after = of_group(&broker.catalog().image(), &name);
            let idle = newly_idle(group::not_acting(&after), &before, &after);
            ("group", name, idle)
        }
    };
    if !idle.is_empty() {
        tracing::warn!(kind, name, "these settings are stored but have no effect yet: {}", idle.join(", "));
    }
}

/// Of settings that do nothing those that were not like this before.
fn newly_idle(mut idle: Vec<&'static str>, before: &Configs, after: &Configs) -> Vec<&'static str> {
    idle.retain(|name| before.get(*name) != after.get(*name));
    idle
}

#[cfg(test)]
mod tests;

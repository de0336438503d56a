//! DescribeConfigs 1-4 (key 32): the settings in force of topics, groups and this broker, and where each comes from.
//!
//! A broker is named by its id; the empty name stands for what was set for all brokers while they run, which is
//! nothing yet. An empty list of keys asks for all, as null does, and keys that do not exist are left out. Secrets have no
//! value. A resource type that does not exist fails the whole request, as with Kafka. A group that does not exist has
//! settings like any other.
//!
//! Versions: 1 synonyms; 2 throttled after the reply; 3 types and documentation (KIP-569); 4 flexible.
//!
//! Gaps: log levels and client metrics are refused with INVALID_REQUEST and a text: they have no settings here yet. Other
//! than Kafka, which answers them all, a resource that is named twice is refused the second time, and groups behind the
//! first [`MAX_GROUPS`] too, so that a small request cannot have a reply without bounds. (`ConfigHelper`.)

use super::config_resource::{Kind, Refusal, check_node_id, source_number};
use super::context::{Ctx, Operation, throttle};
use crate::catalog::{Configs, TopicError, check_name};
use crate::config::registry::Kind as ConfigType;
use crate::config::{Described, describe_broker, describe_group, describe_topic};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_protocol::protocol::StrBytes;
use std::collections::HashSet;
use std::sync::Arc;

/// Groups that one request describes.
const MAX_GROUPS: usize = 2_000;

/// What is told of each setting.
#[derive(Clone, Copy)]
struct Wishes {
    synonyms: bool,
    documentation: bool,
}

pub(super) async fn handle(ctx: Arc<Ctx>, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let wishes = Wishes { synonyms: request.include_synonyms, documentation: request.include_documentation };
    let stranger = request.resources.iter().map(|resource| resource.resource_type).find(|id| Kind::of(*id).is_none());
    let mut described = HashSet::new();
    let mut groups = 0;
    let mut results = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let configs = match stranger {
            Some(id) => Err(Refusal::invalid(format!("Unknown resource type {id}"))),
            None if !described.insert(identity(&resource)) => Err(Refusal::invalid("The resource is named twice")),
            None if groups == MAX_GROUPS && is_group(&resource) => {
                Err(Refusal::invalid(format!("One request may name at most {MAX_GROUPS} groups")))
            }
            None => {
                groups += usize::from(is_group(&resource));
                describe(&ctx, &resource)
            }
        };
        results.push(result(resource, configs, wishes));
        // A request may name every topic there is.
        tokio::task::yield_now().await;
    }
    DescribeConfigsResponse::default().with_results(results).with_throttle_time_ms(throttle(&ctx))
}

fn is_group(resource: &DescribeConfigsResource) -> bool {
    Kind::of(resource.resource_type) == Some(Kind::Group)
}

/// What the resource is, however it is spelt: 01 is broker 1.
fn identity(resource: &DescribeConfigsResource) -> (i8, Result<i32, StrBytes>) {
    let name = &resource.resource_name;
    let id = match Kind::of(resource.resource_type) {
        Some(Kind::Broker | Kind::BrokerLogger) => name.parse().map_err(|_| name.clone()),
        _ => Err(name.clone()),
    };
    (resource.resource_type, id)
}

fn describe(ctx: &Ctx, resource: &DescribeConfigsResource) -> Result<Vec<Described>, Refusal> {
    let name = &*resource.resource_name;
    let kind = Kind::of(resource.resource_type).ok_or_else(|| Refusal::invalid("Unknown resource type"))?;
    kind.authorize(ctx, Operation::DescribeConfigs, name)?;
    let refused = |what| Err(Refusal::invalid(format!("{what} are not supported by this broker yet.")));
    let config = ctx.broker.config();
    let all = match kind {
        Kind::Topic => {
            check_name(name)?;
            let image = ctx.broker.catalog().image();
            let topic = image.topic(name).ok_or_else(|| TopicError::UnknownName(name.to_owned()))?;
            describe_topic(config, &topic.configs).map_err(|error| TopicError::InvalidConfig(error.to_string()))?
        }
        Kind::Broker if name.is_empty() => Vec::new(),
        Kind::Broker => {
            check_node_id(name, ctx.broker.node_id(), " or the empty string")?;
            describe_broker(config)
        }
        Kind::BrokerLogger => {
            check_node_id(name, ctx.broker.node_id(), "")?;
            return refused("Log levels");
        }
        Kind::ClientMetrics => return refused("Client metrics subscriptions"),
        Kind::Group if name.is_empty() => return Err(Refusal::invalid("A group must be named")),
        Kind::Group => {
            let image = ctx.broker.catalog().image();
            let own = image.group_configs(name).map_or_else(Default::default, |configs| Configs::clone(configs));
            describe_group(config, &own).map_err(|error| TopicError::InvalidConfig(error.to_string()))?
        }
    };
    let keys = resource.configuration_keys.as_deref().unwrap_or_default();
    let keys: HashSet<&str> = keys.iter().map(|key| &**key).collect();
    Ok(all.into_iter().filter(|one| keys.is_empty() || keys.contains(one.name)).collect())
}

fn result(
    resource: DescribeConfigsResource,
    configs: Result<Vec<Described>, Refusal>,
    wishes: Wishes,
) -> DescribeConfigsResult {
    let result = DescribeConfigsResult::default()
        .with_resource_type(resource.resource_type)
        .with_resource_name(resource.resource_name);
    match configs {
        // Kafka's message is empty here, not null.
        Ok(configs) => result
            .with_error_message(Some(StrBytes::default()))
            .with_configs(configs.into_iter().map(|one| entry(one, wishes)).collect()),
        Err(refusal) => result.with_error_code(refusal.code.code()).with_error_message(refusal.text()),
    }
}

fn entry(described: Described, wishes: Wishes) -> DescribeConfigsResourceResult {
    let synonyms = described.synonyms.into_iter().filter(|_| wishes.synonyms).map(|synonym| {
        DescribeConfigsSynonym::default()
            .with_name(StrBytes::from_static_str(synonym.name))
            .with_value(synonym.value.map(StrBytes::from_string))
            .with_source(source_number(synonym.source))
    });
    let documentation = wishes.documentation.then(|| StrBytes::from_static_str(described.documentation));
    DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_static_str(described.name))
        .with_value(described.value.map(StrBytes::from_string))
        .with_read_only(described.read_only)
        .with_config_source(source_number(described.source))
        .with_is_sensitive(described.sensitive)
        .with_synonyms(synonyms.collect())
        .with_config_type(config_type(described.config_type))
        .with_documentation(documentation)
}

/// `DescribeConfigsResponse.ConfigType`.
fn config_type(kind: ConfigType) -> i8 {
    match kind {
        ConfigType::Boolean => 1,
        ConfigType::String => 2,
        ConfigType::Int => 3,
        ConfigType::Short => 4,
        ConfigType::Long => 5,
        ConfigType::Double => 6,
        ConfigType::List => 7,
        ConfigType::Class => 8,
        ConfigType::Password => 9,
    }
}

#[cfg(test)]
mod tests;

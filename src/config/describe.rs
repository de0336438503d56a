//! What DescribeConfigs says about settings, without its message types.
//!
//! Values, sources and the order of synonyms follow Kafka's `ConfigHelper`, its oddity included: the list of synonyms
//! starts at the entry with the described name, so a value inherited from another name (segment.ms from
//! log.roll.hours) has no synonyms and counts as a default. Internal settings are not described.

use super::broker::{self, BrokerConfig};
use super::group;
use super::registry::{Invalid, Key, Kind, Scope};
use super::topic;
use std::collections::BTreeMap;

/// Where a value comes from. Kafka's `ConfigSource` has more; these are the ones that occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Set on the topic.
    DynamicTopic,
    /// Set on the group.
    DynamicGroup,
    /// Set on the running broker. Not yet possible.
    DynamicBroker,
    /// Given at the broker's start.
    StaticBroker,
    Default,
}

/// One place that a value could come from; `None` is null, or hidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SynonymValue {
    pub name: &'static str,
    pub value: Option<String>,
    pub source: Source,
}

/// One described setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    pub name: &'static str,
    /// The value in force; `None` is null, or hidden.
    pub value: Option<String>,
    pub config_type: Kind,
    pub source: Source,
    pub read_only: bool,
    /// The value is a secret and hidden.
    pub sensitive: bool,
    pub documentation: &'static str,
    /// In the order of precedence.
    pub synonyms: Vec<SynonymValue>,
}

/// Every setting of the broker, by name.
pub fn describe_broker(config: &BrokerConfig) -> Vec<Described> {
    broker::keys()
        .filter(|key| !key.internal)
        .map(|key| {
            let value = config.text(key.name).map(str::to_string);
            described(key, value, broker_synonyms(config, key.name), key.scope != Scope::BrokerDynamic)
        })
        .collect()
}

/// Every setting of a topic with these overrides, by name.
///
/// # Errors
/// An override that the topic could not have.
pub fn describe_topic(config: &BrokerConfig, overrides: &BTreeMap<String, String>) -> Result<Vec<Described>, Invalid> {
    let described = topic::keys().filter(|key| !key.internal).map(|key| {
        let inherited = key.synonyms.first().map_or_else(Vec::new, |synonym| broker_synonyms(config, synonym.name));
        overridable(config, key, overrides, inherited, Source::DynamicTopic)
    });
    described.collect()
}

/// Every setting of a group with these overrides, by name. A value that the broker's bounds have come to exclude is
/// described as it was set.
///
/// # Errors
/// An override of a value that the setting cannot have.
pub fn describe_group(config: &BrokerConfig, overrides: &BTreeMap<String, String>) -> Result<Vec<Described>, Invalid> {
    let own_default =
        |key: &Key| SynonymValue { name: key.name, value: key.default.map(str::to_string), source: Source::Default };
    let described = group::keys().map(|key| {
        let inherited = key
            .synonyms
            .first()
            .map_or_else(|| vec![own_default(key)], |synonym| broker_synonyms(config, synonym.name));
        overridable(config, key, overrides, inherited, Source::DynamicGroup)
    });
    described.collect()
}

/// A setting of a topic or group, which comes from `own` if it is among the overrides.
fn overridable(
    config: &BrokerConfig,
    key: &'static Key,
    overrides: &BTreeMap<String, String>,
    mut synonyms: Vec<SynonymValue>,
    own: Source,
) -> Result<Described, Invalid> {
    let value = match overrides.get(key.name) {
        Some(raw) => {
            let value = Some(key.check(raw)?);
            synonyms.insert(0, SynonymValue { name: key.name, value: value.clone(), source: own });
            value
        }
        None => topic::inherited_value(key, &|name: &str| config.text(name)),
    };
    Ok(described(key, value, synonyms, false))
}

fn described(key: &'static Key, value: Option<String>, synonyms: Vec<SynonymValue>, read_only: bool) -> Described {
    let sensitive = key.is_sensitive();
    Described {
        name: key.name,
        value: value.filter(|_| !sensitive),
        config_type: key.kind,
        source: synonyms.first().map_or(Source::Default, |first| first.source),
        read_only,
        sensitive,
        documentation: key.doc,
        synonyms,
    }
}

/// What was given for the name and its synonyms, then their defaults, from the entry of the name itself on.
fn broker_synonyms(config: &BrokerConfig, name: &'static str) -> Vec<SynonymValue> {
    let keys = || synonym_names(name).into_iter().filter_map(broker::key);
    let given = keys().filter_map(|key| Some((key, config.given(key.name)?, Source::StaticBroker)));
    let defaults = keys().filter_map(|key| Some((key, key.default?, Source::Default)));
    given
        .chain(defaults)
        .map(|(key, value, source)| {
            let value = (!key.is_sensitive()).then(|| value.to_string());
            SynonymValue { name: key.name, value, source }
        })
        .skip_while(|synonym| synonym.name != name)
        .collect()
}

/// The names under which a broker setting can be given, the strongest first (Kafka's
/// `DynamicBrokerConfig.brokerConfigSynonyms`). The flush scheduler's interval is a default for others, but takes none.
fn synonym_names(name: &'static str) -> Vec<&'static str> {
    let chain = topic::keys().find(|key| key.synonyms.len() > 1 && key.synonyms.iter().any(|one| one.name == name));
    match chain {
        Some(key) if name != "log.flush.scheduler.interval.ms" => key.synonyms.iter().map(|one| one.name).collect(),
        _ => vec![name],
    }
}

#[cfg(test)]
mod tests;

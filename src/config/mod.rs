//! Settings. Each is declared once, as a row of `broker.rs`, `topic.rs`, `group.rs` or `inert/`; what a row is says `registry.rs`.
//! From the row come the typed field, the flag `--name=value`, the key in a `server.properties`, the variable
//! `KAFKA_NAME`, the check of a value, the DescribeConfigs entry and the README table.
//!
//! [`load`] puts them together: a flag goes before a variable, that before the file, that before the default.
//! Left out: looking at the world. The caller hands in arguments, variables and a way to read a file, and prints the
//! warnings.

pub mod broker;
mod command;
pub mod describe;
pub mod environment;
pub mod group;
mod inert;
pub mod listeners;
pub mod properties;
pub mod readme;
pub mod registry;
pub mod topic;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::Path;

use thiserror::Error;

pub use broker::BrokerConfig;
pub use describe::{Described, Source, describe_broker, describe_group, describe_topic};
pub use listeners::Listener;
pub use registry::Invalid;
pub use topic::TopicConfig;

use registry::Effect;

/// A configuration, and what its giver should know about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: BrokerConfig,
    /// Whole sentences, one line each.
    pub warnings: Vec<String>,
}

/// Why there is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LoadError {
    /// Help or version was asked for; this is it.
    #[error("{0}")]
    Output(String),
    /// Something given is wrong.
    #[error("{0}")]
    Usage(String),
}

impl LoadError {
    /// What the process should exit with.
    pub fn exit_code(&self) -> u8 {
        match self {
            LoadError::Output(_) => 0,
            LoadError::Usage(_) => 2,
        }
    }
}

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    File(String, usize),
    Variable(String),
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path, line) => write!(f, "{path} line {line}"),
            Origin::Variable(name) => write!(f, "variable {name}"),
            Origin::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// Puts the configuration together from the command line (program name first), the environment and the file named on
/// the command line.
///
/// # Errors
/// [`LoadError::Output`] if help or version was asked for, [`LoadError::Usage`] for anything wrong in what was given.
pub fn load(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl Iterator<Item = (String, String)>,
    read_file: impl Fn(&Path) -> io::Result<String>,
) -> Result<Loaded, LoadError> {
    let arguments = command::parse(arguments)?;
    let mut gathered = Gathered::default();
    if let Some(path) = &arguments.file {
        gathered.add_file(path, &read_file)?;
    }
    gathered.add_environment(environment);
    for (name, value) in arguments.settings {
        gathered.add(&name, value, Origin::Flag(name.clone()));
    }
    gathered.finish()
}

#[derive(Default)]
struct Gathered {
    given: BTreeMap<&'static str, (String, Origin)>,
    errors: Vec<String>,
    warnings: Vec<String>,
    /// Settings of parts that do not exist here, such as `listener.name.x.ssl.keystore.type`.
    foreign: Vec<String>,
}

impl Gathered {
    fn add_file(&mut self, path: &Path, read_file: impl Fn(&Path) -> io::Result<String>) -> Result<(), LoadError> {
        let shown = path.display().to_string();
        let text = read_file(path).map_err(|error| LoadError::Usage(format!("cannot read {shown}: {error}")))?;
        let parsed = properties::parse(&text).map_err(|error| LoadError::Usage(format!("{shown}: {error}")))?;
        for property in parsed {
            self.add(&property.key, property.value, Origin::File(shown.clone(), property.line));
        }
        Ok(())
    }

    fn add_environment(&mut self, variables: impl Iterator<Item = (String, String)>) {
        let mut variables: Vec<(String, String)> = variables.collect();
        variables.sort();
        let mut unknown = Vec::new();
        for (variable, value) in variables {
            match environment::meaning(&variable) {
                environment::Meaning::Setting(name) => self.add(name, value, Origin::Variable(variable)),
                environment::Meaning::Unknown(name) if is_foreign(&name) => self.foreign.push(name),
                environment::Meaning::Unknown(name) => {
                    unknown.push(format!("{variable} (nearest: {})", environment::variable(nearest(&name))));
                }
                environment::Meaning::Foreign => {}
            }
        }
        if !unknown.is_empty() {
            self.warnings.push(format!("ignored variables that are no settings: {}", unknown.join(", ")));
        }
    }

    /// Takes a value; a later one replaces an earlier one.
    fn add(&mut self, name: &str, value: String, origin: Origin) {
        match broker::key(name) {
            Some(key) => match key.check(&value) {
                Ok(_) => drop(self.given.insert(key.name, (value, origin))),
                Err(invalid) => self.errors.push(format!("{origin}: {invalid}")),
            },
            None if is_foreign(name) => self.foreign.push(name.to_string()),
            None => self.errors.push(format!("{origin}: {}", unknown(name))),
        }
    }

    fn finish(mut self) -> Result<Loaded, LoadError> {
        if !self.errors.is_empty() {
            return Err(LoadError::Usage(self.errors.join("\n")));
        }
        let given = self.given.into_iter().map(|(name, (value, _))| (name, value)).collect();
        let (config, resolved) = BrokerConfig::build(given).map_err(|invalid| LoadError::Usage(invalid.to_string()))?;
        let mut controller = config.without_effect(|effect| effect == Effect::Controller).join(", ");
        if !resolved.controllers.is_empty() {
            controller = format!("{controller}; not opened: {}", resolved.controllers.join(", "));
        }
        if !controller.is_empty() {
            self.warnings.push(format!("there are no controllers here, so these have no effect: {controller}"));
        }
        let mut idle: Vec<String> =
            config.without_effect(|effect| effect != Effect::Controller).into_iter().map(str::to_string).collect();
        idle.append(&mut self.foreign);
        if !idle.is_empty() {
            self.warnings.push(format!("these settings are accepted but have no effect yet: {}", idle.join(", ")));
        }
        for listener in resolved.insecure {
            self.warnings.push(format!(
                "listener {listener} does not authenticate and can be reached from other machines \
                 (allow.insecure.listeners=true)"
            ));
        }
        Ok(Loaded { config, warnings: self.warnings })
    }
}

/// Settings that belong to one listener or to a plugin: Kafka takes any, and none acts here.
fn is_foreign(name: &str) -> bool {
    let of_listener = || {
        let (_, base) = name.strip_prefix("listener.name.")?.split_once('.')?;
        let known = |base: &str| broker::key(base).is_some();
        // SASL settings carry the mechanism in front: listener.name.x.scram-sha-256.sasl.jaas.config.
        Some(known(base) || base.split_once('.').is_some_and(|(_, rest)| known(rest)))
    };
    name.starts_with("rsm.config.") || name.starts_with("rlmm.config.") || of_listener() == Some(true)
}

/// Settings that Kafka had before 4.0, with what became of them.
const REMOVED: [(&str, &str); 7] = [
    ("zookeeper.", "Kafka 4 has no ZooKeeper"),
    ("inter.broker.protocol.version", "Kafka 4 removed it"),
    ("log.message.format.version", "Kafka 4 removed it"),
    ("log.message.timestamp.difference.max.ms", "Kafka 4 has log.message.timestamp.before.max.ms and .after.max.ms"),
    ("broker.id.generation.enable", "Kafka 4 removed it"),
    ("advertised.host.name", "Kafka has advertised.listeners"),
    ("advertised.port", "Kafka has advertised.listeners"),
];

fn unknown(name: &str) -> String {
    let removed = REMOVED.iter().find(|(old, _)| name == *old || (old.ends_with('.') && name.starts_with(old)));
    let why = removed.map_or_else(String::new, |(_, why)| format!(" ({why})"));
    format!("unknown setting {name}{why}; the nearest one is {}", nearest(name))
}

/// The broker setting whose name is nearest; for a setting of topics or groups, the one it inherits from.
fn nearest(name: &str) -> &'static str {
    if let Some(synonym) = topic::key(name).or_else(|| group::key(name)).and_then(|key| key.synonyms.first()) {
        return synonym.name;
    }
    let plain = name.to_lowercase().replace(['_', '-'], ".");
    let distance = |key: &&registry::Key| strsim::damerau_levenshtein(&plain, key.name);
    broker::keys().min_by_key(distance).map_or("", |key| key.name)
}

#[cfg(test)]
mod tests;

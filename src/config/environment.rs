//! Settings from the environment, by the mapping of Apache Kafka's container image: `KAFKA_` and the name in upper
//! case with `.` as `_`, `_` as `__` and `-` as `___`. `CLUSTER_ID` stands for `cluster.id`.

use super::broker;

/// What an environment variable is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A setting of this name.
    Setting(&'static str),
    /// Looks like a setting, but no setting has this name.
    Unknown(String),
    /// None of our business.
    Foreign,
}

/// Variables of Kafka's scripts and images that are no settings.
const SCRIPTS: [&str; 10] = [
    "KAFKA_OPTS",
    "KAFKA_HEAP_OPTS",
    "KAFKA_JVM_PERFORMANCE_OPTS",
    "KAFKA_GC_LOG_OPTS",
    "KAFKA_TOOLS_LOG4J_LOGLEVEL",
    "KAFKA_VERSION",
    "KAFKA_HOME",
    "KAFKA_DEBUG",
    "KAFKA_MODE",
    "KAFKA_CLASSPATH",
];

/// What the variable of this name means.
pub fn meaning(variable: &str) -> Meaning {
    if variable == "CLUSTER_ID" {
        return Meaning::Setting("cluster.id");
    }
    let Some(rest) = variable.strip_prefix("KAFKA_") else { return Meaning::Foreign };
    if SCRIPTS.contains(&variable) || rest.starts_with("LOG4J_") || rest.starts_with("JMX_") {
        return Meaning::Foreign;
    }
    let name = rest.to_lowercase().replace('_', ".").replace("...", "-").replace("..", "_");
    match broker::key(&name) {
        Some(key) => Meaning::Setting(key.name),
        None => Meaning::Unknown(name),
    }
}

/// The variable that gives the setting of this name.
pub fn variable(name: &str) -> String {
    let escaped = name.replace('_', "__").replace('-', "___").replace('.', "_");
    format!("KAFKA_{}", escaped.to_uppercase())
}

/// The variables of this process. One that is not Unicode is left out, since no setting could be read from it.
pub fn of_process() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_and_names() {
        for (name, meant) in [
            ("KAFKA_LOG_DIRS", Meaning::Setting("log.dirs")),
            ("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", Meaning::Setting("group.initial.rebalance.delay.ms")),
            ("CLUSTER_ID", Meaning::Setting("cluster.id")),
            ("KAFKA_PORT", Meaning::Unknown("port".to_string())),
            ("KAFKA_A__B___C_D", Meaning::Unknown("a_b-c.d".to_string())),
            ("KAFKA_HEAP_OPTS", Meaning::Foreign),
            ("KAFKA_LOG4J_ROOT_LOGLEVEL", Meaning::Foreign),
            ("KAFKA_JMX_PORT", Meaning::Foreign),
            ("PATH", Meaning::Foreign),
        ] {
            assert_eq!(meaning(name), meant, "{name}");
        }
    }

    #[test]
    fn every_setting_has_a_variable_that_means_it() {
        for key in broker::keys() {
            assert_eq!(meaning(&variable(key.name)), Meaning::Setting(key.name));
        }
    }
}

//! The command line: `ottla [server.properties] [--name=value ...]`, one flag for every setting of the registry.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command, value_parser};

use super::registry::{Effect, Key};
use super::{LoadError, broker, nearest};

const FILE: &str = "FILE";
/// As `kafka-server-start` has it.
const OVERRIDE: &str = "override";

/// What the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Arguments {
    pub file: Option<PathBuf>,
    /// Setting and value, as they were written.
    pub settings: Vec<(String, String)>,
}

/// Reads the command line; the first argument is the program's name.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, LoadError> {
    let mut matches = command().try_get_matches_from(arguments).map_err(|error| load_error(&error))?;
    let mut parsed = Arguments { file: matches.remove_one(FILE), settings: Vec::new() };
    for pair in matches.remove_many::<String>(OVERRIDE).into_iter().flatten() {
        let (name, value) =
            pair.split_once('=').ok_or_else(|| LoadError::Usage(format!("--override {pair}: expected name=value")))?;
        parsed.settings.push((name.trim().to_string(), value.to_string()));
    }
    for key in broker::keys() {
        if let Some(value) = matches.remove_one::<String>(key.name) {
            parsed.settings.push((key.name.to_string(), value));
        }
    }
    Ok(parsed)
}

fn command() -> Command {
    let file = Arg::new(FILE).value_parser(value_parser!(PathBuf)).help("A server.properties file");
    let overriding = Arg::new(OVERRIDE)
        .long(OVERRIDE)
        .value_name("NAME=VALUE")
        .action(ArgAction::Append)
        .help("A setting, as kafka-server-start takes it");
    let command = Command::new("ottla")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A message broker that speaks Apache Kafka's protocol.")
        .after_help(
            "A flag goes before a KAFKA_* variable (KAFKA_LOG_DIRS for log.dirs), that before the file, that before \
             the default. Kafka's other settings are accepted too, and a warning names those that have no effect.",
        )
        .arg(file)
        .arg(overriding);
    broker::keys().fold(command, |command, key| command.arg(flag(key)))
}

fn flag(key: &'static Key) -> Arg {
    let default = key.default.map_or_else(String::new, |default| format!(" [default: {default}]"));
    Arg::new(key.name)
        .long(key.name)
        .value_name(key.kind.word())
        .allow_hyphen_values(true)
        .hide(!matches!(key.effect, Effect::Acts | Effect::ActsOnlyAs(_)))
        .help(format!("{}{default}", key.doc))
}

fn load_error(error: &clap::Error) -> LoadError {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => LoadError::Output(error.to_string()),
        ErrorKind::UnknownArgument => match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::String(given)) => LoadError::Usage(unknown_flag(given)),
            _ => LoadError::Usage(error.to_string()),
        },
        _ => LoadError::Usage(error.to_string()),
    }
}

fn unknown_flag(given: &str) -> String {
    match given.strip_prefix("--") {
        Some(name) => format!("unknown flag {given}; the nearest one is --{}", nearest(name)),
        None => format!("unexpected argument {given}; expected ottla [server.properties] [--name=value ...]"),
    }
}

//! The README's tables of settings, as Markdown.

use super::broker::{self, DIFFERENT_DEFAULTS, Ours};
use super::group;
use super::registry::{Effect, Key};
use super::topic;

/// Settings of broker, topics and groups that act.
pub fn acting() -> String {
    let mut table = "| setting | of | type | default | what it does |\n|---|---|---|---|---|\n".to_string();
    for (key, of) in every_key().filter(|(key, _)| matches!(key.effect, Effect::Acts | Effect::ActsOnlyAs(_))) {
        let default = match key.synonyms.first() {
            Some(synonym) => format!("from `{}`", synonym.name),
            None => code(key.default),
        };
        table.push_str(&format!("| `{}` | {of} | {} | {default} | {} |\n", key.name, key.kind.word(), key.doc));
    }
    table
}

/// Defaults that are not Kafka's.
pub fn different_defaults() -> String {
    let mut table = "| setting | Kafka | Ottla | why |\n|---|---|---|---|\n".to_string();
    for different in DIFFERENT_DEFAULTS {
        let kafka = code(broker::kafka_default(different.name));
        let ours = match different.ours {
            Ours::Default(ours) => code(ours),
            Ours::Clamped => "at most the live brokers".to_string(),
        };
        table.push_str(&format!("| `{}` | {kafka} | {ours} | {} |\n", different.name, different.why));
    }
    table
}

/// Settings that are stored and described but change nothing: those that will act, then those that will not.
pub fn without_effect() -> String {
    let names = |wanted: &dyn Fn(Effect) -> bool| {
        let rows = every_key().filter(|(key, _)| wanted(key.effect));
        let name = |(key, of): (&Key, &str)| match of {
            "broker" => format!("`{}`", key.name),
            of => format!("`{}` ({of})", key.name),
        };
        rows.map(name).collect::<Vec<_>>().join(", ")
    };
    format!(
        "Not acting yet: {}.\n\nWithout a counterpart here: {}.\n",
        names(&|effect| effect == Effect::Later),
        names(&|effect| matches!(effect, Effect::Inert | Effect::Controller)),
    )
}

fn every_key() -> impl Iterator<Item = (&'static Key, &'static str)> {
    let keys = broker::keys().map(|key| (key, "broker")).chain(topic::keys().map(|key| (key, "topic")));
    let keys = keys.chain(group::keys().map(|key| (key, "group")));
    keys.filter(|(key, _)| !key.internal)
}

fn code(value: Option<&str>) -> String {
    match value {
        None => "none".to_string(),
        Some("") => "empty".to_string(),
        Some(value) => format!("`{value}`"),
    }
}

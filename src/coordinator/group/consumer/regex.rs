//! Subscriptions by regular expression, resolved here (KIP-848): at once, where Kafka does it in the background.

use super::super::Cx;
use super::super::records::{ConsumerGroupRegularExpressionValue, Record};
use super::super::settings::Topics;
use super::ConsumerGroup;
use crate::coordinator::expressions::compile;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Expressions are not resolved anew sooner than this after the last time (`REGEX_BATCH_REFRESH_MIN_INTERVAL_MS`).
const MIN_INTERVAL_MS: i64 = 10_000;

/// When all expressions of a group were last resolved, and against which topics. Soft: after a restart they are resolved
/// anew.
#[derive(Clone, Copy, Debug)]
pub struct Refreshed {
    at: i64,
    version: u64,
}

impl ConsumerGroup {
    /// Forgets an expression that nobody has any more.
    pub fn forget_regex(&mut self, cx: &mut Cx<'_>, regex: &str) {
        if self.state.members_with_regex(regex) == 0 && self.state.regexes.contains_key(regex) {
            self.emit_regex(cx, regex, None);
        }
    }

    /// Resolves expressions that are not resolved yet, and all when topics have changed or it is time to. Returns whether
    /// any stands for other topics now.
    pub fn refresh_regexes(&mut self, cx: &mut Cx<'_>, topics: &dyn Topics) -> bool {
        if self.state.regex_members.is_empty() {
            return false;
        }
        let (now, version) = (cx.now.monotonic, topics.version());
        let is_due = self.regexes_refreshed.is_none_or(|last| {
            let age_ms = now.saturating_sub(last.at);
            age_ms > MIN_INTERVAL_MS
                && (version != last.version || age_ms > cx.settings.consumer.regex_refresh_interval_ms)
        });
        if is_due {
            self.regexes_refreshed = Some(Refreshed { at: now, version });
        }
        let is_resolved = |regex: &Arc<str>| self.state.regexes.contains_key(regex);
        let due: Vec<Arc<str>> =
            self.state.regex_members.keys().filter(|regex| is_due || !is_resolved(regex)).cloned().collect();
        let mut changed = false;
        for (regex, resolved) in resolve(due, topics) {
            let old = self.state.regexes.get(&regex).map(|old| &old.topics);
            if old != Some(&resolved) {
                changed |= old.map_or(!resolved.is_empty(), |_| true);
                let value = ConsumerGroupRegularExpressionValue {
                    topics: resolved.iter().map(|topic| topic.to_string()).collect(),
                    version: i64::try_from(version).unwrap_or(i64::MAX),
                    timestamp: cx.now.wall,
                };
                self.emit_regex(cx, &regex, Some(value));
            }
        }
        changed
    }

    fn emit_regex(&mut self, cx: &mut Cx<'_>, regex: &str, value: Option<ConsumerGroupRegularExpressionValue>) {
        let (group_id, regular_expression) = (cx.group_id.to_string(), regex.to_owned());
        self.emit(cx, Record::ConsumerGroupRegularExpression { group_id, regular_expression, value });
    }
}

/// The topics that each expression stands for. One that another version has let in and this cannot read stands for none.
/// One at a time is held compiled.
fn resolve(regexes: Vec<Arc<str>>, topics: &dyn Topics) -> Vec<(Arc<str>, BTreeSet<Arc<str>>)> {
    if regexes.is_empty() {
        return Vec::new();
    }
    let mut names: Vec<Arc<str>> = Vec::new();
    topics.each(&mut |topic| names.push(topic.name.clone()));
    let matching = |regex: &str| -> BTreeSet<Arc<str>> {
        let Ok(compiled) = compile(regex) else { return BTreeSet::new() };
        names.iter().filter(|name| compiled.is_match(name.as_bytes())).cloned().collect()
    };
    regexes.into_iter().map(|regex| (regex.clone(), matching(&regex))).collect()
}

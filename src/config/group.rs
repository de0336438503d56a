//! A group's settings: what it inherits from the broker and what is its own (Kafka's `GroupConfig`).
//!
//! The overrides are kept as text by the catalog. The broker bounds most of them: one that lies outside is refused when
//! it is set, and one that came to lie outside, since the broker was started with other bounds, acts as the nearest
//! bound. Left out: share groups, streams groups and the assignment interval of single groups, whose keys are checked,
//! kept and described.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::broker::BrokerConfig;
use super::inert::rows;
use super::registry::{self, Invalid, Key, Kind, Valid, same};
use super::topic::inherited_value;

/// Session timeout of a consumer group's members, milliseconds.
pub const CONSUMER_SESSION_TIMEOUT_MS: &str = "consumer.session.timeout.ms";
/// Heartbeat interval of a consumer group's members, milliseconds.
pub const CONSUMER_HEARTBEAT_INTERVAL_MS: &str = "consumer.heartbeat.interval.ms";

rows! { ROWS
    "consumer.assignment.interval.ms": Int = null
        [group, from(&[same("group.consumer.assignment.interval.ms")]), at_least(0), later],
        "Time between two assignments of the consumer group.";
    "consumer.heartbeat.interval.ms": Int = null
        [group, from(&[same("group.consumer.heartbeat.interval.ms")]), at_least(1)],
        "Heartbeat interval of the consumer group's members.";
    "consumer.session.timeout.ms": Int = null
        [group, from(&[same("group.consumer.session.timeout.ms")]), at_least(1)],
        "Session timeout of the consumer group's members.";
    "share.assignment.interval.ms": Int = null
        [group, from(&[same("group.share.assignment.interval.ms")]), at_least(0), later],
        "Time between two assignments of the share group.";
    "share.auto.offset.reset": String = "latest" [group, valid(Valid::ShareOffsetReset), later],
        "Where the share group starts on a partition: earliest, latest, or by_duration: and how long ago.";
    "share.delivery.count.limit": Int = null
        [group, from(&[same("group.share.delivery.count.limit")]), at_least(2), later],
        "Most deliveries of a record to the share group.";
    "share.heartbeat.interval.ms": Int = null
        [group, from(&[same("group.share.heartbeat.interval.ms")]), at_least(1), later],
        "Heartbeat interval of the share group's members.";
    "share.isolation.level": String = "read_uncommitted"
        [group, one_of(&["read_committed", "read_uncommitted"]), later],
        "Whether the share group gets records of transactions that have not been committed.";
    "share.partition.max.record.locks": Int = null
        [group, from(&[same("group.share.partition.max.record.locks")]), at_least(100), later],
        "Most records of a partition that the share group's members hold at once.";
    "share.record.lock.duration.ms": Int = null
        [group, from(&[same("group.share.record.lock.duration.ms")]), at_least(1000), later],
        "How long a member of the share group holds a record that it got.";
    "share.renew.acknowledge.enable": Boolean = "true" [group, later],
        "Whether members of the share group may hold a record for longer.";
    "share.session.timeout.ms": Int = null
        [group, from(&[same("group.share.session.timeout.ms")]), at_least(1), later],
        "Session timeout of the share group's members.";
    "streams.assignment.interval.ms": Int = null
        [group, from(&[same("group.streams.assignment.interval.ms")]), at_least(0), later],
        "Time between two assignments of the streams group.";
    "streams.heartbeat.interval.ms": Int = null
        [group, from(&[same("group.streams.heartbeat.interval.ms")]), at_least(1), later],
        "Heartbeat interval of the streams group's members.";
    "streams.initial.rebalance.delay.ms": Int = null
        [group, from(&[same("group.streams.initial.rebalance.delay.ms")]), at_least(0), later],
        "Wait for more members before the streams group's first rebalance.";
    "streams.num.standby.replicas": Int = null
        [group, from(&[same("group.streams.num.standby.replicas")]), at_least(0), later],
        "Standby replicas of each task of the streams group.";
    "streams.session.timeout.ms": Int = null
        [group, from(&[same("group.streams.session.timeout.ms")]), at_least(1), later],
        "Session timeout of the streams group's members.";
}

/// Settings of groups, and the broker's settings that are their least and their greatest value.
const BOUNDS: &[(&str, Option<&str>, &str)] = &[
    (
        CONSUMER_HEARTBEAT_INTERVAL_MS,
        Some("group.consumer.min.heartbeat.interval.ms"),
        "group.consumer.max.heartbeat.interval.ms",
    ),
    (
        CONSUMER_SESSION_TIMEOUT_MS,
        Some("group.consumer.min.session.timeout.ms"),
        "group.consumer.max.session.timeout.ms",
    ),
    (
        "consumer.assignment.interval.ms",
        Some("group.consumer.min.assignment.interval.ms"),
        "group.consumer.max.assignment.interval.ms",
    ),
    (
        "share.heartbeat.interval.ms",
        Some("group.share.min.heartbeat.interval.ms"),
        "group.share.max.heartbeat.interval.ms",
    ),
    ("share.session.timeout.ms", Some("group.share.min.session.timeout.ms"), "group.share.max.session.timeout.ms"),
    (
        "share.record.lock.duration.ms",
        Some("group.share.min.record.lock.duration.ms"),
        "group.share.max.record.lock.duration.ms",
    ),
    (
        "share.delivery.count.limit",
        Some("group.share.min.delivery.count.limit"),
        "group.share.max.delivery.count.limit",
    ),
    (
        "share.partition.max.record.locks",
        Some("group.share.min.partition.max.record.locks"),
        "group.share.max.partition.max.record.locks",
    ),
    (
        "share.assignment.interval.ms",
        Some("group.share.min.assignment.interval.ms"),
        "group.share.max.assignment.interval.ms",
    ),
    (
        "streams.heartbeat.interval.ms",
        Some("group.streams.min.heartbeat.interval.ms"),
        "group.streams.max.heartbeat.interval.ms",
    ),
    (
        "streams.session.timeout.ms",
        Some("group.streams.min.session.timeout.ms"),
        "group.streams.max.session.timeout.ms",
    ),
    ("streams.num.standby.replicas", None, "group.streams.max.standby.replicas"),
    (
        "streams.assignment.interval.ms",
        Some("group.streams.min.assignment.interval.ms"),
        "group.streams.max.assignment.interval.ms",
    ),
];

/// Pairs of settings of which the first must be more than the second.
const ORDERED: [(&str, &str); 3] = [
    (CONSUMER_SESSION_TIMEOUT_MS, CONSUMER_HEARTBEAT_INTERVAL_MS),
    ("share.session.timeout.ms", "share.heartbeat.interval.ms"),
    ("streams.session.timeout.ms", "streams.heartbeat.interval.ms"),
];

/// All group settings by name.
static KEYS: LazyLock<BTreeMap<&'static str, Key>> =
    LazyLock::new(|| ROWS.iter().map(|key| (key.name, *key)).collect());

/// The declaration of a group setting.
pub fn key(name: &str) -> Option<&'static Key> {
    KEYS.get(name)
}

/// The declarations of all group settings, by name.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    KEYS.values()
}

/// Whether a group may have these settings of its own (`GroupConfig.validate`).
///
/// # Errors
/// An unknown name, a value out of its own range or the broker's, or a session timeout that is no longer than the
/// heartbeat interval, be that the group's own or the broker's; the text is for INVALID_CONFIG.
pub fn validate(broker: &BrokerConfig, overrides: &BTreeMap<String, String>) -> Result<(), Invalid> {
    if let Some(name) = overrides.keys().find(|name| key(name).is_none()) {
        return Err(Invalid::rule(name, format!("Unknown group config name: {name}")));
    }
    for (name, value) in overrides {
        key(name).map_or(Ok(String::new()), |key| key.check(value))?;
    }
    for (name, min, max) in BOUNDS {
        let Some(value) = set(overrides, name) else { continue };
        if let Some((min, least)) = min.and_then(|min| Some((min, number(broker, min)?)))
            && value < least
        {
            let text = format!("{name} must be greater than or equal to {min}, which is {least}; {value} is not");
            return Err(Invalid::rule(*name, text));
        }
        if let Some(most) = number(broker, max).filter(|most| value > *most) {
            let text = format!("{name} must be less than or equal to {max}, which is {most}; {value} is not");
            return Err(Invalid::rule(*name, text));
        }
    }
    for (longer, shorter) in ORDERED {
        let (own_longer, own_shorter) = (set(overrides, longer), set(overrides, shorter));
        if own_longer.is_none() && own_shorter.is_none() {
            continue;
        }
        let in_force = |own: Option<i32>, name: &str| own.or_else(|| inherited(broker, name));
        let values = in_force(own_longer, longer).zip(in_force(own_shorter, shorter));
        if let Some((long, short)) = values.filter(|(long, short)| long <= short) {
            let text = format!("{longer} ({long}) must be greater than {shorter} ({short})");
            return Err(Invalid::rule(longer, text));
        }
    }
    Ok(())
}

/// What acts of a number that the group has of its own: brought within the broker's bounds (`GroupConfig.evaluate`).
pub fn own_number(broker: &BrokerConfig, overrides: &BTreeMap<String, String>, name: &str) -> Option<i32> {
    let value = set(overrides, name)?;
    let Some((_, min, max)) = BOUNDS.iter().find(|(bounded, ..)| *bounded == name) else { return Some(value) };
    match min.and_then(|min| number(broker, min)).filter(|least| value < *least) {
        Some(least) => Some(least),
        None => Some(number(broker, max).map_or(value, |most| value.min(most))),
    }
}

/// Overrides that are stored and described without changing anything yet.
pub fn not_acting(overrides: &BTreeMap<String, String>) -> Vec<&'static str> {
    registry::not_acting(overrides, key)
}

fn set(overrides: &BTreeMap<String, String>, name: &str) -> Option<i32> {
    overrides.get(name)?.trim().parse().ok()
}

fn number(broker: &BrokerConfig, name: &str) -> Option<i32> {
    broker.text(name)?.parse().ok()
}

fn inherited(broker: &BrokerConfig, name: &str) -> Option<i32> {
    inherited_value(key(name)?, &|name: &str| broker.text(name))?.parse().ok()
}

/// Whether `share.auto.offset.reset` takes this (`ShareGroupAutoOffsetResetStrategy`).
pub(super) fn is_offset_reset(value: &str) -> bool {
    match value.strip_prefix("by_duration:") {
        Some(duration) => nanoseconds(duration).is_some_and(|length| length >= 0),
        None => matches!(value, "earliest" | "latest"),
    }
}

/// A duration as `java.time.Duration` reads it: days, hours, minutes and seconds of ISO 8601, each with a sign if need be.
fn nanoseconds(text: &str) -> Option<i128> {
    const SECOND: i128 = 1_000_000_000;
    let text = text.to_ascii_uppercase();
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(&text).strip_prefix('P')?;
    let (days, mut rest) = unsigned.split_once('T').unwrap_or((unsigned, ""));
    if days.is_empty() && rest.is_empty() || unsigned.ends_with('T') {
        return None;
    }
    let whole = |digits: &str| digits.parse::<i64>().ok().map(i128::from);
    let mut total = if days.is_empty() { 0 } else { whole(days.strip_suffix('D')?)? * 86_400 * SECOND };
    for (unit, seconds) in [('H', 3_600), ('M', 60)] {
        if let Some((digits, after)) = rest.split_once(unit) {
            total += whole(digits)? * seconds * SECOND;
            rest = after;
        }
    }
    if !rest.is_empty() {
        let digits = rest.strip_suffix('S')?;
        let (seconds, fraction) = digits.split_once(['.', ',']).unwrap_or((digits, ""));
        if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let fraction: i128 = format!("{fraction:0<9}").parse().ok()?;
        total += whole(seconds)? * SECOND + if seconds.starts_with('-') { -fraction } else { fraction };
    }
    i64::try_from(total / SECOND).ok()?;
    Some(if text.starts_with('-') { -total } else { total })
}

#[cfg(test)]
mod tests;

//! What a setting is: its name, type, default, valid values, scope, whether it acts, and the words that describe it.
//!
//! One [`Key`] is the only declaration of a setting; the typed field, the flag, the file key, the `KAFKA_*` variable,
//! the check of a value, the DescribeConfigs entry and the README row are all read from it. Types, ranges and the
//! printed form of values follow Kafka's `ConfigDef`. Left out: importance and display groups, which nothing reads.

use std::collections::BTreeMap;
use thiserror::Error;

/// The type of a setting, as DescribeConfigs reports it (Kafka's `ConfigDef.Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Boolean,
    String,
    Int,
    Short,
    Long,
    Double,
    List,
    Class,
    /// Described without its value.
    Password,
}

impl Kind {
    /// The word used in help texts, tables and error texts.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Boolean => "BOOLEAN",
            Kind::String => "STRING",
            Kind::Int => "INT",
            Kind::Short => "SHORT",
            Kind::Long => "LONG",
            Kind::Double => "DOUBLE",
            Kind::List => "LIST",
            Kind::Class => "CLASS",
            Kind::Password => "PASSWORD",
        }
    }
}

/// Which values a setting takes beyond its type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Valid {
    Any,
    AtLeast(i64),
    /// Both ends inclusive.
    Between(i64, i64),
    /// Both ends inclusive.
    Fraction(f64, f64),
    NonEmpty,
    OneOf(&'static [&'static str]),
    OneOfIgnoringCase(&'static [&'static str]),
    /// A list of distinct elements, which may be empty.
    Distinct,
    /// A list of distinct elements, at least one.
    SomeDistinct,
    /// A list of distinct elements out of these, which may be empty.
    DistinctOf(&'static [&'static str]),
    /// 1 to 9, or -1 for the codec's own default.
    GzipLevel,
    /// `*`, or `partition:broker` pairs.
    ThrottledReplicas,
    /// `earliest`, `latest`, or `by_duration:` and a duration that is not negative.
    ShareOffsetReset,
}

/// Where a setting can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// At start only.
    Broker,
    /// At start; Kafka can also change it while running, so DescribeConfigs reports it as not read-only.
    BrokerDynamic,
    /// On a topic, inherited from the broker's synonym.
    Topic,
    /// On a group, inherited from the broker's synonym.
    Group,
}

/// What giving the setting does today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Acts,
    /// Acts with this one value; others are stored only.
    ActsOnlyAs(&'static str),
    /// Will act; until then it is stored and described.
    Later,
    /// Belongs to a part of Kafka that Ottla does not have.
    Inert,
    /// Speaks of KRaft controllers, which are not opened.
    Controller,
}

/// A broker setting that a setting of a topic or group inherits from, and the milliseconds in its unit (0: not a time).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synonym {
    pub name: &'static str,
    pub unit_ms: i64,
}

/// The same value under the broker's name.
pub const fn same(name: &'static str) -> Synonym {
    Synonym { name, unit_ms: 0 }
}
/// Milliseconds under the broker's name.
pub const fn ms(name: &'static str) -> Synonym {
    Synonym { name, unit_ms: 1 }
}
/// Minutes under the broker's name.
pub const fn minutes(name: &'static str) -> Synonym {
    Synonym { name, unit_ms: 60_000 }
}
/// Hours under the broker's name.
pub const fn hours(name: &'static str) -> Synonym {
    Synonym { name, unit_ms: 3_600_000 }
}

/// The declaration of one setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    /// Kafka's default in Kafka's printed form; `None` is null. [`super::broker::DIFFERENT_DEFAULTS`] goes over it.
    pub default: Option<&'static str>,
    pub valid: Valid,
    pub scope: Scope,
    pub effect: Effect,
    /// Accepted, but not described, as Kafka's internal settings.
    pub internal: bool,
    pub doc: &'static str,
    /// For a setting of a topic or group, the broker settings it inherits from; the first one that has a value counts.
    pub synonyms: &'static [Synonym],
}

impl Key {
    /// A read-only broker setting without effect; the methods below say what is different.
    pub const fn new(name: &'static str, kind: Kind, default: Option<&'static str>, doc: &'static str) -> Key {
        Key {
            name,
            kind,
            default,
            valid: Valid::Any,
            scope: Scope::Broker,
            effect: Effect::Inert,
            internal: false,
            doc: doc.trim_ascii_start(),
            synonyms: &[],
        }
    }
    pub const fn at_least(mut self, min: i64) -> Key {
        self.valid = Valid::AtLeast(min);
        self
    }
    pub const fn between(mut self, min: i64, max: i64) -> Key {
        self.valid = Valid::Between(min, max);
        self
    }
    pub const fn valid(mut self, valid: Valid) -> Key {
        self.valid = valid;
        self
    }
    pub const fn one_of(mut self, words: &'static [&'static str]) -> Key {
        self.valid = Valid::OneOf(words);
        self
    }
    pub const fn distinct(mut self) -> Key {
        self.valid = Valid::Distinct;
        self
    }
    pub const fn some_distinct(mut self) -> Key {
        self.valid = Valid::SomeDistinct;
        self
    }
    pub const fn dynamic(mut self) -> Key {
        self.scope = Scope::BrokerDynamic;
        self
    }
    pub const fn acts(mut self) -> Key {
        self.effect = Effect::Acts;
        self
    }
    pub const fn acts_only_as(mut self, value: &'static str) -> Key {
        self.effect = Effect::ActsOnlyAs(value);
        self
    }
    pub const fn later(mut self) -> Key {
        self.effect = Effect::Later;
        self
    }
    pub const fn inert(mut self) -> Key {
        self.effect = Effect::Inert;
        self
    }
    pub const fn controller(mut self) -> Key {
        self.effect = Effect::Controller;
        self
    }
    pub const fn internal(mut self) -> Key {
        self.internal = true;
        self
    }
    pub const fn from(mut self, synonyms: &'static [Synonym]) -> Key {
        self.synonyms = synonyms;
        self
    }
    /// A topic setting that acts.
    pub const fn topic(mut self) -> Key {
        self.scope = Scope::Topic;
        self.effect = Effect::Acts;
        self
    }
    /// A group setting that acts.
    pub const fn group(mut self) -> Key {
        self.scope = Scope::Group;
        self.effect = Effect::Acts;
        self
    }

    /// Whether the value must not be shown.
    pub fn is_sensitive(&self) -> bool {
        self.kind == Kind::Password
    }

    /// Whether giving `value` (in printed form) changes what Ottla does.
    pub fn acts_with(&self, value: &str) -> bool {
        match self.effect {
            Effect::Acts => true,
            Effect::ActsOnlyAs(only) => value == only,
            Effect::Later | Effect::Inert | Effect::Controller => false,
        }
    }

    /// Checks a value against type and range and returns its printed form (Kafka's `ConfigDef.convertToString` of the
    /// parsed value): trimmed, numbers and booleans canonical, lists joined by bare commas.
    pub fn check(&self, value: &str) -> Result<String, Invalid> {
        let trimmed = value.trim();
        let number = || self.invalid(value, format!("Not a number of type {}", self.kind.word()));
        match self.kind {
            Kind::Boolean => match trimmed {
                _ if trimmed.eq_ignore_ascii_case("true") => Ok("true".to_string()),
                _ if trimmed.eq_ignore_ascii_case("false") => Ok("false".to_string()),
                _ => Err(self.invalid(value, "Expected value to be either true or false".to_string())),
            },
            Kind::Int => self.check_integer(trimmed.parse::<i32>().map_err(|_| number())?.into()),
            Kind::Short => self.check_integer(trimmed.parse::<i16>().map_err(|_| number())?.into()),
            Kind::Long => self.check_integer(trimmed.parse::<i64>().map_err(|_| number())?),
            Kind::Double => self.check_double(trimmed.parse::<f64>().map_err(|_| number())?),
            Kind::String | Kind::Class | Kind::Password => self.check_text(trimmed),
            Kind::List => self.check_list(trimmed),
        }
    }

    fn check_integer(&self, value: i64) -> Result<String, Invalid> {
        let (min, max) = match self.valid {
            Valid::AtLeast(min) => (min, i64::MAX),
            Valid::Between(min, max) => (min, max),
            Valid::GzipLevel if value != -1 && !(1..=9).contains(&value) => {
                return Err(self.invalid(value, "Value must be between 1 and 9 or equal to -1".to_string()));
            }
            _ => (i64::MIN, i64::MAX),
        };
        if value < min {
            Err(self.invalid(value, format!("Value must be at least {min}")))
        } else if value > max {
            Err(self.invalid(value, format!("Value must be no more than {max}")))
        } else {
            Ok(value.to_string())
        }
    }

    fn check_double(&self, value: f64) -> Result<String, Invalid> {
        if !value.is_finite() {
            return Err(self.invalid(value, "Value must be finite".to_string()));
        }
        if let Valid::Fraction(min, max) = self.valid {
            if value < min {
                return Err(self.invalid(print_double(value), format!("Value must be at least {min}")));
            }
            if value > max {
                return Err(self.invalid(print_double(value), format!("Value must be no more than {max}")));
            }
        }
        Ok(print_double(value))
    }

    fn check_text(&self, value: &str) -> Result<String, Invalid> {
        match self.valid {
            Valid::NonEmpty if value.is_empty() => Err(self.invalid(value, "String must be non-empty".to_string())),
            Valid::OneOf(words) if !words.contains(&value) => {
                Err(self.invalid(value, format!("String must be one of: {}", words.join(", "))))
            }
            Valid::OneOfIgnoringCase(words) if !words.iter().any(|word| word.eq_ignore_ascii_case(value)) => {
                Err(self.invalid(value, format!("String must be one of (case insensitive): {}", words.join(", "))))
            }
            Valid::ShareOffsetReset if !super::group::is_offset_reset(value) => {
                Err(self.invalid(value, "Expected earliest, latest or by_duration:<PnDTnHnMn.nS>".to_string()))
            }
            _ => Ok(value.to_string()),
        }
    }

    fn check_list(&self, value: &str) -> Result<String, Invalid> {
        let items = list(value);
        let refuse = |why: String| Err(Invalid { name: self.name.to_string(), message: why });
        if matches!(self.valid, Valid::Distinct | Valid::SomeDistinct | Valid::DistinctOf(_)) {
            if items.iter().any(|item| item.is_empty()) {
                return refuse(format!("Configuration '{}' values must not be empty.", self.name));
            }
            if (1..items.len()).any(|i| items.iter().take(i).any(|earlier| items.get(i) == Some(earlier))) {
                return refuse(format!("Configuration '{}' values must not be duplicated.", self.name));
            }
        }
        match self.valid {
            Valid::SomeDistinct if items.is_empty() => {
                refuse(format!("Configuration '{}' must not be empty.", self.name))
            }
            Valid::DistinctOf(words) => match items.iter().find(|item| !words.contains(item)) {
                Some(item) => Err(self.invalid(item, format!("String must be one of: {}", words.join(", ")))),
                None => Ok(items.join(",")),
            },
            Valid::ThrottledReplicas if !is_throttle_list(&items) => {
                Err(self.invalid(value, "Expected '*' or a list of partition:broker pairs".to_string()))
            }
            _ => Ok(items.join(",")),
        }
    }

    fn invalid(&self, value: impl std::fmt::Display, why: String) -> Invalid {
        let shown = if self.is_sensitive() { "[hidden]".to_string() } else { value.to_string() };
        Invalid {
            name: self.name.to_string(),
            message: format!("Invalid value {shown} for configuration {}: {why}", self.name),
        }
    }
}

fn is_throttle_list(items: &[&str]) -> bool {
    let pair = |item: &&str| {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        item.is_empty() || item.split_once(':').is_some_and(|(partition, broker)| digits(partition) && digits(broker))
    };
    items == ["*"] || items.iter().all(pair)
}

/// Of these settings, those that change nothing; `key` knows their declarations.
pub(super) fn not_acting(
    settings: &BTreeMap<String, String>,
    key: impl Fn(&str) -> Option<&'static Key>,
) -> Vec<&'static str> {
    let idle = |name: &str, value: &str| {
        let key = key(name)?;
        (!key.acts_with(&key.check(value).ok()?)).then_some(key.name)
    };
    settings.iter().filter_map(|(name, value)| idle(name, value)).collect()
}

/// The elements of a comma-separated value; none for an empty one.
pub fn list(value: &str) -> Vec<&str> {
    if value.trim().is_empty() { Vec::new() } else { value.split(',').map(str::trim).collect() }
}

/// A double as `Double.toString` of Java prints it.
fn print_double(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (1e-3..1e7).contains(&size) {
        return format!("{value:?}");
    }
    let text = format!("{value:E}");
    match text.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => text,
    }
}

/// A name or a value that a setting cannot take; the text is ready for a user and for INVALID_CONFIG.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Invalid {
    pub name: String,
    pub message: String,
}

impl Invalid {
    /// A rule that spans settings, or one of no single setting.
    pub fn rule(name: impl Into<String>, message: impl Into<String>) -> Invalid {
        Invalid { name: name.into(), message: message.into() }
    }
}

/// A Rust type that a setting is read into.
pub trait Setting: Sized {
    const KIND: Kind;
    /// Reads the printed form of a checked value; `None` is null.
    fn read(value: Option<&str>) -> Option<Self>;
}

macro_rules! parsed {
    ($($ty:ty => $kind:ident),*) => {
        $(impl Setting for $ty {
            const KIND: Kind = Kind::$kind;
            fn read(value: Option<&str>) -> Option<Self> {
                value?.parse().ok()
            }
        })*
    };
}
parsed!(bool => Boolean, i16 => Short, i32 => Int, i64 => Long, f64 => Double, String => String);

impl Setting for Vec<String> {
    const KIND: Kind = Kind::List;
    fn read(value: Option<&str>) -> Option<Self> {
        Some(list(value?).into_iter().map(str::to_string).collect())
    }
}

impl<T: Setting> Setting for Option<T> {
    const KIND: Kind = T::KIND;
    fn read(value: Option<&str>) -> Option<Self> {
        match value {
            None => Some(None),
            Some(_) => T::read(value).map(Some),
        }
    }
}

/// Reads a field from the printed form of its setting.
pub(super) fn field<T: Setting>(name: &str, value: Option<&str>) -> Result<T, Invalid> {
    T::read(value).ok_or_else(|| Invalid::rule(name, format!("Configuration '{name}' cannot be read")))
}

/// Declares settings that have a typed field:
/// `field: type = "kafka.name", "default" [option, option(argument)];` with the description above it.
/// `null` is no default. The options are the methods of [`Key`]; a setting declared here acts unless it says otherwise.
macro_rules! settings {
    (
        $(#[$meta:meta])* pub struct $struct:ident, table $table:ident, base $base:ident
        { $( $(#[doc = $doc:literal])+ $field:ident : $ty:ty = $name:literal, $default:tt
             $([ $($option:ident $(( $($argument:expr),* ))? ),* ])? ; )* }
        and { $( $(#[$extra_meta:meta])* $extra_vis:vis $extra:ident : $extra_ty:ty ),* $(,)? }
    ) => {
        $(#[$meta])*
        pub struct $struct {
            $( $(#[doc = $doc])+ pub $field: $ty, )*
            $( $(#[$extra_meta])* $extra_vis $extra: $extra_ty, )*
        }

        pub(super) const $table: &[Key] = &[ $(
            Key::new(
                $name,
                <$ty as Setting>::KIND,
                $crate::config::registry::settings!(@default $default),
                concat!($($doc),+),
            )
                .$base() $( $( .$option($($($argument),*)?) )* )?,
        )* ];

        impl $struct {
            /// Reads every declared field from the printed form of its setting.
            fn read<'a>(
                value: impl Fn(&'static str) -> Option<&'a str> $(, $extra: $extra_ty)*
            ) -> Result<Self, Invalid> {
                Ok(Self { $( $field: $crate::config::registry::field::<$ty>($name, value($name))?, )* $( $extra, )* })
            }
        }

        $crate::config::registry::settings!(@reread $base $struct $( $field: $ty = $name; )*);
    };
    // What a topic has of its own is laid over what it inherits; the broker's settings are read once.
    (@reread topic $struct:ident $( $field:ident : $ty:ty = $name:literal; )*) => {
        impl $struct {
            /// Reads one field again; a name without a field is left alone.
            fn reread(&mut self, name: &str, value: Option<&str>) -> Result<(), Invalid> {
                match name {
                    $( $name => self.$field = $crate::config::registry::field::<$ty>($name, value)?, )*
                    _ => {}
                }
                Ok(())
            }
        }
    };
    (@reread acts $($rest:tt)*) => {};
    (@default null) => { None };
    (@default $default:literal) => { Some($default) };
}
pub(super) use settings;

#[cfg(test)]
mod tests {
    use super::*;

    const INT: Key = Key::new("i", Kind::Int, None, "").between(1, 5);
    const LONG: Key = Key::new("l", Kind::Long, None, "").at_least(0);
    const RATIO: Key = Key::new("r", Kind::Double, None, "").valid(Valid::Fraction(0.0, 1.0));
    const FLAG: Key = Key::new("b", Kind::Boolean, None, "");
    const POLICY: Key = Key::new("p", Kind::List, None, "").valid(Valid::DistinctOf(&["compact", "delete"]));
    const NAMES: Key = Key::new("n", Kind::List, None, "").some_distinct();
    const GZIP: Key = Key::new("g", Kind::Int, None, "").valid(Valid::GzipLevel);
    const THROTTLE: Key = Key::new("t", Kind::List, None, "").valid(Valid::ThrottledReplicas);
    const SECRET: Key = Key::new("s", Kind::Password, None, "").valid(Valid::OneOf(&["x"]));

    #[test]
    fn values_are_checked_and_printed_as_kafka_prints_them() {
        for (key, given, printed) in [
            (INT, " +3 ", "3"),
            (INT, "1", "1"),
            (INT, "5", "5"),
            (LONG, "9223372036854775807", "9223372036854775807"),
            (FLAG, "TRUE", "true"),
            (RATIO, "0.50", "0.5"),
            (RATIO, "1", "1.0"),
            (POLICY, "compact , delete", "compact,delete"),
            (POLICY, "", ""),
            (GZIP, "-1", "-1"),
            (THROTTLE, "0:1,2:3", "0:1,2:3"),
            (THROTTLE, "*", "*"),
        ] {
            assert_eq!(key.check(given).as_deref(), Ok(printed), "{} {given}", key.name);
        }
    }

    #[test]
    fn refusals_name_the_value_the_setting_and_the_rule() {
        for (key, given, text) in [
            (INT, "0", "Invalid value 0 for configuration i: Value must be at least 1"),
            (INT, "6", "Invalid value 6 for configuration i: Value must be no more than 5"),
            (INT, "x", "Invalid value x for configuration i: Not a number of type INT"),
            (INT, "2147483648", "Invalid value 2147483648 for configuration i: Not a number of type INT"),
            (LONG, "-1", "Invalid value -1 for configuration l: Value must be at least 0"),
            (RATIO, "1.5", "Invalid value 1.5 for configuration r: Value must be no more than 1"),
            (FLAG, "yes", "Invalid value yes for configuration b: Expected value to be either true or false"),
            (POLICY, "drop", "Invalid value drop for configuration p: String must be one of: compact, delete"),
            (POLICY, "delete,delete", "Configuration 'p' values must not be duplicated."),
            (NAMES, "", "Configuration 'n' must not be empty."),
            (NAMES, "a,,b", "Configuration 'n' values must not be empty."),
            (GZIP, "0", "Invalid value 0 for configuration g: Value must be between 1 and 9 or equal to -1"),
            (
                THROTTLE,
                "0-1",
                "Invalid value 0-1 for configuration t: Expected '*' or a list of partition:broker pairs",
            ),
            (SECRET, "hunter2", "Invalid value [hidden] for configuration s: String must be one of: x"),
        ] {
            assert_eq!(key.check(given).map_err(|invalid| invalid.message), Err(text.to_string()));
        }
        assert!(RATIO.check("NaN").is_err());
    }

    #[test]
    fn doubles_print_as_in_java() {
        for (value, text) in
            [(0.5, "0.5"), (f64::MAX, "1.7976931348623157E308"), (1e10, "1.0E10"), (0.0001, "1.0E-4"), (0.0, "0.0")]
        {
            assert_eq!(print_double(value), text);
        }
    }
}

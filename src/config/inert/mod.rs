//! Kafka's broker settings that Ottla knows without a typed field: they are checked, described and named in a warning
//! when given. One that begins to act moves to `broker.rs` and gets its field there. Facts (names, types, defaults,
//! ranges) are those of Kafka 4.3.

mod cluster;
mod groups;
mod security;
mod storage;

use super::registry::Key;

/// Every table of this directory.
pub(super) const TABLES: [&[Key]; 4] = [cluster::CLUSTER, groups::GROUPS, security::SECURITY, storage::STORAGE];

/// Declares settings without a field: `"kafka.name": Kind = "default" [option, option(argument)], "Description.";`
/// `null` is no default; the options are the methods of [`Key`].
macro_rules! rows {
    ($table:ident $( $name:literal : $kind:ident = $default:tt
        $([ $($option:ident $(( $($argument:expr),* ))? ),* ])? , $doc:literal ; )*) => {
        pub(super) const $table: &[Key] = &[ $(
            Key::new($name, Kind::$kind, $crate::config::registry::settings!(@default $default), $doc)
                $( $( .$option($($($argument),*)?) )* )?,
        )* ];
    };
}
pub(super) use rows;

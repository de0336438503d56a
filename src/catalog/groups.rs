//! Settings of groups, by the rules for topics' where those fit. A group need not exist to have some, and keeps them when
//! it is deleted; what a group is otherwise, the catalog does not know. Pure.

use super::image::{Configs, Image};
use super::records::Record;
use super::topics::{ConfigChange, ConfigRules, TopicError, changed, check_configs};

/// Longest name of a group that has settings, in bytes: with a longer one it could not keep its offsets.
pub const MAX_GROUP_NAME_LENGTH: usize = i16::MAX as usize;

/// Some settings of a group changed (IncrementalAlterConfigs). None: it has them already.
pub fn alter_configs(
    image: &Image,
    group: &str,
    changes: &[(String, ConfigChange)],
    rules: ConfigRules<'_>,
) -> Result<Option<Record>, TopicError> {
    let configs = image.group_configs(group).map_or_else(Configs::new, |configs| Configs::clone(configs));
    replace_configs(image, group, changed(configs, changes, rules)?, rules)
}

/// All settings of a group replaced (AlterConfigs). None: it has them already.
pub fn replace_configs(
    image: &Image,
    group: &str,
    configs: Configs,
    rules: ConfigRules<'_>,
) -> Result<Option<Record>, TopicError> {
    check_name(group)?;
    check_configs(&configs, rules)?;
    let same = image.group_configs(group).map_or(configs.is_empty(), |now| **now == configs);
    Ok((!same).then(|| Record::GroupConfigsSet { group: group.to_owned(), configs }))
}

fn check_name(group: &str) -> Result<(), TopicError> {
    match group.len() {
        0 => Err(TopicError::InvalidRequest("There are no settings for all groups.".to_owned())),
        length if length > MAX_GROUP_NAME_LENGTH => Err(TopicError::InvalidRequest(format!(
            "The name of the group has {length} bytes, more than the {MAX_GROUP_NAME_LENGTH} that are allowed."
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ConfigChange::{Append, Delete, Set, Subtract};

    /// The list is `l`; the value `bad` is not valid.
    fn rules() -> ConfigRules<'static> {
        ConfigRules {
            list_default: &|key| (key == "l").then(|| "x".to_owned()),
            check: &|configs| match configs.values().any(|value| value == "bad") {
                true => Err("bad".to_owned()),
                false => Ok(()),
            },
        }
    }

    /// The group `a` has k=v.
    fn image() -> Image {
        let mut image = Image::new();
        image.apply(&Record::GroupConfigsSet { group: "a".into(), configs: configs(&[("k", "v")]) }).unwrap();
        image
    }

    fn configs(pairs: &[(&str, &str)]) -> Configs {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    fn alter(group: &str, key: &str, change: ConfigChange) -> Result<Option<Record>, TopicError> {
        alter_configs(&image(), group, &[(key.to_owned(), change)], rules())
    }

    #[test]
    fn settings_change_one_by_one_or_all_at_once() {
        for (group, key, change, expected) in [
            ("a", "k", Set("v".into()), None),
            ("a", "k", Set("w".into()), Some(&[("k", "w")][..])),
            ("a", "n", Set("1".into()), Some(&[("k", "v"), ("n", "1")])),
            ("a", "n", Delete, None),
            ("a", "k", Delete, Some(&[])),
            ("a", "l", Append("y".into()), Some(&[("k", "v"), ("l", "x,y")])),
            ("a", "l", Subtract("x".into()), Some(&[("k", "v"), ("l", "")])),
            ("b", "k", Delete, None),
            ("b", "k", Set("v".into()), Some(&[("k", "v")])),
        ] {
            let record =
                expected.map(|pairs| Record::GroupConfigsSet { group: group.to_owned(), configs: configs(pairs) });
            assert_eq!(alter(group, key, change.clone()), Ok(record.clone()), "{group} {key} {change:?}");
            if let Some(record) = record {
                image().apply(&record).unwrap();
            }
        }
        let replaced = |group: &str, pairs: &[(&str, &str)]| {
            replace_configs(&image(), group, configs(pairs), rules()).map(|record| record.is_some())
        };
        for (group, pairs, changes) in [
            ("a", &[("k", "v")][..], false),
            ("a", &[("n", "v")], true),
            ("a", &[], true),
            ("b", &[], false),
            ("b", &[("k", "v")], true),
        ] {
            assert_eq!(replaced(group, pairs), Ok(changes), "{group} {pairs:?}");
        }
    }

    #[test]
    fn what_is_refused() {
        let invalid = |result: Result<Option<Record>, TopicError>| match result.unwrap_err() {
            TopicError::InvalidConfig(text) => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(invalid(alter("a", "n", Set("bad".into()))), "bad");
        assert!(invalid(alter("a", "k", Append("w".into()))).contains("not a list"));
        assert!(invalid(alter("a", "k", Set("x".repeat(40_000)))).contains("longer than"));
        for (length, taken) in [(0, false), (1, true), (32_767, true), (32_768, false)] {
            let result = alter(&"g".repeat(length), "k", Set("v".into()));
            assert_eq!(matches!(result, Err(TopicError::InvalidRequest(_))), !taken, "{length}");
        }
    }
}

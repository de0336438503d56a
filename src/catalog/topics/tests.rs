use super::*;
use proptest::prelude::*;

/// Lists are `l` (default `x`) and `m` (default empty); the value `bad` is not valid.
fn rules() -> ConfigRules<'static> {
    ConfigRules {
        list_default: &|key| match key {
            "l" => Some("x".into()),
            "m" => Some(String::new()),
            _ => None,
        },
        check: &|configs| match configs.iter().find(|(_, value)| *value == "bad") {
            Some((key, _)) => Err(format!("{key} is bad")),
            None => Ok(()),
        },
    }
}

/// Broker 4, with the topics `a` (3 partitions, k=v), `x.y` and `__consumer_offsets`.
fn image() -> Image {
    let mut image = Image::new();
    image.node_id = 4;
    for (n, name) in ["a", "x.y", CONSUMER_OFFSETS].into_iter().enumerate() {
        let configs = Configs::from([("k".to_owned(), "v".to_owned())]);
        let id = Uuid::from_u128(1000 + n as u128);
        image.apply(&Record::TopicCreated { name: name.into(), id, partitions: 3, configs }).unwrap();
    }
    image
}

fn create(new: &NewTopic) -> Result<(i32, Configs), TopicError> {
    match create_topic(&image(), new, Uuid::from_u128(7), 5, 0, rules())? {
        Record::TopicCreated { name, id, partitions, configs } => {
            assert_eq!((name.as_str(), id), (new.name.as_str(), Uuid::from_u128(7)));
            Ok((partitions, configs))
        }
        other => panic!("{other:?}"),
    }
}

fn partitions(partitions: i32, replication_factor: i16, assignments: &[(i32, &[i32])]) -> Result<i32, TopicError> {
    let assignments = assignments.iter().map(|(partition, brokers)| (*partition, brokers.to_vec())).collect();
    let new = NewTopic { partitions, replication_factor, assignments, ..NewTopic::with_defaults("new") };
    create(&new).map(|made| made.0)
}

/// The error's name and a piece of its text.
fn assert_error<T: std::fmt::Debug>(result: Result<T, TopicError>, name: &str, text: &str) {
    let error = result.unwrap_err();
    assert!(format!("{error:?}").starts_with(name), "{error:?} is not {name}");
    assert!(error.to_string().contains(text), "{error} does not say {text:?}");
}

#[test]
fn names_are_kafkas() {
    let longest = "n".repeat(249);
    for name in ["a1", "A-b_c.d", "...", "-", "__consumer_offset", &longest] {
        assert_eq!(check_name(name), Ok(()), "{name}");
    }
    let longer = "n".repeat(250);
    for name in ["", ".", "..", "a/b", "../a", "a b", "a\0", "ä", "a\n", "a:b", "a\\b", &longer] {
        assert_error(check_name(name), "InvalidName", "Topic name is invalid");
        assert_error(create(&NewTopic::with_defaults(name)), "InvalidName", "Topic name is invalid");
    }
}

proptest! {
    #[test]
    fn a_name_that_passes_is_a_file_name(name in any::<String>()) {
        if check_name(&name).is_ok() {
            let path = std::path::Path::new("/d").join(format!("{name}-12345"));
            prop_assert_eq!(path.parent(), Some(std::path::Path::new("/d")));
            prop_assert!(name.len() <= 249 && name.is_ascii());
        }
    }
}

#[test]
fn names_that_are_taken_or_too_alike_are_refused() {
    assert_error(create(&NewTopic::with_defaults("a")), "Exists", "'a' already exists");
    assert_error(create(&NewTopic::with_defaults("x.y")), "Exists", "'x.y' already exists");
    assert_error(
        create(&NewTopic::with_defaults("x_y")),
        "InvalidName",
        "'x_y' collides with the existing topic 'x.y'",
    );
    assert_error(create(&NewTopic::with_defaults("..consumer.offsets")), "InvalidName", "collides");
    assert_error(create(&NewTopic::with_defaults(CLUSTER_METADATA)), "InvalidRequest", "cannot be created");
    for name in ["x-y", "xy", "x.z", TRANSACTION_STATE] {
        create(&NewTopic::with_defaults(name)).unwrap();
    }
    assert!(is_internal(TRANSACTION_STATE) && !is_internal("__mine"));
}

#[test]
fn partitions_and_replicas_follow_kafkas_rules() {
    for ((count, factor, assignments), expected) in [
        ((-1, -1, &[][..]), 5),
        ((1, 1, &[]), 1),
        ((10_000, -1, &[]), 10_000),
        ((-1, -1, &[(1, &[4][..]), (0, &[4])]), 2),
    ] {
        assert_eq!(partitions(count, factor, assignments), Ok(expected));
    }
    for (count, factor, assignments, name, text) in [
        (0, 1, &[][..], "InvalidPartitions", "above 0"),
        (-2, 1, &[], "InvalidPartitions", "above 0"),
        (10_001, 1, &[], "PolicyViolation", "10000"),
        (i32::MAX, 1, &[], "PolicyViolation", "10000"),
        (1, 0, &[], "InvalidReplicationFactor", "above 0"),
        (0, -2, &[], "InvalidReplicationFactor", "above 0"),
        (1, 3, &[], "InvalidReplicationFactor", "ask for 1, or for -1"),
        (1, -1, &[(0, &[4][..])], "InvalidRequest", "numPartitions must be -1"),
        (-1, 1, &[(0, &[4])], "InvalidRequest", "replication factor must be -1"),
        (-1, -1, &[(0, &[])], "InvalidReplicaAssignment", "without brokers"),
        (-1, -1, &[(0, &[5])], "InvalidReplicaAssignment", "broker 5"),
        (-1, -1, &[(0, &[4, 4])], "InvalidReplicaAssignment", "more than once"),
        (-1, -1, &[(0, &[4]), (0, &[4])], "InvalidReplicaAssignment", "assigned more than once"),
        (-1, -1, &[(0, &[4]), (2, &[4])], "InvalidReplicaAssignment", "without a gap"),
        (-1, -1, &[(-1, &[4]), (0, &[4])], "InvalidReplicaAssignment", "without a gap"),
    ] {
        assert_error(partitions(count, factor, assignments), name, text);
    }
}

#[test]
fn settings_of_a_new_topic_are_checked() {
    let with = |configs: &[(&str, Option<&str>)]| {
        let configs = configs.iter().map(|(key, value)| (key.to_string(), value.map(String::from))).collect();
        create(&NewTopic { configs, ..NewTopic::with_defaults("new") }).map(|made| made.1)
    };
    assert_eq!(with(&[("b", Some("1")), ("a", Some("2"))]).unwrap().keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_error(with(&[("b", None), ("a", Some("2")), ("c", None)]), "InvalidConfig", "b,c");
    assert_error(with(&[("b", Some("bad"))]), "InvalidConfig", "b is bad");
    assert_error(with(&[("b", Some(&"v".repeat(32_768)))]), "InvalidConfig", "32767");
}

#[test]
fn partitions_only_grow() {
    let add =
        |name, count, assignments: Option<&[Vec<i32>]>, made| add_partitions(&image(), name, count, assignments, made);
    let id = Uuid::from_u128(1000);
    assert_eq!(add("a", 4, None, 0), Ok(Record::PartitionsAdded { id, partitions: 4 }));
    assert_eq!(add("a", 5, Some(&[vec![4], vec![4]]), 0), Ok(Record::PartitionsAdded { id, partitions: 5 }));
    assert_error(add("b", 4, None, 0), "UnknownName", "'b' does not exist");
    assert_error(add("a", 3, None, 0), "InvalidPartitions", "already has 3 partition(s)");
    for count in [2, 0, -1, i32::MIN] {
        assert_error(add("a", count, None, 0), "InvalidPartitions", "has 3 partition(s) now");
    }
    assert_error(add("a", i32::MAX, None, 0), "PolicyViolation", "10000");
    assert_error(add("a", 5, None, 9_999), "PolicyViolation", "10000");
    assert_error(add("a", 5, Some(&[vec![4]]), 0), "InvalidReplicaAssignment", "2 partition(s)");
    assert_error(add("a", 4, Some(&[vec![5]]), 0), "InvalidReplicaAssignment", "broker 5");
}

#[test]
fn settings_change_one_by_one_or_all_at_once() {
    use ConfigChange::{Append, Delete, Set, Subtract};
    let alter = |changes: Vec<(&str, ConfigChange)>| {
        let changes: Vec<_> = changes.into_iter().map(|(key, change)| (key.to_owned(), change)).collect();
        match alter_configs(&image(), "a", &changes, rules())? {
            Some(Record::ConfigsSet { configs, .. }) => Ok(Some(format!("{configs:?}"))),
            Some(other) => panic!("{other:?}"),
            None => Ok(None),
        }
    };
    for (changes, expected) in [
        (vec![("k", Set("v".into()))], None),
        (vec![("other", Delete)], None),
        (vec![("k", Delete)], Some(r#"{}"#)),
        (vec![("k", Set("w".into())), ("n", Set("1".into()))], Some(r#"{"k": "w", "n": "1"}"#)),
        (vec![("l", Append("y,x,z".into()))], Some(r#"{"k": "v", "l": "x,y,z"}"#)),
        (vec![("m", Append("y".into()))], Some(r#"{"k": "v", "m": "y"}"#)),
        (vec![("l", Subtract("x,q".into()))], Some(r#"{"k": "v", "l": ""}"#)),
    ] {
        assert_eq!(alter(changes.clone()).unwrap().as_deref(), expected, "{changes:?}");
    }
    assert_error(alter(vec![("k", Append("w".into()))]), "InvalidConfig", "not a list");
    assert_error(alter(vec![("n", Set("bad".into()))]), "InvalidConfig", "n is bad");
    assert_error(alter_configs(&image(), "b", &[], rules()), "UnknownName", "'b'");

    let replaced = |configs: Configs| replace_configs(&image(), "a", configs, rules()).unwrap();
    let configs = Configs::from([("n".to_owned(), "1".to_owned())]);
    assert_eq!(replaced(configs.clone()), Some(Record::ConfigsSet { id: Uuid::from_u128(1000), configs }));
    assert_eq!(replaced(Configs::from([("k".to_owned(), "v".to_owned())])), None);
}

#[test]
fn producer_ids_end() {
    let mut image = image();
    let (block, record) = allocate_producer_ids(&image).unwrap();
    assert_eq!(block, ProducerIdBlock { first: 0, count: 1000 });
    image.apply(&record).unwrap();
    assert_eq!(allocate_producer_ids(&image).unwrap().0.first, 1000);
    image.apply(&Record::ProducerIds { next: i64::MAX - 999 }).unwrap();
    assert_eq!(allocate_producer_ids(&image), Err(TopicError::NoProducerIds));
}

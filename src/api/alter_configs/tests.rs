use super::*;
use crate::api::Api;
use crate::api::testing::{ask, create_topic, text};
use kafka_protocol::messages::IncrementalAlterConfigsRequest;
use kafka_protocol::messages::alter_configs_request::AlterableConfig;
use kafka_protocol::messages::incremental_alter_configs_request as incremental;

const TOPIC: i8 = 2;
const GROUP: i8 = 32;
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// Type, name, and operations with setting and value.
type Wanted<'a> = (i8, &'a str, &'a [(i8, &'a str, Option<&'a str>)]);
/// Code and text of each resource.
type Outcome = Vec<(i16, Option<String>)>;

struct Setting {
    broker: Arc<Broker>,
    api: Api,
}

impl Setting {
    fn new() -> Self {
        let broker = Broker::in_memory(&[]);
        for name in ["t", "u"] {
            create_topic(&broker, name, &[]);
        }
        Setting { api: Api::new(broker.clone()), broker }
    }

    async fn change(&self, version: i16, wanted: &[Wanted<'_>], validate_only: bool) -> Outcome {
        let resources = wanted.iter().map(|(resource_type, name, configs)| {
            let configs = configs.iter().map(|(operation, key, value)| {
                incremental::AlterableConfig::default()
                    .with_name(text(key))
                    .with_config_operation(*operation)
                    .with_value(value.map(text))
            });
            incremental::AlterConfigsResource::default()
                .with_resource_type(*resource_type)
                .with_resource_name(text(name))
                .with_configs(configs.collect())
        });
        let request = IncrementalAlterConfigsRequest::default()
            .with_resources(resources.collect())
            .with_validate_only(validate_only);
        let responses = ask(&self.api, version, &request).await.responses;
        let names: Vec<_> = responses.iter().map(|one| (one.resource_type, &*one.resource_name)).collect();
        assert_eq!(names, wanted.iter().map(|one| (one.0, one.1)).collect::<Vec<_>>());
        responses.into_iter().map(|one| (one.error_code, one.error_message.map(|text| text.to_string()))).collect()
    }

    async fn replace(
        &self,
        version: i16,
        resource_type: i8,
        name: &str,
        configs: &[(&str, Option<&str>)],
        validate_only: bool,
    ) -> (i16, Option<String>) {
        let configs = configs
            .iter()
            .map(|(key, value)| AlterableConfig::default().with_name(text(key)).with_value(value.map(text)));
        let resource = AlterConfigsResource::default()
            .with_resource_type(resource_type)
            .with_resource_name(text(name))
            .with_configs(configs.collect());
        let request = AlterConfigsRequest::default().with_resources(vec![resource]).with_validate_only(validate_only);
        let mut responses = ask(&self.api, version, &request).await.responses;
        assert_eq!((responses[0].resource_type, &*responses[0].resource_name), (resource_type, name));
        let one = responses.remove(0);
        (one.error_code, one.error_message.map(|text| text.to_string()))
    }

    fn configs(&self, name: &str) -> Vec<(String, String)> {
        self.broker.catalog().image().topic(name).unwrap().configs.clone().into_iter().collect()
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

const DONE: (i16, Option<String>) = (0, None);

/// The course of `incrementalalterconfigs-v*` as recorded from Apache Kafka 4.3.1.
#[tokio::test]
async fn settings_are_set_deleted_appended_and_subtracted() {
    for version in 0..=1 {
        let setting = Setting::new();
        let steps: [(&[_], bool, &[_]); 5] = [
            (
                &[(SET, "retention.ms", Some("123456")), (SET, "cleanup.policy", Some("delete"))],
                false,
                &[("cleanup.policy", "delete"), ("retention.ms", "123456")],
            ),
            (
                &[(APPEND, "cleanup.policy", Some("compact"))],
                false,
                &[("cleanup.policy", "delete,compact"), ("retention.ms", "123456")],
            ),
            (
                &[(SUBTRACT, "cleanup.policy", Some("compact")), (DELETE, "retention.ms", None)],
                false,
                &[("cleanup.policy", "delete")],
            ),
            (&[(SET, "retention.ms", Some("1"))], true, &[("cleanup.policy", "delete")]),
            (
                &[(DELETE, "retention.ms", Some("ignored")), (DELETE, "no.such.key", None)],
                false,
                &[("cleanup.policy", "delete")],
            ),
        ];
        for (changes, validate_only, after) in steps {
            assert_eq!(setting.change(version, &[(TOPIC, "t", changes)], validate_only).await, [DONE]);
            assert_eq!(setting.configs("t"), pairs(after));
        }
        // A list that the topic does not have starts from what it inherits.
        let compact = [(APPEND, "cleanup.policy", Some("compact"))];
        assert_eq!(setting.change(version, &[(TOPIC, "u", &compact)], false).await, [DONE]);
        assert_eq!(setting.configs("u"), pairs(&[("cleanup.policy", "delete,compact")]));
    }
}

/// The course of `alterconfigs-v*` as recorded from Apache Kafka 4.3.1.
#[tokio::test]
async fn settings_are_replaced() {
    for version in 0..=2 {
        let setting = Setting::new();
        let replace = async |configs: &[(&str, Option<&str>)], validate_only| {
            setting.replace(version, TOPIC, "t", configs, validate_only).await
        };
        assert_eq!(replace(&[("retention.ms", Some("1")), ("flush.ms", Some("2"))], false).await, DONE);
        assert_eq!(replace(&[("retention.ms", Some("654321"))], false).await, DONE);
        assert_eq!(replace(&[("retention.ms", Some("1"))], true).await, DONE);
        let invalid = ErrorCode::InvalidConfig.code();
        assert_eq!(
            replace(&[("no.such.key", Some("1"))], false).await,
            (invalid, Some("Unknown topic config name: no.such.key".into()))
        );
        assert_eq!(replace(&[("retention.ms", Some("soon"))], true).await.0, invalid);
        assert_eq!(replace(&[("retention.ms", None)], false).await.0, ErrorCode::InvalidRequest.code());
        assert_eq!(setting.configs("t"), pairs(&[("retention.ms", "654321")]));
        assert_eq!(replace(&[], false).await, DONE);
        assert_eq!(setting.configs("t"), []);
        let unknown = setting.replace(version, TOPIC, "v", &[("retention.ms", Some("1"))], false).await;
        assert_eq!(unknown, (3, Some("The topic 'v' does not exist.".into())));
    }
}

/// Codes as recorded from Apache Kafka 4.3.1 where it has these.
#[tokio::test]
async fn what_is_refused_changes_nothing() {
    let setting = Setting::new();
    let good = &[(SET, "retention.ms", Some("1"))];
    let (invalid_config, invalid_request) = (ErrorCode::InvalidConfig, ErrorCode::InvalidRequest);
    let cases: [(Wanted<'_>, ErrorCode, &str); 18] = [
        ((TOPIC, "t", &[(SET, "no.such.key", Some("1"))]), invalid_config, "Unknown topic config name: no.such.key"),
        (
            (TOPIC, "t", &[(SET, "max.message.bytes", Some("many"))]),
            invalid_config,
            "Invalid value many for configuration max.message.bytes: Not a number of type INT",
        ),
        ((TOPIC, "t", &[(APPEND, "max.message.bytes", Some("1"))]), invalid_config, "not a list"),
        ((TOPIC, "t", &[(SUBTRACT, "no.such.key", Some("1"))]), invalid_config, "not a list"),
        ((TOPIC, "t", &[(APPEND, "cleanup.policy", Some("shred"))]), invalid_config, "String must be one of"),
        ((TOPIC, "t", &[(SET, "retention.ms", None)]), invalid_request, "Null is no value for: retention.ms"),
        ((TOPIC, "t", &[(APPEND, "cleanup.policy", None)]), invalid_request, "Null is no value for: cleanup.policy"),
        ((TOPIC, "t", &[(7, "retention.ms", Some("1"))]), ErrorCode::UnknownServerError, "Unknown operation 7"),
        ((TOPIC, "t", &[(-1, "retention.ms", Some("1"))]), ErrorCode::UnknownServerError, "Unknown operation -1"),
        (
            (TOPIC, "t", &[(SET, "retention.ms", Some("1")), (DELETE, "retention.ms", None)]),
            invalid_request,
            "retention.ms is named twice",
        ),
        ((TOPIC, "v", good), ErrorCode::UnknownTopicOrPartition, "The topic 'v' does not exist."),
        ((TOPIC, "", good), invalid_request, "no settings for all topics"),
        ((TOPIC, "a/b", good), ErrorCode::InvalidTopicException, "Topic name is invalid"),
        ((4, "1", &[(SET, "log.cleaner.threads", Some("2"))]), invalid_request, "restart it"),
        ((4, "", &[(SET, "log.cleaner.threads", Some("2"))]), invalid_request, "restart it"),
        ((4, "2", good), invalid_request, "Unexpected broker id: expected 1"),
        ((8, "1", &[(SET, "root", Some("DEBUG"))]), invalid_request, "Log levels"),
        ((77, "x", good), invalid_request, "Unknown resource type 77"),
    ];
    for (wanted, code, message) in cases {
        for validate_only in [false, true] {
            let outcome = setting.change(1, &[wanted], validate_only).await;
            assert_eq!(outcome[0].0, code.code(), "{wanted:?}");
            assert!(outcome[0].1.as_deref().unwrap().contains(message), "{outcome:?}");
        }
    }
    for (resource_type, name) in [(16, "x"), (GROUP, "")] {
        assert_eq!(setting.change(1, &[(resource_type, name, good)], false).await[0].0, invalid_request.code());
        assert_eq!(setting.replace(2, resource_type, name, &[], false).await.0, invalid_request.code());
    }
    assert_eq!(setting.replace(2, 4, "1", &[], false).await.0, invalid_request.code());
    let twice =
        setting.replace(2, TOPIC, "t", &[("retention.ms", Some("1")), ("retention.ms", Some("1"))], false).await;
    assert_eq!(twice.0, invalid_request.code());
    assert_eq!((setting.configs("t"), setting.configs("u")), (vec![], vec![]));
}

#[tokio::test]
async fn resources_fail_one_by_one_and_repeated_ones_all() {
    let setting = Setting::new();
    let (good, bad): (&[_], &[_]) = (&[(SET, "retention.ms", Some("1"))], &[(SET, "retention.ms", Some("soon"))]);
    let codes = |outcome: Outcome| outcome.into_iter().map(|one| one.0).collect::<Vec<_>>();
    let mixed = [(TOPIC, "v", good), (TOPIC, "t", good), (4, "1", good), (TOPIC, "u", bad)];
    assert_eq!(codes(setting.change(1, &mixed, false).await), [3, 0, 42, 40]);
    assert_eq!((setting.configs("t"), setting.configs("u")), (pairs(&[("retention.ms", "1")]), vec![]));
    let other: &[_] = &[(SET, "retention.ms", Some("2"))];
    let repeated = [(TOPIC, "t", other), (TOPIC, "u", good), (TOPIC, "t", other)];
    assert_eq!(codes(setting.change(1, &repeated, false).await), [42, 0, 42]);
    assert_eq!(
        (setting.configs("t"), setting.configs("u")),
        (pairs(&[("retention.ms", "1")]), pairs(&[("retention.ms", "1")]))
    );
    assert_eq!(setting.change(1, &[], false).await, []);
}

#[tokio::test]
async fn open_partitions_follow_and_later_ones_too() {
    let setting = Setting::new();
    let topic = |name| setting.broker.catalog().image().topic(name).unwrap().clone();
    let (before, other) = (topic("t"), topic("u"));
    let open = setting.broker.partition(&before, 0).unwrap();
    let change: &[_] = &[(SET, "max.message.bytes", Some("77"))];
    setting.change(1, &[(TOPIC, "t", change)], true).await;
    assert_eq!(open.settings().max_message_bytes, 1048588);
    setting.change(1, &[(TOPIC, "t", change), (TOPIC, "u", change)], false).await;
    assert_eq!(open.settings().max_message_bytes, 77);
    // Opened by one who looked the topic up before the change.
    assert_eq!(setting.broker.partition(&other, 0).unwrap().settings().max_message_bytes, 77);
}

#[test]
fn a_setting_without_effect_is_warned_about_when_it_is_set() {
    let configs = |pairs: &[(&str, &str)]| -> Configs {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    };
    let newly = |before: &Configs, after: &Configs| newly_idle(TopicConfig::not_acting(after), before, after);
    let retention = configs(&[("retention.ms", "1"), ("flush.ms", "1")]);
    assert_eq!(newly(&Configs::new(), &retention), ["retention.ms"]);
    assert_eq!(newly(&retention, &retention), Vec::<&str>::new());
    let more = configs(&[("retention.ms", "2"), ("cleanup.policy", "compact")]);
    assert_eq!(newly(&retention, &more), ["cleanup.policy", "retention.ms"]);
    assert_eq!(newly(&more, &retention), ["retention.ms"]);
    assert_eq!(newly(&more, &Configs::new()), Vec::<&str>::new());
}

const HEARTBEAT: &str = "consumer.heartbeat.interval.ms";
const SESSION: &str = "consumer.session.timeout.ms";

impl Setting {
    fn of_group(&self, name: &str) -> Vec<(String, String)> {
        of_group(&self.broker.catalog().image(), name).into_iter().collect()
    }
}

/// The course of `group-configs` as recorded from Apache Kafka 4.3.1, within the broker's default bounds.
#[tokio::test]
async fn groups_have_settings_of_their_own() {
    for version in [0, 1] {
        let setting = Setting::new();
        let (both, first): (&[_], &[_]) =
            (&[(SET, HEARTBEAT, Some("6000")), (SET, SESSION, Some("50000"))], &[(SET, HEARTBEAT, Some("6000"))]);
        let set = pairs(&[(HEARTBEAT, "6000"), (SESSION, "50000")]);
        assert_eq!(setting.change(version, &[(GROUP, "g", both)], true).await, [DONE]);
        assert_eq!(setting.of_group("g"), []);
        assert_eq!(setting.change(version, &[(GROUP, "g", both), (GROUP, "h", first)], false).await, [DONE, DONE]);
        assert_eq!(setting.of_group("g"), set);
        for (operation, name, value) in [
            (SET, HEARTBEAT, "4999"),
            (SET, HEARTBEAT, "15001"),
            (SET, SESSION, "44999"),
            (SET, SESSION, "60001"),
            (SET, SESSION, "soon"),
            (SET, "no.such.key", "1"),
            (SET, "retention.ms", "1"),
            (APPEND, SESSION, "1"),
            (SUBTRACT, SESSION, "1"),
        ] {
            let change: &[_] = &[(operation, name, Some(value))];
            let outcome = setting.change(version, &[(GROUP, "g", change)], false).await;
            assert_eq!(outcome[0].0, ErrorCode::InvalidConfig.code(), "{name}={value}");
        }
        assert_eq!(setting.of_group("g"), set);
        let remove: &[_] = &[(DELETE, HEARTBEAT, None)];
        for _ in 0..2 {
            assert_eq!(setting.change(version, &[(GROUP, "g", remove)], false).await, [DONE]);
            assert_eq!(setting.of_group("g"), pairs(&[(SESSION, "50000")]));
        }
        let nameless = setting.change(version, &[(GROUP, "", both)], false).await;
        assert_eq!(nameless[0].0, ErrorCode::InvalidRequest.code());
        assert_eq!(setting.of_group("h"), pairs(&[(HEARTBEAT, "6000")]));
    }
}

#[tokio::test]
async fn the_settings_of_a_group_are_replaced() {
    for version in 0..=2 {
        let setting = Setting::new();
        let replace = async |configs: &[(&str, Option<&str>)], validate_only| {
            setting.replace(version, GROUP, "g", configs, validate_only).await
        };
        assert_eq!(replace(&[(HEARTBEAT, Some("6000")), (SESSION, Some("50000"))], false).await, DONE);
        assert_eq!(replace(&[(SESSION, Some(" 46000"))], false).await, DONE);
        assert_eq!(replace(&[(SESSION, Some("47000"))], true).await, DONE);
        assert_eq!(replace(&[(SESSION, Some("1"))], true).await.0, ErrorCode::InvalidConfig.code());
        assert_eq!(replace(&[(SESSION, None)], false).await.0, ErrorCode::InvalidRequest.code());
        assert_eq!(setting.of_group("g"), pairs(&[(SESSION, " 46000")]));
        assert_eq!(replace(&[], false).await, DONE);
        assert_eq!(setting.broker.catalog().image().groups_with_configs().len(), 0);
    }
}

/// A topic and a group of the same name are two resources.
#[tokio::test]
async fn groups_and_topics_change_together() {
    let setting = Setting::new();
    let (session, retention): (&[_], &[_]) = (&[(SET, SESSION, Some("50000"))], &[(SET, "retention.ms", Some("1"))]);
    let wanted = [(GROUP, "t", session), (TOPIC, "t", retention), (GROUP, "u", retention), (TOPIC, "u", session)];
    let codes: Vec<_> = setting.change(1, &wanted, false).await.into_iter().map(|one| one.0).collect();
    assert_eq!(codes, [0, 0, 40, 40]);
    assert_eq!((setting.of_group("t"), setting.of_group("u")), (pairs(&[(SESSION, "50000")]), vec![]));
    assert_eq!((setting.configs("t"), setting.configs("u")), (pairs(&[("retention.ms", "1")]), vec![]));
}

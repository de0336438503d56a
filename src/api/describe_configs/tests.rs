use super::*;
use crate::api::Api;
use crate::api::errors::ErrorCode;
use crate::api::testing::{ask, create_topic, set_group, text};
use crate::broker::Broker;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;

fn resource(resource_type: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsResource {
    DescribeConfigsResource::default()
        .with_resource_type(resource_type)
        .with_resource_name(text(name))
        .with_configuration_keys(keys.map(|keys| keys.iter().map(|key| text(key)).collect()))
}

fn request(resources: Vec<DescribeConfigsResource>) -> DescribeConfigsRequest {
    DescribeConfigsRequest::default().with_resources(resources)
}

#[tokio::test]
async fn settings_with_sources_types_synonyms_and_documentation() {
    let broker = Broker::in_memory(&[("num.partitions", "3"), ("message.max.bytes", "2000000")]);
    create_topic(&broker, "t", &[("max.message.bytes", "1000")]);
    let api = Api::new(broker);
    for version in 1..=4 {
        let keys = Some(&["max.message.bytes", "segment.bytes", "no.such.key"][..]);
        let wanted = request(vec![resource(TOPIC, "t", keys), resource(BROKER, "1", Some(&["num.partitions"]))])
            .with_include_synonyms(true)
            .with_include_documentation(version >= 3);
        let results = ask(&api, version, &wanted).await.results;
        let [topic, broker] = results.as_slice() else { panic!("{results:?}") };
        assert_eq!((topic.error_code, topic.error_message.as_deref()), (0, Some("")));
        assert_eq!((topic.resource_type, &*topic.resource_name), (TOPIC, "t"));
        let seen: Vec<_> = [&topic.configs[..], &broker.configs[..]]
            .concat()
            .into_iter()
            .map(|one| {
                let synonyms = one.synonyms.iter().map(|one| format!("{} {}={:?}", one.source, one.name, one.value));
                let synonyms: Vec<_> = synonyms.collect();
                assert_eq!(one.documentation.is_some_and(|doc| !doc.is_empty()), version >= 3);
                assert!(!one.is_sensitive);
                let value = one.value.map(|value| value.to_string());
                (one.name.to_string(), value, one.config_source, one.read_only, one.config_type, synonyms.join("; "))
            })
            .collect();
        let of = |name: &str, value: &str, source, read_only, synonyms: &str| {
            let config_type = if version >= 3 { 3 } else { 0 };
            (name.to_owned(), Some(value.to_owned()), source, read_only, config_type, synonyms.to_owned())
        };
        assert_eq!(
            seen,
            [
                of(
                    "max.message.bytes",
                    "1000",
                    1,
                    false,
                    "1 max.message.bytes=Some(\"1000\"); 4 message.max.bytes=Some(\"2000000\"); \
                     5 message.max.bytes=Some(\"1048588\")"
                ),
                of("segment.bytes", "1073741824", 5, false, "5 log.segment.bytes=Some(\"1073741824\")"),
                of("num.partitions", "3", 4, true, "4 num.partitions=Some(\"3\"); 5 num.partitions=Some(\"1\")"),
            ]
        );
    }
}

#[tokio::test]
async fn null_and_no_keys_are_all_keys_and_little_is_told_unasked() {
    let broker = Broker::in_memory(&[]);
    create_topic(&broker, "t", &[]);
    let api = Api::new(broker);
    for keys in [None, Some(&[][..])] {
        let wanted = request(vec![resource(TOPIC, "t", keys), resource(BROKER, "1", keys)]);
        let results = ask(&api, 4, &wanted).await.results;
        assert_eq!(results[0].configs.len(), 33);
        assert!(results[1].configs.len() > 200);
        for one in results.iter().flat_map(|result| &result.configs) {
            assert!(one.synonyms.is_empty() && one.documentation.is_none() && one.config_type > 0, "{}", one.name);
        }
    }
}

#[tokio::test]
async fn secrets_are_marked_and_have_no_value() {
    let api = Api::new(Broker::in_memory(&[("ssl.keystore.password", "hunter2")]));
    let wanted = request(vec![resource(BROKER, "1", Some(&["ssl.keystore.password"]))]).with_include_synonyms(true);
    let response = ask(&api, 4, &wanted).await;
    let secret = &response.results[0].configs[0];
    assert!(secret.is_sensitive && secret.value.is_none() && secret.config_source == 4 && secret.config_type == 9);
    assert!(secret.synonyms.iter().all(|synonym| synonym.value.is_none()));
    assert!(!format!("{response:?}").contains("hunter2"));
}

/// As recorded from Apache Kafka 4.3.1: what the Java client's tools print of a group, with and without settings.
#[tokio::test]
async fn groups_have_settings_whether_they_exist_or_not() {
    let broker = Broker::in_memory(&[
        ("group.consumer.min.heartbeat.interval.ms", "100"),
        ("group.consumer.heartbeat.interval.ms", "200"),
    ]);
    set_group(&broker, "c.1", &[("consumer.heartbeat.interval.ms", "1000"), ("consumer.session.timeout.ms", "50000")]);
    let api = Api::new(broker);
    let keys = Some(&["consumer.heartbeat.interval.ms", "consumer.session.timeout.ms"][..]);
    let wanted =
        request(vec![resource(GROUP, "c.1", keys), resource(GROUP, "other", keys), resource(GROUP, "all", None)])
            .with_include_synonyms(true)
            .with_include_documentation(true);
    for version in [3, 4] {
        let results = ask(&api, version, &wanted).await.results;
        let described: Vec<String> = results[..2]
            .iter()
            .flat_map(|result| &result.configs)
            .map(|one| {
                let synonyms = one.synonyms.iter();
                let synonyms =
                    synonyms.map(|one| format!("{}:{}={}", one.source, one.name, one.value.as_deref().unwrap()));
                assert!(!one.read_only && !one.is_sensitive && one.config_type == 3);
                assert!(one.documentation.as_ref().is_some_and(|text| !text.is_empty()));
                let synonyms = synonyms.collect::<Vec<_>>().join(", ");
                format!("{}={} {} {{{synonyms}}}", one.name, one.value.as_deref().unwrap(), one.config_source)
            })
            .collect();
        assert_eq!(
            described,
            [
                "consumer.heartbeat.interval.ms=1000 8 {8:consumer.heartbeat.interval.ms=1000, \
                 4:group.consumer.heartbeat.interval.ms=200, 5:group.consumer.heartbeat.interval.ms=5000}",
                "consumer.session.timeout.ms=50000 8 {8:consumer.session.timeout.ms=50000, \
                 5:group.consumer.session.timeout.ms=45000}",
                "consumer.heartbeat.interval.ms=200 4 {4:group.consumer.heartbeat.interval.ms=200, \
                 5:group.consumer.heartbeat.interval.ms=5000}",
                "consumer.session.timeout.ms=45000 5 {5:group.consumer.session.timeout.ms=45000}",
            ]
        );
        assert_eq!(results[2].configs.len(), 17);
    }
}

#[tokio::test]
async fn a_reply_about_groups_has_bounds() {
    let api = Api::new(Broker::in_memory(&[]));
    let groups = (0..MAX_GROUPS + 2).map(|n| resource(GROUP, &format!("g{n}"), Some(&["share.isolation.level"])));
    let results = ask(&api, 4, &request(groups.chain([resource(BROKER, "1", None)]).collect())).await.results;
    let refused: Vec<usize> = (0..results.len()).filter(|at| results[*at].error_code != 0).collect();
    assert_eq!(refused, [MAX_GROUPS, MAX_GROUPS + 1]);
    assert_eq!(results[refused[0]].error_code, ErrorCode::InvalidRequest.code());
}

/// Codes as recorded from Apache Kafka 4.3.1, but for log levels and client metrics, which it has.
#[tokio::test]
async fn resources_that_are_not_described() {
    let api = Api::new(Broker::in_memory(&[]));
    for (resource_type, name, code, message) in [
        (TOPIC, "u", ErrorCode::UnknownTopicOrPartition, "The topic 'u' does not exist."),
        (TOPIC, "a/b", ErrorCode::InvalidTopicException, "Topic name is invalid"),
        (TOPIC, "", ErrorCode::InvalidTopicException, "Topic name is invalid"),
        (BROKER, "9", ErrorCode::InvalidRequest, "expected 1 or the empty string, not 9"),
        (BROKER, "one", ErrorCode::InvalidRequest, "A broker id is an integer, which 'one' is not"),
        (8, "", ErrorCode::InvalidRequest, "A broker id is an integer"),
        (8, "1", ErrorCode::InvalidRequest, "Log levels are not supported"),
        (16, "m", ErrorCode::InvalidRequest, "Client metrics subscriptions are not supported"),
        (GROUP, "", ErrorCode::InvalidRequest, "A group must be named"),
        (77, "x", ErrorCode::InvalidRequest, "Unknown resource type 77"),
        (0, "x", ErrorCode::InvalidRequest, "Unknown resource type 0"),
    ] {
        let results = ask(&api, 4, &request(vec![resource(resource_type, name, None)])).await.results;
        assert_eq!((results[0].error_code, results[0].configs.len()), (code.code(), 0), "{resource_type} {name}");
        let told = results[0].error_message.as_deref().unwrap();
        assert!(told.contains(message), "{told}");
    }
    let defaults_of_all_brokers = ask(&api, 4, &request(vec![resource(BROKER, "", None)])).await.results;
    assert_eq!((defaults_of_all_brokers[0].error_code, defaults_of_all_brokers[0].configs.len()), (0, 0));
}

#[tokio::test]
async fn an_unknown_type_fails_the_request_and_other_errors_only_their_resource() {
    let broker = Broker::in_memory(&[]);
    create_topic(&broker, "t", &[]);
    let api = Api::new(broker);
    let codes = async |resources| -> Vec<i16> {
        ask(&api, 4, &request(resources)).await.results.iter().map(|result| result.error_code).collect()
    };
    let topic = |name| resource(TOPIC, name, None);
    assert_eq!(codes(vec![topic("u"), topic("t")]).await, [3, 0]);
    assert_eq!(codes(vec![topic("t"), resource(77, "x", None)]).await, [42, 42]);
    assert_eq!(codes(vec![topic("t"), topic("t"), topic("u"), topic("u")]).await, [0, 42, 3, 42]);
    let brokers = ["1", "01", "+1", "", ""].map(|name| resource(BROKER, name, None));
    assert_eq!(codes(brokers.to_vec()).await, [0, 42, 42, 0, 42]);
    assert!(codes(vec![]).await.is_empty());
}

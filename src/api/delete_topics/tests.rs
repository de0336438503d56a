use super::*;
use crate::api::testing::{ctx, make_topic, name, received};
use crate::broker::Broker;

async fn ask(broker: &Arc<Broker>, version: i16, request: DeleteTopicsRequest) -> Vec<DeletableTopicResult> {
    received(handle(ctx(broker, version), request).await, version).responses
}

/// By name up to version 5, by name or id from 6 on.
fn asking(version: i16, topics: &[(Option<&str>, Uuid)]) -> DeleteTopicsRequest {
    let request = DeleteTopicsRequest::default();
    match version {
        6.. => request.with_topics(
            topics
                .iter()
                .map(|(it, id)| DeleteTopicState::default().with_name(it.map(name)).with_topic_id(*id))
                .collect(),
        ),
        _ => request.with_topic_names(topics.iter().filter_map(|(it, _)| it.map(name)).collect()),
    }
}

fn named(it: &str) -> (Option<&str>, Uuid) {
    (Some(it), Uuid::nil())
}

fn told(results: &[DeletableTopicResult]) -> Vec<(Option<&str>, Uuid, ErrorCode)> {
    let code = |it: &DeletableTopicResult| ErrorCode::from_code(it.error_code).unwrap();
    results.iter().map(|it| (it.name.as_ref().map(|name| name.as_str()), it.topic_id, code(it))).collect()
}

#[tokio::test]
async fn every_version_deletes_by_name() {
    for version in 1..=6 {
        let broker = Broker::in_memory(&[]);
        let topic = make_topic(&broker, "t", 2);
        make_topic(&broker, "kept", 1);
        broker.partition(&topic, 1).unwrap();
        let results = ask(&broker, version, asking(version, &[named("t"), named("unknown")])).await;
        let id = if version >= 6 { topic.id } else { Uuid::nil() };
        let unknown = (Some("unknown"), Uuid::nil(), ErrorCode::UnknownTopicOrPartition);
        assert_eq!(told(&results), [(Some("t"), id, ErrorCode::None), unknown]);
        assert_eq!(results[0].error_message, None);
        assert_eq!(results[1].error_message.is_some(), version >= 5);
        let image = broker.catalog().image();
        assert_eq!(image.topics().map(|topic| &*topic.name).collect::<Vec<_>>(), ["kept"]);
        assert_eq!(image.deleted().len(), 0, "the folders are gone when the answer is sent");
        let again = ask(&broker, version, asking(version, &[named("t")])).await;
        assert_eq!(told(&again), [(Some("t"), Uuid::nil(), ErrorCode::UnknownTopicOrPartition)]);
        let anew = make_topic(&broker, "t", 1);
        assert_ne!(anew.id, topic.id);
        broker.partition(&anew, 0).unwrap();
    }
}

#[tokio::test]
async fn ids_name_topics_too() {
    let broker = Broker::in_memory(&[]);
    let topic = make_topic(&broker, "t", 1);
    let unknown = Uuid::from_u128(5);
    let results = ask(&broker, 6, asking(6, &[(None, topic.id), (None, unknown)])).await;
    let expected = [(Some("t"), topic.id, ErrorCode::None), (None, unknown, ErrorCode::UnknownTopicId)];
    assert_eq!(told(&results), expected);
    assert_eq!(broker.catalog().image().topics().len(), 0);
}

#[tokio::test]
async fn a_topic_given_twice_is_refused_once_and_stays() {
    let broker = Broker::in_memory(&[]);
    let (t, u) = (make_topic(&broker, "t", 1), make_topic(&broker, "u", 1));
    let (no_id, invalid) = (Uuid::nil(), ErrorCode::InvalidRequest);
    for (topics, expected) in [
        (vec![named("t"), named("t"), named("t")], vec![(Some("t"), no_id, invalid)]),
        (vec![(None, t.id), (None, t.id)], vec![(None, t.id, invalid)]),
        (vec![named("t"), (None, t.id)], vec![(Some("t"), t.id, invalid)]),
        (vec![(None, t.id), named("t")], vec![(Some("t"), t.id, invalid)]),
        (vec![(None, t.id), named("t"), (None, t.id)], vec![(None, t.id, invalid), (Some("t"), t.id, invalid)]),
        (vec![(Some("t"), u.id)], vec![(Some("t"), u.id, invalid)]),
        (vec![(None, no_id)], vec![(None, no_id, invalid)]),
    ] {
        let results = ask(&broker, 6, asking(6, &topics)).await;
        assert_eq!(told(&results), expected);
        assert!(results.iter().all(|result| result.error_message.is_some()));
        assert_eq!(broker.catalog().image().topics().len(), 2);
    }
    let results = ask(&broker, 5, asking(5, &[named("t"), named("t"), named("u")])).await;
    assert_eq!(told(&results), [(Some("t"), no_id, invalid), (Some("u"), no_id, ErrorCode::None)]);
}

#[tokio::test]
async fn deletion_can_be_switched_off() {
    let broker = Broker::in_memory(&[("delete.topic.enable", "false")]);
    let topic = make_topic(&broker, "t", 1);
    for version in 1..=6 {
        let results = ask(&broker, version, asking(version, &[named("t")])).await;
        let code = if version < 3 { ErrorCode::InvalidRequest } else { ErrorCode::TopicDeletionDisabled };
        assert_eq!(told(&results), [(Some("t"), Uuid::nil(), code)]);
    }
    let results = ask(&broker, 6, asking(6, &[(None, topic.id)])).await;
    assert_eq!(told(&results), [(None, topic.id, ErrorCode::TopicDeletionDisabled)]);
    assert_eq!(broker.catalog().image().topics().len(), 1);
}

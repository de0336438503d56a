use super::*;
use crate::api::testing::{ctx, make_topic, name, received};
use crate::broker::Broker;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor as From, TopicRequest};

async fn ask(broker: &Arc<Broker>, request: DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    received(handle(ctx(broker, 0), request).await, 0)
}

fn asking(names: &[&str], limit: i32, cursor: Option<(&str, i32)>) -> DescribeTopicPartitionsRequest {
    let cursor = cursor.map(|(it, index)| From::default().with_topic_name(name(it)).with_partition_index(index));
    DescribeTopicPartitionsRequest::default()
        .with_topics(names.iter().map(|it| TopicRequest::default().with_name(name(it))).collect())
        .with_response_partition_limit(limit)
        .with_cursor(cursor)
}

type Told = (Vec<(String, ErrorCode, Vec<i32>)>, Option<(String, i32)>);

fn told(response: &DescribeTopicPartitionsResponse) -> Told {
    let topic = |topic: &DescribeTopicPartitionsResponseTopic| {
        let indexes = topic.partitions.iter().map(|partition| partition.partition_index).collect();
        let name = topic.name.as_ref().unwrap().to_string();
        (name, ErrorCode::from_code(topic.error_code).unwrap(), indexes)
    };
    let cursor = response.next_cursor.as_ref();
    let cursor = cursor.map(|cursor| (cursor.topic_name.to_string(), cursor.partition_index));
    (response.topics.iter().map(topic).collect(), cursor)
}

fn good(it: &str, partitions: &[i32]) -> (String, ErrorCode, Vec<i32>) {
    (it.to_owned(), ErrorCode::None, partitions.to_vec())
}

fn bad(it: &str, code: ErrorCode) -> (String, ErrorCode, Vec<i32>) {
    (it.to_owned(), code, Vec::new())
}

fn next(it: &str, partition: i32) -> Option<(String, i32)> {
    Some((it.to_owned(), partition))
}

/// b with 3 partitions, a with 1, c with 2.
fn broker(settings: &[(&str, &str)]) -> Arc<Broker> {
    let broker = Broker::in_memory(settings);
    for (name, partitions) in [("b", 3), ("a", 1), ("c", 2)] {
        make_topic(&broker, name, partitions);
    }
    broker
}

#[tokio::test]
async fn topics_come_in_the_order_of_their_names() {
    let broker = broker(&[]);
    let all = [good("a", &[0]), good("b", &[0, 1, 2]), good("c", &[0, 1])];
    assert_eq!(told(&ask(&broker, asking(&[], 2000, None)).await), (all.to_vec(), None));
    let named = asking(&["c", "zz", "a", "__consumer_offsets", "a/b", "c"], 2000, None);
    let response = ask(&broker, named).await;
    let expected = vec![
        bad("__consumer_offsets", ErrorCode::UnknownTopicOrPartition),
        good("a", &[0]),
        bad("a/b", ErrorCode::InvalidTopicException),
        good("c", &[0, 1]),
        bad("zz", ErrorCode::UnknownTopicOrPartition),
    ];
    assert_eq!(told(&response), (expected, None));
    assert!(response.topics.iter().all(|topic| topic.topic_authorized_operations == 3576));
    assert!(response.topics[0].is_internal && !response.topics[1].is_internal);
    let (topic, partition) = (&response.topics[1], &response.topics[1].partitions[0]);
    assert_eq!(topic.topic_id, broker.catalog().image().topic("a").unwrap().id);
    assert_eq!((partition.leader_id.0, partition.leader_epoch), (1, broker.partitions().leader_epoch()));
    assert_eq!((&*partition.replica_nodes, &*partition.isr_nodes), (&[BrokerId(1)][..], &[BrokerId(1)][..]));
    assert_eq!((&partition.eligible_leader_replicas, &partition.last_known_elr), (&Some(vec![]), &Some(vec![])));
}

#[tokio::test]
async fn pages_follow_one_another_without_a_gap() {
    let broker = broker(&[]);
    for names in [&[][..], &["a", "b", "c", "unknown"][..]] {
        for limit in 1..=7 {
            let (mut seen, mut cursor, mut pages) = (Vec::new(), None, 0);
            loop {
                let from = cursor.as_ref().map(|(name, index): &(String, i32)| (name.as_str(), *index));
                let (topics, next) = told(&ask(&broker, asking(names, limit, from)).await);
                let partitions =
                    topics.iter().flat_map(|(name, _, indexes)| indexes.iter().map(|at| (name.clone(), *at)));
                let partitions: Vec<_> = partitions.collect();
                assert!(partitions.len() <= limit as usize);
                seen.extend(partitions);
                pages += 1;
                match next {
                    Some(next) => cursor = Some(next),
                    None => break,
                }
            }
            let expected = [("a", 0), ("b", 0), ("b", 1), ("b", 2), ("c", 0), ("c", 1)];
            assert_eq!(seen, expected.map(|(name, at)| (name.to_owned(), at)), "limit {limit}");
            assert!(pages <= 7, "limit {limit}: {pages} pages");
        }
    }
}

#[tokio::test]
async fn the_page_is_cut_inside_a_topic_and_between_topics() {
    let broker = broker(&[]);
    let page = ask(&broker, asking(&["b", "c"], 2, None)).await;
    assert_eq!(told(&page), (vec![good("b", &[0, 1])], next("b", 2)));
    let page = ask(&broker, asking(&["b", "c"], 2, Some(("b", 2)))).await;
    assert_eq!(told(&page), (vec![good("b", &[2]), good("c", &[0])], next("c", 1)));
    let page = ask(&broker, asking(&["b", "c"], 3, None)).await;
    assert_eq!(told(&page), (vec![good("b", &[0, 1, 2])], next("c", 0)));
    let past = ask(&broker, asking(&["b"], 3, Some(("b", 7)))).await;
    assert_eq!(told(&past), (vec![good("b", &[])], None));
    let far_past = ask(&broker, asking(&["b"], i32::MAX, Some(("b", i32::MAX)))).await;
    assert_eq!(told(&far_past), (vec![good("b", &[])], None));
}

#[tokio::test]
async fn the_broker_has_a_limit_too_and_one_partition_is_always_answered() {
    let broker = broker(&[("max.request.partition.size.limit", "2")]);
    assert_eq!(told(&ask(&broker, asking(&["b"], 2000, None)).await), (vec![good("b", &[0, 1])], next("b", 2)));
    for limit in [0, -1, i32::MIN] {
        assert_eq!(told(&ask(&broker, asking(&["b"], limit, None)).await), (vec![good("b", &[0])], next("b", 1)));
    }
}

#[tokio::test]
async fn a_cursor_that_cannot_be_refuses_every_topic() {
    let broker = broker(&[]);
    for cursor in [("bb", 0), ("a", -1)] {
        let response = ask(&broker, asking(&["a", "c"], 2000, Some(cursor))).await;
        let invalid = vec![bad("a", ErrorCode::InvalidRequest), bad("c", ErrorCode::InvalidRequest)];
        assert_eq!(told(&response), (invalid, None), "{cursor:?}");
        assert!(response.topics.iter().all(|topic| topic.topic_authorized_operations == i32::MIN));
    }
    // Among all topics the cursor's may be gone meanwhile.
    let from_between = ask(&broker, asking(&[], 2000, Some(("bb", 1)))).await;
    assert_eq!(told(&from_between), (vec![good("c", &[0, 1])], None));
    assert_eq!(told(&ask(&broker, asking(&[], 2000, Some(("a", -1)))).await), (vec![], None));
}

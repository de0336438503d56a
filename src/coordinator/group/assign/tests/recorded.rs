//! Replays fixtures/assignors, in which Kafka's assignors ran in the consumer and in the broker.

use std::fs;

use super::*;

struct Step {
    what: String,
    kind: SubscriptionType,
    topics: Topics,
    /// With the targets of the step before, as Kafka's coordinator would have them.
    members: BTreeMap<String, Member>,
    /// The ids of the members as Kafka walked them.
    order: Vec<String>,
    /// None: refused.
    targets: Option<BTreeMap<String, Assignment>>,
}

fn id_of(ids: &BTreeMap<String, Uuid>, topic: &str) -> Uuid {
    *ids.get(topic).unwrap_or_else(|| panic!("no topic {topic}"))
}

/// `0-2,5`
fn partitions(text: &str) -> BTreeSet<i32> {
    let run = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        first.parse::<i32>().unwrap()..=last.parse().unwrap()
    };
    text.split(',').flat_map(run).collect()
}

fn steps(file: &str) -> Vec<Step> {
    let path = format!("{}/fixtures/assignors/{file}.txt", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(path).unwrap();
    let (mut case, mut ids, mut steps) = (String::new(), BTreeMap::new(), Vec::<Step>::new());
    let mut before = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["case", name] => {
                (case, ids) = ((*name).to_owned(), BTreeMap::new());
                before = BTreeMap::new();
            }
            ["topic", topic, id] => drop(ids.insert((*topic).to_owned(), Uuid::parse_str(id).unwrap())),
            ["step", kind, what @ ..] => {
                if let Some(last) = steps.last().filter(|last| last.what.starts_with(&format!("{case}:"))) {
                    before = last.targets.clone().unwrap_or(before);
                }
                let kind = match *kind {
                    "homogeneous" => SubscriptionType::Homogeneous,
                    _ => SubscriptionType::Heterogeneous,
                };
                let what = format!("{case}: {}", what.join(" "));
                let (topics, members) = (Topics::new(), BTreeMap::new());
                steps.push(Step { what, kind, topics, members, order: Vec::new(), targets: Some(BTreeMap::new()) });
            }
            ["partitions", counts @ ..] => {
                let count = |text: &&str| {
                    let (topic, count) = text.split_once('=').unwrap();
                    (id_of(&ids, topic), count.parse().unwrap())
                };
                steps.last_mut().unwrap().topics = counts.iter().map(count).collect();
            }
            ["member", member, instance, topics, rest @ ..] => {
                let had = if let ["replaces", other] = rest { other } else { member };
                let subscribed =
                    topics.split(',').filter(|topic| *topic != "-").map(|topic| id_of(&ids, topic)).collect();
                let member_of_group = Member {
                    instance_id: Some((*instance).to_owned()).filter(|id| id != "-"),
                    rack_id: None,
                    subscribed: Arc::new(subscribed),
                    current: Arc::new(before.get(*had).cloned().unwrap_or_default()),
                };
                let step = steps.last_mut().unwrap();
                step.members.insert((*member).to_owned(), member_of_group);
                step.order.push((*member).to_owned());
            }
            ["target", member, rest @ ..] => {
                let of_topic = |text: &&str| {
                    let (topic, set) = text.split_once(':').unwrap();
                    (id_of(&ids, topic), partitions(set))
                };
                let target = rest.iter().map(of_topic).collect();
                steps.last_mut().unwrap().targets.as_mut().unwrap().insert((*member).to_owned(), target);
            }
            ["error"] => steps.last_mut().unwrap().targets = None,
            _ => panic!("{line}"),
        }
    }
    steps
}

/// Every step of a file with the very targets that Kafka chose.
fn equal_to_kafka(file: &str, assignor: Assignor, at_least: usize) {
    let steps = steps(file);
    assert!(steps.len() >= at_least, "{}", steps.len());
    for step in steps {
        let ours = assign_as(assignor, step.kind, &step.members, &step.topics);
        match (ours, step.targets) {
            (Ok(ours), Some(kafkas)) => assert_eq!(plain(&ours), kafkas, "{file}, {}", step.what),
            (ours, kafkas) => assert_eq!(ours.is_err(), kafkas.is_none(), "{file}, {}", step.what),
        }
    }
}

#[test]
fn range_of_the_client() {
    equal_to_kafka("client-range", Assignor::Range, 170);
}

#[test]
fn range_of_the_broker() {
    equal_to_kafka("range", Assignor::Range, 170);
}

#[test]
fn uniform_with_one_subscription() {
    equal_to_kafka("uniform", Assignor::Uniform, 490);
}

#[test]
fn uniform_with_different_subscriptions() {
    equal_to_kafka("uniform-heterogeneous", Assignor::Uniform, 490);
}

/// How many partitions of those still here have another owner than before.
fn moved(step: &Step, targets: &BTreeMap<String, Assignment>) -> usize {
    let before = step.members.iter().flat_map(|(id, member)| {
        let kept = member.current.iter().filter(|(topic, _)| member.subscribed.contains(topic));
        kept.flat_map(move |(topic, set)| set.iter().map(move |partition| (id, topic, partition)))
    });
    let stayed = |(id, topic, partition): &(&String, &Uuid, &i32)| {
        targets[*id].get(*topic).is_some_and(|set| set.contains(*partition))
    };
    before.filter(|claim| !stayed(claim)).count()
}

fn sizes(targets: &BTreeMap<String, Assignment>) -> Vec<usize> {
    let mut sizes: Vec<usize> = targets.values().map(size).collect();
    sizes.sort_unstable();
    sizes
}

impl Step {
    /// Our targets when the ids of the members are such that they ascend as Kafka walked them.
    fn in_kafkas_order(&self) -> BTreeMap<String, Assignment> {
        let numbered = |(at, id): (usize, &String)| (format!("{at:04}"), self.members[id].clone());
        let members = self.order.iter().enumerate().map(numbered).collect();
        let targets = assign_as(Assignor::Uniform, self.kind, &members, &self.topics).unwrap();
        self.order.iter().cloned().zip(plain(&targets).into_values()).collect()
    }
}

/// With hash tables as in Kafka's coordinator it is the order of the members that is arbitrary, and with one
/// subscription that of the topics too, where then how even it is and how much moves is the same in any order.
#[test]
fn uniform_of_hash_tables_differs_by_their_order_alone() {
    let steps = steps("uniform-hashed");
    assert!(steps.len() >= 360);
    for step in steps {
        let ours = plain(&assign_as(Assignor::Uniform, step.kind, &step.members, &step.topics).unwrap());
        let kafkas = step.targets.as_ref().unwrap();
        let all = all_partitions(&step.members, &step.topics);
        assert!(owners(&step.members, &ours).unwrap().into_keys().eq(all), "{}", step.what);
        match step.kind {
            SubscriptionType::Homogeneous => {
                assert_eq!(sizes(&ours), sizes(kafkas), "{}", step.what);
                assert_eq!(moved(&step, &ours), moved(&step, kafkas), "{}", step.what);
            }
            SubscriptionType::Heterogeneous => assert_eq!(&step.in_kafkas_order(), kafkas, "{}", step.what),
        }
    }
}

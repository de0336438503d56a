mod properties;
mod recorded;

use super::*;

/// The owner of each partition; a partition with two is an error, as is one whose owner is not subscribed.
fn owners<'a>(
    members: &BTreeMap<String, Member>,
    targets: impl IntoIterator<Item = (&'a String, &'a Assignment)>,
) -> Result<BTreeMap<(Uuid, i32), &'a String>, String> {
    let mut owners = BTreeMap::new();
    for (id, target) in targets {
        for (topic, partitions) in target {
            if !members[id].subscribed.contains(topic) || partitions.is_empty() {
                return Err(format!("{id} has {partitions:?} of {topic}"));
            }
            for partition in partitions {
                if let Some(other) = owners.insert((*topic, *partition), id) {
                    return Err(format!("{topic} {partition} has two owners: {other} and {id}"));
                }
            }
        }
    }
    Ok(owners)
}

/// All partitions of the topics that anybody is subscribed to.
fn all_partitions(members: &BTreeMap<String, Member>, topics: &Topics) -> BTreeSet<(Uuid, i32)> {
    let subscribed: BTreeSet<Uuid> = members.values().flat_map(|member| member.subscribed.iter().copied()).collect();
    subscribed.into_iter().flat_map(|topic| (0..topics[&topic]).map(move |partition| (topic, partition))).collect()
}

fn plain(targets: &Targets) -> BTreeMap<String, Assignment> {
    targets.iter().map(|(id, target)| (id.clone(), Assignment::clone(target))).collect()
}

fn size(target: &Assignment) -> usize {
    target.values().map(BTreeSet::len).sum()
}

fn subscribed_to(topics: &[Uuid]) -> Member {
    Member { subscribed: Arc::new(topics.iter().copied().collect()), ..Member::default() }
}

#[test]
fn names_are_kafkas() {
    assert_eq!(Assignor::by_name("range"), Some(Assignor::Range));
    assert_eq!(Assignor::by_name("uniform"), Some(Assignor::Uniform));
    assert_eq!((Assignor::by_name("Range"), Assignor::by_name("")), (None, None));
}

#[test]
fn everybody_has_an_entry_and_the_unchanged_keep_theirs() {
    let topic = Uuid::from_u128(7);
    let topics = Topics::from([(topic, 2)]);
    for assignor in Assignor::ALL {
        let mut members: BTreeMap<_, _> = ["a", "b", "c"].map(|id| (id.to_owned(), subscribed_to(&[topic]))).into();
        let first = assign(assignor, &members, &topics).unwrap();
        assert_eq!(first.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
        for (id, target) in &first {
            members.get_mut(id).unwrap().current = Arc::clone(target);
        }
        let second = assign(assignor, &members, &topics).unwrap();
        assert!(first.iter().all(|(id, target)| Arc::ptr_eq(target, &second[id])), "{assignor:?}");
    }
}

#[test]
fn the_kind_of_group() {
    let (t, u) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let kind = |subscriptions: &[&[Uuid]]| {
        let members = subscriptions.iter().enumerate().map(|(at, topics)| (at.to_string(), subscribed_to(topics)));
        SubscriptionType::of(&members.collect())
    };
    for same in [&[][..], &[&[t][..]], &[&[t, u], &[u, t]], &[&[], &[]]] {
        assert_eq!(kind(same), SubscriptionType::Homogeneous);
    }
    for different in [&[&[t][..], &[u]][..], &[&[t, u], &[t, u], &[t]], &[&[], &[t]]] {
        assert_eq!(kind(different), SubscriptionType::Heterogeneous);
    }
}

/// Figures for a commit message: `cargo test --release -- --ignored --nocapture time_of`.
#[test]
#[ignore = "prints times"]
fn time_of_500_members() {
    for (topic_count, partitions) in [(1, 2000), (100, 20)] {
        let topics: Topics = (0..topic_count).map(|id| (Uuid::from_u128(id << 70 | id), partitions)).collect();
        let subscribed: Arc<BTreeSet<Uuid>> = Arc::new(topics.keys().copied().collect());
        let shared = Member { subscribed, ..Member::default() };
        let mut members: BTreeMap<String, Member> =
            (0..500).map(|id| (format!("member-{id}"), shared.clone())).collect();
        for (assignor, kind) in [
            (Assignor::Range, SubscriptionType::Homogeneous),
            (Assignor::Uniform, SubscriptionType::Homogeneous),
            (Assignor::Uniform, SubscriptionType::Heterogeneous),
        ] {
            let mut times = Vec::new();
            for leaves in [None, Some("member-250"), None] {
                let left = leaves.and_then(|id| members.remove(id));
                let began = std::time::Instant::now();
                let targets = assign_as(assignor, kind, &members, &topics).unwrap();
                times.push(began.elapsed());
                for (id, target) in targets {
                    members.get_mut(&id).unwrap().current = target;
                }
                members.extend(left.map(|_| ("member-250".to_owned(), shared.clone())));
            }
            println!("{topic_count} x {partitions} {assignor:?} {kind:?}: first, leave, join {times:?}");
        }
    }
}

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

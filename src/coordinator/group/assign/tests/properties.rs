//! What must hold in any group. A failing group is printed, shrunk, with its seed.

use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;

fn topics() -> impl Strategy<Value = Topics> {
    proptest::collection::btree_map(any::<u128>().prop_map(Uuid::from_u128), 0..25, 1..5)
}

/// Some of the topics, and claims to partitions that may be others' too, or not exist.
fn member(topics: &Topics) -> impl Strategy<Value = Member> + use<> {
    let ids: Vec<Uuid> = topics.keys().copied().collect();
    let claims = proptest::collection::btree_map(0..ids.len() + 1, proptest::collection::btree_set(-1..27, 1..9), 0..4);
    let subscribed = subsequence(ids.clone(), 0..=ids.len());
    (proptest::option::weighted(0.3, "[a-e]{1,4}"), subscribed, claims).prop_map(
        move |(instance_id, subscribed, claims)| {
            let id_of = |at: usize| ids.get(at).copied().unwrap_or(Uuid::nil());
            let current = claims.into_iter().map(|(at, partitions)| (id_of(at), partitions)).collect();
            Member {
                instance_id,
                rack_id: None,
                subscribed: Arc::new(subscribed.into_iter().collect()),
                current: Arc::new(current),
            }
        },
    )
}

/// Up to twelve members, whose instance ids differ.
fn group() -> impl Strategy<Value = (Topics, BTreeMap<String, Member>)> {
    topics().prop_flat_map(|topics| {
        let members = proptest::collection::btree_map("[a-z0-9]{1,6}", member(&topics), 0..13);
        (Just(topics), members).prop_map(|(topics, mut members)| {
            let mut instances = BTreeSet::new();
            for member in members.values_mut() {
                member.instance_id = member.instance_id.take().filter(|id| instances.insert(id.clone()));
            }
            (topics, members)
        })
    })
}

/// The same where all have the topics of the first.
fn group_with_one_subscription() -> impl Strategy<Value = (Topics, BTreeMap<String, Member>)> {
    group().prop_map(|(topics, mut members)| {
        if let Some(subscribed) = members.values().next().map(|member| Arc::clone(&member.subscribed)) {
            members.values_mut().for_each(|member| member.subscribed = Arc::clone(&subscribed));
        }
        (topics, members)
    })
}

fn settle(members: &mut BTreeMap<String, Member>, targets: &Targets) {
    for (id, member) in members {
        member.current = Arc::clone(&targets[id]);
    }
}

/// As many partitions as may stay when each of these has its first claims and nobody more than their share.
fn can_stay(held: &[usize], total: usize) -> usize {
    let (share, one_more) = (total / held.len(), total % held.len());
    let above = held.iter().filter(|size| **size > share).count();
    held.iter().map(|size| *size.min(&share)).sum::<usize>() + above.min(one_more)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// Partitions of a topic in order, its members in order, neighbouring runs, nobody with two more than another, the
    /// longer runs first, those for whom none is left idle; each partition with exactly one member.
    #[test]
    fn range_gives_runs_in_the_order_of_members((topics, members) in group()) {
        let targets = plain(&assign(Assignor::Range, &members, &topics).unwrap());
        prop_assert!(owners(&members, &targets).unwrap().into_keys().eq(all_partitions(&members, &topics)));
        for (topic, partitions) in &topics {
            let mut subscribers: Vec<_> = members.iter().filter(|(_, member)| member.subscribed.contains(topic)).collect();
            subscribers.sort_by_key(|(id, member)| (member.instance_id.is_none(), member.instance_id.clone(), (*id).clone()));
            let mut next = 0;
            for (place, (id, _)) in (0..).zip(&subscribers) {
                let count = subscribers.len() as i32;
                let end = next + partitions / count + i32::from(place < partitions % count);
                let run = targets[*id].get(topic).cloned().unwrap_or_default();
                prop_assert_eq!(run.into_iter().collect::<Vec<_>>(), (next..end).collect::<Vec<_>>());
                next = end;
            }
            prop_assert!(subscribers.is_empty() || next == *partitions);
        }
    }

    /// Topics with the same number of partitions and the same subscribers are assigned alike.
    #[test]
    fn range_assigns_like_topics_alike((mut topics, mut members) in group(), id: u128) {
        let (first, twin) = (*topics.keys().next().unwrap(), Uuid::from_u128(id));
        topics.insert(twin, topics[&first]);
        for member in members.values_mut() {
            let mut subscribed = BTreeSet::clone(&member.subscribed);
            let _ = if subscribed.contains(&first) { subscribed.insert(twin) } else { subscribed.remove(&twin) };
            member.subscribed = Arc::new(subscribed);
        }
        for target in assign(Assignor::Range, &members, &topics).unwrap().values() {
            prop_assert_eq!(target.get(&first), target.get(&twin));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// From any claims: each partition exactly once, sizes differ by one at most, as much stays as can; a second run
    /// moves nothing; after a leave everybody keeps what they have.
    #[test]
    fn uniform_with_one_subscription((topics, mut members) in group_with_one_subscription(), leaver: prop::sample::Index) {
        let all = all_partitions(&members, &topics);
        let targets = assign(Assignor::Uniform, &members, &topics).unwrap();
        prop_assert!(owners(&members, &plain(&targets)).unwrap().into_keys().eq(all.iter().copied()));
        let sizes: Vec<usize> = targets.values().map(|target| size(target)).collect();
        let (least, most) = (sizes.iter().min().copied().unwrap_or(0), sizes.iter().max().copied().unwrap_or(0));
        prop_assert!(most - least <= 1, "{:?}", sizes);

        let mut claimed = BTreeSet::new();
        let (mut held, mut stayed) = (Vec::new(), 0);
        for (id, member) in &members {
            let claims = member.current.iter().flat_map(|(topic, set)| set.iter().map(|partition| (*topic, *partition)));
            let valid: Vec<_> = claims.filter(|claim| all.contains(claim) && claimed.insert(*claim)).collect();
            stayed += valid.iter().filter(|(topic, at)| targets[id].get(topic).is_some_and(|set| set.contains(at))).count();
            held.push(valid.len());
        }
        prop_assert!(members.is_empty() || stayed == can_stay(&held, all.len()), "{} of {:?} stayed", stayed, held);

        settle(&mut members, &targets);
        prop_assert_eq!(&assign(Assignor::Uniform, &members, &topics).unwrap(), &targets);

        if members.len() > 1 {
            let leaver = leaver.get(&members.keys().cloned().collect::<Vec<_>>()).clone();
            members.remove(&leaver);
            let after = assign(Assignor::Uniform, &members, &topics).unwrap();
            for (id, member) in &members {
                for (topic, had) in member.current.iter() {
                    prop_assert!(after[id].get(topic).is_some_and(|has| has.is_superset(had)), "{} lost of {}", id, had.len());
                }
            }
        }
    }

    /// From any claims: each partition exactly once and with a subscriber; nobody has two more than another to whom
    /// one of theirs could go; a second run moves nothing.
    #[test]
    fn uniform_with_different_subscriptions((topics, mut members) in group()) {
        let run = |members: &BTreeMap<String, Member>| {
            assign_as(Assignor::Uniform, SubscriptionType::Heterogeneous, members, &topics).unwrap()
        };
        let targets = run(&members);
        prop_assert!(owners(&members, &plain(&targets)).unwrap().into_keys().eq(all_partitions(&members, &topics)));
        for (giver, target) in &targets {
            for (taker, member) in &members {
                let could_go = target.keys().any(|topic| member.subscribed.contains(topic));
                prop_assert!(!could_go || size(target) <= size(&targets[taker]) + 1, "{} to {}: {:?}", giver, taker, targets);
            }
        }
        settle(&mut members, &targets);
        prop_assert_eq!(&run(&members), &targets);
    }

    #[test]
    fn an_unknown_topic_is_refused((topics, mut members) in group(), id: u128) {
        let unknown = Uuid::from_u128(id);
        prop_assume!(!topics.contains_key(&unknown));
        let Some(last) = members.values_mut().next_back() else { return Ok(()) };
        last.subscribed = Arc::new(last.subscribed.iter().copied().chain([unknown]).collect());
        for assignor in Assignor::ALL {
            prop_assert_eq!(assign(assignor, &members, &topics), Err(AssignError::UnknownTopic(unknown)));
        }
    }
}

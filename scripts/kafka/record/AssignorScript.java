import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Subscription;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.coordinator.group.api.assignor.ConsumerGroupPartitionAssignor;
import org.apache.kafka.coordinator.group.api.assignor.GroupAssignment;
import org.apache.kafka.coordinator.group.api.assignor.PartitionAssignorException;
import org.apache.kafka.coordinator.group.api.assignor.SubscribedTopicDescriber;
import org.apache.kafka.coordinator.group.api.assignor.SubscriptionType;
import org.apache.kafka.coordinator.group.assignor.RangeAssignor;
import org.apache.kafka.coordinator.group.assignor.UniformAssignor;
import org.apache.kafka.coordinator.group.modern.Assignment;
import org.apache.kafka.coordinator.group.modern.GroupSpecImpl;
import org.apache.kafka.coordinator.group.modern.MemberSubscriptionAndAssignmentImpl;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;

/** What the assignors make of groups that change step by step: java AssignorScript <folder> <version>. The same in each run. */
final class AssignorScript {
    private static final long SEED = 848;

    /** What stands between a group and one of Kafka's assignors. */
    private interface Target {
        Map<String, Map<Uuid, Set<Integer>>> of(Group group);
    }

    /** A group and its history; the members' targets are the last step's. */
    private static final class Group {
        final StringBuilder text = new StringBuilder();
        final Map<String, Uuid> ids = new LinkedHashMap<>();
        final TreeMap<String, Integer> partitions = new TreeMap<>();
        final TreeMap<String, Set<String>> subscribed = new TreeMap<>();
        final TreeMap<String, String> instances = new TreeMap<>();
        final TreeMap<String, String> replaced = new TreeMap<>();
        Map<String, Map<Uuid, Set<Integer>>> targets = Map.of();
        /** As the last assignor walked them. */
        Collection<String> order = List.of();
        boolean heterogeneous;

        Group(String name) {
            text.append("\ncase ").append(name).append('\n');
        }

        Group topic(String topic, Uuid id, int count) {
            ids.put(topic, id);
            partitions.put(topic, count);
            text.append(String.format("topic %s %016x%016x%n", topic, id.getMostSignificantBits(), id.getLeastSignificantBits()));
            return this;
        }

        /** Ids whose order in a hash table is their own. */
        Group topic(String topic, int count) {
            return topic(topic, new Uuid(0, 16 + ids.size()), count);
        }

        Group grow(String topic, int count) {
            partitions.put(topic, count);
            return this;
        }

        Group member(String member, String... topics) {
            subscribed.put(member, new TreeSet<>(List.of(topics)));
            return this;
        }

        Group fixed(String member, String instance, String... topics) {
            instances.put(member, instance);
            return member(member, topics);
        }

        Group leave(String member) {
            subscribed.remove(member);
            instances.remove(member);
            return this;
        }

        Group replace(String member, String by) {
            Set<String> topics = subscribed.remove(member);
            subscribed.put(by, topics);
            instances.put(by, instances.remove(member));
            replaced.put(by, member);
            return this;
        }

        Group heterogeneous() {
            heterogeneous = true;
            return this;
        }

        Group step(String what, Target assignor) {
            order = subscribed.keySet();
            boolean refused = false;
            try {
                targets = assignor.of(this);
            } catch (PartitionAssignorException e) {
                refused = true;
            }
            describe(what);
            if (refused) {
                text.append("error\n");
            } else {
                order.forEach(this::describeTarget);
            }
            replaced.clear();
            return this;
        }

        private void describe(String what) {
            text.append("step ").append(heterogeneous ? "heterogeneous" : "homogeneous").append(' ').append(what).append("\npartitions");
            partitions.forEach((topic, count) -> text.append(' ').append(topic).append('=').append(count));
            text.append('\n');
            for (String member : order) {
                Set<String> topics = subscribed.get(member);
                text.append("member ").append(member).append(' ').append(instances.getOrDefault(member, "-")).append(' ');
                text.append(topics.isEmpty() ? "-" : String.join(",", topics));
                text.append(replaced.containsKey(member) ? " replaces " + replaced.get(member) + "\n" : "\n");
            }
        }

        private void describeTarget(String member) {
            text.append("target ").append(member);
            ids.forEach((topic, id) -> {
                Set<Integer> set = targets.getOrDefault(member, Map.of()).get(id);
                if (set != null) {
                    text.append(' ').append(topic).append(':').append(ranges(new TreeSet<>(set)));
                }
            });
            text.append('\n');
        }

        private static String ranges(TreeSet<Integer> set) {
            List<String> ranges = new ArrayList<>();
            for (Integer first : set) {
                if (!set.contains(first - 1)) {
                    int last = first;
                    while (set.contains(last + 1)) {
                        last++;
                    }
                    ranges.add(last == first ? "" + first : first + "-" + last);
                }
            }
            return String.join(",", ranges);
        }
    }

    /** In the broker; `ordered`: what Kafka walks ascends. Otherwise its own hash tables, as its coordinator has them. */
    private static Target broker(ConsumerGroupPartitionAssignor assignor, boolean ordered) {
        return group -> {
            Map<String, MemberSubscriptionAndAssignmentImpl> members = ordered ? new TreeMap<>() : new HashMap<>();
            Map<Uuid, Map<Integer, String>> owners = new HashMap<>();
            group.subscribed.forEach((member, topics) -> {
                String before = group.replaced.getOrDefault(member, member);
                Map<Uuid, Set<Integer>> current = ordered ? new TreeMap<>() : new HashMap<>();
                group.targets.getOrDefault(before, Map.of()).forEach((topic, set) -> {
                    current.put(topic, ordered ? new TreeSet<>(set) : new HashSet<>(set));
                    set.forEach(partition -> owners.computeIfAbsent(topic, t -> new HashMap<>()).put(partition, before));
                });
                Set<Uuid> ids = topics.stream().map(group.ids::get).collect(Collectors.toCollection(ordered ? TreeSet::new : HashSet::new));
                members.put(member, new MemberSubscriptionAndAssignmentImpl(Optional.empty(),
                    Optional.ofNullable(group.instances.get(member)), ids, new Assignment(current)));
            });
            group.order = new ArrayList<>(members.keySet());
            SubscriptionType type = group.heterogeneous ? SubscriptionType.HETEROGENEOUS : SubscriptionType.HOMOGENEOUS;
            Map<Uuid, Integer> counts = new HashMap<>();
            group.partitions.forEach((topic, count) -> counts.put(group.ids.get(topic), count));
            GroupAssignment result = assignor.assign(new GroupSpecImpl(Collections.unmodifiableMap(members), type, owners),
                new SubscribedTopicDescriber() {
                    @Override
                    public int numPartitions(Uuid topic) {
                        return counts.getOrDefault(topic, -1);
                    }

                    @Override
                    public Set<String> racksForPartition(Uuid topic, int partition) {
                        return Set.of();
                    }
                });
            return result.members().entrySet().stream().collect(Collectors.toMap(Map.Entry::getKey, e -> e.getValue().partitions()));
        };
    }

    /** In the consumer that leads a group of the classic protocol. */
    private static Map<String, Map<Uuid, Set<Integer>>> client(Group group) {
        Map<String, Subscription> subscriptions = new HashMap<>();
        group.subscribed.forEach((member, topics) -> {
            Subscription subscription = new Subscription(new ArrayList<>(topics));
            subscription.setGroupInstanceId(Optional.ofNullable(group.instances.get(member)));
            subscriptions.put(member, subscription);
        });
        Map<String, Map<Uuid, Set<Integer>>> targets = new HashMap<>();
        new org.apache.kafka.clients.consumer.RangeAssignor().assign(group.partitions, subscriptions).forEach((member, list) -> {
            Map<Uuid, Set<Integer>> target = targets.computeIfAbsent(member, m -> new HashMap<>());
            for (TopicPartition partition : list) {
                target.computeIfAbsent(group.ids.get(partition.topic()), t -> new TreeSet<>()).add(partition.partition());
            }
        });
        return targets;
    }

    private final Random random = new Random(SEED);

    private String some(Collection<String> of) {
        return of.stream().skip(random.nextInt(of.size())).findFirst().orElseThrow();
    }

    private String[] subset(Group group) {
        List<String> topics = new ArrayList<>(group.ids.keySet());
        Collections.shuffle(topics, random);
        return topics.subList(0, 1 + random.nextInt(topics.size())).toArray(new String[0]);
    }

    private void join(Group group, String[] topics) {
        String member = "m" + random.nextInt(1000);
        if (random.nextInt(3) == 0) {
            group.fixed(member, "i" + random.nextInt(100_000), topics);
        } else {
            group.member(member, topics);
        }
    }

    private String[] subscriptionFor(Group group) {
        boolean same = !group.heterogeneous && !group.subscribed.isEmpty();
        return same ? group.subscribed.firstEntry().getValue().toArray(new String[0]) : subset(group);
    }

    private String change(Group group) {
        if (group.subscribed.isEmpty()) {
            join(group, subscriptionFor(group));
            return "join";
        }
        switch (random.nextInt(6)) {
            case 0:
                String topic = some(group.ids.keySet());
                group.grow(topic, group.partitions.get(topic) + 1 + random.nextInt(5));
                return "grow";
            case 1:
                List<String> fixed = group.subscribed.keySet().stream().filter(group.instances::containsKey).toList();
                if (!fixed.isEmpty()) {
                    group.replace(some(fixed), "n" + random.nextInt(100_000));
                    return "replace";
                }
            case 2:
                String[] topics = subset(group);
                String one = some(group.subscribed.keySet());
                group.subscribed.keySet().stream().filter(m -> !group.heterogeneous || m.equals(one)).toList().forEach(m -> group.member(m, topics));
                return "resubscribe";
            case 3:
                group.leave(some(group.subscribed.keySet()));
                return "leave";
            default:
                for (int i = random.nextInt(3); i >= 0; i--) {
                    join(group, subscriptionFor(group));
                }
                return "join";
        }
    }

    private String generated(String name, Target assignor, boolean anyIds, boolean heterogeneous, int steps) {
        Group group = new Group(name);
        group.heterogeneous = heterogeneous;
        int sparse = random.nextInt(2);
        for (int topic = 1 + random.nextInt(heterogeneous ? 5 : 4); topic > 0; topic--) {
            int count = random.nextInt(sparse == 0 ? 4 : 15);
            if (anyIds) {
                group.topic("t" + group.ids.size(), new Uuid(random.nextLong(), random.nextLong()), count);
            } else {
                group.topic("t" + group.ids.size(), count);
            }
        }
        for (int member = random.nextInt(8); member > 0; member--) {
            join(group, subscriptionFor(group));
        }
        group.step("first", assignor);
        for (int step = 1; step < steps; step++) {
            group.step(change(group), assignor);
        }
        return group.text.toString();
    }

    private static String common(Target target) {
        StringBuilder text = new StringBuilder();
        text.append(new Group("nobody").topic("t", 3).step("first", target).text);
        text.append(new Group("no-subscription").topic("t", 3).member("a").member("b").step("first", target).text);
        text.append(new Group("no-partitions").topic("t", 0).topic("u", 2).member("a", "t", "u").member("b", "t", "u").step("first", target).text);
        text.append(new Group("one").topic("t", 7).member("a", "t").step("first", target).text);
        text.append(new Group("spare").topic("t", 2).member("a", "t").member("b", "t").member("c", "t").step("first", target).text);
        text.append(new Group("co-partitioned").topic("t", 5).topic("u", 5).topic("v", 4).member("a", "t", "u", "v").member("b", "t", "u", "v")
            .member("c", "t", "u", "v").step("first", target).text);
        text.append(new Group("overlapping").heterogeneous().topic("t", 5).topic("u", 3).member("a", "t", "u").member("b", "t").member("c", "u")
            .step("first", target).text);
        text.append(new Group("static").topic("t", 5).fixed("a", "i3", "t").fixed("b", "i20", "t").fixed("c", "i1", "t").member("A", "t")
            .step("first", target).replace("c", "z").step("replace", target).text);
        return text.toString();
    }

    private static String ranges(Target target) {
        StringBuilder text = new StringBuilder(common(target));
        // U+1F600 comes before U+FF21 in UTF-16 and after it in UTF-8
        text.append(new Group("order-of-utf-16").topic("t", 3).member("\uFF21", "t").member("\uD83D\uDE00", "t").member("a", "t")
            .step("first", target).text);
        text.append(new Group("order-of-static-utf-16").topic("t", 3).fixed("a", "\uFF21", "t").fixed("b", "\uD83D\uDE00", "t").fixed("c", "a", "t")
            .step("first", target).text);
        return text.toString();
    }

    private static String unknown(Target target) {
        Group unknown = new Group("unknown-topic").topic("t", 3).topic("u", 3).member("a", "t", "u");
        unknown.partitions.remove("u");
        unknown.step("same", target).heterogeneous().member("b", "t");
        return unknown.step("different", target).text.toString();
    }

    private static String uniform(Target target) {
        StringBuilder text = new StringBuilder(common(target) + unknown(target));
        String[] three = {"a", "b", "c"};
        Group recreated = new Group("topic-made-again").topic("t", 4).topic("u", 4).topic("v", 6);
        for (String member : three) {
            recreated.member(member, "t", "u");
        }
        recreated.step("first", target).partitions.remove("t");
        for (String member : three) {
            recreated.member(member, "u", "v");
        }
        text.append(recreated.step("made again", target).text);
        Group many = new Group("many").topic("t", 150).topic("u", 1);
        for (int member = 0; member < 40; member++) {
            many.member("m" + member, "t", "u");
        }
        many.step("first", target);
        for (int member = 0; member < 15; member++) {
            many.leave("m" + member * 2);
        }
        many.step("leave", target).grow("u", 90).step("grow", target);
        for (int member = 0; member < 30; member++) {
            many.member("n" + member, "t", "u");
        }
        return text.append(many.step("join", target).text).toString();
    }

    private static String overlapping(Target target) {
        StringBuilder text = new StringBuilder();
        text.append(new Group("chain").heterogeneous().topic("t", 15).topic("u", 15).member("a", "t").member("b", "t", "u").member("c", "u")
            .step("first", target).leave("a").step("leave", target).member("a", "t").step("join", target).grow("t", 30).step("grow", target).text);
        text.append(new Group("nothing-subscribed").heterogeneous().topic("t", 3).member("a").member("b").step("first", target).text);
        text.append(new Group("one-without").heterogeneous().topic("t", 3).member("a").member("b", "t").step("first", target)
            .member("a", "t").step("resubscribe", target).text);
        text.append(new Group("the-same-after-all").heterogeneous().topic("t", 7).topic("u", 4).member("a", "t", "u").member("b", "t", "u")
            .member("c", "t", "u").step("first", target).leave("a").step("leave", target).member("d", "t", "u").step("join", target).text);
        text.append(new Group("alone-with-a-topic").heterogeneous().topic("t", 9).topic("u", 2).member("a", "t").member("b", "u").member("c", "u")
            .step("first", target).member("b", "t", "u").step("resubscribe", target).text);
        // of equals the lowest id goes first, and ids are signed
        text.append(new Group("signed-ids").heterogeneous().topic("t", new Uuid(1, 5), 3).topic("u", new Uuid(-1, 5), 3).topic("v", new Uuid(1, -5), 3)
            .topic("w", new Uuid(-1, -5), 3).member("a", "t", "u", "v", "w").member("b", "t", "u", "v", "w").member("c")
            .step("first", target).text);
        Group stairs = new Group("stairs").heterogeneous();
        for (int topic = 0; topic < 12; topic++) {
            stairs.topic("t" + topic, new Uuid(topic * 7 % 12, topic), 25);
        }
        for (int member = 0; member < 12; member++) {
            stairs.member("m" + member, "t" + member, "t" + Math.min(member + 1, 11));
        }
        stairs.step("first", target);
        for (int member = 0; member < 5; member++) {
            stairs.leave("m" + member);
        }
        stairs.step("leave", target);
        for (int member = 0; member < 9; member++) {
            stairs.member("m" + member, "t" + member, "t" + (member + 3));
        }
        stairs.step("join", target).grow("t3", 80).grow("t4", 70).step("grow", target);
        text.append(stairs.text);
        // what is too much at one end moves one member further a round: more rounds than there are
        Group slow = new Group("slow").heterogeneous();
        for (int topic = 0; topic < 26; topic++) {
            slow.topic(String.format("t%02d", topic), new Uuid(0, 100 - topic), 60);
        }
        for (int member = 0; member < 25; member++) {
            slow.member(String.format("m%02d", member), String.format("t%02d", member + 1));
        }
        slow.step("first", target).grow("t00", 2000);
        for (int member = 0; member < 25; member++) {
            slow.member(String.format("m%02d", member), String.format("t%02d", member), String.format("t%02d", member + 1));
        }
        return text.append(slow.step("resubscribe", target).text).toString();
    }

    private String many(int cases, String name, Target target, boolean anyIds, Boolean heterogeneous, int steps) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < cases; i++) {
            boolean mixed = heterogeneous == null ? i % 2 == 1 : heterogeneous;
            text.append(generated(name + "-" + i, target, anyIds, mixed, steps));
        }
        return text.toString();
    }

    public static void main(String[] arguments) throws IOException {
        Path folder = Path.of(arguments[0]);
        AssignorScript script = new AssignorScript();
        Target range = broker(new RangeAssignor(), true);
        Target uniform = broker(new UniformAssignor(), true);
        Target hashed = broker(new UniformAssignor(), false);
        Map<String, String> files = new LinkedHashMap<>();
        files.put("client-range", ranges(AssignorScript::client) + script.many(80, "generated", AssignorScript::client, true, null, 2));
        files.put("range", ranges(range) + unknown(range) + script.many(40, "generated", range, true, null, 4));
        files.put("uniform", uniform(uniform) + script.many(80, "generated", uniform, false, false, 6));
        files.put("uniform-heterogeneous", overlapping(uniform) + script.many(80, "generated", uniform, true, true, 6));
        files.put("uniform-hashed", script.many(60, "generated", hashed, true, null, 6));
        for (Map.Entry<String, String> file : files.entrySet()) {
            String heading = "# " + file.getKey() + ", recorded from " + arguments[1] + "; the format is in fixtures/README.md\n";
            Files.writeString(folder.resolve(file.getKey() + ".txt"), heading + file.getValue());
        }
    }
}

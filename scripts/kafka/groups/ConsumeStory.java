import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Produce, consume in a group, members join and leave, commits with metadata, and somebody else resumes. */
final class ConsumeStory implements Story {
    private static final int PARTITIONS = 7;

    private final Flavour flavour;

    ConsumeStory(Flavour flavour) {
        this.flavour = flavour;
    }

    @Override
    public void tell(Cluster cluster, String name, Transcript transcript) throws Exception {
        List<String> topics = List.of(name + ".a", name + ".b", name + ".c");
        create(cluster, topics);
        produce(cluster, topics, 3);

        Member a = join(cluster, "a", name, topics);
        cluster.rest(name, PARTITIONS, a);
        transcript.say("a alone", Cluster.owners(flavour.owners(), a));
        Cluster.read(3 * PARTITIONS, a);
        transcript.say("read", Cluster.offsetsRead(a));
        commit("first", a);
        transcript.say("committed", cluster.committed(name));

        Member b = join(cluster, "b", name, topics);
        cluster.rest(name, PARTITIONS, a, b);
        transcript.say("a and b", Cluster.owners(flavour.owners(), a, b));
        Map<Member, Set<TopicPartition>> before = owned(a, b);
        Member c = join(cluster, "c", name, topics);
        cluster.rest(name, PARTITIONS, a, b, c);
        transcript.say("a, b and c", Cluster.owners(flavour.owners(), a, b, c));
        if (flavour.sticky()) {
            transcript.say("a and b gained: " + gained(before));
        }

        produce(cluster, topics, 2);
        Cluster.read(5 * PARTITIONS, a, b, c);
        transcript.say("read by all of them", Cluster.offsetsRead(a, b, c));
        commit("second", a, b, c);
        transcript.say("committed", cluster.committed(name));

        before = owned(b, c);
        a.close();
        cluster.rest(name, PARTITIONS, b, c);
        transcript.say("a left", Cluster.owners(flavour.owners(), b, c));
        if (flavour.sticky()) {
            transcript.say("b and c lost: " + lost(before));
        }
        b.close();
        c.close();
        cluster.restEmpty(name);
        transcript.say("all left, group is " + cluster.describe(name).groupState() + ", " + cluster.describe(name).type());

        produce(cluster, topics, 1);
        try (Member d = join(cluster, "d", name, topics)) {
            cluster.rest(name, PARTITIONS, d);
            Cluster.read(PARTITIONS, d);
            transcript.say("d resumes, read", Cluster.offsetsRead(d));
            transcript.say("committed() of d", Cluster.offsets(d.call(consumer -> consumer.committed(consumer.assignment()))));
        }
        cluster.restEmpty(name);
        transcript.say("d left without a commit", cluster.committed(name));
    }

    private Member join(Cluster cluster, String label, String name, List<String> topics) {
        return cluster.join(label, flavour, name, topics);
    }

    private static void create(Cluster cluster, List<String> topics) throws Exception {
        cluster.create(topics.get(0), 3);
        cluster.create(topics.get(1), 3);
        cluster.create(topics.get(2), 1);
    }

    private static void produce(Cluster cluster, List<String> topics, int records) throws Exception {
        cluster.produce(topics.get(0), 3, records);
        cluster.produce(topics.get(1), 3, records);
        cluster.produce(topics.get(2), 1, records);
    }

    private static void commit(String metadata, Member... members) throws Exception {
        for (Member member : members) {
            member.call(consumer -> {
                Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
                consumer.assignment().forEach(p -> offsets.put(p, new OffsetAndMetadata(consumer.position(p), metadata)));
                consumer.commitSync(offsets);
                return null;
            });
        }
    }

    private static Map<Member, Set<TopicPartition>> owned(Member... members) {
        Map<Member, Set<TopicPartition>> owned = new HashMap<>();
        for (Member member : members) {
            owned.put(member, member.owned());
        }
        return owned;
    }

    private static String gained(Map<Member, Set<TopicPartition>> before) {
        Set<TopicPartition> more = new HashSet<>();
        before.forEach((member, owned) -> member.owned().stream().filter(p -> !owned.contains(p)).forEach(more::add));
        return Cluster.names(more);
    }

    private static String lost(Map<Member, Set<TopicPartition>> before) {
        Set<TopicPartition> fewer = new HashSet<>();
        before.forEach((member, owned) -> owned.stream().filter(p -> !member.owned().contains(p)).forEach(fewer::add));
        return Cluster.names(fewer);
    }
}

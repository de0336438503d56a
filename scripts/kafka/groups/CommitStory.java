import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;

/** Commits of every kind, with and without membership, and those that must fail. */
final class CommitStory implements Story {
    private final Flavour flavour;

    CommitStory(Flavour flavour) {
        this.flavour = flavour;
    }

    @Override
    public void tell(Cluster cluster, String name, Transcript transcript) throws Exception {
        cluster.create(name, 3);
        cluster.produce(name, 3, 4);
        TopicPartition p0 = new TopicPartition(name, 0);
        TopicPartition p1 = new TopicPartition(name, 1);
        TopicPartition p2 = new TopicPartition(name, 2);
        Member a = cluster.join("a", flavour, name, List.of(name));
        cluster.rest(name, 3, a);
        Cluster.read(12, a);

        transcript.say("nothing committed", Cluster.offsets(a.call(c -> c.committed(Set.of(p0, p1, p2)))));
        transcript.say("commitSync: " + a.call(c -> commit(c, p0, new OffsetAndMetadata(2, Optional.of(0), "with an epoch"))));
        transcript.say("commitAsync: " + commitAsync(a, Map.of(p1, new OffsetAndMetadata(3, ""))));
        transcript.say("committed", Cluster.offsets(a.call(c -> c.committed(Set.of(p0, p1, p2)))));
        transcript.say("its leader epoch: " + a.call(c -> c.committed(Set.of(p0)).get(p0).leaderEpoch()));
        transcript.say("metadata beyond a byte: " + a.call(c -> commit(c, p2, new OffsetAndMetadata(1, "\u00fcber \u20ac \ud83d\ude00"))));
        transcript.say("4096 bytes of metadata: " + a.call(c -> commit(c, p2, new OffsetAndMetadata(1, "x".repeat(4096)))));
        transcript.say("4097 bytes of metadata: " + a.call(c -> commit(c, p2, new OffsetAndMetadata(2, "x".repeat(4097)))));
        transcript.say("back to smaller offsets: " + a.call(c -> commit(c, p2, new OffsetAndMetadata(0, "back"))));
        transcript.say("beyond the end: " + a.call(c -> commit(c, p1, new OffsetAndMetadata(1000, "far"))));
        transcript.say("committed", cluster.committed(name));

        a.forgetRecords();
        a.call(c -> {
            c.seek(p0, 1);
            c.seekToEnd(Set.of(p1));
            c.seekToBeginning(Set.of(p2));
            return null;
        });
        Cluster.read(7, a);
        transcript.say("after seeks", Cluster.offsetsRead(a));

        outsiders(cluster, name, p0, transcript);
        fenced(cluster, name, a, p0, transcript);
        a.close();
        cluster.restEmpty(name);
        alone(cluster, name + ".alone", p0, transcript);
        resets(cluster, name, transcript);
        automatic(cluster, name, transcript);
    }

    /** Consumers that assign themselves use the group's name while it has members. */
    private void outsiders(Cluster cluster, String name, TopicPartition partition, Transcript transcript) throws Exception {
        try (KafkaConsumer<String, String> outsider = cluster.consumer(flavour, name)) {
            outsider.assign(Set.of(partition));
            transcript.say("an outsider commits: " + commit(outsider, partition, new OffsetAndMetadata(4, "outsider")));
            transcript.say("an outsider reads", Cluster.offsets(outsider.committed(Set.of(partition))));
        }
    }

    /** A member that an administrator removed does not know it until its next request. Polls no more, so that only the commit can tell. */
    private void fenced(Cluster cluster, String name, Member a, TopicPartition partition, Transcript transcript) throws Exception {
        if (!flavour.classic()) {
            return;
        }
        String outcome = a.call(c -> {
            try {
                Cluster.get(cluster.admin.removeMembersFromConsumerGroup(name, new RemoveMembersFromConsumerGroupOptions()).all());
                return commit(c, partition, new OffsetAndMetadata(1, "removed"));
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
        });
        transcript.say("a removed member commits: " + outcome);
        cluster.rest(name, 3, a);
        transcript.say("and is back", cluster.committed(name));
    }

    /** A group without members is made by its first commit. */
    private void alone(Cluster cluster, String group, TopicPartition partition, Transcript transcript) throws Exception {
        try (KafkaConsumer<String, String> alone = cluster.consumer(flavour, group)) {
            alone.assign(Set.of(partition));
            transcript.say("a group that nobody knows", Cluster.offsets(alone.committed(Set.of(partition))));
            transcript.say("a simple commit: " + commit(alone, partition, new OffsetAndMetadata(3, "simple")));
            transcript.say("committed", cluster.committed(group));
        }
        transcript.say("the group is " + cluster.describe(group).groupState() + ", " + cluster.describe(group).type());
    }

    private void resets(Cluster cluster, String topic, Transcript transcript) throws Exception {
        try (Member none = cluster.join("none", flavour, topic + ".none", Map.of("auto.offset.reset", "none"), List.of(topic))) {
            Cluster.until("no offset and no rule for that", () -> none.failure() != null);
            transcript.say("auto.offset.reset=none: " + Cluster.name(none.failure()));
        }
        try (Member latest = cluster.join("latest", flavour, topic + ".latest", Map.of("auto.offset.reset", "latest"), List.of(topic))) {
            cluster.rest(topic + ".latest", 3, latest);
            transcript.say("auto.offset.reset=latest", latest.call(c -> c.assignment().stream().sorted(Comparator.comparing(TopicPartition::toString))
                .map(p -> p + ": " + c.position(p)).toList()));
        }
    }

    /** What was delivered is committed at the latest when the consumer closes. */
    private void automatic(Cluster cluster, String topic, Transcript transcript) throws Exception {
        String group = topic + ".automatic";
        try (Member a = cluster.join("a", flavour, group, Map.of("enable.auto.commit", "true", "auto.commit.interval.ms", "600000"), List.of(topic))) {
            Cluster.read(12, a);
        }
        transcript.say("committed by closing", cluster.committed(group));
        cluster.produce(topic, 1, 1);
        try (Member a = cluster.join("a", flavour, group, Map.of("enable.auto.commit", "true", "auto.commit.interval.ms", "100"), List.of(topic))) {
            Cluster.read(1, a);
            List<String> expected = List.of(topic + "-0: 5 ''", topic + "-1: 4 ''", topic + "-2: 4 ''");
            Cluster.until("a commit by interval", () -> cluster.committed(group).equals(expected));
            transcript.say("committed by interval", cluster.committed(group));
        }
    }

    private static String commit(Consumer<String, String> consumer, TopicPartition partition, OffsetAndMetadata offset) {
        try {
            consumer.commitSync(Map.of(partition, offset));
            return "ok";
        } catch (RuntimeException e) {
            return Cluster.name(e);
        }
    }

    private static String commitAsync(Member member, Map<TopicPartition, OffsetAndMetadata> offsets) throws Exception {
        CompletableFuture<String> called = new CompletableFuture<>();
        member.call(c -> {
            c.commitAsync(offsets, (committed, e) -> called.complete(e == null ? "ok " + Cluster.offsets(committed) : Cluster.name(e)));
            return null;
        });
        return Cluster.get(called);
    }
}

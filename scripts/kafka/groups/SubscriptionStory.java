import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.consumer.SubscriptionPattern;

import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/** What a group subscribes to changes while it runs: patterns, new topics, new partitions, deleted topics, members that want different things. */
final class SubscriptionStory implements Story {
    private final Flavour flavour;

    SubscriptionStory(Flavour flavour) {
        this.flavour = flavour;
    }

    @Override
    public void tell(Cluster cluster, String name, Transcript transcript) throws Exception {
        pattern(cluster, name + ".java", false, transcript);
        if (!flavour.classic()) {
            pattern(cluster, name + ".re2j", true, transcript);
        }
        different(cluster, name + ".different", transcript);
        missing(cluster, name + ".missing", transcript);
    }

    private void pattern(Cluster cluster, String name, boolean onBroker, Transcript transcript) throws Exception {
        cluster.create(name + "-1", 2);
        cluster.create(name + "-x", 1);
        Member a = byPattern(cluster, "a", name, onBroker);
        Member b = byPattern(cluster, "b", name, onBroker);
        // at rest is also a group whose second member has not looked at the topics yet, and wants none
        Cluster.until(name + ": both have a partition", () -> !a.owned().isEmpty() && !b.owned().isEmpty());
        cluster.rest(name, 2, a, b);
        transcript.say(name + ": a pattern", Cluster.owners(flavour.owners(), a, b));
        cluster.create(name + "-2", 3);
        cluster.rest(name, 5, a, b);
        transcript.say("a new topic matches", Cluster.owners(flavour.owners(), a, b));
        Cluster.get(cluster.admin.createPartitions(Map.of(name + "-1", NewPartitions.increaseTo(4))).all());
        cluster.rest(name, 7, a, b);
        transcript.say("two new partitions", Cluster.owners(flavour.owners(), a, b));
        cluster.produce(name + "-1", 4, 1);
        cluster.produce(name + "-2", 3, 1);
        cluster.produce(name + "-x", 1, 1);
        Cluster.read(7, a, b);
        transcript.say("read", Cluster.offsetsRead(a, b));
        Cluster.get(cluster.admin.deleteTopics(List.of(name + "-2")).all());
        cluster.rest(name, 4, a, b);
        transcript.say("a topic is deleted", Cluster.owners(flavour.owners(), a, b));
        a.close();
        b.close();
    }

    private Member byPattern(Cluster cluster, String label, String name, boolean onBroker) {
        String pattern = name.replace(".", "\\.") + "-[0-9]+";
        return new Member(label, cluster.settings(flavour, name, Map.of()), (consumer, listener) -> {
            if (onBroker) {
                consumer.subscribe(new SubscriptionPattern(pattern), listener);
            } else {
                consumer.subscribe(Pattern.compile(pattern), listener);
            }
        });
    }

    /** Each member gets only what it wants, and a member that changes its mind gives back the rest. */
    private void different(Cluster cluster, String name, Transcript transcript) throws Exception {
        cluster.create(name + "-1", 2);
        cluster.create(name + "-2", 3);
        Member a = cluster.join("a", flavour, name, List.of(name + "-1"));
        Member b = cluster.join("b", flavour, name, List.of(name + "-2"));
        cluster.rest(name, 5, a, b);
        transcript.say("a wants one topic, b another", Cluster.owners(Flavour.Owners.LABELS, a, b));
        a.call(consumer -> {
            consumer.subscribe(List.of(name + "-1", name + "-2"), a);
            return null;
        });
        b.call(consumer -> {
            consumer.unsubscribe();
            return null;
        });
        cluster.rest(name, 5, a);
        transcript.say("a wants both, b nothing", Cluster.owners(Flavour.Owners.LABELS, a));
        b.close();
        a.close();
    }

    /** A topic that is not there yet is no error, and is noticed when it comes. */
    private void missing(Cluster cluster, String name, Transcript transcript) throws Exception {
        Member a = cluster.join("a", flavour, name, Map.of("allow.auto.create.topics", "false"), List.of(name));
        cluster.rest(name, 0, a);
        transcript.say("the topic is missing", Cluster.owners(Flavour.Owners.LABELS, a));
        cluster.create(name, 2);
        cluster.rest(name, 2, a);
        transcript.say("it is there now", Cluster.owners(Flavour.Owners.LABELS, a));
        a.close();
    }
}

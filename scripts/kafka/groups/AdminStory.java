import org.apache.kafka.clients.admin.ClassicGroupDescription;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.ListConsumerGroupsOptions;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;

import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;

/** An administrator lists, describes and deletes groups of each kind: classic, consumer, empty, without members ever, unknown. */
final class AdminStory implements Story {
    @Override
    @SuppressWarnings("removal")
    public void tell(Cluster cluster, String name, Transcript transcript) throws Exception {
        String classic = name + ".classic";
        String consumer = name + ".consumer";
        String emptied = name + ".emptied";
        String simple = name + ".simple";
        String unknown = name + ".unknown";
        cluster.create(name, 4);
        Member a = cluster.join("a", Flavour.CLASSIC_RANGE, classic, List.of(name));
        Member b = cluster.join("b", Flavour.CONSUMER, consumer, List.of(name));
        Member c = cluster.join("c", Flavour.CONSUMER, emptied, List.of(name));
        cluster.rest(classic, 4, a);
        cluster.rest(consumer, 4, b);
        cluster.rest(emptied, 4, c);
        c.close();
        cluster.restEmpty(emptied);
        Map<TopicPartition, OffsetAndMetadata> offsets = Map.of(new TopicPartition(name, 0), new OffsetAndMetadata(1, "kept"));
        transcript.say("offsets for a new group: " + Cluster.outcome(cluster.admin.alterConsumerGroupOffsets(simple, offsets).all()));

        transcript.say("listGroups", list(cluster, name, new ListGroupsOptions()));
        transcript.say("stable", list(cluster, name, new ListGroupsOptions().inGroupStates(Set.of(GroupState.STABLE))));
        transcript.say("empty", list(cluster, name, new ListGroupsOptions().inGroupStates(Set.of(GroupState.EMPTY))));
        transcript.say("rebalancing or dead", list(cluster, name, new ListGroupsOptions().inGroupStates(Set.of(GroupState.PREPARING_REBALANCE, GroupState.DEAD))));
        transcript.say("classic", list(cluster, name, new ListGroupsOptions().withTypes(Set.of(GroupType.CLASSIC))));
        transcript.say("consumer", list(cluster, name, new ListGroupsOptions().withTypes(Set.of(GroupType.CONSUMER))));
        transcript.say("share", list(cluster, name, new ListGroupsOptions().withTypes(Set.of(GroupType.SHARE))));
        transcript.say("classic and stable", list(cluster, name, new ListGroupsOptions().withTypes(Set.of(GroupType.CLASSIC)).inGroupStates(Set.of(GroupState.STABLE))));
        transcript.say("protocol type ''", list(cluster, name, new ListGroupsOptions().withProtocolTypes(Set.of(""))));
        transcript.say("protocol type connect", list(cluster, name, new ListGroupsOptions().withProtocolTypes(Set.of("connect"))));
        transcript.say("listConsumerGroups", Cluster.get(cluster.admin.listConsumerGroups(new ListConsumerGroupsOptions()).all()).stream()
            .filter(g -> g.groupId().startsWith(name + "."))
            .map(g -> g.groupId() + " " + show(g.type()) + " " + show(g.groupState()) + (g.isSimpleConsumerGroup() ? " simple" : "")).sorted().toList());

        for (String group : List.of(classic, consumer, emptied, simple)) {
            describe(cluster, group, transcript);
            describeClassic(cluster, group, transcript);
        }
        transcript.say("describe " + unknown + ": " + Cluster.outcome(cluster.admin.describeConsumerGroups(List.of(unknown)).all()));
        transcript.say("describe classic " + unknown + ": " + Cluster.outcome(cluster.admin.describeClassicGroups(List.of(unknown)).all()));

        for (String group : List.of(classic, consumer, emptied, simple, unknown, simple)) {
            transcript.say("delete " + group + ": " + Cluster.outcome(cluster.admin.deleteConsumerGroups(List.of(group)).all()));
        }
        transcript.say("listGroups", list(cluster, name, new ListGroupsOptions()));
        transcript.say("offsets of a deleted group", cluster.committed(simple));
        a.close();
        b.close();
        cluster.restEmpty(classic);
        cluster.restEmpty(consumer);
        Map<String, KafkaFuture<Void>> deleted = cluster.admin.deleteConsumerGroups(List.of(classic, consumer, unknown)).deletedGroups();
        for (String group : new TreeSet<>(deleted.keySet())) {
            transcript.say("delete several, " + group + ": " + Cluster.outcome(deleted.get(group)));
        }
        transcript.say("listGroups", list(cluster, name, new ListGroupsOptions()));
    }

    private static List<String> list(Cluster cluster, String prefix, ListGroupsOptions options) throws Exception {
        return Cluster.get(cluster.admin.listGroups(options).all()).stream()
            .filter(g -> g.groupId().startsWith(prefix + "."))
            .map(g -> g.groupId() + " " + show(g.type()) + " '" + g.protocol() + "' " + show(g.groupState()))
            .sorted().toList();
    }

    private static String show(Optional<?> value) {
        return value.map(Object::toString).orElse("none");
    }

    private static void describe(Cluster cluster, String group, Transcript transcript) throws Exception {
        ConsumerGroupDescription d = cluster.describe(group);
        transcript.say("describe " + group + ": " + d.type() + ", " + d.groupState() + ", assignor '" + d.partitionAssignor() + "'" + (d.isSimpleConsumerGroup() ? ", simple" : "")
            + ", epochs " + (d.groupEpoch().isPresent() ? "shown" : "none") + ", operations " + d.authorizedOperations(), members(d.members()));
    }

    private static void describeClassic(Cluster cluster, String group, Transcript transcript) throws Exception {
        String outcome = Cluster.outcome(cluster.admin.describeClassicGroups(List.of(group)).all());
        if (!outcome.equals("ok")) {
            transcript.say("describe classic " + group + ": " + outcome);
            return;
        }
        ClassicGroupDescription d = Cluster.get(cluster.admin.describeClassicGroups(List.of(group)).all()).get(group);
        transcript.say("describe classic " + group + ": " + d.state() + ", protocol '" + d.protocol() + "', data '" + d.protocolData() + "'"
            + (d.isSimpleConsumerGroup() ? ", simple" : ""), members(d.members()));
    }

    private static List<String> members(Collection<MemberDescription> members) {
        return members.stream().map(m -> m.clientId() + " at " + m.host() + ", instance " + show(m.groupInstanceId()) + ", has " + Cluster.names(m.assignment().topicPartitions())
            + ", shall have " + m.targetAssignment().map(t -> Cluster.names(t.topicPartitions())).orElse("none")
            + ", epoch " + (m.memberEpoch().isPresent() ? "shown" : "none")
            + ", upgraded " + show(m.upgraded())).sorted().toList();
    }
}

import org.apache.kafka.clients.admin.AlterConsumerGroupOffsetsResult;
import org.apache.kafka.clients.admin.DeleteConsumerGroupOffsetsResult;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsOptions;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsResult;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsSpec;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** An administrator reads, changes and deletes committed offsets: of groups that are empty, live by either protocol, or unknown. */
final class AdminOffsetsStory implements Story {
    @Override
    public void tell(Cluster cluster, String name, Transcript transcript) throws Exception {
        String other = name + "-other";
        cluster.create(name, 3);
        cluster.create(other, 1);
        TopicPartition p0 = new TopicPartition(name, 0);
        TopicPartition p1 = new TopicPartition(name, 1);
        TopicPartition q0 = new TopicPartition(other, 0);
        TopicPartition nowhere = new TopicPartition(name + "-nowhere", 0);
        TopicPartition beyond = new TopicPartition(name, 9);
        Map<TopicPartition, OffsetAndMetadata> offsets = Map.of(p0, new OffsetAndMetadata(5, Optional.of(0), "five"), q0, new OffsetAndMetadata(7));

        for (Flavour flavour : List.of(Flavour.CLASSIC_RANGE, Flavour.CONSUMER)) {
            String group = name + "." + flavour.name();
            transcript.say("== " + group);
            transcript.say("alter, group is new", alter(cluster, group, offsets));
            transcript.say("offsets", cluster.committed(group));
            Member a = cluster.join("a", flavour, group, List.of(name));
            cluster.rest(group, 3, a);
            transcript.say("alter, group is live", alter(cluster, group, Map.of(p1, new OffsetAndMetadata(1, "live"))));
            transcript.say("delete, group is live", delete(cluster, group, p0, q0, nowhere));
            transcript.say("offsets", cluster.committed(group));
            a.call(consumer -> {
                consumer.commitSync(Map.of(p1, new OffsetAndMetadata(2, "member")));
                return null;
            });
            a.close();
            cluster.restEmpty(group);
            transcript.say("alter, group is empty", alter(cluster, group, Map.of(p1, new OffsetAndMetadata(3, "empty"), nowhere, new OffsetAndMetadata(1), beyond, new OffsetAndMetadata(1))));
            transcript.say("offsets", cluster.committed(group));
            transcript.say("delete, group is empty", delete(cluster, group, p0, beyond));
            transcript.say("offsets", cluster.committed(group));
        }
        transcript.say("== several groups");
        transcript.say("delete, unknown group", delete(cluster, name + ".unknown", p0));
        several(cluster, name, p0, p1, nowhere, transcript);
    }

    private static void several(Cluster cluster, String name, TopicPartition p0, TopicPartition p1, TopicPartition nowhere, Transcript transcript) throws Exception {
        Map<String, ListConsumerGroupOffsetsSpec> specs = new HashMap<>();
        specs.put(name + ".classic-range", new ListConsumerGroupOffsetsSpec());
        specs.put(name + ".consumer-default", new ListConsumerGroupOffsetsSpec().topicPartitions(List.of(p0, p1, nowhere)));
        specs.put(name + ".unknown", new ListConsumerGroupOffsetsSpec());
        specs.put(name + ".unknown-too", new ListConsumerGroupOffsetsSpec().topicPartitions(List.of(p0)));
        for (boolean stable : List.of(false, true)) {
            ListConsumerGroupOffsetsResult result = cluster.admin.listConsumerGroupOffsets(specs, new ListConsumerGroupOffsetsOptions().requireStable(stable));
            for (String group : specs.keySet().stream().sorted().toList()) {
                transcript.say(group + (stable ? ", stable" : ""), Cluster.offsets(Cluster.get(result.partitionsToOffsetAndMetadata(group))));
            }
        }
        // no group has this name
        transcript.say("group ''", Cluster.offsets(Cluster.get(cluster.admin.listConsumerGroupOffsets("").partitionsToOffsetAndMetadata())));
    }

    private static List<String> alter(Cluster cluster, String group, Map<TopicPartition, OffsetAndMetadata> offsets) throws Exception {
        AlterConsumerGroupOffsetsResult result = cluster.admin.alterConsumerGroupOffsets(group, offsets);
        List<String> outcomes = new ArrayList<>();
        for (TopicPartition partition : offsets.keySet()) {
            outcomes.add(partition + ": " + Cluster.outcome(result.partitionResult(partition)));
        }
        return outcomes.stream().sorted().toList();
    }

    private static List<String> delete(Cluster cluster, String group, TopicPartition... partitions) throws Exception {
        DeleteConsumerGroupOffsetsResult result = cluster.admin.deleteConsumerGroupOffsets(group, Set.of(partitions));
        List<String> outcomes = new ArrayList<>();
        for (TopicPartition partition : partitions) {
            outcomes.add(partition + ": " + Cluster.outcome(result.partitionResult(partition)));
        }
        return outcomes.stream().sorted().toList();
    }
}

import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.protocol.ApiKeys;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;

/** Offsets in transactions: of members of a group of either protocol, of a group nobody is in; who sees them when, who waits, who may not. */
final class OffsetsStory implements Story {
    private final String protocol;

    OffsetsStory(String protocol) {
        this.protocol = protocol;
    }

    @Override
    public void tell(Broker broker, String name, Transcript transcript) throws Exception {
        String topic = name + ".t";
        String group = name + ".group";
        broker.create(topic, 2);
        TopicPartition p0 = new TopicPartition(topic, 0);
        TopicPartition p1 = new TopicPartition(topic, 1);
        try (Writer plain = broker.plain(name + ".plain"); Writer a = broker.writer(name + ".a");
            KafkaConsumer<String, String> member = broker.consumer(name + ".member", IsolationLevel.READ_COMMITTED, Map.of("group.id", group, "group.protocol", protocol));
            KafkaConsumer<String, String> hasty = broker.consumer(name + ".hasty", IsolationLevel.READ_UNCOMMITTED, Map.of("group.id", group))) {
            plain.send(p0, "x1", "x2", "x3").send(p1, "x4", "x5");
            member.subscribe(List.of(topic));
            int[] records = new int[1];
            Broker.until("a member that has read everything", () -> {
                records[0] += member.poll(Duration.ofMillis(50)).count();
                return records[0] == 5;
            });

            a.begin().offsets(member.groupMetadata(), Map.of(p0, new OffsetAndMetadata(2, Optional.empty(), "first")));
            transcript.say("pending", broker.committed(group));
            // consumers want it settled whichever way they read
            transcript.say("asked by a reader of all: " + Broker.outcome(() -> hasty.committed(Set.of(p0), Duration.ofMillis(300))));
            transcript.say("asked by a reader of what is committed: " + Broker.outcome(() -> member.committed(Set.of(p0), Duration.ofMillis(300))));
            transcript.say("asked about the other partition", Broker.offsets(member.committed(Set.of(p1))));
            transcript.say("asked until it is committed", patient(broker, name, group, p0, a));
            transcript.say("committed", broker.committed(group));

            a.begin().offsets(member.groupMetadata(), Map.of(p0, new OffsetAndMetadata(3), p1, new OffsetAndMetadata(1)));
            transcript.say("pending again", broker.committed(group));
            a.abort();
            broker.ended(a.id);
            transcript.say("aborted", broker.committed(group));
            transcript.say("who reads committed", Broker.offsets(member.committed(Set.of(p0, p1))));

            a.begin().send(p0, "y1").offsets(member.groupMetadata(), Map.of(p0, new OffsetAndMetadata(3))).offsets(member.groupMetadata(), Map.of(p0, new OffsetAndMetadata(4),
                p1, new OffsetAndMetadata(2, "twice"))).commit();
            broker.ended(a.id);
            transcript.say("told twice", broker.committed(group));

            strangers(a, member.groupMetadata(), p0, transcript);
            broker.ended(a.id);
            transcript.say("afterwards", broker.committed(group));
        }
        alone(broker, name, p0, transcript);
    }

    /** Asks while the offset is pending, and is answered when it no longer is. */
    private static List<String> patient(Broker broker, String name, String group, TopicPartition partition, Writer writer) throws Exception {
        String clientId = name + ".patient";
        try (KafkaConsumer<String, String> patient = broker.consumer(clientId, IsolationLevel.READ_COMMITTED, Map.of("group.id", group))) {
            CompletableFuture<List<String>> answer = CompletableFuture.supplyAsync(() -> Broker.offsets(patient.committed(Set.of(partition))));
            Broker.until("two refusals", () -> broker.spoken.times(clientId, ApiKeys.OFFSET_FETCH) > 2);
            if (answer.isDone()) {
                throw new IllegalStateException("did not wait: " + answer.get());
            }
            writer.commit();
            return Broker.get(answer);
        }
    }

    private static void strangers(Writer a, ConsumerGroupMetadata right, TopicPartition partition, Transcript transcript) throws Exception {
        Map<String, ConsumerGroupMetadata> wrong = new TreeMap<>(Map.of(
            "only the group's name", new ConsumerGroupMetadata(right.groupId()),
            "a generation too high", new ConsumerGroupMetadata(right.groupId(), right.generationId() + 1, right.memberId(), Optional.empty()),
            "an unknown member", new ConsumerGroupMetadata(right.groupId(), right.generationId(), "nobody", Optional.empty()),
            "an unknown instance", new ConsumerGroupMetadata(right.groupId(), right.generationId(), right.memberId(), Optional.of("nobody"))));
        for (Map.Entry<String, ConsumerGroupMetadata> who : wrong.entrySet()) {
            a.begin();
            transcript.say(who.getKey() + ": " + Broker.outcome(() -> a.offsets(who.getValue(), Map.of(partition, new OffsetAndMetadata(9)))));
            transcript.say("  abort: " + Broker.outcome(a::abort));
        }
    }

    /** Groups that nobody is in. */
    private static void alone(Broker broker, String name, TopicPartition partition, Transcript transcript) throws Exception {
        String group = name + ".alone";
        try (Writer a = broker.writer(name + ".b")) {
            a.begin().offsets(new ConsumerGroupMetadata(group), Map.of(partition, new OffsetAndMetadata(1, "alone")));
            transcript.say("a group that nobody knows, pending", broker.committed(group));
            a.abort();
            broker.ended(a.id);
            transcript.say("aborted", broker.committed(group));
            a.begin().offsets(new ConsumerGroupMetadata(group), Map.of(partition, new OffsetAndMetadata(1, "alone"))).commit();
            broker.ended(a.id);
            transcript.say("committed", broker.committed(group));
            a.begin();
            transcript.say("a generation, but nobody is there: " + Broker.outcome(() -> a.offsets(new ConsumerGroupMetadata(group, 1, "nobody", Optional.empty()),
                Map.of(partition, new OffsetAndMetadata(2)))));
            transcript.say("  abort: " + Broker.outcome(a::abort));
            String second = name + ".second";
            a.begin().offsets(new ConsumerGroupMetadata(group), Map.of(partition, new OffsetAndMetadata(5))).offsets(new ConsumerGroupMetadata(second),
                Map.of(partition, new OffsetAndMetadata(6))).commit();
            broker.ended(a.id);
            transcript.say("two groups in one transaction", List.of(group + " " + broker.committed(group), second + " " + broker.committed(second)));
        }
    }
}

import org.apache.kafka.clients.admin.DescribeProducersOptions;
import org.apache.kafka.clients.admin.DescribeTransactionsResult;
import org.apache.kafka.clients.admin.ListTransactionsOptions;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.TransactionDescription;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** What the Admin client sees of transactions and producers: described, listed, filtered. */
final class AdminStory implements Story {
    @Override
    public void tell(Broker broker, String name, Transcript transcript) throws Exception {
        String topic = name + ".t";
        broker.create(topic, 2);
        TopicPartition p0 = new TopicPartition(topic, 0);
        TopicPartition p1 = new TopicPartition(topic, 1);
        try (Writer a = broker.writer(name + ".a", Map.of("transaction.timeout.ms", "120000")).init(); Writer b = broker.writer(name + ".b"); Writer c = broker.writer(name + ".c");
            Writer d = broker.writer(name + ".d"); Writer e = broker.writer(name + ".e"); Writer plain = broker.plain(name + ".plain")) {
            a.begin().send(p0, "a1", "a2").send(p1, "a3");
            b.begin().send(p0, "b1").commit();
            c.begin().send(p0, "c1").abort();
            plain.send(p0, "plain1", "plain2", "plain3");
            e.begin().offsets(new ConsumerGroupMetadata(name + ".group"), Map.of(p0, new OffsetAndMetadata(1)));
            broker.ended(b.id);
            broker.ended(c.id);
            for (Writer writer : List.of(a, b, c, d, e)) {
                transcript.say("described: " + writer.id + ", " + shown(broker.describe(writer.id)));
            }
            DescribeTransactionsResult described = broker.admin.describeTransactions(Set.of(a.id, name + ".unknown", ""));
            for (String id : List.of(a.id, name + ".unknown", "")) {
                transcript.say("described together: '" + id + "', " + Broker.outcome(() -> Broker.get(described.description(id))));
            }

            list(broker, name, "all", new ListTransactionsOptions(), transcript);
            for (TransactionState state : List.of(TransactionState.ONGOING, TransactionState.EMPTY, TransactionState.COMPLETE_COMMIT, TransactionState.COMPLETE_ABORT,
                TransactionState.PREPARE_COMMIT)) {
                list(broker, name, state.toString(), new ListTransactionsOptions().filterStates(Set.of(state)), transcript);
            }
            list(broker, name, "two states", new ListTransactionsOptions().filterStates(Set.of(TransactionState.ONGOING, TransactionState.EMPTY)), transcript);
            long idOfA = broker.describe(a.id).producerId();
            long idOfD = broker.describe(d.id).producerId();
            list(broker, name, "producers of a and d", new ListTransactionsOptions().filterProducerIds(Set.of(idOfA, idOfD)), transcript);
            list(broker, name, "producers of a and d, ongoing",
                new ListTransactionsOptions().filterProducerIds(Set.of(idOfA, idOfD)).filterStates(Set.of(TransactionState.ONGOING)), transcript);
            list(broker, name, "an unknown producer", new ListTransactionsOptions().filterProducerIds(Set.of(123456789L)), transcript);
            long startMs = broker.describe(a.id).transactionStartTimeMs().getAsLong();
            Broker.until("some milliseconds", () -> System.currentTimeMillis() > startMs + 10);
            list(broker, name, "ongoing for 1 ms",
                new ListTransactionsOptions().filterStates(Set.of(TransactionState.ONGOING)).filterProducerIds(Set.of(idOfA)).filterOnDuration(1), transcript);
            list(broker, name, "ongoing for an hour", new ListTransactionsOptions().filterStates(Set.of(TransactionState.ONGOING)).filterOnDuration(3_600_000), transcript);

            Map<Long, String> names = names(broker, a, b, c);
            transcript.say("producers of p0", producers(broker, p0, names, new DescribeProducersOptions()));
            transcript.say("producers of p1", producers(broker, p1, names, new DescribeProducersOptions()));
            int node = Broker.get(broker.admin.describeCluster().nodes()).iterator().next().id();
            transcript.say("producers of p1, by node", producers(broker, p1, names, new DescribeProducersOptions().brokerId(node)));
            a.send(p0, "a4").commit();
            broker.ended(a.id);
            transcript.say("a committed, producers of p0", producers(broker, p0, names(broker, a, b, c), new DescribeProducersOptions()));
            a.begin().send(p0, "a5");
            transcript.say("a is open again, producers of p0", producers(broker, p0, names(broker, a, b, c), new DescribeProducersOptions()));
            transcript.say("described: " + a.id + ", " + shown(broker.describe(a.id)));
            a.abort();
        }
    }

    private static String shown(TransactionDescription d) {
        return d.state() + ", timeout " + d.transactionTimeoutMs() + (d.transactionStartTimeMs().isPresent() ? ", started" : ", not started") + ", partitions "
            + d.topicPartitions().stream().map(TopicPartition::toString).map(p -> p.replaceAll("__consumer_offsets-\\d+", "__consumer_offsets")).sorted().toList();
    }

    /** Those of this story. */
    static void list(Broker broker, String name, String what, ListTransactionsOptions options, Transcript transcript) throws Exception {
        transcript.say("listed, " + what, Broker.get(broker.admin.listTransactions(options).all()).stream().filter(t -> t.transactionalId().startsWith(name + "."))
            .map(t -> t.transactionalId() + ": " + t.state()).sorted().toList());
    }

    static Map<Long, String> names(Broker broker, Writer... writers) throws Exception {
        Map<Long, String> names = new TreeMap<>();
        for (Writer writer : writers) {
            names.put(broker.describe(writer.id).producerId(), writer.id);
        }
        return names;
    }

    /** By who they are; a producer without a transactional id is called plain. */
    static List<String> producers(Broker broker, TopicPartition partition, Map<Long, String> names, DescribeProducersOptions options) throws Exception {
        return Broker.get(broker.admin.describeProducers(List.of(partition), options).partitionResult(partition)).activeProducers().stream()
            .map(p -> names.getOrDefault(p.producerId(), "plain") + ": " + shown(p)).sorted().toList();
    }

    private static String shown(ProducerState p) {
        return "epoch " + p.producerEpoch() + ", last sequence " + p.lastSequence() + (p.coordinatorEpoch().isPresent() ? ", a coordinator" : ", no coordinator")
            + (p.currentTransactionStartOffset().isPresent() ? ", open since " + p.currentTransactionStartOffset().getAsLong() : ", nothing open");
    }
}

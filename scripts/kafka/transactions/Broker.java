import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.TransactionDescription;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

/** The broker under the stories: topics, producers, what can be read, and waiting for transactions to end. One for all stories, which name things after themselves. */
final class Broker implements AutoCloseable {
    /** Ends a hang; nothing waits this long when it works. */
    static final int HANG_S = 40;
    private static final int LOOK_EVERY_MS = 20;
    private static final Duration POLL = Duration.ofMillis(50);
    private static final Set<TransactionState> ENDED = Set.of(TransactionState.EMPTY, TransactionState.COMPLETE_COMMIT, TransactionState.COMPLETE_ABORT);

    final Admin admin;
    final Spoken spoken;
    private final String bootstrap;

    Broker(String bootstrap, Spoken spoken) {
        this.bootstrap = bootstrap;
        this.spoken = spoken;
        admin = Admin.create(client("admin", Map.of()));
    }

    @Override
    public void close() {
        admin.close();
    }

    static <T> T get(Future<T> future) throws Exception {
        return future.get(HANG_S, TimeUnit.SECONDS);
    }

    /** Looks until there is something, and says what it was waiting for if there never is. */
    static <T> T await(String what, Callable<Optional<T>> look) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(HANG_S);
        while (true) {
            Optional<T> found = look.call();
            if (found.isPresent()) {
                return found.get();
            }
            if (System.nanoTime() > deadline) {
                throw new IllegalStateException("never came: " + what);
            }
            Thread.sleep(LOOK_EVERY_MS);
        }
    }

    static void until(String what, Callable<Boolean> look) throws Exception {
        await(what, () -> look.call() ? Optional.of(true) : Optional.empty());
    }

    void create(String topic, int partitions) throws Exception {
        get(admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1))).all());
        until(topic + " in metadata", () -> {
            try {
                return get(admin.describeTopics(List.of(topic)).allTopicNames()).get(topic).partitions().size() == partitions;
            } catch (ExecutionException e) {
                return false;
            }
        });
    }

    /** What every client is given, and more for this one. */
    Map<String, Object> client(String clientId, Map<String, ?> more) {
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "client.id", clientId, "enable.metrics.push", "false",
            "retry.backoff.ms", "20", "retry.backoff.max.ms", "50"));
        settings.putAll(more);
        return settings;
    }

    /** Not initialized yet. */
    Writer writer(String id, Map<String, ?> more) {
        Map<String, Object> settings = client(id, Map.of("transactional.id", id));
        settings.putAll(more);
        return new Writer(id, settings);
    }

    Writer writer(String id) {
        return writer(id, Map.of()).init();
    }

    /** One that knows nothing of transactions. */
    Writer plain(String clientId) {
        return new Writer(clientId, client(clientId, Map.of()));
    }

    KafkaConsumer<String, String> consumer(String clientId, IsolationLevel isolation, Map<String, ?> more) {
        Map<String, Object> settings = client(clientId, Map.of("enable.auto.commit", "false", "auto.offset.reset", "earliest", "fetch.max.wait.ms", "50",
            "isolation.level", isolation.toString().toLowerCase(), "key.deserializer", StringDeserializer.class.getName(),
            "value.deserializer", StringDeserializer.class.getName()));
        settings.putAll(more);
        return new KafkaConsumer<>(settings);
    }

    /** Everything that such a reader can see of a topic now, a line for each partition: its offsets and values. */
    List<String> read(String topic, IsolationLevel isolation) throws Exception {
        try (KafkaConsumer<String, String> reader = consumer("reader-" + isolation, isolation, Map.of())) {
            List<TopicPartition> partitions = reader.partitionsFor(topic).stream().map(p -> new TopicPartition(topic, p.partition()))
                .sorted(Comparator.comparing(TopicPartition::partition)).toList();
            reader.assign(partitions);
            reader.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = reader.endOffsets(partitions);
            Map<TopicPartition, List<String>> read = new HashMap<>();
            until(topic + " read to its end by " + isolation, () -> {
                reader.poll(POLL).forEach(record -> read.computeIfAbsent(new TopicPartition(topic, record.partition()), p -> new ArrayList<>()).add(shown(record)));
                return partitions.stream().allMatch(p -> reader.position(p) >= ends.get(p));
            });
            return partitions.stream().map(p -> p + ": " + (read.containsKey(p) ? String.join(" ", read.get(p)) : "nothing")).toList();
        }
    }

    static String shown(ConsumerRecord<String, String> record) {
        return record.offset() + "=" + record.value();
    }

    /** What both kinds of readers see. */
    void show(String topic, String when, Transcript transcript) throws Exception {
        for (IsolationLevel isolation : IsolationLevel.values()) {
            transcript.say(when + ", " + isolation, read(topic, isolation));
        }
    }

    long offset(TopicPartition partition, OffsetSpec which, IsolationLevel isolation) throws Exception {
        return get(admin.listOffsets(Map.of(partition, which), new ListOffsetsOptions(isolation)).partitionResult(partition)).offset();
    }

    /** The end of the partition, and where the first open transaction begins if there is one. */
    String ends(TopicPartition partition) throws Exception {
        return "end " + offset(partition, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED) + ", last stable offset "
            + offset(partition, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED);
    }

    TransactionDescription describe(String id) throws Exception {
        return get(admin.describeTransactions(List.of(id)).description(id));
    }

    /** Waits until the markers of the id's last transaction are where they belong: commit and abort come back before. */
    TransactionDescription ended(String id) throws Exception {
        return await("the end of " + id, () -> Optional.of(describe(id)).filter(d -> ENDED.contains(d.state())));
    }

    /** The group's committed offsets, as the Admin client reads them: without waiting for those that are pending. */
    List<String> committed(String group) throws Exception {
        return offsets(get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()));
    }

    static List<String> offsets(Map<TopicPartition, OffsetAndMetadata> offsets) {
        TreeMap<String, String> lines = new TreeMap<>();
        offsets.forEach((partition, offset) -> lines.put(partition.toString(), offset == null ? "none" : offset.offset() + " '" + offset.metadata() + "'"));
        return lines.entrySet().stream().map(line -> line.getKey() + ": " + line.getValue()).toList();
    }

    /** "ok", or which exception it was. */
    static String outcome(Callable<?> action) throws Exception {
        try {
            action.call();
            return "ok";
        } catch (ExecutionException e) {
            return name(e.getCause());
        } catch (RuntimeException e) {
            return name(e);
        }
    }

    /** The name of its class, and why, if that says nothing. */
    static String name(Throwable e) {
        String name = e.getClass().getSimpleName();
        if (e.getClass() != KafkaException.class) {
            return name;
        }
        return e.getCause() == null ? name + " '" + e.getMessage() + "'" : name + " of " + name(e.getCause());
    }
}

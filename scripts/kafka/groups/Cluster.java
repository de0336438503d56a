import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/** The broker under the stories: topics, records, members, and waiting for a group to come to rest. One for all stories, which name things after themselves. */
final class Cluster implements AutoCloseable {
    /** Ends a hang; nothing waits this long when it works. */
    static final int HANG_S = 40;
    private static final int LOOK_EVERY_MS = 50;

    final Admin admin;
    private final String bootstrap;
    private final Producer<String, String> producer;

    Cluster(String bootstrap) {
        this.bootstrap = bootstrap;
        admin = Admin.create(Map.of("bootstrap.servers", bootstrap, "enable.metrics.push", "false", "retry.backoff.ms", "50"));
        producer = new KafkaProducer<>(Map.of("bootstrap.servers", bootstrap, "enable.metrics.push", "false"), new StringSerializer(), new StringSerializer());
    }

    @Override
    public void close() {
        producer.close();
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

    /** Appends as many records to every partition of the topic, with values that say where they are. */
    void produce(String topic, int partitions, int records) throws Exception {
        List<Future<?>> sent = new ArrayList<>();
        for (int partition = 0; partition < partitions; partition++) {
            for (int i = 0; i < records; i++) {
                sent.add(producer.send(new ProducerRecord<>(topic, partition, null, topic + "-" + partition)));
            }
        }
        for (Future<?> each : sent) {
            get(each);
        }
    }

    String end(String topic, int partition) throws Exception {
        TopicPartition asked = new TopicPartition(topic, partition);
        return String.valueOf(get(admin.listOffsets(Map.of(asked, OffsetSpec.latest())).partitionResult(asked)).offset());
    }

    /** Appends a record for each timestamp. */
    void produceAt(String topic, int partition, long... timestampsMs) throws Exception {
        for (long timestampMs : timestampsMs) {
            get(producer.send(new ProducerRecord<>(topic, partition, timestampMs, null, topic + "-" + partition)));
        }
    }

    Member join(String label, Flavour flavour, String group, Map<String, Object> settings, Collection<String> topics) {
        return new Member(label, settings(flavour, group, settings), (consumer, listener) -> consumer.subscribe(topics, listener));
    }

    Member join(String label, Flavour flavour, String group, Collection<String> topics) {
        return join(label, flavour, group, Map.of(), topics);
    }

    Map<String, Object> settings(Flavour flavour, String group, Map<String, Object> more) {
        Map<String, Object> all = new HashMap<>(flavour.settings());
        all.put("bootstrap.servers", bootstrap);
        all.put("group.id", group);
        all.putAll(more);
        return all;
    }

    /** A consumer without a thread of its own. */
    KafkaConsumer<String, String> consumer(Flavour flavour, String group) {
        return new KafkaConsumer<>(withDefaults(settings(flavour, group, Map.of())));
    }

    /** A connection of its own, for requests as they are. */
    Wire wire(String clientId) throws IOException {
        return new Wire(bootstrap, clientId);
    }

    static Map<String, Object> withDefaults(Map<String, Object> settings) {
        Map<String, Object> all = new HashMap<>(Map.of("enable.auto.commit", "false", "auto.offset.reset", "earliest", "enable.metrics.push", "false",
            "fetch.max.wait.ms", "100", "metadata.max.age.ms", "500", "retry.backoff.ms", "50", "reconnect.backoff.ms", "50",
            "key.deserializer", StringDeserializer.class.getName(), "value.deserializer", StringDeserializer.class.getName()));
        all.putAll(settings);
        return all;
    }

    ConsumerGroupDescription describe(String group) throws Exception {
        return get(admin.describeConsumerGroups(List.of(group)).all()).get(group);
    }

    /** Null until the group is there, or while it changes from one protocol to the other between two requests of the Admin client. */
    private ConsumerGroupDescription known(String group) throws Exception {
        try {
            return describe(group);
        } catch (ExecutionException e) {
            if (e.getCause() instanceof GroupIdNotFoundException) {
                return null;
            }
            throw e;
        }
    }

    /**
     * Waits until the broker calls the group stable with exactly these members, each holds what the broker says it holds and shall hold,
     * and together they hold that many partitions, none twice.
     */
    void rest(String group, int partitions, Member... members) throws Exception {
        StringBuilder seen = new StringBuilder();
        try {
            until(group + " at rest", () -> {
                for (Member member : members) {
                    if (member.failure() != null) {
                        throw new IllegalStateException(member.label + " failed", member.failure());
                    }
                }
                ConsumerGroupDescription described = known(group);
                if (described == null) {
                    return false;
                }
                seen.setLength(0);
                seen.append(described);
                for (Member member : members) {
                    seen.append("\n  ").append(member.label).append(" has ").append(member.owned());
                }
                return described.groupState() == GroupState.STABLE && agree(described, partitions, members);
            });
        } catch (IllegalStateException e) {
            throw new IllegalStateException(e.getMessage() + "\n" + seen, e);
        }
    }

    private static boolean agree(ConsumerGroupDescription described, int partitions, Member[] members) {
        Set<TopicPartition> all = new HashSet<>();
        int held = 0;
        for (Member member : members) {
            Set<TopicPartition> owned = member.owned();
            List<MemberDescription> same = described.members().stream().filter(d -> d.clientId().equals(member.label)).toList();
            if (same.size() != 1 || !same.get(0).assignment().topicPartitions().equals(owned)) {
                return false;
            }
            if (same.get(0).targetAssignment().isPresent() && !same.get(0).targetAssignment().get().topicPartitions().equals(owned)) {
                return false;
            }
            all.addAll(owned);
            held += owned.size();
        }
        return described.members().size() == members.length && held == partitions && all.size() == partitions;
    }

    void restEmpty(String group) throws Exception {
        until(group + " empty", () -> describe(group).groupState() == GroupState.EMPTY);
    }

    /** Waits until these members together have read that many records. */
    static void read(int records, Member... members) throws Exception {
        until(records + " records", () -> {
            int sum = 0;
            for (Member member : members) {
                sum += member.records().size();
            }
            return sum >= records;
        });
    }

    /** Which offsets were read of each partition, and whether each held what was written there. */
    static List<String> offsetsRead(Member... members) {
        TreeMap<String, List<Long>> byPartition = new TreeMap<>();
        for (Member member : members) {
            for (ConsumerRecord<String, String> record : member.records()) {
                String name = record.topic() + "-" + record.partition();
                String value = name.equals(record.value()) ? "" : " holds " + record.value();
                byPartition.computeIfAbsent(name + value, key -> new ArrayList<>()).add(record.offset());
            }
        }
        return byPartition.entrySet().stream().map(e -> e.getKey() + ": " + e.getValue().stream().sorted().toList()).toList();
    }

    /** The group's committed offsets, as the Admin client reads them. */
    List<String> committed(String group) throws Exception {
        return offsets(get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()));
    }

    static List<String> offsets(Map<TopicPartition, OffsetAndMetadata> offsets) {
        return offsets.entrySet().stream()
            .sorted(Comparator.comparing(e -> e.getKey().toString()))
            .map(e -> e.getKey() + ": " + (e.getValue() == null ? "none" : e.getValue().offset() + " '" + e.getValue().metadata() + "'"))
            .toList();
    }

    static String names(Collection<TopicPartition> partitions) {
        return partitions.isEmpty() ? "nothing" : partitions.stream().map(TopicPartition::toString).sorted().collect(Collectors.joining(" "));
    }

    /** Who owns what, as far as it is the same in every run. */
    static List<String> owners(Flavour.Owners how, Member... members) {
        return switch (how) {
            case LABELS -> List.of(members).stream().map(m -> m.label + " owns " + names(m.owned())).toList();
            case SIZES_BY_TOPIC -> List.of(members).stream()
                .map(m -> new TreeMap<>(m.owned().stream().collect(Collectors.groupingBy(TopicPartition::topic, Collectors.counting()))).toString())
                .sorted().map(sizes -> "somebody owns " + sizes).toList();
            case SIZES -> List.of("owned by one each: " + List.of(members).stream().map(m -> m.owned().size()).sorted().toList());
        };
    }

    /** "ok", or the name of the exception's class. */
    static String outcome(KafkaFuture<?> future) throws Exception {
        try {
            get(future);
            return "ok";
        } catch (ExecutionException e) {
            return name(e.getCause());
        }
    }

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

    static String name(Throwable e) {
        return e == null ? "none" : e.getClass().getSimpleName();
    }
}

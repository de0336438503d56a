import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringSerializer;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;

/** Several producers commit and abort as fast as they can, while somebody reads: exactly what was committed, once and in each producer's order. */
final class ManyStory implements Story {
    private static final int PRODUCERS = 3;
    private static final int TRANSACTIONS = 40;
    private static final int PARTITIONS = 3;

    @Override
    public void tell(Broker broker, String name, Transcript transcript) throws Exception {
        String topic = name + ".t";
        broker.create(topic, PARTITIONS);
        Map<String, List<String>> committed = new HashMap<>();
        List<CompletableFuture<Map<String, List<String>>>> producing = new ArrayList<>();
        for (int producer = 0; producer < PRODUCERS; producer++) {
            int number = producer;
            Map<String, Object> settings = broker.client(name + "." + number, Map.of("transactional.id", name + "." + number));
            producing.add(CompletableFuture.supplyAsync(() -> produce(settings, topic, number), task -> new Thread(task).start()));
        }
        CompletableFuture<Void> all = CompletableFuture.allOf(producing.toArray(CompletableFuture[]::new));
        Map<String, List<String>> read = new HashMap<>();
        List<TopicPartition> partitions = new ArrayList<>();
        for (int partition = 0; partition < PARTITIONS; partition++) {
            partitions.add(new TopicPartition(topic, partition));
        }
        try (KafkaConsumer<String, String> reader = broker.consumer(name + ".reader", IsolationLevel.READ_COMMITTED, Map.of())) {
            reader.assign(partitions);
            Broker.until("everything is written and read", () -> {
                boolean written = all.isDone();
                Map<TopicPartition, Long> ends = reader.endOffsets(partitions);
                boolean stable = written && partitions.stream().allMatch(p -> ends.get(p) == end(broker, p));
                do {
                    reader.poll(Duration.ofMillis(50)).forEach(r -> read.computeIfAbsent(r.key() + " to " + r.partition(), k -> new ArrayList<>()).add(r.value()));
                } while (partitions.stream().anyMatch(p -> reader.position(p) < ends.get(p)));
                return stable;
            });
        }
        int records = 0;
        for (CompletableFuture<Map<String, List<String>>> each : producing) {
            committed.putAll(each.get());
        }
        for (List<String> values : committed.values()) {
            records += values.size();
        }
        transcript.say("committed: " + records + " records by " + PRODUCERS + " producers in " + PARTITIONS + " partitions");
        transcript.say("read while they were written: " + (read.equals(committed) ? "the same, in order" : difference(committed, read)));
    }

    private static long end(Broker broker, TopicPartition partition) {
        try {
            return broker.offset(partition, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED);
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    private static String difference(Map<String, List<String>> committed, Map<String, List<String>> read) {
        return "committed " + new TreeMap<>(committed) + ", read " + new TreeMap<>(read);
    }

    /** What it committed, by producer and partition. The seed is its number, so that it commits the same in each run. */
    private static Map<String, List<String>> produce(Map<String, Object> settings, String topic, int number) {
        Random random = new Random(number);
        Map<String, List<String>> committed = new HashMap<>();
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            producer.initTransactions();
            for (int transaction = 0; transaction < TRANSACTIONS; transaction++) {
                producer.beginTransaction();
                Map<String, List<String>> sent = new HashMap<>();
                int records = random.nextInt(8);
                for (int i = 0; i < records; i++) {
                    int partition = random.nextInt(PARTITIONS);
                    String value = transaction + "." + i;
                    producer.send(new ProducerRecord<>(topic, partition, "p" + number, value));
                    sent.computeIfAbsent("p" + number + " to " + partition, key -> new ArrayList<>()).add(value);
                }
                if (random.nextInt(3) == 0) {
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                    sent.forEach((key, values) -> committed.computeIfAbsent(key, k -> new ArrayList<>()).addAll(values));
                }
            }
        }
        return committed;
    }
}

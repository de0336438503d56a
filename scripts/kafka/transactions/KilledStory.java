import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringSerializer;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;

/** A process is killed in the middle of a transaction, which stays open until the next producer of its transactional id ends it. */
final class KilledStory implements Story {
    private static final String OPEN = "open";

    /** The victim: java KilledStory <topic> <group> <key=value of the producer's settings> ... opens a transaction, says so, and waits to be killed. */
    public static void main(String[] arguments) throws Exception {
        Map<String, Object> settings = new HashMap<>();
        for (String argument : List.of(arguments).subList(2, arguments.length)) {
            settings.put(argument.substring(0, argument.indexOf('=')), argument.substring(argument.indexOf('=') + 1));
        }
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(arguments[0], 0, null, "committed"));
            producer.commitTransaction();
            producer.beginTransaction();
            for (int i = 0; i < 4; i++) {
                producer.send(new ProducerRecord<>(arguments[0], i % 2, null, "open" + i));
            }
            producer.sendOffsetsToTransaction(Map.of(new TopicPartition(arguments[0], 0), new OffsetAndMetadata(9)), new ConsumerGroupMetadata(arguments[1]));
            producer.flush();
            System.out.println(OPEN);
            new CountDownLatch(1).await();
        }
    }

    @Override
    public void tell(Broker broker, String name, Transcript transcript) throws Exception {
        String topic = name + ".t";
        String group = name + ".group";
        String id = name + ".a";
        broker.create(topic, 2);
        TopicPartition p0 = new TopicPartition(topic, 0);
        TopicPartition p1 = new TopicPartition(topic, 1);
        Process victim = victim(broker.client(id, Map.of("transactional.id", id)), topic, group);
        try (BufferedReader said = new BufferedReader(new InputStreamReader(victim.getInputStream()))) {
            if (!OPEN.equals(said.readLine())) {
                throw new IllegalStateException("the other process did not come so far");
            }
        } finally {
            victim.destroyForcibly().waitFor();
        }
        transcript.say("killed: " + broker.describe(id).state());
        transcript.say("p0: " + broker.ends(p0) + ", p1: " + broker.ends(p1));
        broker.show(topic, "killed", transcript);
        try (KafkaConsumer<String, String> reader = broker.consumer(name + ".reader", IsolationLevel.READ_COMMITTED, Map.of("group.id", group))) {
            transcript.say("its offsets: " + Broker.outcome(() -> reader.committed(Set.of(p0), Duration.ofMillis(300))));
            try (Writer next = broker.writer(id)) {
                transcript.say("the next is initialized: " + broker.describe(id).state());
                transcript.say("p0: " + broker.ends(p0) + ", p1: " + broker.ends(p1));
                transcript.say("its offsets", Broker.offsets(reader.committed(Set.of(p0))));
                next.begin().send(p0, "next").offsets(new ConsumerGroupMetadata(group), Map.of(p0, new OffsetAndMetadata(1))).commit();
                broker.ended(id);
            }
            transcript.say("offsets of the next", Broker.offsets(reader.committed(Set.of(p0))));
        }
        broker.show(topic, "at last", transcript);
    }

    private static Process victim(Map<String, Object> settings, String topic, String group) throws Exception {
        List<String> command = new ArrayList<>(List.of(System.getProperty("java.home") + "/bin/java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            "-Dlog4j2.configurationFile=" + System.getProperty("log4j2.configurationFile"), "-cp", System.getProperty("java.class.path"), "KilledStory", topic, group));
        settings.forEach((key, value) -> command.add(key + "=" + value));
        return new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
    }
}

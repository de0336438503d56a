import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringSerializer;

import java.time.Duration;
import java.util.Map;

/** A producer that goes one step at a time: what was sent is acknowledged before the next step. */
final class Writer implements AutoCloseable {
    /** Its transactional id, if it has one. */
    final String id;
    private final KafkaProducer<String, String> producer;

    Writer(String id, Map<String, Object> settings) {
        this.id = id;
        producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer());
    }

    Writer init() {
        producer.initTransactions();
        return this;
    }

    Writer begin() {
        producer.beginTransaction();
        return this;
    }

    Writer send(TopicPartition partition, String... values) throws Exception {
        for (String value : values) {
            send(partition, null, value);
        }
        return this;
    }

    Writer send(TopicPartition partition, Long timestampMs, String value) throws Exception {
        Broker.get(producer.send(new ProducerRecord<>(partition.topic(), partition.partition(), timestampMs, null, value)));
        return this;
    }

    Writer offsets(ConsumerGroupMetadata group, Map<TopicPartition, OffsetAndMetadata> offsets) {
        producer.sendOffsetsToTransaction(offsets, group);
        return this;
    }

    Writer commit() {
        producer.commitTransaction();
        return this;
    }

    Writer abort() {
        producer.abortTransaction();
        return this;
    }

    /** Ends a transaction that is open, if it still can. */
    @Override
    public void close() {
        producer.close(Duration.ofSeconds(10));
    }
}

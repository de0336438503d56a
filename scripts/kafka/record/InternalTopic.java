import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.coordinator.common.runtime.CoordinatorRecord;
import org.apache.kafka.coordinator.common.runtime.CoordinatorRecordSerde;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/** What a coordinator has written to its topic, and how Kafka reads it: a line per record, in the order of each partition. */
final class InternalTopic {
    private static final Duration POLL = Duration.ofMillis(100);

    private final String name;
    private final CoordinatorRecordSerde serde;
    private final Function<ApiMessage, JsonNode> key;
    private final ValuePrinter value;

    /** As Kafka's own message formatters print a value. */
    interface ValuePrinter {
        JsonNode print(ApiMessage value, short version);
    }

    InternalTopic(String name, CoordinatorRecordSerde serde, Function<ApiMessage, JsonNode> key, ValuePrinter value) {
        this.name = name;
        this.serde = serde;
        this.key = key;
        this.value = value;
    }

    List<ConsumerRecord<byte[], byte[]>> read(int port) throws Exception {
        List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
        try (Admin admin = Admin.create(Map.of(AdminClientConfig.BOOTSTRAP_SERVERS_CONFIG, "127.0.0.1:" + port));
             Consumer<byte[], byte[]> reader = new KafkaConsumer<>(Map.of(ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, "127.0.0.1:" + port,
            ConsumerConfig.KEY_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class, ConsumerConfig.VALUE_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class))) {
            for (PartitionInfo info : reader.partitionsFor(name).stream().sorted(Comparator.comparing(PartitionInfo::partition)).toList()) {
                TopicPartition partition = new TopicPartition(name, info.partition());
                long end = admin.listOffsets(Map.of(partition, OffsetSpec.latest())).partitionResult(partition).get().offset();
                reader.assign(List.of(partition));
                reader.seekToBeginning(List.of(partition));
                while (reader.position(partition) < end) {
                    reader.poll(POLL).forEach(records::add);
                }
            }
        }
        return records;
    }

    void write(List<ConsumerRecord<byte[], byte[]>> records, Path file, String broker) throws IOException {
        List<String> lines = new ArrayList<>();
        lines.add("# The records of " + name + " as " + broker + " wrote them: partition, key, value, and what they say.");
        records.forEach(record -> lines.add(line(record)));
        Files.createDirectories(file.getParent());
        Files.write(file, lines);
    }

    CoordinatorRecord parsed(ConsumerRecord<byte[], byte[]> record) {
        return serde.deserialize(ByteBuffer.wrap(record.key()), record.value() == null ? null : ByteBuffer.wrap(record.value()));
    }

    private String line(ConsumerRecord<byte[], byte[]> record) {
        String bytes = record.value() == null ? "null" : HexFormat.of().formatHex(record.value());
        return record.partition() + " " + HexFormat.of().formatHex(record.key()) + " " + bytes + " " + json(parsed(record));
    }

    private ObjectNode json(CoordinatorRecord read) {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.putObject("key").put("type", read.key().apiKey()).set("data", key.apply(read.key()));
        if (read.value() == null) {
            json.putNull("value");
        } else {
            json.putObject("value").put("version", read.value().version()).set("data", value.print(read.value().message(), read.value().version()));
        }
        return json;
    }
}

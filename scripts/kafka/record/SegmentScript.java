import org.apache.kafka.common.message.CreateTopicsRequestData;
import org.apache.kafka.common.message.CreateTopicsRequestData.CreatableTopic;
import org.apache.kafka.common.message.CreateTopicsRequestData.CreatableTopicConfig;
import org.apache.kafka.common.message.CreateTopicsResponseData;
import org.apache.kafka.common.message.ProduceRequestData;
import org.apache.kafka.common.message.ProduceRequestData.PartitionProduceData;
import org.apache.kafka.common.message.ProduceRequestData.TopicProduceData;
import org.apache.kafka.common.message.ProduceResponseData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.record.internal.MemoryRecords;

import java.io.IOException;
import java.nio.file.Path;

/** Fills the partitions whose folders become fixtures/segments: java SegmentScript <port>. Their bytes are the same in each run. */
final class SegmentScript {
    private static final int SETTLED_AFTER_MS = 1000;
    private static final int TIMEOUT_MS = 10_000;
    private static final int ROLLED_BATCHES = 24;

    private final Recorder recorder;

    private SegmentScript(Recorder recorder) {
        this.recorder = recorder;
    }

    public static void main(String[] arguments) throws Exception {
        SegmentScript script = new SegmentScript(new Recorder(Integer.parseInt(arguments[0]), Path.of("unused")));
        script.create("plain");
        script.create("idempotent");
        script.create("codecs");
        script.create("append-time", "message.timestamp.type", "LogAppendTime");
        // a segment is full when its index is: the smallest segment.bytes that is allowed is a megabyte
        script.create("rolled", "segment.index.bytes", "64", "index.interval.bytes", "100");
        Thread.sleep(SETTLED_AFTER_MS);
        script.plain();
        script.idempotent();
        script.codecs();
        script.rolled();
        script.produce("append-time", Batches.plain(0, 3));
    }

    private void plain() throws IOException {
        script("plain", Batches.plain(0, 1), Batches.plain(1, 5), Batches.plain(3, 2), Batches.ofSize(5000), Batches.plain(8, 3), Batches.ofSize(5000), Batches.plain(2, 1));
    }

    /** Two producers, one of which goes to its next epoch, and seven batches of one: more than the five that are remembered. */
    private void idempotent() throws IOException {
        script("idempotent", Batches.idempotent(4001, 0, 0, 0, 3), Batches.idempotent(4002, 0, 0, 3, 1), Batches.idempotent(4001, 0, 3, 4, 2),
            Batches.idempotent(4001, 1, 0, 6, 1));
        for (int i = 0; i < 7; i++) {
            produce("idempotent", Batches.idempotent(4002, 0, 1 + 2 * i, 7 + 2 * i, 2));
        }
    }

    private void codecs() throws IOException {
        long second = 0;
        for (String codec : new String[] {"none", "gzip", "snappy", "lz4", "zstd"}) {
            produce("codecs", Batches.compressed(codec, second, 10));
            second += 10;
        }
    }

    private void rolled() throws IOException {
        for (int i = 0; i < ROLLED_BATCHES; i++) {
            produce("rolled", i % 3 == 0 ? Batches.plain(2 * i, 2) : Batches.idempotent(4003, 0, 2 * (i - i / 3 - 1), 2 * i, 2));
        }
    }

    private void script(String topic, MemoryRecords... batches) throws IOException {
        for (MemoryRecords batch : batches) {
            produce(topic, batch);
        }
    }

    private void create(String name, String... configs) throws IOException {
        CreatableTopic topic = new CreatableTopic().setName(name).setNumPartitions(1).setReplicationFactor((short) 1);
        for (int i = 0; i < configs.length; i += 2) {
            topic.configs().add(new CreatableTopicConfig().setName(configs[i]).setValue(configs[i + 1]));
        }
        CreateTopicsRequestData request = new CreateTopicsRequestData().setTimeoutMs(TIMEOUT_MS);
        request.topics().add(topic);
        CreateTopicsResponseData reply = (CreateTopicsResponseData) recorder.unrecorded(ApiKeys.CREATE_TOPICS, 7, request);
        check(name, reply.topics().find(name).errorCode());
    }

    private void produce(String topic, MemoryRecords batch) throws IOException {
        ProduceRequestData request = new ProduceRequestData().setTransactionalId(null).setAcks((short) -1).setTimeoutMs(TIMEOUT_MS);
        request.topicData().add(new TopicProduceData().setName(topic).setPartitionData(java.util.List.of(new PartitionProduceData().setIndex(0).setRecords(batch))));
        ProduceResponseData reply = (ProduceResponseData) recorder.unrecorded(ApiKeys.PRODUCE, 12, request);
        check(topic, reply.responses().iterator().next().partitionResponses().get(0).errorCode());
    }

    private static void check(String topic, short errorCode) throws IOException {
        if (errorCode != 0) {
            throw new IOException("error " + errorCode + " for " + topic);
        }
    }
}

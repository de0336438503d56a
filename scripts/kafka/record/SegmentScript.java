import org.apache.kafka.common.message.CreateTopicsRequestData;
import org.apache.kafka.common.message.CreateTopicsRequestData.CreatableTopic;
import org.apache.kafka.common.message.CreateTopicsRequestData.CreatableTopicConfig;
import org.apache.kafka.common.message.CreateTopicsResponseData;
import org.apache.kafka.common.message.FetchRequestData;
import org.apache.kafka.common.message.FetchRequestData.FetchPartition;
import org.apache.kafka.common.message.FetchRequestData.FetchTopic;
import org.apache.kafka.common.message.FetchResponseData;
import org.apache.kafka.common.message.ProduceRequestData;
import org.apache.kafka.common.message.ProduceRequestData.PartitionProduceData;
import org.apache.kafka.common.message.ProduceRequestData.TopicProduceData;
import org.apache.kafka.common.message.ProduceResponseData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.RecordBatch;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;

/**
 * Fills the partitions whose folders become fixtures/segments: java SegmentScript <port> <file for what became of the transactions>.
 * Their bytes are the same in each run, but for the times of markers.
 */
final class SegmentScript {
    private static final int SETTLED_AFTER_MS = 1000;
    private static final int TIMEOUT_MS = 10_000;
    private static final int ROLLED_BATCHES = 24;
    private static final int TRANSACTIONS = 9;
    private static final int MUCH = 1 << 20;
    private static final byte READ_UNCOMMITTED = 0;
    private static final byte READ_COMMITTED = 1;

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
        script.create("transactions", "segment.index.bytes", "64", "index.interval.bytes", "100", "segment.ms", Long.toString(Long.MAX_VALUE));
        Thread.sleep(SETTLED_AFTER_MS);
        script.plain();
        script.idempotent();
        script.codecs();
        script.rolled();
        script.produce("append-time", Batches.plain(0, 3));
        script.transactions();
        script.describe(Path.of(arguments[1]));
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

    /** Two producers, one of each kind of clients, whose transactions overlap, some over the end of a segment; between them records of none. */
    private void transactions() throws Exception {
        Transactions transactions = new Transactions(recorder);
        transactions.ready();
        Transactions.Producer classic = transactions.init(4, null, "classic");
        Transactions.Producer modern = transactions.init(5, null, "modern");
        int sequence = 0;
        for (int round = 0; round < TRANSACTIONS; round++) {
            transactions.add(3, null, classic, Transactions.topic("transactions", 0));
            produce("transactions", classic.name(), classic.batch(sequence++, 1));
            produce("transactions", modern.name(), modern.batch(0, 2));
            produce("transactions", Batches.plain(round, 1));
            produce("transactions", classic.name(), classic.batch(sequence++, 1));
            if (round == TRANSACTIONS - 1) {
                modern = transactions.ended(5, null, modern, false);
            } else if (round % 2 == 0) {
                modern = transactions.ended(5, null, modern, round % 3 == 0);
                classic = transactions.ended(4, null, classic, round % 3 != 0);
            } else {
                classic = transactions.ended(4, null, classic, round % 3 == 0);
                produce("transactions", modern.name(), modern.batch(2, 1));
                modern = transactions.ended(5, null, modern, round % 5 == 0);
            }
        }
        produce("transactions", Batches.plain(TRANSACTIONS, 1));
    }

    /** Every transaction from its first record to its marker, and what the broker tells those who read only what is committed. */
    private void describe(Path file) throws IOException {
        List<String> lines = new ArrayList<>();
        lines.add("# The transactions of transactions-0, in the order of their ends: what became of it, producer, its epoch at the end, first offset, offset of the marker.");
        Map<Long, Long> open = new TreeMap<>();
        for (RecordBatch batch : batches()) {
            if (batch.isControlBatch()) {
                String end = ControlRecordType.parse(batch.iterator().next().key()).toString().toLowerCase(Locale.ROOT);
                lines.add(end + " " + batch.producerId() + " " + batch.producerEpoch() + " " + open.remove(batch.producerId()) + " " + batch.baseOffset());
            } else if (batch.isTransactional()) {
                open.putIfAbsent(batch.producerId(), batch.baseOffset());
            }
        }
        open.forEach((producer, first) -> lines.add("open " + producer + " " + first));
        lines.add("# What Fetch, read_committed, says of aborted ones (producer:first offset) in Kafka's order, for each segment of the log.");
        long next = 0;
        FetchResponseData.PartitionData committed;
        do {
            committed = fetch(next, READ_COMMITTED);
            lines.add("from " + next + committed.abortedTransactions().stream().map(aborted -> " " + aborted.producerId() + ":" + aborted.firstOffset()).collect(Collectors.joining()));
            for (RecordBatch batch : ((MemoryRecords) committed.records()).batches()) {
                next = batch.nextOffset();
            }
        } while (next < committed.lastStableOffset());
        lines.add("last-stable-offset " + committed.lastStableOffset());
        lines.add("high-watermark " + committed.highWatermark());
        Files.write(file, lines);
    }

    /** A fetch ends with its segment. */
    private List<RecordBatch> batches() throws IOException {
        List<RecordBatch> batches = new ArrayList<>();
        long next = 0;
        FetchResponseData.PartitionData read;
        do {
            read = fetch(next, READ_UNCOMMITTED);
            for (RecordBatch batch : ((MemoryRecords) read.records()).batches()) {
                batches.add(batch);
                next = batch.nextOffset();
            }
        } while (next < read.highWatermark());
        return batches;
    }

    private FetchResponseData.PartitionData fetch(long offset, byte isolation) throws IOException {
        FetchRequestData request = new FetchRequestData().setReplicaId(-1).setMaxWaitMs(0).setMinBytes(0).setMaxBytes(MUCH).setIsolationLevel(isolation)
            .setTopics(List.of(new FetchTopic().setTopic("transactions").setPartitions(List.of(new FetchPartition().setPartition(0).setFetchOffset(offset).setPartitionMaxBytes(MUCH)))));
        return ((FetchResponseData) recorder.unrecorded(ApiKeys.FETCH, 12, request)).responses().get(0).partitions().get(0);
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
        produce(topic, null, batch);
    }

    private void produce(String topic, String transactionalId, MemoryRecords batch) throws IOException {
        ProduceRequestData request = new ProduceRequestData().setTransactionalId(transactionalId).setAcks((short) -1).setTimeoutMs(TIMEOUT_MS);
        request.topicData().add(new TopicProduceData().setName(topic).setPartitionData(List.of(new PartitionProduceData().setIndex(0).setRecords(batch))));
        ProduceResponseData reply = (ProduceResponseData) recorder.unrecorded(ApiKeys.PRODUCE, 12, request);
        check(topic, reply.responses().iterator().next().partitionResponses().get(0).errorCode());
    }

    private static void check(String topic, short errorCode) throws IOException {
        if (errorCode != 0) {
            throw new IOException("error " + errorCode + " for " + topic);
        }
    }
}

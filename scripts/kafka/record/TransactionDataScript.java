import org.apache.kafka.common.message.DescribeProducersRequestData;
import org.apache.kafka.common.message.FetchRequestData;
import org.apache.kafka.common.message.FetchRequestData.FetchPartition;
import org.apache.kafka.common.message.FetchRequestData.FetchTopic;
import org.apache.kafka.common.message.ListOffsetsRequestData;
import org.apache.kafka.common.message.ListOffsetsRequestData.ListOffsetsPartition;
import org.apache.kafka.common.message.ListOffsetsRequestData.ListOffsetsTopic;
import org.apache.kafka.common.message.ProduceRequestData;
import org.apache.kafka.common.message.ProduceRequestData.PartitionProduceData;
import org.apache.kafka.common.message.ProduceRequestData.TopicProduceData;
import org.apache.kafka.common.message.WriteTxnMarkersRequestData;
import org.apache.kafka.common.message.WriteTxnMarkersRequestData.WritableTxnMarker;
import org.apache.kafka.common.message.WriteTxnMarkersRequestData.WritableTxnMarkerTopic;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.record.internal.MemoryRecords;

import java.util.ArrayList;
import java.util.List;

/** Records of transactions: how they are written, who may read them when, and the markers that end them. */
final class TransactionDataScript {
    static final List<Integer> PRODUCE_VERSIONS = List.of(3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13);
    static final String INTERLEAVED = "interleaved";
    static final String INDEXED = "interleaved-indexed";
    static final String MARKED = "marked";
    private static final int ADDS_BY_ITSELF = 12;
    private static final int WITH_IDS = 13;
    private static final int LAST_FETCH = 18;
    private static final int ALL = -1;
    private static final int TIMEOUT_MS = 10_000;
    private static final int ANY_EPOCH = -1;
    private static final int MUCH = 1 << 20;
    private static final int BATCH_ATTRIBUTES = 21;
    private static final long NO_SUCH_PRODUCER = 77_777;
    private static final long PLAIN_PRODUCER = 4_500;
    private static final long MARKED_PRODUCER = 4_700;
    private static final byte UNCOMMITTED = 0;
    private static final byte COMMITTED = 1;

    private final Script script;
    private final Recorder recorder;
    private final Transactions transactions;

    TransactionDataScript(Script script, Transactions transactions) {
        this.script = script;
        this.recorder = script.recorder;
        this.transactions = transactions;
    }

    /** A topic per version, so that each meets an empty one. */
    static String topic(int version) {
        return "ledger-" + version;
    }

    /** Before version 12 a partition is added first (`add`), since then the broker does that when it is written to. */
    void produce() throws Exception {
        for (int version : PRODUCE_VERSIONS) {
            String id = topic(version);
            int ends = version < ADDS_BY_ITSELF ? 4 : 5;
            transactions.init(ends, "txn-for-" + id, id);
            Transactions.Producer producer = transactions.init(ends, "txn-for-" + id + "-again", id);
            refused(version, producer);
            begun(version, producer);
            open(version, producer);
            Transactions.Producer next = transactions.ended(ends, "txn-" + id, producer, true);
            describeProducers("txn-" + id + "-committed", topic(version), 0, 1);
            closed(version, producer, next, ends);
            late(version, ends);
        }
    }

    private void refused(int version, Transactions.Producer producer) throws Exception {
        produce(version, "txn-without-id", null, 0, producer.batch(0, 1));
        produce(version, "txn-empty-id", "", 0, producer.batch(0, 1));
        produce(version, "txn-unseen", "unseen", 0, producer.batch(0, 1));
        produce(version, "txn-other-id", "init-0", 0, producer.batch(0, 1));
        produce(version, "txn-wrong-id", producer.name(), 0, producer.by(NO_SUCH_PRODUCER).batch(0, 1));
        produce(version, "txn-old-epoch", producer.name(), 0, producer.at(0).batch(0, 1));
        produce(version, "txn-epoch-beyond", producer.name(), 0, producer.at(producer.epoch() + 1).batch(0, 1));
        if (version < ADDS_BY_ITSELF) {
            produce(version, "txn-not-added", producer.name(), 0, producer.batch(0, 1));
        }
        recorder.exchange(ApiKeys.PRODUCE, version, "txn-two-producers", request(version, producer.name(),
            at(0, producer.batch(0, 1)), at(1, producer.by(NO_SUCH_PRODUCER).batch(0, 1))));
        transactions.describe("txn-" + producer.name() + "-refused", producer.name());
    }

    private void begun(int version, Transactions.Producer producer) throws Exception {
        if (version < ADDS_BY_ITSELF) {
            transactions.add(3, "txn-" + producer.name(), producer, Transactions.topic(topic(version), 0));
        }
        produce(version, "txn-first", producer.name(), 0, producer.batch(0, 2));
        produce(version, "txn-duplicate", producer.name(), 0, producer.batch(0, 2));
        produce(version, "txn-next", producer.name(), 0, producer.batch(2, 1));
        produce(version, "txn-gap", producer.name(), 0, producer.batch(7, 1));
        produce(version, "txn-other-partition", producer.name(), 1, producer.batch(0, 1));
        if (version < ADDS_BY_ITSELF) {
            transactions.add(3, "txn-" + producer.name() + "-other-partition", producer, Transactions.topic(topic(version), 1));
            produce(version, "txn-other-partition-added", producer.name(), 1, producer.batch(0, 1));
        }
        transactions.describe("txn-" + producer.name(), producer.name());
    }

    /** What else may be written while a transaction is open, and how much of it all can be read. */
    private void open(int version, Transactions.Producer producer) throws Exception {
        produce(version, "txn-not-transactional", null, 0, Batches.idempotent(producer.id(), producer.epoch(), 3, 3, 1));
        produce(version, "txn-not-transactional-with-id", producer.name(), 0, Batches.idempotent(producer.id(), producer.epoch(), 3, 3, 1));
        produce(version, "txn-plain-with-id", producer.name(), 0, Batches.plain(20, 1));
        produce(version, "txn-plain", null, 0, Batches.idempotent(PLAIN_PRODUCER, 0, 0, 21, 1));
        produce(version, "txn-open-without-id", null, 0, producer.batch(3, 1));
        produce(version, "txn-open-wrong-id", producer.name(), 0, producer.by(NO_SUCH_PRODUCER).batch(3, 1));
        produce(version, "txn-open-old-epoch", producer.name(), 0, producer.at(0).batch(3, 1));
        // not sequence 0: Kafka holds the lowest one that it could not verify against whatever the producer writes next
        produce(version, "txn-open-epoch-beyond", producer.name(), 0, producer.at(producer.epoch() + 1).batch(3, 1));
        produce(version, "txn-control", producer.name(), 0, Batches.changed(producer.batch(3, 1), b -> b.putShort(BATCH_ATTRIBUTES, (short) 0x30)));
        ProduceRequestData acksOne = request(version, producer.name(), at(0, producer.batch(3, 1)));
        recorder.exchange(ApiKeys.PRODUCE, version, "txn-acks-1", acksOne.setAcks((short) 1));
        recorder.exchange(ApiKeys.PRODUCE, version, "txn-two-partitions", request(version, producer.name(),
            at(0, producer.batch(4, 1)), at(1, producer.batch(1, 1)), at(9, producer.batch(0, 1))));
        recorder.exchange(ApiKeys.PRODUCE, version, "txn-with-plain", request(version, producer.name(),
            at(0, producer.batch(5, 1)), at(1, Batches.plain(30, 1))));
        describeProducers("txn-" + producer.name() + "-open", topic(version), 0, 1);
        for (byte isolation : new byte[] {UNCOMMITTED, COMMITTED}) {
            fetch(12, "txn-" + topic(version) + "-open-" + isolation, isolation, topic(version), from(0, 0), from(1, 0));
        }
    }

    private void closed(int version, Transactions.Producer old, Transactions.Producer now, int ends) throws Exception {
        for (byte isolation : new byte[] {UNCOMMITTED, COMMITTED}) {
            fetch(12, "txn-" + topic(version) + "-committed-" + isolation, isolation, topic(version), from(0, 0), from(1, 0));
        }
        if (version < ADDS_BY_ITSELF) {
            produce(version, "txn-ended", old.name(), 0, old.batch(6, 1));
            transactions.add(3, "txn-" + old.name() + "-second", now, Transactions.topic(topic(version), 0));
            produce(version, "txn-second", now.name(), 0, now.batch(6, 1));
        } else {
            produce(version, "txn-ended", old.name(), 0, old.batch(6, 1));
            produce(version, "txn-second-not-from-zero", now.name(), 0, now.batch(6, 1));
            produce(version, "txn-second", now.name(), 0, now.batch(0, 1));
        }
        Transactions.Producer next = transactions.ended(ends, "txn-" + old.name() + "-second", now, false);
        describeProducers("txn-" + old.name() + "-aborted", topic(version), 0, 1);
        fetch(12, "txn-" + topic(version) + "-aborted", COMMITTED, topic(version), from(0, 0), from(1, 0));
        // after a transaction the producer may write without one
        produce(version, "txn-not-transactional-after", null, 0, Batches.idempotent(next.id(), next.epoch(), version < ADDS_BY_ITSELF ? 7 : 0, 40, 1));
        transactions.init(ends, "txn-after-" + old.name(), old.name());
        produce(version, "txn-fenced", next.name(), 0, next.batch(version < ADDS_BY_ITSELF ? 7 : 0, 1));
    }

    /** A partition that knows nothing of a producer, whose first sequence there is not 0; and one partition of two that does not exist. */
    private void late(int version, int ends) throws Exception {
        String id = topic(version) + "-late";
        Transactions.Producer producer = transactions.init(ends, "txn-for-" + id, id);
        if (version < ADDS_BY_ITSELF) {
            transactions.add(3, "txn-" + id, producer, Transactions.topic(topic(version), 0, 1));
        }
        produce(version, "txn-not-from-zero", id, 0, producer.batch(5, 1));
        recorder.exchange(ApiKeys.PRODUCE, version, "txn-good-and-unknown", request(version, id, at(1, producer.batch(0, 1)), at(9, producer.batch(0, 1))));
        transactions.describe("txn-" + id, id);
        transactions.ended(ends, "txn-" + id, producer, false);
    }

    /**
     * Two producers, one committed, one aborted, interleaved with each other and with records of no transaction, in two topics:
     * the second has an index entry for every batch. Then an open transaction.
     */
    void interleaved() throws Exception {
        for (String topic : new String[] {INTERLEAVED, INDEXED}) {
            Transactions.Producer one = transactions.init(5, "txn-for-" + topic + "-one", topic + "-one");
            Transactions.Producer two = transactions.init(5, "txn-for-" + topic + "-two", topic + "-two");
            append(topic, 0, Batches.plain(0, 2));
            begin(topic, one, 2, 2);
            begin(topic, two, 4, 2);
            append(topic, 6, one.name(), one.batch(2, 1));
            append(topic, 7, Batches.plain(7, 1));
            offsets("both-open", topic);
            one = transactions.ended(5, "txn-" + topic + "-one-0", one, false);
            offsets("one-aborted", topic);
            append(topic, 9, two.name(), two.batch(2, 1));
            two = transactions.ended(5, "txn-" + topic + "-two-0", two, true);
            begin(topic, one, 11, 2);
            begin(topic, two, 13, 1);
            two = transactions.ended(5, "txn-" + topic + "-two-1", two, false);
            one = transactions.ended(5, "txn-" + topic + "-one-1", one, false);
            append(topic, 16, Batches.plain(16, 1));
            begin(topic, one, 17, 1);
            append(topic, 18, Batches.plain(18, 1));
            fetched(topic);
            offsets("open", topic);
            describeProducers("txn-" + topic, topic, 0);
            transactions.ended(5, "txn-" + topic + "-one-2", one, true);
            fetch(12, "txn-" + topic + "-all-ended", COMMITTED, topic, from(0, 0));
            offsets("all-ended", topic);
        }
    }

    private void begin(String topic, Transactions.Producer producer, long at, int count) throws Exception {
        append(topic, at, producer.name(), producer.batch(0, count));
    }

    private void append(String topic, long at, MemoryRecords records) throws Exception {
        append(topic, at, null, records);
    }

    private void append(String topic, long at, String transactionalId, MemoryRecords records) throws Exception {
        transactions.send(ApiKeys.PRODUCE, 12, "txn-" + topic + "-" + at, request(topic, 12, transactionalId, at(0, records)));
    }

    /** From everywhere, and with sizes that end in the middle of things. */
    private void fetched(String topic) throws Exception {
        for (int version = 4; version <= LAST_FETCH; version++) {
            fetch(version, "txn-" + topic + "-uncommitted", UNCOMMITTED, topic, from(0, 0));
            fetch(version, "txn-" + topic + "-committed", COMMITTED, topic, from(0, 0));
        }
        for (int version : new int[] {4, 11, 12, 18}) {
            for (long offset : new long[] {3, 6, 8, 9, 10, 11, 12, 14, 15, 16, 17, 18, 19, 20}) {
                fetch(version, "txn-" + topic + "-from-" + offset, COMMITTED, topic, from(0, offset));
            }
            for (int bytes : new int[] {1, 200, 400, 600, 800}) {
                fetch(version, "txn-" + topic + "-bytes-" + bytes, COMMITTED, topic, from(0, 0).setPartitionMaxBytes(bytes));
                fetch(version, "txn-" + topic + "-bytes-" + bytes + "-in-all", COMMITTED, topic, bytes, from(0, 2));
            }
        }
        recorder.exchange(ApiKeys.FETCH, 12, "txn-" + topic + "-no-such-isolation", reading(12, (byte) 2, topic, MUCH, from(0, 0)));
    }

    private void offsets(String when, String topic) throws Exception {
        if (topic.equals(INDEXED)) {
            return;
        }
        String name = "txn-" + when;
        for (int version = 2; version <= 10; version++) {
            offsets(version, name + "-latest", COMMITTED, topic, -1);
        }
        for (int version : new int[] {2, 7, 10}) {
            offsets(version, name + "-latest-uncommitted", UNCOMMITTED, topic, -1);
            offsets(version, name + "-earliest", COMMITTED, topic, -2);
            offsets(version, name + "-at-a-time", COMMITTED, topic, Batches.T0);
            offsets(version, name + "-at-the-time-of-7", COMMITTED, topic, Batches.T0 + 7_000);
            offsets(version, name + "-at-the-time-of-7-uncommitted", UNCOMMITTED, topic, Batches.T0 + 7_000);
            offsets(version, name + "-after-all-times", COMMITTED, topic, Batches.T0 + 1_000_000_000_000L);
        }
    }

    /** Markers by hand, as `kafka-transactions abort` and coordinators write them. */
    void markers() throws Exception {
        markers("txn-none");
        markers("txn-without-topics", marker(MARKED_PRODUCER, 0, 0, true));
        markers("txn-unknown", marker(MARKED_PRODUCER, 0, 0, true, "no-such-topic", 0));
        markers("txn-unknown-partition", marker(MARKED_PRODUCER, 0, 0, true, MARKED, 99));
        describeProducers("txn-marked-nobody", MARKED, 0);
        markers("txn-unseen-producer", marker(MARKED_PRODUCER, 3, 2, true, MARKED, 0, 1));
        describeProducers("txn-marked-unseen", MARKED, 0, 1);
        markers("txn-again", marker(MARKED_PRODUCER, 3, 2, true, MARKED, 0));
        markers("txn-old-epoch", marker(MARKED_PRODUCER, 2, 2, true, MARKED, 0));
        markers("txn-next-epoch", marker(MARKED_PRODUCER, 4, 2, false, MARKED, 0));
        markers("txn-old-coordinator", marker(MARKED_PRODUCER, 4, 1, false, MARKED, 0));
        markers("txn-coordinator-none", marker(MARKED_PRODUCER, 4, -1, false, MARKED, 0));
        markers("txn-several", marker(MARKED_PRODUCER + 1, 0, 0, true, MARKED, 0), marker(MARKED_PRODUCER + 2, 0, 0, false, MARKED, 0, 1), marker(MARKED_PRODUCER + 2, 0, 0, true, MARKED, 1));
        markers("txn-good-and-bad", marker(MARKED_PRODUCER, 0, 5, true, MARKED, 0, 1, 99));
        markers("txn-offsets-unseen", marker(MARKED_PRODUCER, 0, 0, true, "__consumer_offsets", 0));
        describeProducers("txn-marked-several", MARKED, 0, 1);
        fetch(12, "txn-marked", COMMITTED, MARKED, from(0, 0), from(1, 0));
        hanging();
        describeProducers("txn-unknown", MARKED, 99);
        describeProducers("txn-unknown-topic", "no-such-topic", 0);
        describeProducers("txn-nothing", MARKED);
    }

    /** An open transaction is ended by somebody else in one of its partitions; then its coordinator ends it, too. */
    private void hanging() throws Exception {
        Transactions.Producer producer = transactions.init(4, "txn-for-hanging", "hanging");
        transactions.add(3, "txn-hanging", producer, Transactions.topic(MARKED, 0, 1));
        for (int partition = 0; partition < 2; partition++) {
            transactions.send(ApiKeys.PRODUCE, 11, "txn-hanging-" + partition, request(MARKED, 11, producer.name(), at(partition, producer.batch(0, 2))));
        }
        describeProducers("txn-hanging", MARKED, 0, 1);
        fetch(12, "txn-hanging", COMMITTED, MARKED, from(0, 0), from(1, 0));
        markers("txn-hanging", marker(producer.id(), producer.epoch(), -1, false, MARKED, 0));
        describeProducers("txn-hanging-marked", MARKED, 0, 1);
        fetch(12, "txn-hanging-marked", COMMITTED, MARKED, from(0, 0), from(1, 0));
        transactions.describe("txn-hanging-marked", producer.name());
        transactions.send(ApiKeys.PRODUCE, 11, "txn-hanging-goes-on", request(MARKED, 11, producer.name(), at(0, producer.batch(2, 1))));
        transactions.ended(4, "txn-hanging", producer, true);
        fetch(12, "txn-hanging-ended", COMMITTED, MARKED, from(0, 0), from(1, 0));
    }

    private static WritableTxnMarker marker(long producer, int epoch, int coordinatorEpoch, boolean commit) {
        return new WritableTxnMarker().setProducerId(producer).setProducerEpoch((short) epoch).setCoordinatorEpoch(coordinatorEpoch).setTransactionResult(commit);
    }

    private static WritableTxnMarker marker(long producer, int epoch, int coordinatorEpoch, boolean commit, String topic, Integer... partitions) {
        return marker(producer, epoch, coordinatorEpoch, commit).setTopics(List.of(new WritableTxnMarkerTopic().setName(topic).setPartitionIndexes(List.of(partitions))));
    }

    private void markers(String name, WritableTxnMarker... markers) throws Exception {
        transactions.send(ApiKeys.WRITE_TXN_MARKERS, 1, name, new WriteTxnMarkersRequestData().setMarkers(List.of(markers)));
    }

    private void describeProducers(String name, String topic, Integer... partitions) throws Exception {
        DescribeProducersRequestData request = new DescribeProducersRequestData().setTopics(List.of(
            new DescribeProducersRequestData.TopicRequest().setName(topic).setPartitionIndexes(List.of(partitions))));
        transactions.send(ApiKeys.DESCRIBE_PRODUCERS, 0, name, request);
    }

    private void produce(int version, String name, String transactionalId, int partition, MemoryRecords records) throws Exception {
        transactions.send(ApiKeys.PRODUCE, version, name, request(version, transactionalId, at(partition, records)));
    }

    private ProduceRequestData request(int version, String transactionalId, PartitionProduceData... partitions) {
        return request(topic(version), version, transactionalId, partitions);
    }

    private ProduceRequestData request(String topic, int version, String transactionalId, PartitionProduceData... partitions) {
        TopicProduceData data = new TopicProduceData().setPartitionData(new ArrayList<>(List.of(partitions)));
        ProduceRequestData request = new ProduceRequestData().setTransactionalId(transactionalId).setAcks((short) ALL).setTimeoutMs(TIMEOUT_MS);
        request.topicData().add(version < WITH_IDS ? data.setName(topic) : data.setTopicId(script.id(topic)));
        return request;
    }

    private static PartitionProduceData at(int partition, MemoryRecords records) {
        return new PartitionProduceData().setIndex(partition).setRecords(records);
    }

    private void offsets(int version, String name, byte isolation, String topic, long timestamp) throws Exception {
        ListOffsetsPartition partition = new ListOffsetsPartition().setPartitionIndex(0).setTimestamp(timestamp).setCurrentLeaderEpoch(ANY_EPOCH);
        recorder.exchange(ApiKeys.LIST_OFFSETS, version, name, new ListOffsetsRequestData().setReplicaId(-1).setIsolationLevel(isolation)
            .setTopics(List.of(new ListOffsetsTopic().setName(topic).setPartitions(List.of(partition)))));
    }

    private void fetch(int version, String name, byte isolation, String topic, FetchPartition... partitions) throws Exception {
        fetch(version, name, isolation, topic, MUCH, partitions);
    }

    private void fetch(int version, String name, byte isolation, String topic, int bytes, FetchPartition... partitions) throws Exception {
        recorder.exchange(ApiKeys.FETCH, version, name, reading(version, isolation, topic, bytes, partitions));
    }

    private FetchRequestData reading(int version, byte isolation, String topic, int bytes, FetchPartition... partitions) {
        FetchTopic wanted = new FetchTopic().setPartitions(List.of(partitions));
        return new FetchRequestData().setReplicaId(-1).setMaxWaitMs(0).setMinBytes(0).setMaxBytes(bytes).setIsolationLevel(isolation)
            .setTopics(List.of(version < WITH_IDS ? wanted.setTopic(topic) : wanted.setTopicId(script.id(topic))));
    }

    private static FetchPartition from(int partition, long offset) {
        return new FetchPartition().setPartition(partition).setFetchOffset(offset).setPartitionMaxBytes(MUCH);
    }
}

import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.FetchRequestData;
import org.apache.kafka.common.message.FetchRequestData.FetchPartition;
import org.apache.kafka.common.message.FetchRequestData.FetchTopic;
import org.apache.kafka.common.message.FetchRequestData.ForgottenTopic;
import org.apache.kafka.common.message.FetchResponseData;
import org.apache.kafka.common.message.InitProducerIdRequestData;
import org.apache.kafka.common.message.InitProducerIdResponseData;
import org.apache.kafka.common.message.ListOffsetsRequestData;
import org.apache.kafka.common.message.ListOffsetsRequestData.ListOffsetsPartition;
import org.apache.kafka.common.message.ListOffsetsRequestData.ListOffsetsTopic;
import org.apache.kafka.common.message.OffsetForLeaderEpochRequestData;
import org.apache.kafka.common.message.OffsetForLeaderEpochRequestData.OffsetForLeaderPartition;
import org.apache.kafka.common.message.OffsetForLeaderEpochRequestData.OffsetForLeaderTopic;
import org.apache.kafka.common.message.ProduceRequestData;
import org.apache.kafka.common.message.ProduceRequestData.PartitionProduceData;
import org.apache.kafka.common.message.ProduceRequestData.TopicProduceData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.record.internal.MemoryRecords;

import java.util.List;

/** Producer ids, produce, and the three ways of reading: by offset, by time, and within a fetch session. */
final class DataScript {
    private static final int ALL = -1;
    private static final int TIMEOUT_MS = 10_000;
    private static final int ANY_EPOCH = -1;
    private static final int MUCH = 1 << 20;
    private static final long FIRST_RECORDED_PRODUCER = 0x2100;
    private static final int BATCH_LENGTH = 8;
    private static final int BATCH_ATTRIBUTES = 21;
    private static final int BATCH_LAST_OFFSET_DELTA = 23;
    private static final int BATCH_BASE_SEQUENCE = 53;
    private static final int BATCH_COUNT = 57;
    private static final int BATCH_RECORDS = 61;
    private static final Uuid NO_SUCH_ID = new Uuid(0x0123456789abcdefL, 0x0123456789abcdefL);

    private final Script script;
    private final Recorder recorder;

    DataScript(Script script) {
        this.script = script;
        this.recorder = script.recorder;
    }

    void initProducerId() throws Exception {
        // the ids that are recorded are beyond these: eight bytes that stand for nothing else in any message
        InitProducerIdRequestData next = new InitProducerIdRequestData().setTransactionalId(null).setTransactionTimeoutMs(Integer.MAX_VALUE);
        InitProducerIdResponseData reply;
        do {
            reply = (InitProducerIdResponseData) recorder.unrecorded(ApiKeys.INIT_PRODUCER_ID, 5, next);
            // the broker asks its controller for a block of ids, and tells whoever needs one meanwhile to come again
            if (reply.errorCode() != 0) {
                script.applied();
            }
        } while (reply.producerId() < FIRST_RECORDED_PRODUCER);
        for (int version : new int[] {0, 2, 5}) {
            recorder.exchange(ApiKeys.INIT_PRODUCER_ID, version, "new", new InitProducerIdRequestData().setTransactionalId(null).setTransactionTimeoutMs(Integer.MAX_VALUE));
        }
        recorder.exchange(ApiKeys.INIT_PRODUCER_ID, 5, "of-a-known-producer", new InitProducerIdRequestData().setTransactionalId(null)
            .setTransactionTimeoutMs(Integer.MAX_VALUE).setProducerId(4000).setProducerEpoch((short) 3));
        recorder.exchange(ApiKeys.INIT_PRODUCER_ID, 5, "id-without-epoch", new InitProducerIdRequestData().setTransactionalId(null)
            .setTransactionTimeoutMs(Integer.MAX_VALUE).setProducerId(4000));
        for (int version : new int[] {0, 5}) {
            recorder.exchange(ApiKeys.INIT_PRODUCER_ID, version, "empty-transactional-id", new InitProducerIdRequestData().setTransactionalId("").setTransactionTimeoutMs(1000));
        }
    }

    void produce() throws Exception {
        for (int version : new int[] {3, 13}) {
            good(version);
            sequences(version);
            bad(version);
        }
        // the shapes of the versions between, on a topic of their own
        for (int version : new int[] {5, 7, 8, 9, 10, 11, 12}) {
            produce(version, "plain", ALL, "assigned-v2", 1, Batches.plain(version, 1));
            produce(version, "bad-checksum", ALL, "assigned-v2", 1, Batches.damaged(Batches.plain(0, 1), b -> b.put(BATCH_RECORDS, (byte) ~b.get(BATCH_RECORDS))));
        }
        produce(7, "zstd", ALL, "assigned-v2", 1, Batches.compressed("zstd", 20, 3));
    }

    private void good(int version) throws Exception {
        String plain = topic("plain", version);
        produce(version, "plain", ALL, plain, 0, Batches.plain(0, 3));
        produce(version, "acks-1", 1, plain, 0, Batches.plain(3, 2));
        recorder.unanswered(ApiKeys.PRODUCE, version, "acks-0", request(version, 0, of(version, plain, at(0, Batches.plain(5, 1)))));
        long second = 6;
        for (String codec : version >= 7 ? List.of("gzip", "snappy", "lz4", "zstd") : List.of("gzip", "snappy", "lz4")) {
            produce(version, codec, ALL, plain, 0, Batches.compressed(codec, second, 4));
            second += 4;
        }
        produce(version, "older-timestamps", ALL, plain, 0, Batches.plain(1, 1));
        produce(version, "append-time", ALL, topic("append-time", version), 0, Batches.plain(0, 2));
        recorder.exchange(ApiKeys.PRODUCE, version, "two-partitions", request(version, ALL,
            of(version, topic("wide", version), at(0, Batches.plain(0, 2)), at(1, Batches.plain(10, 3)))));
    }

    private void sequences(int version) throws Exception {
        String wide = topic("wide", version);
        long producer = 4000 + version;
        produce(version, "sequence-first", ALL, wide, 2, Batches.idempotent(producer, 0, 0, 0, 3));
        produce(version, "sequence-next", ALL, wide, 2, Batches.idempotent(producer, 0, 3, 3, 2));
        produce(version, "sequence-duplicate-last", ALL, wide, 2, Batches.idempotent(producer, 0, 3, 3, 2));
        produce(version, "sequence-duplicate-first", ALL, wide, 2, Batches.idempotent(producer, 0, 0, 0, 3));
        produce(version, "sequence-part-of-a-duplicate", ALL, wide, 2, Batches.idempotent(producer, 0, 1, 1, 2));
        produce(version, "sequence-gap", ALL, wide, 2, Batches.idempotent(producer, 0, 9, 9, 1));
        for (int i = 0; i < 5; i++) {
            produce(version, "sequence-window-" + i, ALL, wide, 2, Batches.idempotent(producer, 0, 5 + i, 5 + i, 1));
        }
        produce(version, "sequence-duplicate-fifth-from-last", ALL, wide, 2, Batches.idempotent(producer, 0, 5, 5, 1));
        produce(version, "sequence-duplicate-older", ALL, wide, 2, Batches.idempotent(producer, 0, 3, 3, 2));
        produce(version, "epoch-next-not-from-zero", ALL, wide, 2, Batches.idempotent(producer, 1, 10, 10, 1));
        produce(version, "epoch-next", ALL, wide, 2, Batches.idempotent(producer, 1, 0, 10, 1));
        produce(version, "epoch-old", ALL, wide, 2, Batches.idempotent(producer, 0, 10, 11, 1));
        produce(version, "unknown-producer-not-from-zero", ALL, wide, 2, Batches.idempotent(producer + 100, 0, 7, 11, 1));
        produce(version, "sequence-wraps", ALL, wide, 2, Batches.idempotent(producer + 200, 0, Integer.MAX_VALUE - 1, 12, 4));
        produce(version, "sequence-after-the-wrap", ALL, wide, 2, Batches.idempotent(producer + 200, 0, 2, 16, 1));
        produce(version, "sequence-missing", ALL, wide, 2, Batches.changed(Batches.idempotent(producer + 300, 0, 0, 0, 1), b -> b.putInt(BATCH_BASE_SEQUENCE, -1)));
    }

    private void bad(int version) throws Exception {
        String plain = topic("plain", version);
        produce(version, "bad-checksum", ALL, plain, 0, Batches.damaged(Batches.plain(0, 2), b -> b.put(BATCH_RECORDS, (byte) ~b.get(BATCH_RECORDS))));
        produce(version, "bad-length", ALL, plain, 0, Batches.damaged(Batches.plain(0, 2), b -> b.putInt(BATCH_LENGTH, b.getInt(BATCH_LENGTH) + 1)));
        produce(version, "count-too-high", ALL, plain, 0, Batches.changed(Batches.plain(0, 2), b -> b.putInt(BATCH_COUNT, 3)));
        produce(version, "count-too-low", ALL, plain, 0, Batches.changed(Batches.plain(0, 2), b -> b.putInt(BATCH_COUNT, 1)));
        produce(version, "count-and-delta-disagree", ALL, plain, 0, Batches.changed(Batches.plain(0, 2), b -> b.putInt(BATCH_LAST_OFFSET_DELTA, 4)));
        produce(version, "control-batch", ALL, plain, 0, Batches.changed(Batches.plain(0, 1), b -> b.putShort(BATCH_ATTRIBUTES, (short) 0x20)));
        produce(version, "no-such-codec", ALL, plain, 0, Batches.changed(Batches.plain(0, 1), b -> b.putShort(BATCH_ATTRIBUTES, (short) 5)));
        produce(version, "not-what-the-codec-says", ALL, plain, 0, Batches.changed(Batches.plain(0, 1), b -> b.putShort(BATCH_ATTRIBUTES, (short) 1)));
        produce(version, "append-time-from-the-client", ALL, plain, 0, Batches.changed(Batches.plain(0, 1), b -> b.putShort(BATCH_ATTRIBUTES, (short) 8)));
        produce(version, "far-future", ALL, plain, 0, Batches.at(4_000_000_000_000L));
        produce(version, "too-large", ALL, topic("small", version), 0, Batches.ofSize(2000));
        produce(version, "two-batches", ALL, plain, 0, Batches.two());
        produce(version, "no-batch", ALL, plain, 0, MemoryRecords.EMPTY);
        produce(version, "magic-1", ALL, plain, 0, Batches.magic((byte) 1));
        produce(version, "magic-3", ALL, plain, 0, Batches.damaged(Batches.plain(0, 1), b -> b.put(16, (byte) 3)));
        produce(version, "acks-2", 2, plain, 0, Batches.plain(0, 1));
        produce(version, "unknown-partition", ALL, plain, 5, Batches.plain(0, 1));
        produce(version, "unknown-topic", ALL, "no-such-topic", 0, Batches.plain(0, 1));
        recorder.exchange(ApiKeys.PRODUCE, version, "good-and-bad", request(version, ALL,
            of(version, topic("wide", version), at(0, Batches.plain(2, 1)), at(1, Batches.damaged(Batches.plain(0, 1), b -> b.put(BATCH_RECORDS, (byte) 0x7f))), at(9, Batches.plain(0, 1)))));
        recorder.exchange(ApiKeys.PRODUCE, version, "nothing", request(version, ALL));
        ProduceRequestData unanswered = request(version, 0, of(version, plain, at(0, Batches.damaged(Batches.plain(0, 1), b -> b.put(BATCH_RECORDS, (byte) 0x7f)))));
        recorder.raw(ApiKeys.PRODUCE, version, "acks-0-bad-checksum", recorder.frame(ApiKeys.PRODUCE, (short) version, unanswered), version);
        if (version < 7) {
            produce(version, "zstd", ALL, plain, 0, Batches.compressed("zstd", 0, 2));
        }
    }

    void listOffsets() throws Exception {
        for (int version : new int[] {1, 7, 10}) {
            String plain = topic("plain", version == 1 ? 3 : 13);
            offsets(version, "earliest", plain, 0, -2, ANY_EPOCH);
            offsets(version, "latest", plain, 0, -1, ANY_EPOCH);
            offsets(version, "at-a-time", plain, 0, Batches.T0 + 2000, ANY_EPOCH);
            offsets(version, "between-times", plain, 0, Batches.T0 + 3500, ANY_EPOCH);
            offsets(version, "within-a-compressed-batch", plain, 0, Batches.T0 + 11_000, ANY_EPOCH);
            offsets(version, "before-all-times", plain, 0, 0, ANY_EPOCH);
            offsets(version, "after-all-times", plain, 0, Batches.T0 + 1_000_000, ANY_EPOCH);
            offsets(version, "latest-of-an-empty-partition", topic("sessions", 3), 0, -1, ANY_EPOCH);
            offsets(version, "time-in-an-empty-partition", topic("sessions", 3), 0, Batches.T0, ANY_EPOCH);
            offsets(version, "unknown-topic", "no-such-topic", 0, -1, ANY_EPOCH);
            offsets(version, "unknown-partition", plain, 5, -1, ANY_EPOCH);
            offsets(version, "max-timestamp", plain, 0, -3, ANY_EPOCH);
            offsets(version, "local-earliest", plain, 0, -4, ANY_EPOCH);
            offsets(version, "tiered", plain, 0, -5, ANY_EPOCH);
            offsets(version, "no-such-special-time", plain, 0, -9, ANY_EPOCH);
        }
        String plain = topic("plain", 13);
        offsets(10, "max-timestamp-of-an-empty-partition", topic("sessions", 3), 0, -3, ANY_EPOCH);
        offsets(10, "epoch-unknown", plain, 0, -1, 1_000_000);
        recorder.exchange(ApiKeys.LIST_OFFSETS, 10, "committed", list(plain, at(0, -1, ANY_EPOCH)).setIsolationLevel((byte) 1));
        recorder.exchange(ApiKeys.LIST_OFFSETS, 10, "several", list(topic("wide", 13), at(0, -1, ANY_EPOCH), at(1, -2, ANY_EPOCH), at(2, Batches.T0 + 1, ANY_EPOCH)));
        recorder.exchange(ApiKeys.LIST_OFFSETS, 10, "same-partition-twice", list(plain, at(0, -1, ANY_EPOCH), at(0, -2, ANY_EPOCH)));
    }

    void offsetForLeaderEpoch() throws Exception {
        for (int version : new int[] {2, 4}) {
            epoch(version, "first", "plain-v2", 0, 0, ANY_EPOCH);
            epoch(version, "beyond", "plain-v2", 0, 1_000_000, ANY_EPOCH);
            epoch(version, "none", "plain-v2", 0, -1, ANY_EPOCH);
            epoch(version, "of-an-empty-partition", "sessions-v2", 0, 0, ANY_EPOCH);
            epoch(version, "leader-epoch-unknown", "plain-v2", 0, 0, 1_000_000);
            epoch(version, "unknown-topic", "no-such-topic", 0, 0, ANY_EPOCH);
            epoch(version, "unknown-partition", "plain-v2", 5, 0, ANY_EPOCH);
        }
    }

    void fetch() throws Exception {
        for (int version : new int[] {4, 12, 13, 16, 17, 18}) {
            String plain = topic("plain", version < 13 ? 3 : 13);
            fetch(version, "from-the-start", plain, 0, 0, MUCH);
            fetch(version, "unknown-topic", "no-such-topic", 0, 0, MUCH);
            fetch(version, "past-the-end", plain, 0, 1_000, MUCH);
        }
        for (int version : new int[] {4, 18}) {
            String plain = topic("plain", version < 13 ? 3 : 13);
            String wide = topic("wide", version < 13 ? 3 : 13);
            fetch(version, "inside-a-batch", plain, 0, 1, MUCH);
            fetch(version, "inside-a-compressed-batch", plain, 0, 8, MUCH);
            fetch(version, "at-the-end", "sessions-v2", 0, 0, MUCH);
            fetch(version, "negative-offset", plain, 0, -1, MUCH);
            fetch(version, "unknown-partition", plain, 5, 0, MUCH);
            fetch(version, "one-byte-of-the-partition", plain, 0, 0, 1);
            fetch(version, "two-hundred-bytes", plain, 0, 0, 200);
            recorder.exchange(ApiKeys.FETCH, version, "one-byte-in-all", request(of(version, wide, from(0, 0), from(1, 0), from(2, 0))).setMaxBytes(1));
            recorder.exchange(ApiKeys.FETCH, version, "several", request(of(version, wide, from(0, 0), from(1, 99), from(2, 3)), of(version, plain, from(0, 5))));
            recorder.exchange(ApiKeys.FETCH, version, "committed", request(of(version, wide, from(2, 0))).setIsolationLevel((byte) 1));
            recorder.exchange(ApiKeys.FETCH, version, "append-time", request(of(version, topic("append-time", version < 13 ? 3 : 13), from(0, 0))));
        }
        String plain = topic("plain", 13);
        recorder.exchange(ApiKeys.FETCH, 18, "leader-epoch-unknown", request(of(18, plain, from(0, 0).setCurrentLeaderEpoch(1_000_000))));
        recorder.exchange(ApiKeys.FETCH, 18, "last-epoch-beyond", request(of(18, plain, from(0, 5).setLastFetchedEpoch(1_000_000))));
        recorder.exchange(ApiKeys.FETCH, 18, "nothing", request());
    }

    void fetchSessions() throws Exception {
        for (int version : new int[] {7, 18}) {
            String mine = version < 13 ? "sessions-v2" : "sessions-v7";
            String wide = topic("wide", version < 13 ? 3 : 13);
            FetchResponseData opened = (FetchResponseData) session(version, "session-open", 0, 0, List.of(),
                of(version, mine, from(0, 0)), of(version, wide, from(0, 0), from(1, 3)));
            int id = opened.sessionId();
            session(version, "session-wrong-epoch", id, 9, List.of());
            session(version, "session-unchanged", id, 1, List.of(), of(version, wide, from(0, 3)));
            session(version, "session-still-unchanged", id, 2, List.of());
            produce(version < 13 ? 3 : 13, "for-session", ALL, mine, 0, Batches.plain(50, 2));
            session(version, "session-one-changed", id, 3, List.of());
            session(version, "session-not-advanced", id, 4, List.of());
            session(version, "session-advanced", id, 5, List.of(), of(version, mine, from(0, 2)));
            session(version, "session-added", id, 6, List.of(), of(version, wide, from(2, 0)));
            session(version, "session-forgotten", id, 7, List.of(forgotten(version, wide, 0, 1, 2)));
            session(version, "session-out-of-range", id, 8, List.of(), of(version, mine, from(0, 77)));
            session(version, "session-out-of-range-again", id, 9, List.of());
            session(version, "session-closed", id, -1, List.of());
            session(version, "session-after-close", id, 10, List.of());
            session(version, "session-unknown", 12345, 1, List.of());
            session(version, "session-epoch-without-id", 0, 3, List.of());
        }
    }

    private static String topic(String kind, int produceVersion) {
        return kind + (produceVersion < 13 ? "-v2" : "-v7");
    }

    private Uuid id(String topic) {
        return topic.equals("no-such-topic") ? NO_SUCH_ID : script.id(topic);
    }

    private void produce(int version, String name, int acks, String topic, int partition, MemoryRecords records) throws Exception {
        recorder.exchange(ApiKeys.PRODUCE, version, name, request(version, acks, of(version, topic, at(partition, records))));
    }

    private static ProduceRequestData request(int version, int acks, TopicProduceData... topics) {
        ProduceRequestData request = new ProduceRequestData().setTransactionalId(null).setAcks((short) acks).setTimeoutMs(TIMEOUT_MS);
        for (TopicProduceData topic : topics) {
            request.topicData().add(topic);
        }
        return request;
    }

    private TopicProduceData of(int version, String topic, PartitionProduceData... partitions) {
        TopicProduceData data = new TopicProduceData().setPartitionData(List.of(partitions));
        return version < 13 ? data.setName(topic) : data.setTopicId(id(topic));
    }

    private static PartitionProduceData at(int partition, MemoryRecords records) {
        return new PartitionProduceData().setIndex(partition).setRecords(records);
    }

    private void offsets(int version, String name, String topic, int partition, long timestamp, int leaderEpoch) throws Exception {
        recorder.exchange(ApiKeys.LIST_OFFSETS, version, name, list(topic, at(partition, timestamp, leaderEpoch)));
    }

    private static ListOffsetsRequestData list(String topic, ListOffsetsPartition... partitions) {
        return new ListOffsetsRequestData().setReplicaId(-1).setTopics(List.of(new ListOffsetsTopic().setName(topic).setPartitions(List.of(partitions))));
    }

    private static ListOffsetsPartition at(int partition, long timestamp, int leaderEpoch) {
        return new ListOffsetsPartition().setPartitionIndex(partition).setTimestamp(timestamp).setCurrentLeaderEpoch(leaderEpoch);
    }

    private void epoch(int version, String name, String topic, int partition, int epoch, int leaderEpoch) throws Exception {
        OffsetForLeaderEpochRequestData request = new OffsetForLeaderEpochRequestData().setReplicaId(-1);
        request.topics().add(new OffsetForLeaderTopic().setTopic(topic).setPartitions(List.of(
            new OffsetForLeaderPartition().setPartition(partition).setLeaderEpoch(epoch).setCurrentLeaderEpoch(leaderEpoch))));
        recorder.exchange(ApiKeys.OFFSET_FOR_LEADER_EPOCH, version, name, request);
    }

    private void fetch(int version, String name, String topic, int partition, long offset, int partitionMaxBytes) throws Exception {
        recorder.exchange(ApiKeys.FETCH, version, name, request(of(version, topic, from(partition, offset).setPartitionMaxBytes(partitionMaxBytes))));
    }

    private FetchResponseData session(int version, String name, int id, int epoch, List<ForgottenTopic> forgotten, FetchTopic... topics) throws Exception {
        return (FetchResponseData) recorder.exchange(ApiKeys.FETCH, version, name,
            request(topics).setSessionId(id).setSessionEpoch(epoch).setForgottenTopicsData(forgotten));
    }

    private static FetchRequestData request(FetchTopic... topics) {
        return new FetchRequestData().setReplicaId(-1).setMaxWaitMs(0).setMinBytes(0).setMaxBytes(MUCH).setTopics(List.of(topics));
    }

    private FetchTopic of(int version, String topic, FetchPartition... partitions) {
        FetchTopic wanted = new FetchTopic().setPartitions(List.of(partitions));
        return version < 13 ? wanted.setTopic(topic) : wanted.setTopicId(id(topic));
    }

    private ForgottenTopic forgotten(int version, String topic, Integer... partitions) {
        ForgottenTopic forgotten = new ForgottenTopic().setPartitions(List.of(partitions));
        return version < 13 ? forgotten.setTopic(topic) : forgotten.setTopicId(id(topic));
    }

    private static FetchPartition from(int partition, long offset) {
        return new FetchPartition().setPartition(partition).setFetchOffset(offset).setPartitionMaxBytes(MUCH);
    }
}

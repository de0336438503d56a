import org.apache.kafka.common.message.AddOffsetsToTxnRequestData;
import org.apache.kafka.common.message.AddPartitionsToTxnRequestData;
import org.apache.kafka.common.message.AddPartitionsToTxnRequestData.AddPartitionsToTxnTopic;
import org.apache.kafka.common.message.AddPartitionsToTxnRequestData.AddPartitionsToTxnTopicCollection;
import org.apache.kafka.common.message.DescribeTransactionsRequestData;
import org.apache.kafka.common.message.DescribeTransactionsResponseData;
import org.apache.kafka.common.message.EndTxnRequestData;
import org.apache.kafka.common.message.EndTxnResponseData;
import org.apache.kafka.common.message.FindCoordinatorRequestData;
import org.apache.kafka.common.message.FindCoordinatorResponseData;
import org.apache.kafka.common.message.InitProducerIdRequestData;
import org.apache.kafka.common.message.InitProducerIdResponseData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.internal.MemoryRecords;

import java.io.IOException;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.stream.IntStream;

/** A transaction's way from its producer's id to its end. What has a name is recorded; without one it only takes place. */
final class Transactions {
    static final int TIMEOUT_MS = 600_000;
    static final byte TRANSACTION = 1;
    private static final int SETTLED_WITHIN_MS = 60_000;
    /** Ids enough for each of the coordinator's 50 partitions to have one. */
    private static final int OF_ALL_PARTITIONS = 1_000;
    /** What says no more than how far the broker is with something else. */
    private static final List<Errors> PACE = List.of(Errors.CONCURRENT_TRANSACTIONS, Errors.COORDINATOR_LOAD_IN_PROGRESS, Errors.COORDINATOR_NOT_AVAILABLE, Errors.NOT_COORDINATOR);

    private final Recorder recorder;

    Transactions(Recorder recorder) {
        this.recorder = recorder;
    }

    /** Who writes: a transactional id with what the coordinator gave it. */
    record Producer(String name, long id, int epoch) {
        Producer at(int otherEpoch) {
            return new Producer(name, id, otherEpoch);
        }

        Producer by(long otherId) {
            return new Producer(name, otherId, epoch);
        }

        Producer called(String otherName) {
            return new Producer(otherName, id, epoch);
        }

        /** Records of a transaction, their times as many seconds after the first time as their sequences say. */
        MemoryRecords batch(int sequence, int count) {
            return Batches.transactional(id, epoch, sequence, sequence, count);
        }
    }

    /** Makes the coordinator's topic, and waits until the broker has loaded it and has producer ids to give. */
    void ready() throws Exception {
        String[] ids = IntStream.range(0, OF_ALL_PARTITIONS).mapToObj(i -> "id-" + i).toArray(String[]::new);
        FindCoordinatorRequestData finding = new FindCoordinatorRequestData().setKeyType(TRANSACTION).setCoordinatorKeys(List.of(ids));
        until(() -> ((FindCoordinatorResponseData) recorder.unrecorded(ApiKeys.FIND_COORDINATOR, 6, finding)).coordinators().stream().allMatch(found -> found.errorCode() == 0));
        until(() -> ((DescribeTransactionsResponseData) recorder.unrecorded(ApiKeys.DESCRIBE_TRANSACTIONS, 0, describing(ids))).transactionStates().stream()
            .allMatch(state -> state.errorCode() == Errors.TRANSACTIONAL_ID_NOT_FOUND.code()));
        until(() -> ((InitProducerIdResponseData) recorder.unrecorded(ApiKeys.INIT_PRODUCER_ID, 5, initialising(null))).errorCode() == 0);
    }

    static void until(Callable<Boolean> settled) throws Exception {
        long deadline = System.currentTimeMillis() + SETTLED_WITHIN_MS;
        while (!settled.call()) {
            if (System.currentTimeMillis() > deadline) {
                throw new IOException("not settled");
            }
            Thread.sleep(10);
        }
    }

    ApiMessage send(ApiKeys api, int version, String name, ApiMessage request) throws IOException {
        if (name == null) {
            return recorder.unrecorded(api, version, request);
        }
        ApiMessage response = recorder.exchange(api, version, name, request);
        for (Errors pace : PACE) {
            if (response.toString().contains("errorCode=" + pace.code() + ",") && !name.endsWith("-concurrent")) {
                throw new IOException(pace + " by accident: " + api + " v" + version + " " + name);
            }
        }
        return response;
    }

    static InitProducerIdRequestData initialising(String transactionalId) {
        return new InitProducerIdRequestData().setTransactionalId(transactionalId).setTransactionTimeoutMs(TIMEOUT_MS);
    }

    Producer init(int version, String name, InitProducerIdRequestData request) throws IOException {
        InitProducerIdResponseData reply = (InitProducerIdResponseData) send(ApiKeys.INIT_PRODUCER_ID, version, name, request);
        return new Producer(request.transactionalId(), reply.producerId(), reply.producerEpoch());
    }

    Producer init(int version, String name, String transactionalId) throws IOException {
        return init(version, name, initialising(transactionalId));
    }

    static AddPartitionsToTxnTopic topic(String name, Integer... partitions) {
        return new AddPartitionsToTxnTopic().setName(name).setPartitions(List.of(partitions));
    }

    static AddPartitionsToTxnTopicCollection topics(AddPartitionsToTxnTopic... topics) {
        AddPartitionsToTxnTopicCollection all = new AddPartitionsToTxnTopicCollection();
        for (AddPartitionsToTxnTopic topic : topics) {
            all.add(topic);
        }
        return all;
    }

    /** Versions that clients speak, 0 to 3: one transaction stands in the request itself. */
    void add(int version, String name, Producer producer, AddPartitionsToTxnTopic... topics) throws IOException {
        send(ApiKeys.ADD_PARTITIONS_TO_TXN, version, name, new AddPartitionsToTxnRequestData().setV3AndBelowTransactionalId(producer.name())
            .setV3AndBelowProducerId(producer.id()).setV3AndBelowProducerEpoch((short) producer.epoch()).setV3AndBelowTopics(topics(topics)));
    }

    void addOffsets(int version, String name, Producer producer, String group) throws IOException {
        send(ApiKeys.ADD_OFFSETS_TO_TXN, version, name, new AddOffsetsToTxnRequestData().setTransactionalId(producer.name())
            .setProducerId(producer.id()).setProducerEpoch((short) producer.epoch()).setGroupId(group));
    }

    EndTxnResponseData end(int version, String name, Producer producer, boolean commit) throws IOException {
        return (EndTxnResponseData) send(ApiKeys.END_TXN, version, name, new EndTxnRequestData().setTransactionalId(producer.name())
            .setProducerId(producer.id()).setProducerEpoch((short) producer.epoch()).setCommitted(commit));
    }

    /** Ends it and waits until it has; the producer goes on with what it was told, which is something since version 5. */
    Producer ended(int version, String name, Producer producer, boolean commit) throws Exception {
        EndTxnResponseData reply = end(version, name, producer, commit);
        if (reply.errorCode() != 0) {
            throw new IOException("not ended: " + name + " " + reply);
        }
        awaitEnd(producer.name());
        return version < 5 ? producer : new Producer(producer.name(), reply.producerId(), reply.producerEpoch());
    }

    /** The answer to EndTxn comes first, the markers come later. */
    void awaitEnd(String transactionalId) throws Exception {
        until(() -> !state(transactionalId).startsWith("Prepare"));
        recorder.awaited("end-of-transaction " + transactionalId);
    }

    String state(String transactionalId) throws IOException {
        DescribeTransactionsResponseData reply = (DescribeTransactionsResponseData) recorder.unrecorded(ApiKeys.DESCRIBE_TRANSACTIONS, 0, describing(transactionalId));
        return reply.transactionStates().get(0).transactionState();
    }

    private static DescribeTransactionsRequestData describing(String... transactionalIds) {
        return new DescribeTransactionsRequestData().setTransactionalIds(List.of(transactionalIds));
    }

    void describe(String name, String... transactionalIds) throws IOException {
        send(ApiKeys.DESCRIBE_TRANSACTIONS, 0, name, describing(transactionalIds));
    }
}

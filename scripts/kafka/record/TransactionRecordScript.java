import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.message.CreateTopicsRequestData;
import org.apache.kafka.common.message.CreateTopicsRequestData.CreatableTopic;
import org.apache.kafka.common.message.FindCoordinatorRequestData;
import org.apache.kafka.common.message.FindCoordinatorResponseData;
import org.apache.kafka.common.message.ListTransactionsRequestData;
import org.apache.kafka.common.message.ListTransactionsResponseData;
import org.apache.kafka.common.message.ProduceRequestData;
import org.apache.kafka.common.message.ProduceRequestData.PartitionProduceData;
import org.apache.kafka.common.message.ProduceRequestData.TopicProduceData;
import org.apache.kafka.common.message.ProduceResponseData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.coordinator.transaction.TransactionCoordinatorRecordSerde;
import org.apache.kafka.coordinator.transaction.generated.CoordinatorRecordJsonConverters;
import org.apache.kafka.coordinator.transaction.generated.TransactionLogKey;
import org.apache.kafka.coordinator.transaction.generated.TransactionLogValue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;

/**
 * Takes transactional ids through every state and keeps what the broker then has in __transaction_state:
 * java TransactionRecordScript <port> <file> <name of the broker>.
 */
final class TransactionRecordScript {
    private static final String TOPIC = "orders";
    private static final int TIMEOUT_MS = 10_000;
    private static final int SHORT_MS = 1_000;
    private static final int ENDS_CLASSIC = 4;
    private static final int ENDS_MODERN = 5;
    private static final int LAST_EPOCH = Short.MAX_VALUE - 1;
    /** Of the epochs before it only the first and the last few are kept. */
    private static final int KEPT_FROM_EPOCH = LAST_EPOCH - 2;

    private final Recorder recorder;
    private final Transactions transactions;

    private TransactionRecordScript(Recorder recorder) {
        this.recorder = recorder;
        this.transactions = new Transactions(recorder);
    }

    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[0]);
        TransactionRecordScript script = new TransactionRecordScript(new Recorder(port, Path.of("unused")));
        script.prepare();
        script.expired();
        script.exhaustedAtTheEnd();
        script.exhaustedAtTheStart();
        script.empty();
        script.classic();
        script.modern();
        script.fenced();
        script.timedOut();
        script.open();
        InternalTopic topic = new InternalTopic("__transaction_state", new TransactionCoordinatorRecordSerde(),
            CoordinatorRecordJsonConverters::writeRecordKeyAsJson, CoordinatorRecordJsonConverters::writeRecordValueAsJson);
        topic.write(topic.read(port).stream().filter(record -> !isRepetition(topic, record)).toList(), Path.of(arguments[1]), arguments[2]);
    }

    private static boolean isRepetition(InternalTopic topic, ConsumerRecord<byte[], byte[]> record) {
        if (record.value() == null || !((TransactionLogKey) topic.parsed(record).key()).transactionalId().startsWith("exhausted-")) {
            return false;
        }
        short epoch = ((TransactionLogValue) topic.parsed(record).value().message()).producerEpoch();
        return epoch > 1 && epoch < KEPT_FROM_EPOCH;
    }

    private void prepare() throws Exception {
        CreateTopicsRequestData topics = new CreateTopicsRequestData().setTimeoutMs(TIMEOUT_MS);
        topics.topics().add(new CreatableTopic().setName(TOPIC).setNumPartitions(3).setReplicationFactor((short) 1));
        recorder.unrecorded(ApiKeys.CREATE_TOPICS, 7, topics);
        transactions.ready();
        FindCoordinatorRequestData groups = new FindCoordinatorRequestData().setCoordinatorKeys(List.of("group"));
        Transactions.until(() -> ((FindCoordinatorResponseData) recorder.unrecorded(ApiKeys.FIND_COORDINATOR, 6, groups)).coordinators().get(0).errorCode() == 0);
    }

    /** The broker is told to forget ids after seconds, so whatever else is to be seen happens after that. */
    private void expired() throws Exception {
        Transactions.Producer producer = transactions.init(4, null, "expired");
        transactions.add(3, null, producer, Transactions.topic(TOPIC, 0));
        transactions.ended(ENDS_CLASSIC, null, producer, true);
        Transactions.until(() -> !exists("expired"));
    }

    private boolean exists(String id) throws IOException {
        ListTransactionsResponseData reply = (ListTransactionsResponseData) recorder.unrecorded(ApiKeys.LIST_TRANSACTIONS, 0, new ListTransactionsRequestData());
        return reply.transactionStates().stream().anyMatch(state -> state.transactionalId().equals(id));
    }

    /** A producer whose next epoch would be none. */
    private Transactions.Producer exhausted(String id) throws Exception {
        Transactions.Producer producer = null;
        while (producer == null || producer.epoch() < LAST_EPOCH) {
            Transactions.Producer next = transactions.init(5, null, id);
            if (next.id() < 0 || producer != null && next.id() != producer.id()) {
                throw new IOException("no next epoch: " + next);
            }
            producer = next;
        }
        return producer;
    }

    /** The end of a transaction gives the next producer id. */
    private void exhaustedAtTheEnd() throws Exception {
        Transactions.Producer producer = exhausted("exhausted-at-the-end");
        for (int i = 0; i < 2; i++) {
            produce(producer, 0);
            producer = transactions.ended(ENDS_MODERN, null, producer, true);
        }
    }

    /** Or whoever says that it was the last epoch's producer. */
    private void exhaustedAtTheStart() throws Exception {
        Transactions.Producer last = exhausted("exhausted-at-the-start");
        Transactions.Producer next = transactions.init(5, null, Transactions.initialising(last.name()).setProducerId(last.id()).setProducerEpoch((short) last.epoch()));
        transactions.add(3, null, next, Transactions.topic(TOPIC, 1));
        transactions.ended(ENDS_CLASSIC, null, next, false);
    }

    private void empty() throws Exception {
        Transactions.Producer producer = transactions.init(0, null, Transactions.initialising("empty").setTransactionTimeoutMs(12_345));
        transactions.init(5, null, Transactions.initialising("empty").setProducerId(producer.id()).setProducerEpoch((short) producer.epoch()));
        transactions.init(5, null, "Grüße, 日本 😀");
    }

    /** Clients before 4.0: partitions are added by requests, the epoch stays. */
    private void classic() throws Exception {
        for (boolean commit : new boolean[] {true, false}) {
            Transactions.Producer producer = transactions.init(4, null, commit ? "classic-commit" : "classic-abort");
            for (int i = 0; i < 2; i++) {
                transactions.add(3, null, producer, Transactions.topic(TOPIC, 2, 0));
                transactions.addOffsets(3, null, producer, "group");
                transactions.ended(ENDS_CLASSIC, null, producer, commit);
            }
        }
    }

    /** Clients since 4.0 (KIP-890): the broker adds what is written to, each end is an epoch. */
    private void modern() throws Exception {
        for (boolean commit : new boolean[] {true, false}) {
            Transactions.Producer producer = transactions.init(5, null, commit ? "modern-commit" : "modern-abort");
            for (int i = 0; i < 2; i++) {
                produce(producer, 0);
                produce(producer, 1);
                producer = transactions.ended(ENDS_MODERN, null, producer, commit);
            }
        }
        Transactions.Producer producer = transactions.init(5, null, "modern-abort-of-nothing");
        transactions.ended(ENDS_MODERN, null, producer, false);
        // one id, both kinds of clients
        Transactions.Producer upgraded = transactions.init(4, null, "upgraded");
        transactions.add(3, null, upgraded, Transactions.topic(TOPIC, 0));
        transactions.ended(ENDS_CLASSIC, null, upgraded, true);
        upgraded = transactions.init(5, null, "upgraded");
        produce(upgraded, 2);
        upgraded = transactions.ended(ENDS_MODERN, null, upgraded, true);
        upgraded = transactions.init(4, null, "upgraded");
        transactions.add(3, null, upgraded, Transactions.topic(TOPIC, 0));
        transactions.ended(ENDS_CLASSIC, null, upgraded, false);
    }

    /** Whoever comes with the same id ends what is open, for clients of both kinds. */
    private void fenced() throws Exception {
        Transactions.Producer classic = transactions.init(4, null, "fenced-classic");
        transactions.add(3, null, classic, Transactions.topic(TOPIC, 0));
        produce(transactions.init(5, null, "fenced-modern"), 0);
        for (String id : new String[] {"fenced-classic", "fenced-modern"}) {
            transactions.init(5, null, id);
            transactions.awaitEnd(id);
            transactions.init(5, null, id);
        }
    }

    private void timedOut() throws Exception {
        Transactions.Producer classic = transactions.init(4, null, Transactions.initialising("timed-out-classic").setTransactionTimeoutMs(SHORT_MS));
        transactions.add(3, null, classic, Transactions.topic(TOPIC, 0));
        produce(transactions.init(5, null, Transactions.initialising("timed-out-modern").setTransactionTimeoutMs(SHORT_MS)), 0);
        for (String id : new String[] {"timed-out-classic", "timed-out-modern"}) {
            Transactions.until(() -> transactions.state(id).equals("CompleteAbort"));
        }
    }

    private void open() throws Exception {
        transactions.add(3, null, transactions.init(4, null, "open-classic"), Transactions.topic(TOPIC, 0));
        produce(transactions.init(5, null, "open-modern"), 1);
    }

    /** The first batch of a producer in a partition under its epoch. */
    private void produce(Transactions.Producer producer, int partition) throws IOException {
        ProduceRequestData request = new ProduceRequestData().setTransactionalId(producer.name()).setAcks((short) -1).setTimeoutMs(TIMEOUT_MS);
        request.topicData().add(new TopicProduceData().setName(TOPIC).setPartitionData(List.of(
            new PartitionProduceData().setIndex(partition).setRecords(producer.batch(0, 1)))));
        ProduceResponseData reply = (ProduceResponseData) recorder.unrecorded(ApiKeys.PRODUCE, 12, request);
        if (reply.responses().iterator().next().partitionResponses().get(0).errorCode() != 0) {
            throw new IOException("not written: " + reply);
        }
    }
}

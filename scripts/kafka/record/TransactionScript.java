import org.apache.kafka.common.message.AddPartitionsToTxnRequestData;
import org.apache.kafka.common.message.AddPartitionsToTxnRequestData.AddPartitionsToTxnTopic;
import org.apache.kafka.common.message.AddPartitionsToTxnRequestData.AddPartitionsToTxnTransaction;
import org.apache.kafka.common.message.AddPartitionsToTxnRequestData.AddPartitionsToTxnTransactionCollection;
import org.apache.kafka.common.message.FindCoordinatorRequestData;
import org.apache.kafka.common.message.ListTransactionsRequestData;
import org.apache.kafka.common.protocol.ApiKeys;

import java.util.List;

/** The transaction coordinator: who may write, what a transaction is about, how it ends, and what can be asked about it. */
final class TransactionScript {
    static final String TOPIC = "accounts";
    static final String OTHER = "accounts-other";
    private static final String NO_SUCH_TOPIC = "no-such-topic";
    private static final long NO_SUCH_PRODUCER = 77_777;
    private static final int MAX_TIMEOUT_MS = 900_000;
    private static final int LAST_INIT = 5;
    private static final int LAST_ADD_BY_CLIENT = 3;
    private static final int LAST_ADD = 5;
    private static final int LAST_ADD_OFFSETS = 4;
    private static final int LAST_END = 5;
    private static final int BUMPS_THE_EPOCH = 5;

    private final Recorder recorder;
    private final Transactions transactions;

    TransactionScript(Recorder recorder, Transactions transactions) {
        this.recorder = recorder;
        this.transactions = transactions;
    }

    void findCoordinator() throws Exception {
        FindCoordinatorRequestData request = finding("payer", "other");
        recorder.exchange(ApiKeys.FIND_COORDINATOR, 6, "txn-first", request);
        transactions.ready();
        for (int version = 1; version <= 6; version++) {
            recorder.exchange(ApiKeys.FIND_COORDINATOR, version, "txn-found", version < 4 ? finding().setKey("payer") : request);
            recorder.exchange(ApiKeys.FIND_COORDINATOR, version, "txn-empty-key", version < 4 ? finding().setKey("") : finding(""));
        }
    }

    private static FindCoordinatorRequestData finding(String... keys) {
        return new FindCoordinatorRequestData().setKeyType(Transactions.TRANSACTION).setCoordinatorKeys(List.of(keys));
    }

    void initProducerId() throws Exception {
        for (int version = 0; version <= LAST_INIT; version++) {
            String id = "init-" + version;
            transactions.init(version, "txn-first", id);
            transactions.init(version, "txn-again", id);
            Transactions.Producer producer = transactions.init(version, "txn-other-timeout", Transactions.initialising(id).setTransactionTimeoutMs(60_000));
            transactions.describe("txn-" + id, id);
            transactions.init(version, "txn-timeout-0", Transactions.initialising("init-bad").setTransactionTimeoutMs(0));
            transactions.init(version, "txn-timeout-negative", Transactions.initialising("init-bad").setTransactionTimeoutMs(-1));
            transactions.init(version, "txn-timeout-too-large", Transactions.initialising("init-bad").setTransactionTimeoutMs(MAX_TIMEOUT_MS + 1));
            transactions.init(version, "txn-timeout-largest", Transactions.initialising(id).setTransactionTimeoutMs(MAX_TIMEOUT_MS));
            transactions.init(version, "txn-timeout-too-large-for-a-known", Transactions.initialising(id).setTransactionTimeoutMs(MAX_TIMEOUT_MS + 1));
            transactions.init(version, "txn-empty-id", Transactions.initialising(""));
            if (version >= 3) {
                continued(version, id, producer.at(producer.epoch() + 1));
            }
            fenced(version, transactions.init(version, "txn-before-fencing", id));
        }
        transactions.describe("txn-init-bad", "init-bad");
    }

    /** A producer that says who it was (KIP-360). */
    private void continued(int version, String id, Transactions.Producer now) throws Exception {
        continued(version, "txn-continued", id, now.id(), now.epoch());
        continued(version, "txn-continued-again", id, now.id(), now.epoch());
        continued(version, "txn-continued-older", id, now.id(), 0);
        continued(version, "txn-continued-newer", id, now.id(), now.epoch() + 5);
        continued(version, "txn-wrong-id", id, NO_SUCH_PRODUCER, now.epoch() + 1);
        continued(version, "txn-id-without-epoch", id, now.id(), -1);
        continued(version, "txn-epoch-without-id", id, -1, now.epoch());
        continued(version, "txn-id-negative", id, -2, 1);
        continued(version, "txn-continued-unseen", "init-unseen-" + version, NO_SUCH_PRODUCER, 3);
    }

    private void continued(int version, String name, String id, long producer, int epoch) throws Exception {
        transactions.init(version, name, Transactions.initialising(id).setProducerId(producer).setProducerEpoch((short) epoch));
    }

    /** Whoever initialises an id ends the transaction that is open under it, and is told to come again. */
    private void fenced(int version, Transactions.Producer producer) throws Exception {
        transactions.add(LAST_ADD_BY_CLIENT, "txn-for-fencing-" + version, producer, Transactions.topic(TOPIC, 0));
        transactions.init(version, "txn-ongoing-concurrent", producer.name());
        transactions.awaitEnd(producer.name());
        transactions.describe("txn-" + producer.name() + "-fenced", producer.name());
        transactions.end(4, "txn-fenced-" + version, producer, true);
        transactions.add(LAST_ADD_BY_CLIENT, "txn-fenced-" + version, producer, Transactions.topic(TOPIC, 0));
        transactions.init(version, "txn-after-fencing", producer.name());
        if (version >= 3) {
            continued(version, "txn-fenced", producer.name(), producer.id(), producer.epoch());
            own(version, producer.at(producer.epoch() + 2));
        }
    }

    /** The same of a producer that says who it is: its own transaction, and its own epoch when it comes again. */
    private void own(int version, Transactions.Producer producer) throws Exception {
        transactions.add(LAST_ADD_BY_CLIENT, "txn-own-" + version, producer, Transactions.topic(TOPIC, 0));
        continued(version, "txn-own-concurrent", producer.name(), producer.id(), producer.epoch());
        transactions.awaitEnd(producer.name());
        continued(version, "txn-own-again", producer.name(), producer.id(), producer.epoch());
        continued(version, "txn-own-next", producer.name(), producer.id(), producer.epoch() + 1);
    }

    void addPartitions() throws Exception {
        for (int version = 0; version <= LAST_ADD; version++) {
            String id = "add-" + version;
            transactions.init(LAST_INIT, "txn-for-" + id, id);
            Transactions.Producer producer = transactions.init(LAST_INIT, "txn-for-" + id + "-again", id);
            if (version <= LAST_ADD_BY_CLIENT) {
                added(version, producer);
            } else {
                batched(version, producer);
            }
            transactions.describe("txn-" + id, id);
            transactions.ended(Math.min(version, 4), "txn-" + id, producer, version % 2 == 0);
            transactions.describe("txn-" + id + "-ended", id);
        }
    }

    private void added(int version, Transactions.Producer producer) throws Exception {
        transactions.add(version, "txn-unknown", producer, Transactions.topic(TOPIC, 0, 99), Transactions.topic(NO_SUCH_TOPIC, 0));
        transactions.add(version, "txn-first", producer, Transactions.topic(TOPIC, 0, 1));
        transactions.add(version, "txn-again", producer, Transactions.topic(TOPIC, 0, 1));
        transactions.add(version, "txn-more", producer, Transactions.topic(TOPIC, 1, 2), Transactions.topic(OTHER, 0));
        transactions.add(version, "txn-nothing", producer);
        transactions.add(version, "txn-internal", producer, Transactions.topic("__consumer_offsets", 7));
        transactions.add(version, "txn-wrong-id", producer.by(NO_SUCH_PRODUCER), Transactions.topic(TOPIC, 0));
        transactions.add(version, "txn-old-epoch", producer.at(0), Transactions.topic(TOPIC, 0));
        transactions.add(version, "txn-epoch-beyond", producer.at(producer.epoch() + 1), Transactions.topic(TOPIC, 0));
        transactions.add(version, "txn-unseen", producer.called("unseen"), Transactions.topic(TOPIC, 0));
        transactions.add(version, "txn-unseen-unknown", producer.called("unseen"), Transactions.topic(NO_SUCH_TOPIC, 0));
        transactions.add(version, "txn-empty-id", producer.called(""), Transactions.topic(TOPIC, 0));
        String empty = "add-nothing-" + version;
        Transactions.Producer other = transactions.init(LAST_INIT, "txn-for-" + empty, empty);
        transactions.add(version, "txn-nothing-at-all", other);
        transactions.describe("txn-" + empty, empty);
        transactions.end(Math.min(version, 4), "txn-" + empty, other, true);
        transactions.awaitEnd(empty);
        transactions.describe("txn-" + empty + "-ended", empty);
    }

    /** Versions 4 and 5 are spoken between brokers; several transactions at once, or questions about them. */
    private void batched(int version, Transactions.Producer producer) throws Exception {
        String otherId = "add-other-" + version;
        Transactions.Producer other = transactions.init(LAST_INIT, "txn-for-" + otherId, otherId);
        batch(version, "txn-unknown", of(producer, false, Transactions.topic(TOPIC, 0, 99), Transactions.topic(NO_SUCH_TOPIC, 0)));
        batch(version, "txn-verify-empty", of(producer, true, Transactions.topic(TOPIC, 0)));
        batch(version, "txn-first", of(producer, false, Transactions.topic(TOPIC, 0, 1)));
        batch(version, "txn-again", of(producer, false, Transactions.topic(TOPIC, 0, 1)));
        batch(version, "txn-several", of(producer, false, Transactions.topic(TOPIC, 2)), of(other, false, Transactions.topic(TOPIC, 2), Transactions.topic(OTHER, 0)),
            of(producer.called("unseen"), false, Transactions.topic(TOPIC, 0)));
        batch(version, "txn-same-id-twice", of(other, false, Transactions.topic(TOPIC, 2)), of(other, false, Transactions.topic(OTHER, 0)));
        batch(version, "txn-verify", of(producer, true, Transactions.topic(TOPIC, 0, 1, 2)), of(other, true, Transactions.topic(TOPIC, 0, 2)));
        batch(version, "txn-verify-and-add", of(producer, true, Transactions.topic(TOPIC, 0)), of(other, false, Transactions.topic(TOPIC, 0)));
        batch(version, "txn-verify-unknown", of(producer, true, Transactions.topic(TOPIC, 0, 99), Transactions.topic(NO_SUCH_TOPIC, 0)));
        batch(version, "txn-verify-nothing", of(producer, true));
        for (boolean verify : new boolean[] {false, true}) {
            String name = verify ? "txn-verify-" : "txn-";
            batch(version, name + "wrong-id", of(producer.by(NO_SUCH_PRODUCER), verify, Transactions.topic(TOPIC, 0)));
            batch(version, name + "old-epoch", of(producer.at(0), verify, Transactions.topic(TOPIC, 0)));
            batch(version, name + "epoch-beyond", of(producer.at(producer.epoch() + 1), verify, Transactions.topic(TOPIC, 0)));
            batch(version, name + "unseen", of(producer.called("unseen"), verify, Transactions.topic(TOPIC, 0)));
            batch(version, name + "empty-id", of(producer.called(""), verify, Transactions.topic(TOPIC, 0)));
        }
        batch(version, "txn-nothing", of(producer, false));
        transactions.ended(4, "txn-" + otherId, other, true);
    }

    private static AddPartitionsToTxnTransaction of(Transactions.Producer producer, boolean verifyOnly, AddPartitionsToTxnTopic... topics) {
        return new AddPartitionsToTxnTransaction().setTransactionalId(producer.name()).setProducerId(producer.id()).setProducerEpoch((short) producer.epoch())
            .setVerifyOnly(verifyOnly).setTopics(Transactions.topics(topics));
    }

    private void batch(int version, String name, AddPartitionsToTxnTransaction... of) throws Exception {
        AddPartitionsToTxnTransactionCollection all = new AddPartitionsToTxnTransactionCollection();
        for (AddPartitionsToTxnTransaction transaction : of) {
            all.add(transaction);
        }
        transactions.send(ApiKeys.ADD_PARTITIONS_TO_TXN, version, name, new AddPartitionsToTxnRequestData().setTransactions(all));
    }

    void addOffsets() throws Exception {
        for (int version = 0; version <= LAST_ADD_OFFSETS; version++) {
            String id = "add-offsets-" + version;
            transactions.init(LAST_INIT, "txn-for-" + id, id);
            Transactions.Producer producer = transactions.init(LAST_INIT, "txn-for-" + id + "-again", id);
            transactions.addOffsets(version, "txn-first", producer, "payers");
            transactions.addOffsets(version, "txn-again", producer, "payers");
            transactions.addOffsets(version, "txn-other-group", producer, "payees");
            transactions.addOffsets(version, "txn-empty-group", producer, "");
            transactions.addOffsets(version, "txn-wrong-id", producer.by(NO_SUCH_PRODUCER), "payers");
            transactions.addOffsets(version, "txn-old-epoch", producer.at(0), "payers");
            transactions.addOffsets(version, "txn-epoch-beyond", producer.at(producer.epoch() + 1), "payers");
            transactions.addOffsets(version, "txn-unseen", producer.called("unseen"), "payers");
            transactions.addOffsets(version, "txn-empty-id", producer.called(""), "payers");
            transactions.describe("txn-" + id, id);
            transactions.ended(version, "txn-" + id, producer, true);
        }
    }

    void ends() throws Exception {
        for (int version = 0; version <= LAST_END; version++) {
            String id = "end-" + version;
            transactions.init(LAST_INIT, "txn-for-" + id, id);
            Transactions.Producer producer = transactions.init(LAST_INIT, "txn-for-" + id + "-again", id);
            transactions.end(version, "txn-unseen", producer.called("unseen"), true);
            transactions.end(version, "txn-empty-id", producer.called(""), true);
            transactions.end(version, "txn-empty-commit", producer, true);
            transactions.end(version, "txn-empty-wrong-id", producer.by(NO_SUCH_PRODUCER), true);
            transactions.end(version, "txn-empty-old-epoch", producer.at(0), true);
            transactions.end(version, "txn-empty-abort", producer, false);
            transactions.awaitEnd(id);
            transactions.describe("txn-" + id + "-empty", id);
            if (version >= BUMPS_THE_EPOCH) {
                transactions.end(version, "txn-empty-abort-again", producer, false);
                producer = producer.at(producer.epoch() + 1);
            }
            producer = ended(version, "committed", true, producer);
            producer = ended(version, "aborted", false, producer);
            transactions.init(LAST_INIT, "txn-after-" + id, id);
            transactions.end(version, "txn-initialised-commit", producer, true);
            transactions.end(version, "txn-initialised-abort", producer, false);
        }
    }

    private Transactions.Producer ended(int version, String how, boolean commit, Transactions.Producer producer) throws Exception {
        String name = "txn-" + how;
        transactions.add(LAST_ADD_BY_CLIENT, "txn-end-" + version + "-" + how, producer, Transactions.topic(TOPIC, 0, 2));
        transactions.end(version, name + "-wrong-id", producer.by(NO_SUCH_PRODUCER), commit);
        transactions.end(version, name + "-old-epoch", producer.at(producer.epoch() - 1), commit);
        transactions.end(version, name + "-epoch-beyond", producer.at(producer.epoch() + 1), commit);
        Transactions.Producer next = transactions.ended(version, name, producer, commit);
        transactions.describe(name + "-" + version, producer.name());
        transactions.end(version, name + "-again", producer, commit);
        transactions.end(version, name + "-and-the-other", producer, !commit);
        transactions.end(version, name + "-long-ago", producer.at(producer.epoch() - 1), commit);
        if (version >= BUMPS_THE_EPOCH) {
            transactions.end(version, name + "-next-commit", next, true);
            transactions.end(version, name + "-next-abort", next, false);
            transactions.awaitEnd(next.name());
            next = next.at(next.epoch() + 1);
            transactions.describe(name + "-next-abort", next.name());
        }
        return next;
    }

    /** There are ids in three states: one that only has its producer, one with an open transaction, and ended ones. */
    void asked() throws Exception {
        Transactions.Producer open = transactions.init(LAST_INIT, "txn-open", "open");
        transactions.describe("txn-open-empty", "open");
        transactions.add(LAST_ADD_BY_CLIENT, "txn-open", open, Transactions.topic(TOPIC, 1));
        transactions.describe("txn-open", "open");
        transactions.describe("txn-several", "open", "unseen", "end-0", "", "init-0", "end-5");
        transactions.describe("txn-nothing");
        for (int version = 0; version <= 2; version++) {
            list(version, "txn-all", listing());
            list(version, "txn-ongoing", listing("Ongoing"));
            list(version, "txn-states", listing("Ongoing", "Empty"));
            list(version, "txn-no-such-state", listing("Asleep", "Ongoing"));
            list(version, "txn-only-no-such-state", listing("Asleep"));
            list(version, "txn-other-case", listing("ongoing"));
            list(version, "txn-producer", listing().setProducerIdFilters(List.of(open.id(), NO_SUCH_PRODUCER)));
            list(version, "txn-no-such-producer", listing().setProducerIdFilters(List.of(NO_SUCH_PRODUCER)));
            list(version, "txn-producer-and-state", listing("Empty").setProducerIdFilters(List.of(open.id())));
            if (version >= 1) {
                list(version, "txn-any-duration", listing().setDurationFilter(0));
                list(version, "txn-long-duration", listing().setDurationFilter(1_000_000_000));
                list(version, "txn-negative-duration", listing("Ongoing").setDurationFilter(-5));
            }
            if (version >= 2) {
                list(version, "txn-pattern", listing().setTransactionalIdPattern("end-[0-2]"));
                list(version, "txn-pattern-of-a-part", listing().setTransactionalIdPattern("end"));
                list(version, "txn-empty-pattern", listing("Ongoing").setTransactionalIdPattern(""));
                list(version, "txn-bad-pattern", listing().setTransactionalIdPattern("end-("));
            }
        }
        transactions.ended(4, "txn-open", open, false);
    }

    private static ListTransactionsRequestData listing(String... states) {
        return new ListTransactionsRequestData().setStateFilters(List.of(states));
    }

    private void list(int version, String name, ListTransactionsRequestData request) throws Exception {
        transactions.send(ApiKeys.LIST_TRANSACTIONS, version, name, request);
    }
}

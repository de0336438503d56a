import org.apache.kafka.clients.consumer.internals.ConsumerProtocol;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Subscription;
import org.apache.kafka.common.message.ConsumerGroupHeartbeatRequestData;
import org.apache.kafka.common.message.ConsumerGroupHeartbeatResponseData;
import org.apache.kafka.common.message.DeleteGroupsRequestData;
import org.apache.kafka.common.message.JoinGroupRequestData;
import org.apache.kafka.common.message.JoinGroupRequestData.JoinGroupRequestProtocol;
import org.apache.kafka.common.message.JoinGroupResponseData;
import org.apache.kafka.common.message.OffsetCommitRequestData;
import org.apache.kafka.common.message.OffsetCommitRequestData.OffsetCommitRequestPartition;
import org.apache.kafka.common.message.OffsetCommitRequestData.OffsetCommitRequestTopic;
import org.apache.kafka.common.message.OffsetFetchRequestData;
import org.apache.kafka.common.message.OffsetFetchRequestData.OffsetFetchRequestGroup;
import org.apache.kafka.common.message.OffsetFetchRequestData.OffsetFetchRequestTopic;
import org.apache.kafka.common.message.OffsetFetchRequestData.OffsetFetchRequestTopics;
import org.apache.kafka.common.message.SyncGroupRequestData;
import org.apache.kafka.common.message.TxnOffsetCommitRequestData;
import org.apache.kafka.common.message.TxnOffsetCommitRequestData.TxnOffsetCommitRequestPartition;
import org.apache.kafka.common.message.TxnOffsetCommitRequestData.TxnOffsetCommitRequestTopic;
import org.apache.kafka.common.protocol.ApiKeys;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;

/** Offsets that are committed with a transaction: pending until it ends, by members of groups and by nobody in particular. */
final class TransactionOffsetsScript {
    private static final String TOPIC = ClassicGroupScript.TOPIC;
    private static final String NO_SUCH_TOPIC = "no-such-topic";
    private static final long NO_SUCH_PRODUCER = 77_777;
    private static final int LAST = 5;
    private static final int ADDS_BY_ITSELF = 5;
    private static final int WITH_MEMBERS = 3;
    private static final int SESSION_MS = 30_000;

    private final Script script;
    private final Recorder recorder;
    private final Transactions transactions;

    TransactionOffsetsScript(Script script, Transactions transactions) {
        this.script = script;
        this.recorder = script.recorder;
        this.transactions = transactions;
    }

    void commits() throws Exception {
        for (int version = 0; version <= LAST; version++) {
            String group = "txn-offsets-" + version;
            int ends = version < ADDS_BY_ITSELF ? 4 : 5;
            transactions.init(ends, "txn-for-" + group, group);
            Transactions.Producer producer = transactions.init(ends, "txn-for-" + group + "-again", group);
            refused(version, group, producer);
            if (version < ADDS_BY_ITSELF) {
                commit(version, "txn-not-added", request(group, producer, partition(0, 1)));
                transactions.addOffsets(Math.min(version, 4), "txn-" + group, producer, group);
            }
            commit(version, "txn-first", request(group, producer, partition(0, 10), partition(1, 11)));
            fetches(group, "first");
            commit(version, "txn-again", request(group, producer, partition(0, 20)));
            commit(version, "txn-unknown", unknown(request(group, producer, partition(1, 21), partition(99, 1), partition(-1, 1))));
            commit(version, "txn-metadata-too-large", request(group, producer, partition(0, 1).setCommittedMetadata("m".repeat(4097)), partition(2, 22).setCommittedMetadata("m".repeat(4096))));
            commit(version, "txn-nothing", request(group, producer));
            transactions.describe("txn-" + group, group);
            fetches(group, "pending");
            producer = transactions.ended(ends, "txn-" + group, producer, true);
            fetches(group, "committed");
            commit(version, "txn-ended", request(group, producer, partition(0, 29)));
            producer = ended(version, ends, group, producer);
            again(version, ends, group, producer);
        }
    }

    /** Where the broker adds what is not added, the commit before has begun a transaction. */
    private Transactions.Producer ended(int version, int ends, String group, Transactions.Producer producer) throws Exception {
        return version < ADDS_BY_ITSELF ? producer : transactions.ended(ends, "txn-" + group + "-begun", producer, false);
    }

    private void refused(int version, String group, Transactions.Producer producer) throws Exception {
        commit(version, "txn-wrong-id", request(group, producer.by(NO_SUCH_PRODUCER), partition(0, 1)));
        commit(version, "txn-old-epoch", request(group, producer.at(0), partition(0, 1)));
        commit(version, "txn-epoch-beyond", request(group, producer.at(producer.epoch() + 1), partition(0, 1)));
        commit(version, "txn-unseen", request(group, producer.called("unseen"), partition(0, 1)));
        commit(version, "txn-empty-id", request(group, producer.called(""), partition(0, 1)));
        commit(version, "txn-empty-group", request("", producer, partition(0, 1)));
        if (version >= WITH_MEMBERS) {
            commit(version, "txn-nobody", request(group, producer, partition(0, 1)).setMemberId("nobody").setGenerationId(3));
            commit(version, "txn-nobody-without-generation", request(group, producer, partition(0, 1)).setMemberId("nobody"));
        }
    }

    /** A second transaction, which is aborted; a plain commit while it is open; what may be done to the group then. */
    private void again(int version, int ends, String group, Transactions.Producer producer) throws Exception {
        if (version < ADDS_BY_ITSELF) {
            transactions.addOffsets(Math.min(version, 4), "txn-" + group + "-again", producer, group);
        }
        commit(version, "txn-to-be-aborted", request(group, producer, partition(0, 30), partition(2, 32)));
        recorder.exchange(ApiKeys.OFFSET_COMMIT, 9, "txn-" + group + "-plain", new OffsetCommitRequestData().setGroupId(group).setTopics(List.of(
            new OffsetCommitRequestTopic().setName(TOPIC).setPartitions(List.of(new OffsetCommitRequestPartition().setPartitionIndex(0).setCommittedOffset(40))))));
        fetches(group, "plain");
        new CommitScript(script).delete("txn-" + group + "-pending", group, TOPIC);
        fetches(group, "deleted");
        recorder.exchange(ApiKeys.DELETE_GROUPS, 2, "txn-" + group + "-pending", new DeleteGroupsRequestData().setGroupsNames(List.of(group)));
        transactions.ended(ends, "txn-" + group + "-aborted", producer, false);
        fetches(group, "aborted");
    }

    /** With generation and member: of a classic group, one of whose members is static, and of one of the new protocol. */
    void members() throws Exception {
        for (int version = WITH_MEMBERS; version <= LAST; version++) {
            int ends = version < ADDS_BY_ITSELF ? 4 : 5;
            String group = "txn-classic-" + version;
            Transactions.Producer producer = transactions.init(ends, "txn-for-" + group, group);
            String former = join(group, "first");
            String member = join(group, "second");
            if (version < ADDS_BY_ITSELF) {
                transactions.addOffsets(version, "txn-" + group, producer, group);
            }
            TxnOffsetCommitRequestData request = request(group, producer, partition(0, 50)).setGenerationId(1).setMemberId(member);
            commit(version, "txn-member", request.duplicate());
            commit(version, "txn-member-with-instance", request.duplicate().setGroupInstanceId("instance"));
            commit(version, "txn-member-fenced", request.duplicate().setMemberId(former).setGroupInstanceId("instance"));
            commit(version, "txn-member-replaced", request.duplicate().setMemberId(former));
            commit(version, "txn-member-wrong-generation", request.duplicate().setGenerationId(7));
            commit(version, "txn-member-no-generation", request.duplicate().setGenerationId(-1));
            commit(version, "txn-member-nobody", request.duplicate().setMemberId("nobody"));
            commit(version, "txn-member-no-such-instance", request.duplicate().setGroupInstanceId("other"));
            commit(version, "txn-member-only-generation", request.duplicate().setMemberId(""));
            commit(version, "txn-member-outside", request.duplicate().setMemberId("").setGenerationId(-1));
            commit(version, "txn-member-unseen-group", request.duplicate().setGroupId("never-seen"));
            fetches(group, "pending");
            transactions.ended(ends, "txn-" + group, producer, true);
            fetches(group, "committed");
            consumer(version, ends);
        }
    }

    private void consumer(int version, int ends) throws Exception {
        String group = "txn-consumer-" + version;
        Transactions.Producer producer = transactions.init(ends, "txn-for-" + group, group);
        ConsumerGroupHeartbeatResponseData joined = (ConsumerGroupHeartbeatResponseData) recorder.exchange(ApiKeys.CONSUMER_GROUP_HEARTBEAT, 1, "txn-" + group,
            new ConsumerGroupHeartbeatRequestData().setGroupId(group).setMemberId("member").setMemberEpoch(0).setRebalanceTimeoutMs(SESSION_MS)
                .setSubscribedTopicNames(List.of(TOPIC)).setTopicPartitions(List.of()));
        if (version < ADDS_BY_ITSELF) {
            transactions.addOffsets(version, "txn-" + group, producer, group);
        }
        TxnOffsetCommitRequestData request = request(group, producer, partition(0, 60)).setGenerationId(joined.memberEpoch()).setMemberId("member");
        commit(version, "txn-consumer", request.duplicate());
        commit(version, "txn-consumer-old-epoch", request.duplicate().setGenerationId(0));
        commit(version, "txn-consumer-epoch-beyond", request.duplicate().setGenerationId(joined.memberEpoch() + 1));
        commit(version, "txn-consumer-no-epoch", request.duplicate().setGenerationId(-1));
        commit(version, "txn-consumer-nobody", request.duplicate().setMemberId("nobody"));
        commit(version, "txn-consumer-outside", request.duplicate().setGenerationId(-1).setMemberId(""));
        transactions.ended(ends, "txn-" + group, producer, true);
        fetches(group, "committed");
    }

    /** A static member comes, and the second time it takes its own place in the same generation. */
    private String join(String group, String name) throws Exception {
        JoinGroupRequestData request = new JoinGroupRequestData().setGroupId(group).setGroupInstanceId("instance").setSessionTimeoutMs(SESSION_MS)
            .setRebalanceTimeoutMs(SESSION_MS).setProtocolType("consumer");
        request.protocols().add(new JoinGroupRequestProtocol().setName("range").setMetadata(ConsumerProtocol.serializeSubscription(new Subscription(List.of(TOPIC))).array()));
        JoinGroupResponseData joined = (JoinGroupResponseData) recorder.exchange(ApiKeys.JOIN_GROUP, 9, "txn-" + group + "-" + name, request);
        recorder.exchange(ApiKeys.SYNC_GROUP, 5, "txn-" + group + "-" + name, new SyncGroupRequestData().setGroupId(group).setGenerationId(joined.generationId())
            .setMemberId(joined.memberId()).setGroupInstanceId("instance").setProtocolType("consumer").setProtocolName("range"));
        return joined.memberId();
    }

    private static TxnOffsetCommitRequestData request(String group, Transactions.Producer producer, TxnOffsetCommitRequestPartition... partitions) {
        return new TxnOffsetCommitRequestData().setTransactionalId(producer.name()).setGroupId(group).setProducerId(producer.id()).setProducerEpoch((short) producer.epoch())
            .setTopics(partitions.length == 0 ? List.of() : List.of(new TxnOffsetCommitRequestTopic().setName(TOPIC).setPartitions(List.of(partitions))));
    }

    private static TxnOffsetCommitRequestData unknown(TxnOffsetCommitRequestData request) {
        List<TxnOffsetCommitRequestTopic> topics = new ArrayList<>(request.topics());
        topics.add(new TxnOffsetCommitRequestTopic().setName(NO_SUCH_TOPIC).setPartitions(List.of(partition(0, 1))));
        return request.setTopics(topics);
    }

    private static TxnOffsetCommitRequestPartition partition(int index, long offset) {
        return new TxnOffsetCommitRequestPartition().setPartitionIndex(index).setCommittedOffset(offset).setCommittedLeaderEpoch(0).setCommittedMetadata("in a transaction");
    }

    private void commit(int version, String name, TxnOffsetCommitRequestData request) throws Exception {
        transactions.send(ApiKeys.TXN_OFFSET_COMMIT, version, name, request);
    }

    /** What is told with and without waiting for what is pending; before version 8 a request is of one group. */
    private void fetches(String group, String name) throws Exception {
        for (int version = 7; version <= 10; version++) {
            for (boolean stable : new boolean[] {false, true}) {
                OffsetFetchRequestData request = new OffsetFetchRequestData().setRequireStable(stable);
                List<Integer> partitions = IntStream.range(0, 3).boxed().toList();
                if (version < 8) {
                    request.setGroupId(group).setTopics(List.of(new OffsetFetchRequestTopic().setName(TOPIC).setPartitionIndexes(partitions)));
                } else {
                    request.setGroups(List.of(
                        new OffsetFetchRequestGroup().setGroupId(group).setTopics(List.of(new OffsetFetchRequestTopics().setName(TOPIC).setTopicId(script.id(TOPIC)).setPartitionIndexes(partitions))),
                        new OffsetFetchRequestGroup().setGroupId(group).setTopics(null)));
                }
                recorder.exchange(ApiKeys.OFFSET_FETCH, version, "txn-" + group + "-" + name + (stable ? "-stable" : ""), request);
            }
        }
    }
}

import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.CreateTopicsRequestData;
import org.apache.kafka.common.message.CreateTopicsRequestData.CreatableTopic;
import org.apache.kafka.common.message.CreateTopicsRequestData.CreatableTopicConfig;
import org.apache.kafka.common.message.MetadataRequestData;
import org.apache.kafka.common.message.MetadataRequestData.MetadataRequestTopic;
import org.apache.kafka.common.message.MetadataResponseData;
import org.apache.kafka.common.protocol.ApiKeys;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * The order of all exchanges: java Script <port> <folder> <name of the broker>. It starts from an empty broker; topics are named after
 * the version that is under test (plain-v3), so that each version meets the same state as the others did.
 */
final class Script {
    private static final int SETTLED_WITHIN_MS = 10_000;
    private static final int APPLIED_AFTER_MS = 300;

    final Recorder recorder;
    private final Map<String, Uuid> ids = new TreeMap<>();

    private Script(Recorder recorder) {
        this.recorder = recorder;
    }

    public static void main(String[] arguments) throws Exception {
        Recorder recorder = new Recorder(Integer.parseInt(arguments[0]), Path.of(arguments[1]));
        Script script = new Script(recorder);
        AdminScript admin = new AdminScript(script);
        DataScript data = new DataScript(script);
        admin.apiVersions();
        admin.describeCluster();
        admin.createTopics();
        admin.metadata();
        admin.createPartitions();
        admin.describeTopicPartitions();
        admin.configs();
        data.initProducerId();
        data.produce();
        data.listOffsets();
        data.offsetForLeaderEpoch();
        data.fetch();
        data.fetchSessions();
        admin.deleteTopics();
        admin.autoCreate();
        admin.findCoordinator();
        admin.coordinatorFound();
        script.groups();
        script.transactions();
        admin.refused();
        Files.writeString(Path.of(arguments[1], "APIS"), "# The APIs and features of " + arguments[2] + ": key, name, lowest and highest version.\n" + admin.table());
        recorder.finish(arguments[2]);
    }

    /** Everything about groups, which starts from no group and two topics. */
    private void groups() throws Exception {
        CreateTopicsRequestData topics = new CreateTopicsRequestData().setTimeoutMs(SETTLED_WITHIN_MS);
        topics.topics().add(new CreatableTopic().setName(ClassicGroupScript.TOPIC).setNumPartitions(3).setReplicationFactor((short) 1));
        topics.topics().add(new CreatableTopic().setName("grouped-other").setNumPartitions(1).setReplicationFactor((short) 1));
        recorder.exchange(ApiKeys.CREATE_TOPICS, 7, "for-groups", topics);
        settled(ClassicGroupScript.TOPIC, "grouped-other");
        CommitScript commits = new CommitScript(this);
        ClassicGroupScript classic = new ClassicGroupScript(this, commits);
        ConsumerGroupScript consumer = new ConsumerGroupScript(this, commits);
        classic.findCoordinator();
        classic.refusedJoins();
        classic.conversations();
        classic.staticMembers();
        commits.commits();
        commits.fetches();
        commits.deletes();
        consumer.conversations();
        consumer.staticMembers();
        consumer.refused();
        classic.listed();
    }

    /** Everything about transactions, which starts from no transactional id and topics of its own. */
    private void transactions() throws Exception {
        CreateTopicsRequestData topics = new CreateTopicsRequestData().setTimeoutMs(SETTLED_WITHIN_MS);
        List<String> names = new ArrayList<>(List.of(TransactionScript.TOPIC, TransactionScript.OTHER, TransactionDataScript.MARKED,
            TransactionDataScript.INTERLEAVED, TransactionDataScript.INDEXED));
        TransactionDataScript.PRODUCE_VERSIONS.forEach(version -> names.add(TransactionDataScript.topic(version)));
        for (String name : names) {
            CreatableTopic topic = new CreatableTopic().setName(name).setNumPartitions(name.equals(TransactionScript.TOPIC) ? 3 : 2).setReplicationFactor((short) 1);
            // years lie between the times of the records and those of the markers, which is not to end a segment
            topic.configs().add(new CreatableTopicConfig().setName("segment.ms").setValue(Long.toString(Long.MAX_VALUE)));
            topics.topics().add(topic);
        }
        topics.topics().find(TransactionDataScript.INDEXED).configs().add(new CreatableTopicConfig().setName("index.interval.bytes").setValue("0"));
        recorder.exchange(ApiKeys.CREATE_TOPICS, 7, "txn-topics", topics);
        settled(names.toArray(new String[0]));
        Transactions transactions = new Transactions(recorder);
        TransactionScript coordinator = new TransactionScript(recorder, transactions);
        TransactionDataScript data = new TransactionDataScript(this, transactions);
        TransactionOffsetsScript offsets = new TransactionOffsetsScript(this, transactions);
        coordinator.findCoordinator();
        coordinator.initProducerId();
        coordinator.addPartitions();
        coordinator.addOffsets();
        coordinator.ends();
        coordinator.asked();
        data.produce();
        data.interleaved();
        data.markers();
        offsets.commits();
        offsets.members();
    }

    /** The id of a topic that exists; a zero id for one that does not. */
    Uuid id(String topic) {
        return ids.getOrDefault(topic, Uuid.ZERO_UUID);
    }

    /** Waits until these topics have leaders, and knows their ids from then on. */
    void settled(String... topics) throws Exception {
        long deadline = System.currentTimeMillis() + SETTLED_WITHIN_MS;
        while (!haveLeaders(topics)) {
            if (System.currentTimeMillis() > deadline) {
                throw new IOException("no leaders for " + String.join(", ", topics));
            }
            Thread.sleep(50);
        }
        applied();
    }

    /** A broker answers a change when the controller has it, and acts on it a moment later. */
    void applied() throws InterruptedException {
        Thread.sleep(APPLIED_AFTER_MS);
    }

    private boolean haveLeaders(String... topics) throws IOException {
        List<MetadataRequestTopic> wanted = new ArrayList<>();
        for (String topic : topics) {
            wanted.add(new MetadataRequestTopic().setName(topic));
        }
        MetadataResponseData reply = (MetadataResponseData) recorder.unrecorded(ApiKeys.METADATA, 12,
            new MetadataRequestData().setTopics(wanted).setAllowAutoTopicCreation(false));
        boolean all = true;
        for (MetadataResponseData.MetadataResponseTopic topic : reply.topics()) {
            ids.put(topic.name(), topic.topicId());
            all &= topic.errorCode() == 0 && topic.partitions().stream().allMatch(p -> p.errorCode() == 0 && p.leaderId() >= 0);
        }
        return all;
    }
}

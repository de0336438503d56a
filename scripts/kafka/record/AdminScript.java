import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.AlterConfigsRequestData;
import org.apache.kafka.common.message.ApiVersionsRequestData;
import org.apache.kafka.common.message.ApiVersionsResponseData;
import org.apache.kafka.common.message.CreatePartitionsRequestData;
import org.apache.kafka.common.message.CreatePartitionsRequestData.CreatePartitionsAssignment;
import org.apache.kafka.common.message.CreatePartitionsRequestData.CreatePartitionsTopic;
import org.apache.kafka.common.message.CreatePartitionsRequestData.CreatePartitionsTopicCollection;
import org.apache.kafka.common.message.CreateTopicsRequestData;
import org.apache.kafka.common.message.CreateTopicsRequestData.CreatableReplicaAssignment;
import org.apache.kafka.common.message.CreateTopicsRequestData.CreatableTopic;
import org.apache.kafka.common.message.CreateTopicsRequestData.CreatableTopicCollection;
import org.apache.kafka.common.message.CreateTopicsRequestData.CreatableTopicConfig;
import org.apache.kafka.common.message.DeleteTopicsRequestData;
import org.apache.kafka.common.message.DeleteTopicsRequestData.DeleteTopicState;
import org.apache.kafka.common.message.DescribeClusterRequestData;
import org.apache.kafka.common.message.DescribeConfigsRequestData;
import org.apache.kafka.common.message.DescribeConfigsRequestData.DescribeConfigsResource;
import org.apache.kafka.common.message.DescribeTopicPartitionsRequestData;
import org.apache.kafka.common.message.DescribeTopicPartitionsRequestData.Cursor;
import org.apache.kafka.common.message.DescribeTopicPartitionsRequestData.TopicRequest;
import org.apache.kafka.common.message.FindCoordinatorRequestData;
import org.apache.kafka.common.message.FindCoordinatorResponseData;
import org.apache.kafka.common.message.IncrementalAlterConfigsRequestData;
import org.apache.kafka.common.message.MetadataRequestData;
import org.apache.kafka.common.message.MetadataRequestData.MetadataRequestTopic;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.MessageUtil;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/** What is asked about the broker, its topics and their configuration, and the requests that a broker refuses to read. */
final class AdminScript {
    private static final byte TOPIC = 2;
    private static final byte BROKER = 4;
    private static final byte SET = 0;
    private static final byte DELETE = 1;
    private static final byte APPEND = 2;
    private static final byte SUBTRACT = 3;
    private static final int NODE = 1;
    private static final int NO_SUCH_NODE = 9;
    private static final int TIMEOUT_MS = 10_000;
    private static final Uuid NO_SUCH_ID = new Uuid(0x0123456789abcdefL, 0x0123456789abcdefL);

    private final Script script;
    private final Recorder recorder;

    AdminScript(Script script) {
        this.script = script;
        this.recorder = script.recorder;
    }

    void apiVersions() throws Exception {
        ApiVersionsRequestData request = new ApiVersionsRequestData().setClientSoftwareName("golden").setClientSoftwareVersion("1");
        for (int version : new int[] {0, 3, 4}) {
            recorder.exchange(ApiKeys.API_VERSIONS, version, "all", version < 3 ? new ApiVersionsRequestData() : request);
        }
        recorder.exchange(ApiKeys.API_VERSIONS, 3, "bad-software-name", new ApiVersionsRequestData().setClientSoftwareName("-").setClientSoftwareVersion(""));
        ByteBuffer body = MessageUtil.toByteBufferAccessor(request, (short) 4).buffer();
        recorder.raw(ApiKeys.API_VERSIONS, 99, "newer-than-the-broker", recorder.frame(ApiKeys.API_VERSIONS, (short) 99, (short) 2, body), 0);
    }

    /** The broker's table of APIs as text: key, name, lowest and highest version. */
    String table() throws Exception {
        ApiVersionsRequestData request = new ApiVersionsRequestData().setClientSoftwareName("golden").setClientSoftwareVersion("1");
        ApiVersionsResponseData reply = (ApiVersionsResponseData) recorder.unrecorded(ApiKeys.API_VERSIONS, 4, request);
        StringBuilder text = new StringBuilder();
        reply.apiKeys().stream().sorted(Comparator.comparing(ApiVersionsResponseData.ApiVersion::apiKey)).forEach(api ->
            text.append(String.format("%d %s %d %d%n", api.apiKey(), ApiKeys.forId(api.apiKey()).name, api.minVersion(), api.maxVersion())));
        reply.supportedFeatures().forEach(feature ->
            text.append(String.format("feature %s %d %d%n", feature.name(), feature.minVersion(), feature.maxVersion())));
        reply.finalizedFeatures().forEach(feature ->
            text.append(String.format("finalized %s %d%n", feature.name(), feature.maxVersionLevel())));
        return text.toString();
    }

    void describeCluster() throws Exception {
        for (int version : new int[] {0, 1, 2}) {
            recorder.exchange(ApiKeys.DESCRIBE_CLUSTER, version, "brokers", new DescribeClusterRequestData());
        }
        recorder.exchange(ApiKeys.DESCRIBE_CLUSTER, 2, "authorized-operations", new DescribeClusterRequestData().setIncludeClusterAuthorizedOperations(true));
        recorder.exchange(ApiKeys.DESCRIBE_CLUSTER, 2, "fenced-too", new DescribeClusterRequestData().setIncludeFencedBrokers(true));
        recorder.exchange(ApiKeys.DESCRIBE_CLUSTER, 2, "controllers", new DescribeClusterRequestData().setEndpointType((byte) 2));
        recorder.exchange(ApiKeys.DESCRIBE_CLUSTER, 2, "no-such-endpoint-type", new DescribeClusterRequestData().setEndpointType((byte) 7));
    }

    void createTopics() throws Exception {
        for (int version : new int[] {2, 7}) {
            String v = "-v" + version;
            create(version, "good", false, topic("plain" + v, 1, 1), topic("wide" + v, 3, 1),
                topic("small" + v, 1, 1, "max.message.bytes", "1000"), topic("append-time" + v, 1, 1, "message.timestamp.type", "LogAppendTime"),
                assigned("assigned" + v, 0, NODE, 1, NODE), topic("sessions" + v, 1, 1), topic("configured" + v, 1, 1), topic("doomed-1" + v, 1, 1), topic("doomed-2" + v, 2, 1));
            script.settled("plain" + v, "wide" + v, "small" + v, "append-time" + v, "assigned" + v, "sessions" + v, "configured" + v, "doomed-1" + v, "doomed-2" + v);
            create(version, "exists", false, topic("plain" + v, 1, 1));
            create(version, "names", false, topic("a/b", 1, 1), topic("..", 1, 1), topic("", 1, 1), topic("x".repeat(250), 1, 1), topic("plain_v" + version, 1, 1));
            create(version, "collides", false, topic("plain.v" + version, 1, 1));
            create(version, "counts", false, topic("none" + v, 0, 1), topic("negative" + v, -2, 1), topic("no-replica" + v, 1, 0), topic("replicas" + v, 1, 2));
            create(version, "configs", false, topic("unknown-key" + v, 1, 1, "no.such.key", "1"), topic("not-a-number" + v, 1, 1, "max.message.bytes", "many"),
                topic("out-of-range" + v, 1, 1, "segment.bytes", "1"), topic("null-value" + v, 1, 1, "retention.ms", null));
            create(version, "assignments", false, assigned("no-such-broker" + v, 0, NO_SUCH_NODE), assigned("gap" + v, 0, NODE, 2, NODE),
                assigned("twice" + v, 0, NODE, 0, NODE), assigned("both" + v, 0, NODE).setNumPartitions(1).setReplicationFactor((short) 1));
            create(version, "same-topic-twice", false, topic("double" + v, 1, 1), topic("double" + v, 1, 1));
            create(version, "validate-only", true, topic("ghost" + v, 2, 1, "retention.ms", "1000"), topic("plain" + v, 1, 1), topic("ghost-replicas" + v, 1, 2));
        }
        create(7, "defaults", false, topic("defaults-v7", -1, -1));
        create(7, "nothing", false);
        script.settled("defaults-v7");
    }

    void metadata() throws Exception {
        // the ids of topics that were created where replies did not tell them, for whoever replays this
        recorder.exchange(ApiKeys.METADATA, 13, "ids", named(false, "plain-v2", "wide-v2", "small-v2", "append-time-v2", "assigned-v2", "sessions-v2", "doomed-1-v2", "doomed-2-v2"));
        for (int version : new int[] {0, 1, 4, 9, 12, 13}) {
            recorder.exchange(ApiKeys.METADATA, version, "two", named(true, "plain-v2", "wide-v2"));
        }
        recorder.exchange(ApiKeys.METADATA, 0, "all", new MetadataRequestData().setTopics(List.of()));
        recorder.exchange(ApiKeys.METADATA, 1, "all", new MetadataRequestData().setTopics(null));
        recorder.exchange(ApiKeys.METADATA, 1, "none", new MetadataRequestData().setTopics(List.of()));
        recorder.exchange(ApiKeys.METADATA, 13, "all", new MetadataRequestData().setTopics(null));
        recorder.exchange(ApiKeys.METADATA, 13, "none", new MetadataRequestData().setTopics(List.of()));
        for (int version : new int[] {4, 13}) {
            recorder.exchange(ApiKeys.METADATA, version, "unknown-topic", named(false, "no-such-topic"));
            recorder.exchange(ApiKeys.METADATA, version, "bad-name", named(false, "a/b"));
        }
        recorder.exchange(ApiKeys.METADATA, 13, "by-id", new MetadataRequestData().setAllowAutoTopicCreation(false)
            .setTopics(List.of(new MetadataRequestTopic().setName(null).setTopicId(script.id("wide-v7")))));
        recorder.exchange(ApiKeys.METADATA, 13, "unknown-id", new MetadataRequestData().setAllowAutoTopicCreation(false)
            .setTopics(List.of(new MetadataRequestTopic().setName(null).setTopicId(NO_SUCH_ID))));
        recorder.exchange(ApiKeys.METADATA, 8, "authorized-operations", named(false, "plain-v2")
            .setIncludeClusterAuthorizedOperations(true).setIncludeTopicAuthorizedOperations(true));
        recorder.exchange(ApiKeys.METADATA, 13, "authorized-operations", named(false, "plain-v2").setIncludeTopicAuthorizedOperations(true));
    }

    void createPartitions() throws Exception {
        for (int version : new int[] {0, 3}) {
            String topic = version == 0 ? "assigned-v2" : "assigned-v7";
            partitions(version, "good", false, more(topic, 4));
            script.settled(topic);
            partitions(version, "placed", false, more(topic, 5, NODE));
            script.settled(topic);
            partitions(version, "same-fewer-unknown", false, more(topic, 5), more("plain-v2", 0), more("no-such-topic", 2));
            partitions(version, "same-topic-twice", false, more("plain-v2", 2), more("plain-v2", 3));
            partitions(version, "bad-placement", false, more(topic, 6, NO_SUCH_NODE), more("plain-v2", 3, NODE));
            partitions(version, "validate-only", true, more(topic, 9), more("wide-v2", 1));
        }
    }

    void describeTopicPartitions() throws Exception {
        describePartitions("two", 2000, null, "plain-v2", "wide-v2");
        describePartitions("all", 2000, null);
        describePartitions("unknown", 2000, null, "no-such-topic", "plain-v2");
        describePartitions("limited", 2, null, "wide-v2", "wide-v7");
        describePartitions("from-cursor", 2, new Cursor().setTopicName("wide-v2").setPartitionIndex(2), "wide-v2", "wide-v7");
        describePartitions("cursor-between", 2000, new Cursor().setTopicName("t").setPartitionIndex(0), "plain-v2", "wide-v2");
        describePartitions("cursor-past-the-end", 2000, new Cursor().setTopicName("wide-v2").setPartitionIndex(7), "wide-v2");
    }

    void configs() throws Exception {
        for (int version : new int[] {1, 4}) {
            String topic = version == 1 ? "small-v2" : "small-v7";
            describe(version, "topic", false, resource(TOPIC, topic, null));
            describe(version, "topic-keys", true, resource(TOPIC, topic, List.of("max.message.bytes", "retention.ms", "segment.bytes", "cleanup.policy", "no.such.key")));
            describe(version, "broker-keys", true, resource(BROKER, "1", List.of("log.retention.ms", "log.segment.bytes", "message.max.bytes",
                "num.partitions", "auto.create.topics.enable", "delete.topic.enable", "default.replication.factor", "node.id", "no.such.key")));
            describe(version, "unknown-topic", false, resource(TOPIC, "no-such-topic", null), resource(TOPIC, topic, List.of("retention.ms")));
            describe(version, "bad-name", false, resource(TOPIC, "a/b", null));
            describe(version, "other-broker", false, resource(BROKER, "9", null));
            describe(version, "not-a-broker", false, resource(BROKER, "one", null));
            describe(version, "no-such-type", false, resource((byte) 77, "x", null), resource(TOPIC, topic, List.of("retention.ms")));
        }
        recorder.exchange(ApiKeys.DESCRIBE_CONFIGS, 4, "documentation", new DescribeConfigsRequestData().setIncludeDocumentation(true)
            .setResources(List.of(resource(TOPIC, "plain-v7", List.of("cleanup.policy")))));
        for (int version : new int[] {0, 1}) {
            String topic = version == 0 ? "configured-v2" : "configured-v7";
            incremental(version, "set", false, topic, "retention.ms", SET, "123456", "cleanup.policy", SET, "delete", "max.message.bytes", SET, "500000");
            script.applied();
            incremental(version, "append", false, topic, "cleanup.policy", APPEND, "compact");
            script.applied();
            describe(4, "after-append-" + topic, true, resource(TOPIC, topic, List.of("retention.ms", "cleanup.policy", "max.message.bytes")));
            incremental(version, "subtract-delete", false, topic, "cleanup.policy", SUBTRACT, "compact", "retention.ms", DELETE, null);
            script.applied();
            describe(4, "after-delete-" + topic, true, resource(TOPIC, topic, List.of("retention.ms", "cleanup.policy", "max.message.bytes")));
            incremental(version, "validate-only", true, topic, "retention.ms", SET, "1");
            incremental(version, "unknown-key", false, topic, "no.such.key", SET, "1");
            incremental(version, "bad-value", false, topic, "max.message.bytes", SET, "many");
            incremental(version, "append-to-a-number", false, topic, "max.message.bytes", APPEND, "1");
            incremental(version, "null-value", false, topic, "retention.ms", SET, null);
            incremental(version, "no-such-operation", false, topic, "retention.ms", (byte) 7, "1");
            incremental(version, "same-key-twice", false, topic, "retention.ms", SET, "1", "retention.ms", SET, "2");
            incremental(version, "unknown-topic", false, "no-such-topic", "retention.ms", SET, "1");
        }
        for (int version : new int[] {0, 2}) {
            String topic = version == 0 ? "configured-v2" : "configured-v7";
            alter(version, "replaces", false, topic, "retention.ms", "654321");
            script.applied();
            describe(4, "after-replace-" + topic, true, resource(TOPIC, topic, List.of("retention.ms", "max.message.bytes")));
            alter(version, "validate-only", true, topic, "retention.ms", "1");
            alter(version, "unknown-key", false, topic, "no.such.key", "1");
            alter(version, "bad-value", false, topic, "retention.ms", "soon");
            alter(version, "unknown-topic", false, "no-such-topic", "retention.ms", "1");
            alter(version, "nothing-left", false, topic);
        }
        script.applied();
    }

    void deleteTopics() throws Exception {
        for (int version : new int[] {1, 5}) {
            String topic = version == 1 ? "doomed-1-v2" : "doomed-2-v2";
            recorder.exchange(ApiKeys.DELETE_TOPICS, version, "good-and-unknown", new DeleteTopicsRequestData().setTimeoutMs(TIMEOUT_MS).setTopicNames(List.of(topic, "no-such-topic")));
            script.applied();
            recorder.exchange(ApiKeys.DELETE_TOPICS, version, "again", new DeleteTopicsRequestData().setTimeoutMs(TIMEOUT_MS).setTopicNames(List.of(topic)));
        }
        delete("by-name", new DeleteTopicState().setName("doomed-1-v7"));
        delete("by-id", new DeleteTopicState().setName(null).setTopicId(script.id("doomed-2-v7")));
        script.applied();
        delete("unknown", new DeleteTopicState().setName("no-such-topic"), new DeleteTopicState().setName(null).setTopicId(NO_SUCH_ID));
        delete("name-and-id", new DeleteTopicState().setName("assigned-v7").setTopicId(script.id("assigned-v7")));
        delete("same-topic-twice", new DeleteTopicState().setName("assigned-v7"), new DeleteTopicState().setName("assigned-v7"));
        delete("same-topic-by-name-and-by-id", new DeleteTopicState().setName("assigned-v7"), new DeleteTopicState().setName(null).setTopicId(script.id("assigned-v7")));
        recorder.exchange(ApiKeys.METADATA, 13, "after-delete", named(false, "doomed-1-v2", "doomed-2-v2", "doomed-1-v7", "doomed-2-v7"));
    }

    void autoCreate() throws Exception {
        for (int version : new int[] {0, 4, 13}) {
            String topic = "auto-v" + version;
            recorder.exchange(ApiKeys.METADATA, version, "auto-create", named(true, topic));
            script.settled(topic);
            recorder.exchange(ApiKeys.METADATA, version, "auto-created", named(true, topic));
        }
    }

    void findCoordinator() throws Exception {
        recorder.exchange(ApiKeys.FIND_COORDINATOR, 0, "group", new FindCoordinatorRequestData().setKey("group"));
        recorder.exchange(ApiKeys.FIND_COORDINATOR, 3, "group", new FindCoordinatorRequestData().setKey("group"));
        recorder.exchange(ApiKeys.FIND_COORDINATOR, 6, "groups", new FindCoordinatorRequestData().setCoordinatorKeys(List.of("group", "other")));
        recorder.exchange(ApiKeys.FIND_COORDINATOR, 6, "none", new FindCoordinatorRequestData());
        recorder.exchange(ApiKeys.FIND_COORDINATOR, 3, "no-such-type", new FindCoordinatorRequestData().setKey("group").setKeyType((byte) 7));
        recorder.exchange(ApiKeys.FIND_COORDINATOR, 6, "no-such-type", new FindCoordinatorRequestData().setCoordinatorKeys(List.of("group")).setKeyType((byte) 7));
    }

    /** The same once the internal topic is there. */
    void coordinatorFound() throws Exception {
        FindCoordinatorRequestData request = new FindCoordinatorRequestData().setCoordinatorKeys(List.of("group", "other"));
        while (((FindCoordinatorResponseData) recorder.unrecorded(ApiKeys.FIND_COORDINATOR, 6, request)).coordinators().stream().anyMatch(c -> c.errorCode() != 0)) {
            script.applied();
        }
        recorder.exchange(ApiKeys.FIND_COORDINATOR, 0, "group-found", new FindCoordinatorRequestData().setKey("group"));
        recorder.exchange(ApiKeys.FIND_COORDINATOR, 6, "groups-found", request);
    }

    /** What ends the connection: versions and keys that do not exist, bodies that end early, sizes that cannot be. */
    void refused() throws Exception {
        byte[] good = recorder.frame(ApiKeys.METADATA, (short) 1, new MetadataRequestData().setTopics(List.of()));
        recorder.raw(ApiKeys.METADATA, 1, "refused-version-99", patched(good, 6, 99), 1);
        recorder.raw(ApiKeys.METADATA, 1, "refused-key-9999", patched(good, 4, 9999), 1);
        recorder.raw(ApiKeys.METADATA, 1, "refused-short-body", resized(good, good.length - 2), 1);
        recorder.raw(ApiKeys.METADATA, 1, "refused-size-negative", ByteBuffer.allocate(4).putInt(-1).array(), 1);
        recorder.raw(ApiKeys.METADATA, 1, "refused-size-huge", ByteBuffer.allocate(4).putInt(Integer.MAX_VALUE).array(), 1);
        recorder.raw(ApiKeys.METADATA, 1, "refused-size-zero", ByteBuffer.allocate(4).array(), 1);
        recorder.raw(ApiKeys.METADATA, 1, "trailing-bytes", resized(good, good.length + 3), 1);
    }

    private static byte[] patched(byte[] frame, int at, int value) {
        byte[] changed = frame.clone();
        ByteBuffer.wrap(changed).putShort(at, (short) value);
        return changed;
    }

    private static byte[] resized(byte[] frame, int length) {
        byte[] changed = java.util.Arrays.copyOf(frame, length);
        ByteBuffer.wrap(changed).putInt(length - 4);
        return changed;
    }

    private static CreatableTopic topic(String name, int partitions, int replicas, String... configs) {
        CreatableTopic topic = new CreatableTopic().setName(name).setNumPartitions(partitions).setReplicationFactor((short) replicas);
        for (int i = 0; i < configs.length; i += 2) {
            topic.configs().add(new CreatableTopicConfig().setName(configs[i]).setValue(configs[i + 1]));
        }
        return topic;
    }

    private static CreatableTopic assigned(String name, int... partitionsAndBrokers) {
        CreatableTopic topic = topic(name, -1, -1);
        for (int i = 0; i < partitionsAndBrokers.length; i += 2) {
            topic.assignments().add(new CreatableReplicaAssignment().setPartitionIndex(partitionsAndBrokers[i]).setBrokerIds(List.of(partitionsAndBrokers[i + 1])));
        }
        return topic;
    }

    private void create(int version, String name, boolean validateOnly, CreatableTopic... topics) throws Exception {
        CreatableTopicCollection collection = new CreatableTopicCollection();
        for (CreatableTopic topic : topics) {
            collection.add(topic);
        }
        recorder.exchange(ApiKeys.CREATE_TOPICS, version, name, new CreateTopicsRequestData().setTopics(collection).setTimeoutMs(TIMEOUT_MS).setValidateOnly(validateOnly));
    }

    private static MetadataRequestData named(boolean create, String... names) {
        List<MetadataRequestTopic> topics = new ArrayList<>();
        for (String name : names) {
            topics.add(new MetadataRequestTopic().setName(name));
        }
        return new MetadataRequestData().setTopics(topics).setAllowAutoTopicCreation(create);
    }

    private static CreatePartitionsTopic more(String name, int count, Integer... brokers) {
        CreatePartitionsTopic topic = new CreatePartitionsTopic().setName(name).setCount(count).setAssignments(null);
        if (brokers.length > 0) {
            topic.setAssignments(List.of(new CreatePartitionsAssignment().setBrokerIds(List.of(brokers))));
        }
        return topic;
    }

    private void partitions(int version, String name, boolean validateOnly, CreatePartitionsTopic... topics) throws Exception {
        CreatePartitionsTopicCollection collection = new CreatePartitionsTopicCollection();
        for (CreatePartitionsTopic topic : topics) {
            collection.add(topic);
        }
        recorder.exchange(ApiKeys.CREATE_PARTITIONS, version, name, new CreatePartitionsRequestData().setTopics(collection).setTimeoutMs(TIMEOUT_MS).setValidateOnly(validateOnly));
    }

    private void describePartitions(String name, int limit, Cursor cursor, String... topics) throws Exception {
        List<TopicRequest> wanted = new ArrayList<>();
        for (String topic : topics) {
            wanted.add(new TopicRequest().setName(topic));
        }
        recorder.exchange(ApiKeys.DESCRIBE_TOPIC_PARTITIONS, 0, name, new DescribeTopicPartitionsRequestData().setTopics(wanted).setResponsePartitionLimit(limit).setCursor(cursor));
    }

    private static DescribeConfigsResource resource(byte type, String name, List<String> keys) {
        return new DescribeConfigsResource().setResourceType(type).setResourceName(name).setConfigurationKeys(keys);
    }

    private void describe(int version, String name, boolean synonyms, DescribeConfigsResource... resources) throws Exception {
        recorder.exchange(ApiKeys.DESCRIBE_CONFIGS, version, name, new DescribeConfigsRequestData().setResources(List.of(resources)).setIncludeSynonyms(synonyms));
    }

    /** `changes` are triples of key, operation, value. */
    private void incremental(int version, String name, boolean validateOnly, String topic, Object... changes) throws Exception {
        IncrementalAlterConfigsRequestData.AlterConfigsResource resource = new IncrementalAlterConfigsRequestData.AlterConfigsResource().setResourceType(TOPIC).setResourceName(topic);
        for (int i = 0; i < changes.length; i += 3) {
            resource.configs().add(new IncrementalAlterConfigsRequestData.AlterableConfig().setName((String) changes[i]).setConfigOperation((byte) changes[i + 1]).setValue((String) changes[i + 2]));
        }
        IncrementalAlterConfigsRequestData request = new IncrementalAlterConfigsRequestData().setValidateOnly(validateOnly);
        request.resources().add(resource);
        recorder.exchange(ApiKeys.INCREMENTAL_ALTER_CONFIGS, version, name, request);
    }

    private void alter(int version, String name, boolean validateOnly, String topic, String... configs) throws Exception {
        AlterConfigsRequestData.AlterConfigsResource resource = new AlterConfigsRequestData.AlterConfigsResource().setResourceType(TOPIC).setResourceName(topic);
        for (int i = 0; i < configs.length; i += 2) {
            resource.configs().add(new AlterConfigsRequestData.AlterableConfig().setName(configs[i]).setValue(configs[i + 1]));
        }
        AlterConfigsRequestData request = new AlterConfigsRequestData().setValidateOnly(validateOnly);
        request.resources().add(resource);
        recorder.exchange(ApiKeys.ALTER_CONFIGS, version, name, request);
    }

    private void delete(String name, DeleteTopicState... topics) throws Exception {
        recorder.exchange(ApiKeys.DELETE_TOPICS, 6, name, new DeleteTopicsRequestData().setTimeoutMs(TIMEOUT_MS).setTopics(List.of(topics)));
    }
}

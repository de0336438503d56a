import org.apache.kafka.clients.CommonClientConfigs;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.message.OffsetCommitRequestData;
import org.apache.kafka.common.message.OffsetCommitRequestData.OffsetCommitRequestPartition;
import org.apache.kafka.common.message.OffsetCommitRequestData.OffsetCommitRequestTopic;
import org.apache.kafka.common.message.OffsetCommitResponseData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.coordinator.group.GroupCoordinatorRecordSerde;
import org.apache.kafka.coordinator.group.generated.CoordinatorRecordJsonConverters;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.BooleanSupplier;

/**
 * Drives groups of every kind and keeps what the broker then has in __consumer_offsets: java GroupScript <port> <file> <name of the broker>.
 * Offsets are committed without consuming; no record is needed for that.
 */
final class GroupScript {
    private static final Duration POLL = Duration.ofMillis(100);
    private static final int SETTLED_WITHIN_MS = 30_000;
    private static final int TIMEOUT_MS = 10_000;

    private final int port;
    private final Admin admin;

    private GroupScript(int port, Admin admin) {
        this.port = port;
        this.admin = admin;
    }

    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[0]);
        try (Admin admin = Admin.create(Map.of(AdminClientConfig.BOOTSTRAP_SERVERS_CONFIG, "127.0.0.1:" + port))) {
            GroupScript script = new GroupScript(port, admin);
            admin.createTopics(List.of(topic("orders", 3), topic("orders-eu", 1), topic("payments", 2))).all().get();
            script.classic();
            script.expiring();
            script.consumer();
            script.regex();
            script.upgrade();
            script.deletions();
            InternalTopic topic = new InternalTopic("__consumer_offsets", new GroupCoordinatorRecordSerde(),
                CoordinatorRecordJsonConverters::writeRecordKeyAsJson, CoordinatorRecordJsonConverters::writeRecordValueAsJson);
            topic.write(topic.read(port), Path.of(arguments[1]), arguments[2]);
        }
    }

    private static NewTopic topic(String name, int partitions) {
        return new NewTopic(name, partitions, (short) 1);
    }

    /** Two members, one of them static, commits with and without metadata and epoch; then all leave, and the group is empty. */
    private void classic() throws Exception {
        try (Consumer<byte[], byte[]> one = member("classic", "classic", ConsumerConfig.CLIENT_ID_CONFIG, "one");
             Consumer<byte[], byte[]> two = member("classic", "classic", ConsumerConfig.GROUP_INSTANCE_ID_CONFIG, "static-two", ConsumerConfig.CLIENT_RACK_CONFIG, "rack")) {
            one.subscribe(List.of("orders"));
            two.subscribe(List.of("orders", "payments"));
            until(() -> one.assignment().size() + two.assignment().size() == 5 && !one.assignment().isEmpty(), one, two);
            commit(one, 7, Optional.of(0), "after the first");
            commit(two, 1L << 40, Optional.empty(), "");
            commit(two, 3, Optional.of(5), "Grüße, 日本 😀");
        }
        // a static member stays until it is removed
        admin.removeMembersFromConsumerGroup("classic", new RemoveMembersFromConsumerGroupOptions(Set.of(new MemberToRemove("static-two")))).all().get();
    }

    /** Offsets of a group without members, by the versions of OffsetCommit that carry a retention, and by the admin client. */
    private void expiring() throws Exception {
        Recorder recorder = new Recorder(port, Path.of("unused"));
        for (long retention : new long[] {-1, 3_600_000}) {
            OffsetCommitRequestPartition partition = new OffsetCommitRequestPartition().setPartitionIndex(retention < 0 ? 0 : 1).setCommittedOffset(42).setCommittedMetadata("m");
            OffsetCommitRequestData request = new OffsetCommitRequestData().setGroupId("expiring").setRetentionTimeMs(retention)
                .setTopics(List.of(new OffsetCommitRequestTopic().setName("orders").setPartitions(List.of(partition))));
            OffsetCommitResponseData reply = (OffsetCommitResponseData) recorder.unrecorded(ApiKeys.OFFSET_COMMIT, 2, request);
            if (reply.topics().get(0).partitions().get(0).errorCode() != 0) {
                throw new IOException("not committed: " + reply);
            }
        }
        admin.alterConsumerGroupOffsets("simple", Map.of(new TopicPartition("payments", 1), new OffsetAndMetadata(5, Optional.of(0), "by the admin"))).all().get();
    }

    /** KIP-848: a member alone, a static second one that makes it give partitions up, commits, and both leave. */
    private void consumer() throws Exception {
        try (Consumer<byte[], byte[]> one = member("modern", "consumer", ConsumerConfig.CLIENT_RACK_CONFIG, "rack-a", ConsumerConfig.GROUP_REMOTE_ASSIGNOR_CONFIG, "range")) {
            one.subscribe(List.of("payments", "orders"));
            until(() -> one.assignment().size() == 5, one);
            try (Consumer<byte[], byte[]> two = member("modern", "consumer", ConsumerConfig.GROUP_INSTANCE_ID_CONFIG, "static-two", ConsumerConfig.GROUP_REMOTE_ASSIGNOR_CONFIG, "range")) {
                two.subscribe(List.of("orders"));
                until(() -> one.assignment().size() + two.assignment().size() == 5 && !two.assignment().isEmpty(), one, two);
                commit(one, 11, Optional.of(0), "");
                commit(two, 12, Optional.empty(), "from two");
            }
        }
    }

    private void regex() throws Exception {
        try (Consumer<byte[], byte[]> one = member("regex", "consumer")) {
            one.subscribe(new SubscriptionPattern("orders.*"));
            until(() -> one.assignment().size() == 4, one);
            commit(one, 1, Optional.of(0), "");
        }
    }

    /** A classic group is joined by a consumer of the new protocol, and then left by its last classic member; and the way back. */
    private void upgrade() throws Exception {
        try (Consumer<byte[], byte[]> old = member("upgraded", "classic")) {
            old.subscribe(List.of("orders"));
            until(() -> old.assignment().size() == 3, old);
            try (Consumer<byte[], byte[]> young = member("upgraded", "consumer")) {
                young.subscribe(List.of("orders"));
                until(() -> old.assignment().size() + young.assignment().size() == 3 && !young.assignment().isEmpty(), old, young);
                commit(young, 2, Optional.of(0), "");
                commit(old, 3, Optional.of(0), "");
            }
            until(() -> old.assignment().size() == 3, old);
        }
    }

    private void deletions() throws Exception {
        admin.deleteConsumerGroupOffsets("classic", Set.of(new TopicPartition("payments", 0))).all().get();
        for (String group : new String[] {"simple", "regex"}) {
            until(() -> deleted(group));
        }
    }

    /** A group whose member has just left may not be empty yet. */
    private boolean deleted(String group) {
        try {
            admin.deleteConsumerGroups(List.of(group)).all().get();
            return true;
        } catch (Exception notYet) {
            return false;
        }
    }

    private Consumer<byte[], byte[]> member(String group, String protocol, String... more) {
        Map<String, Object> configs = client();
        configs.put(ConsumerConfig.GROUP_ID_CONFIG, group);
        configs.put(ConsumerConfig.GROUP_PROTOCOL_CONFIG, protocol);
        configs.put(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, false);
        if (protocol.equals("classic")) {
            // the assignor that can be upgraded online
            configs.put(ConsumerConfig.PARTITION_ASSIGNMENT_STRATEGY_CONFIG, "org.apache.kafka.clients.consumer.CooperativeStickyAssignor,org.apache.kafka.clients.consumer.RangeAssignor");
            configs.put(ConsumerConfig.HEARTBEAT_INTERVAL_MS_CONFIG, 300);
        }
        for (int i = 0; i < more.length; i += 2) {
            configs.put(more[i], more[i + 1]);
        }
        return new KafkaConsumer<>(configs);
    }

    private Map<String, Object> client() {
        Map<String, Object> configs = new LinkedHashMap<>();
        configs.put(CommonClientConfigs.BOOTSTRAP_SERVERS_CONFIG, "127.0.0.1:" + port);
        configs.put(ConsumerConfig.KEY_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class);
        configs.put(ConsumerConfig.VALUE_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class);
        return configs;
    }

    private static void commit(Consumer<byte[], byte[]> consumer, long offset, Optional<Integer> epoch, String metadata) {
        Map<TopicPartition, OffsetAndMetadata> offsets = new LinkedHashMap<>();
        consumer.assignment().forEach(partition -> offsets.put(partition, new OffsetAndMetadata(offset, epoch, metadata)));
        consumer.commitSync(offsets, Duration.ofMillis(TIMEOUT_MS));
    }

    @SafeVarargs
    private static void until(BooleanSupplier settled, Consumer<byte[], byte[]>... consumers) throws Exception {
        long deadline = System.currentTimeMillis() + SETTLED_WITHIN_MS;
        while (!settled.getAsBoolean()) {
            if (System.currentTimeMillis() > deadline) {
                throw new IOException("not settled: " + Arrays.stream(consumers).map(Consumer::assignment).toList());
            }
            for (Consumer<byte[], byte[]> consumer : consumers) {
                consumer.poll(POLL);
            }
            Thread.sleep(POLL.toMillis());
        }
    }
}

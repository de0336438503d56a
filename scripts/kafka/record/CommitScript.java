import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.OffsetCommitRequestData;
import org.apache.kafka.common.message.OffsetCommitRequestData.OffsetCommitRequestPartition;
import org.apache.kafka.common.message.OffsetCommitRequestData.OffsetCommitRequestTopic;
import org.apache.kafka.common.message.OffsetDeleteRequestData;
import org.apache.kafka.common.message.OffsetDeleteRequestData.OffsetDeleteRequestPartition;
import org.apache.kafka.common.message.OffsetDeleteRequestData.OffsetDeleteRequestTopic;
import org.apache.kafka.common.message.OffsetFetchRequestData;
import org.apache.kafka.common.message.OffsetFetchRequestData.OffsetFetchRequestGroup;
import org.apache.kafka.common.message.OffsetFetchRequestData.OffsetFetchRequestTopic;
import org.apache.kafka.common.message.OffsetFetchRequestData.OffsetFetchRequestTopics;
import org.apache.kafka.common.protocol.ApiKeys;

import java.util.ArrayList;
import java.util.List;

/** Offsets that are committed, fetched and deleted: every version of OffsetCommit and OffsetFetch, and OffsetDelete. */
final class CommitScript {
    private static final String TOPIC = ClassicGroupScript.TOPIC;
    private static final String OTHER = "grouped-other";
    private static final String NO_SUCH_TOPIC = "no-such-topic";
    private static final Uuid NO_SUCH_ID = new Uuid(0x0123456789abcdefL, 0x0123456789abcdefL);
    private static final int LAST = 10;
    private static final int WITH_IDS = 10;

    private final Script script;
    private final Recorder recorder;

    CommitScript(Script script) {
        this.script = script;
        this.recorder = script.recorder;
    }

    void commits() throws Exception {
        for (int version = 2; version <= LAST; version++) {
            String group = "commits-" + version;
            commit(version, "good", request(group, -1, "", topic(TOPIC, partition(0, 10, "note"), partition(1, 11, null)), topic(OTHER, partition(0, 12, "")))
                .setRetentionTimeMs(version < 5 ? 3_600_000 : -1));
            commit(version, "again", request(group, -1, "", topic(TOPIC, partition(0, 5, "back"))));
            commit(version, "unknown", request(group, -1, "", topic(TOPIC, partition(0, 6, null), partition(99, 1, null), partition(-1, 1, null)), topic(NO_SUCH_TOPIC, partition(0, 1, null))));
            commit(version, "metadata-too-large", request(group, -1, "", topic(TOPIC, partition(0, 7, "m".repeat(4097)), partition(1, 13, "m".repeat(4096)))));
            commit(version, "empty-group-id", request("", -1, "", topic(TOPIC, partition(0, 1, null))));
            commit(version, "unseen-member", request(group, 3, "nobody", topic(TOPIC, partition(0, 1, null))));
            commit(version, "unseen-group", request("never-seen", 3, "nobody", topic(TOPIC, partition(0, 1, null))));
            commit(version, "unseen-without-generation", request("made-by-commit", -1, "nobody", topic(TOPIC, partition(0, 1, null))));
            commit(version, "nothing", request(group, -1, ""));
            if (version >= 7) {
                commit(version, "unseen-instance", request(group, -1, "", topic(TOPIC, partition(0, 1, null))).setGroupInstanceId("instance"));
            }
        }
        commit(9, "negative", request("negative", -1, "", topic(TOPIC, partition(0, -1, null), partition(1, -5, null))));
        commit(9, "same-partition-twice", request("twice", -1, "", topic(TOPIC, partition(0, 1, null), partition(0, 2, null)), topic(TOPIC, partition(1, 3, null))));
    }

    void fetches() throws Exception {
        for (int version = 1; version <= LAST; version++) {
            String group = "commits-" + Math.max(version, 2);
            fetch(version, "good", group);
            fetch(version, "unseen", "never-seen");
            fetch(version, "empty-group-id", "");
            exchange(version, "unknown", false, group(version, group, topic(version, TOPIC, 0, 99), topic(version, NO_SUCH_TOPIC, 0)));
            exchange(version, "nothing", false, group(version, group).setTopics(new ArrayList<>()));
            if (version >= 2) {
                exchange(version, "all", false, all(group));
                exchange(version, "all-unseen", false, all("never-seen"));
            }
            if (version >= 7) {
                exchange(version, "stable", true, all(group));
            }
            if (version >= 8) {
                exchange(version, "several", false, group(version, group, topic(version, TOPIC, 1)), all("never-seen"), group(version, "twice", topic(version, TOPIC, 0, 1)), all(""));
            }
            if (version >= 9) {
                exchange(version, "nobody", false, all(group).setMemberId("nobody").setMemberEpoch(3));
                exchange(version, "unseen-nobody", false, all("never-seen").setMemberId("nobody").setMemberEpoch(3));
            }
        }
        recorder.exchange(ApiKeys.OFFSET_FETCH, 8, "no-groups", new OffsetFetchRequestData());
    }

    void deletes() throws Exception {
        delete("good", "commits-3", TOPIC);
        fetch(9, "after-delete", "commits-3");
        delete("again", "commits-3", TOPIC);
        delete("unknown-topic", "commits-3", NO_SUCH_TOPIC);
        delete("unseen", "never-seen", TOPIC);
        delete("empty-group-id", "", TOPIC);
        delete("nothing", "commits-3");
    }

    /** Partitions 0 and 2 of the topic, as a member. */
    void commit(int version, String name, String group, int generation, String member) throws Exception {
        commit(version, name, request(group, generation, member, topic(TOPIC, partition(0, 20 + version, "by a member"), partition(2, 30 + version, null))));
    }

    /** The offsets of three partitions of the topic. */
    void fetch(int version, String name, String group) throws Exception {
        exchange(version, name, false, group(version, group, topic(version, TOPIC, 0, 1, 2)));
    }

    /** All offsets, as a member of a consumer group. */
    void fetchAs(int version, String name, String group, String member, int epoch) throws Exception {
        exchange(version, name, false, all(group).setMemberId(member).setMemberEpoch(epoch));
    }

    void delete(String name, String group, String... topics) throws Exception {
        OffsetDeleteRequestData request = new OffsetDeleteRequestData().setGroupId(group);
        for (String topic : topics) {
            request.topics().add(new OffsetDeleteRequestTopic().setName(topic).setPartitions(List.of(
                new OffsetDeleteRequestPartition().setPartitionIndex(0), new OffsetDeleteRequestPartition().setPartitionIndex(99))));
        }
        recorder.exchange(ApiKeys.OFFSET_DELETE, 0, name, request);
    }

    private void commit(int version, String name, OffsetCommitRequestData request) throws Exception {
        recorder.exchange(ApiKeys.OFFSET_COMMIT, version, name, request);
    }

    private static OffsetCommitRequestData request(String group, int generation, String member, OffsetCommitRequestTopic... topics) {
        return new OffsetCommitRequestData().setGroupId(group).setGenerationIdOrMemberEpoch(generation).setMemberId(member).setTopics(List.of(topics));
    }

    /** Which of the two identities goes out is the version's choice. */
    private OffsetCommitRequestTopic topic(String name, OffsetCommitRequestPartition... partitions) {
        return new OffsetCommitRequestTopic().setName(name).setTopicId(id(name)).setPartitions(List.of(partitions));
    }

    private static OffsetCommitRequestPartition partition(int index, long offset, String metadata) {
        return new OffsetCommitRequestPartition().setPartitionIndex(index).setCommittedOffset(offset).setCommittedLeaderEpoch(0).setCommittedMetadata(metadata);
    }

    private static OffsetFetchRequestGroup all(String group) {
        return new OffsetFetchRequestGroup().setGroupId(group).setTopics(null);
    }

    private static OffsetFetchRequestGroup group(int version, String group, OffsetFetchRequestTopics... topics) {
        return new OffsetFetchRequestGroup().setGroupId(group).setTopics(List.of(topics));
    }

    private OffsetFetchRequestTopics topic(int version, String name, Integer... partitions) {
        return new OffsetFetchRequestTopics().setName(name).setTopicId(id(name)).setPartitionIndexes(List.of(partitions));
    }

    private Uuid id(String topic) {
        return topic.equals(NO_SUCH_TOPIC) ? NO_SUCH_ID : script.id(topic);
    }

    /** Before version 8 a request is of one group, which stands in the request itself. */
    private void exchange(int version, String name, boolean stable, OffsetFetchRequestGroup... groups) throws Exception {
        OffsetFetchRequestData request = new OffsetFetchRequestData().setRequireStable(stable);
        if (version >= 8) {
            request.setGroups(List.of(groups));
        } else {
            request.setGroupId(groups[0].groupId()).setTopics(groups[0].topics() == null ? null : groups[0].topics().stream()
                .map(topic -> new OffsetFetchRequestTopic().setName(topic.name()).setPartitionIndexes(topic.partitionIndexes())).toList());
        }
        recorder.exchange(ApiKeys.OFFSET_FETCH, version, name, request);
    }
}

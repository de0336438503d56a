import org.apache.kafka.common.message.ConsumerGroupDescribeRequestData;
import org.apache.kafka.common.message.ConsumerGroupHeartbeatRequestData;
import org.apache.kafka.common.message.ConsumerGroupHeartbeatRequestData.TopicPartitions;
import org.apache.kafka.common.message.ConsumerGroupHeartbeatResponseData;
import org.apache.kafka.common.message.DeleteGroupsRequestData;
import org.apache.kafka.common.message.DescribeGroupsRequestData;
import org.apache.kafka.common.message.JoinGroupRequestData;
import org.apache.kafka.common.message.JoinGroupRequestData.JoinGroupRequestProtocol;
import org.apache.kafka.common.protocol.ApiKeys;

import java.util.List;

/** Groups whose assignments the broker makes (KIP-848): one member, its epochs, and how it is described. */
final class ConsumerGroupScript {
    private static final String TOPIC = ClassicGroupScript.TOPIC;
    private static final String OTHER = "grouped-other";
    private static final int REBALANCE_MS = 60_000;
    private static final int LEAVE = -1;
    private static final int LEAVE_FOR_A_WHILE = -2;

    private final Script script;
    private final Recorder recorder;
    private final CommitScript commits;

    ConsumerGroupScript(Script script, CommitScript commits) {
        this.script = script;
        this.recorder = script.recorder;
        this.commits = commits;
    }

    void conversations() throws Exception {
        for (int version = 0; version <= 1; version++) {
            String group = "consumer-" + version;
            // From version 1 on a member makes its id itself (KIP-1082).
            ConsumerGroupHeartbeatResponseData reply = beat(version, "join", joining(group, version == 0 ? "" : "made-by-the-client"));
            String member = reply.memberId();
            int epoch = reply.memberEpoch();
            alive(version, group, member, epoch);
            epoch = resubscribed(version, group, member, epoch);
            beside(version, group, member, epoch);
            left(version, group, member);
        }
    }

    private void alive(int version, String group, String member, int epoch) throws Exception {
        describe(version, "joined", group);
        beat(version, "owning", same(group, member, epoch).setTopicPartitions(List.of(owned(TOPIC, 0, 1, 2))));
        beat(version, "nothing-new", same(group, member, epoch));
        describe(version, "stable", group);
        beat(version, "epoch-ahead", same(group, member, epoch + 7));
        beat(version, "nobody", same(group, "nobody", epoch));
        beat(version, "no-such-group", same("never-seen", "nobody", epoch));
    }

    private int resubscribed(int version, String group, String member, int epoch) throws Exception {
        int next = beat(version, "subscribe-more", same(group, member, epoch).setSubscribedTopicNames(List.of(TOPIC, OTHER))).memberEpoch();
        beat(version, "own-more", same(group, member, next).setTopicPartitions(List.of(owned(TOPIC, 0, 1, 2), owned(OTHER, 0))));
        beat(version, "epoch-before", same(group, member, epoch));
        describe(version, "resubscribed", group);
        return next;
    }

    /** The other APIs, asked of such a group. */
    private void beside(int version, String group, String member, int epoch) throws Exception {
        for (int commit = 9; commit <= 10; commit++) {
            commits.commit(commit, group + "-member", group, epoch, member);
            commits.commit(commit, group + "-epoch-before", group, epoch - 1, member);
            commits.commit(commit, group + "-nobody", group, epoch, "nobody");
            commits.commit(commit, group + "-without-member", group, -1, "");
            commits.fetchAs(commit, group + "-member", group, member, epoch);
            commits.fetchAs(commit, group + "-epoch-before", group, member, epoch - 1);
            commits.fetchAs(commit, group + "-nobody", group, "nobody", epoch);
            commits.fetch(commit, group + "-without-member", group);
        }
        commits.commit(8, group + "-member", group, epoch, member);
        commits.delete(group + "-subscribed", group, TOPIC);
        recorder.exchange(ApiKeys.DELETE_GROUPS, 2, group + "-not-empty", new DeleteGroupsRequestData().setGroupsNames(List.of(group)));
        for (int classic = 5; classic <= 6; classic++) {
            recorder.exchange(ApiKeys.DESCRIBE_GROUPS, classic, group, new DescribeGroupsRequestData().setGroups(List.of(group)));
        }
        JoinGroupRequestData join = new JoinGroupRequestData().setGroupId(group).setSessionTimeoutMs(30_000).setProtocolType("connect");
        join.protocols().add(new JoinGroupRequestProtocol().setName("range").setMetadata(new byte[0]));
        recorder.exchange(ApiKeys.JOIN_GROUP, 9, group + "-other-type", join);
    }

    private void left(int version, String group, String member) throws Exception {
        beat(version, "leave", same(group, member, LEAVE));
        beat(version, "after-leave", same(group, member, 1));
        describe(version, "empty", group);
        beat(version, "static-join", joining(group, version == 0 ? "" : "first-life").setInstanceId("instance"));
        describe(version, "static", group);
        beat(version, "instance-taken", joining(group, version == 0 ? "" : "second-life").setInstanceId("instance"));
    }

    /** A static member that goes away for a while is replaced by whoever brings its name. */
    void staticMembers() throws Exception {
        ConsumerGroupHeartbeatResponseData joined = beat(1, "instance-first", joining("instances", "first-life").setInstanceId("instance"));
        beat(1, "instance-for-a-while", same("instances", "first-life", LEAVE_FOR_A_WHILE).setInstanceId("instance"));
        describe(1, "instance-away", "instances");
        beat(1, "instance-second", joining("instances", "second-life").setInstanceId("instance"));
        beat(1, "instance-fenced", same("instances", "first-life", joined.memberEpoch()).setInstanceId("instance"));
        beat(1, "instance-unknown", same("instances", "second-life", joined.memberEpoch()).setInstanceId("other"));
        beat(1, "instance-leaves", same("instances", "second-life", LEAVE).setInstanceId("instance"));
        describe(1, "instance-left", "instances");
    }

    void refused() throws Exception {
        for (int version = 0; version <= 1; version++) {
            beat(version, "empty-group-id", joining("", "member"));
            beat(version, "blank-group-id", joining("  ", "member"));
            beat(version, "no-subscription", joining("never-seen", "member").setSubscribedTopicNames(null));
            beat(version, "no-timeout", joining("never-seen", "member").setRebalanceTimeoutMs(-1));
            beat(version, "owning-at-once", joining("never-seen", "member").setTopicPartitions(List.of(owned(TOPIC, 0))));
            beat(version, "no-such-epoch", same("never-seen", "member", -3));
            beat(version, "no-such-assignor", joining("never-seen", "member").setServerAssignor("best"));
            beat(version, "empty-instance", joining("never-seen", "member").setInstanceId(""));
            beat(version, "empty-rack", joining("never-seen", "member").setRackId(""));
            beat(version, "away-without-instance", same("never-seen", "member", LEAVE_FOR_A_WHILE));
            beat(version, "empty-member-alive", same("never-seen", "", 3));
            beat(version, "leave-unseen", same("never-seen", "member", LEAVE));
            describe(version, "unseen", "never-seen", "");
            describe(version, "classic", "static-5");
            describe(version, "several", "instances", "never-seen");
            recorder.exchange(ApiKeys.CONSUMER_GROUP_DESCRIBE, version, "authorized-operations",
                new ConsumerGroupDescribeRequestData().setGroupIds(List.of("instances")).setIncludeAuthorizedOperations(true));
        }
        beat(1, "empty-member", joining("never-seen", ""));
        beat(1, "bad-regex", joining("never-seen", "member").setSubscribedTopicNames(null).setSubscribedTopicRegex("(("));
    }

    private static ConsumerGroupHeartbeatRequestData joining(String group, String member) {
        return same(group, member, 0).setRebalanceTimeoutMs(REBALANCE_MS).setSubscribedTopicNames(List.of(TOPIC)).setTopicPartitions(List.of());
    }

    private static ConsumerGroupHeartbeatRequestData same(String group, String member, int epoch) {
        return new ConsumerGroupHeartbeatRequestData().setGroupId(group).setMemberId(member).setMemberEpoch(epoch);
    }

    private TopicPartitions owned(String topic, Integer... partitions) {
        return new TopicPartitions().setTopicId(script.id(topic)).setPartitions(List.of(partitions));
    }

    private ConsumerGroupHeartbeatResponseData beat(int version, String name, ConsumerGroupHeartbeatRequestData request) throws Exception {
        return (ConsumerGroupHeartbeatResponseData) recorder.exchange(ApiKeys.CONSUMER_GROUP_HEARTBEAT, version, name, request);
    }

    private void describe(int version, String name, String... groups) throws Exception {
        recorder.exchange(ApiKeys.CONSUMER_GROUP_DESCRIBE, version, name, new ConsumerGroupDescribeRequestData().setGroupIds(List.of(groups)));
    }
}

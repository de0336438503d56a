import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.ConsumerGroupHeartbeatRequestData;
import org.apache.kafka.common.message.ConsumerGroupHeartbeatRequestData.TopicPartitions;
import org.apache.kafka.common.message.ConsumerGroupHeartbeatResponseData;
import org.apache.kafka.common.message.HeartbeatRequestData;
import org.apache.kafka.common.message.HeartbeatResponseData;
import org.apache.kafka.common.message.JoinGroupRequestData;
import org.apache.kafka.common.message.JoinGroupRequestData.JoinGroupRequestProtocol;
import org.apache.kafka.common.message.JoinGroupResponseData;
import org.apache.kafka.common.message.OffsetCommitRequestData;
import org.apache.kafka.common.message.OffsetCommitRequestData.OffsetCommitRequestPartition;
import org.apache.kafka.common.message.OffsetCommitRequestData.OffsetCommitRequestTopic;
import org.apache.kafka.common.message.OffsetCommitResponseData;
import org.apache.kafka.common.message.OffsetFetchRequestData;
import org.apache.kafka.common.message.OffsetFetchRequestData.OffsetFetchRequestGroup;
import org.apache.kafka.common.message.OffsetFetchRequestData.OffsetFetchRequestTopics;
import org.apache.kafka.common.message.OffsetFetchResponseData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.Errors;

import java.util.List;
import java.util.stream.Collectors;

/** What the coordinator answers to heartbeats of the consumer protocol that are wrong, late or early, and to commits and fetches by them. */
final class RawConsumerStory implements Story {
    private static final String MEMBER = "0123456789abcdefghijkl";

    private String topic;
    private String group;
    private Transcript transcript;
    private Wire wire;

    @Override
    public void tell(Cluster cluster, String name, Transcript transcript) throws Exception {
        topic = name;
        group = name + ".group";
        this.transcript = transcript;
        cluster.create(topic, 2);
        // the Admin client waits until the group has a coordinator
        cluster.committed(group);
        try (Wire opened = cluster.wire("raw")) {
            wire = opened;
            refusedJoins();
            int epoch = member();
            epochs(epoch);
            offsets(epoch);
            classicRequests();
            leave();
            staticMembers();
        }
    }

    private void refusedJoins() {
        say("no group", join().setGroupId(""));
        say("no member id", join().setMemberId(""));
        say("no rebalance timeout", join().setRebalanceTimeoutMs(-1));
        say("no topics named", join().setSubscribedTopicNames(null));
        say("no partitions named", join().setTopicPartitions(null));
        say("partitions at hand", join().setTopicPartitions(List.of(new TopicPartitions().setTopicId(Uuid.randomUuid()).setPartitions(List.of(0)))));
        say("empty instance id", join().setInstanceId(""));
        say("empty rack", join().setRackId(""));
        say("empty assignor", join().setServerAssignor(""));
        say("unknown assignor", join().setServerAssignor("nonesuch"));
        say("bad pattern", join().setSubscribedTopicRegex("["));
        say("epoch -3", join().setMemberEpoch(-3));
        say("epoch -2 without an instance id", join().setMemberEpoch(-2));
        say("group is unknown, epoch 1", heartbeat(1));
        say("group is unknown, epoch -1", heartbeat(-1));
    }

    private int member() throws Exception {
        ConsumerGroupHeartbeatResponseData joined = send(join());
        transcript.say("joins: " + show(joined));
        int epoch = joined.memberEpoch();
        transcript.say("heartbeats: " + show(send(heartbeat(epoch))) + ", epoch stays: " + (send(heartbeat(epoch)).memberEpoch() == epoch));
        ConsumerGroupHeartbeatResponseData all = send(join().setMemberEpoch(epoch));
        transcript.say("tells everything again: " + show(all));
        return epoch;
    }

    private void epochs(int epoch) {
        say("epoch too high", heartbeat(epoch + 1));
        say("another member", heartbeat(epoch).setMemberId("m".repeat(22)));
        say("pattern gone bad", heartbeat(epoch).setSubscribedTopicRegex("["));
        say("partitions it does not have", heartbeat(epoch).setTopicPartitions(List.of(new TopicPartitions().setTopicId(Uuid.randomUuid()).setPartitions(List.of(7)))));
    }

    private void offsets(int epoch) {
        transcript.say("commit: " + commit(MEMBER, epoch, 0) + ", epoch too high: " + commit(MEMBER, epoch + 1, 0) + ", too low: " + commit(MEMBER, epoch - 1, 0)
            + ", unknown member: " + commit("nobody", epoch, 0) + ", none: " + commit("", -1, 0) + ", unknown partition: " + commit(MEMBER, epoch, 5));
        transcript.say("fetch: " + fetch(MEMBER, epoch) + ", epoch too high: " + fetch(MEMBER, epoch + 1) + ", too low: " + fetch(MEMBER, epoch - 1)
            + ", unknown member: " + fetch("nobody", epoch) + ", none: " + fetch(null, -1));
    }

    /** Requests of the classic protocol to a group of the other one. */
    private void classicRequests() {
        HeartbeatRequestData heartbeat = new HeartbeatRequestData().setGroupId(group).setMemberId(MEMBER).setGenerationId(1);
        transcript.say("classic heartbeat: " + Errors.forCode(((HeartbeatResponseData) wire.mustCall(ApiKeys.HEARTBEAT, 4, heartbeat)).errorCode()));
        for (String type : List.of("connect", "consumer")) {
            JoinGroupRequestData join = new JoinGroupRequestData().setGroupId(group).setMemberId("").setProtocolType(type).setSessionTimeoutMs(30_000).setRebalanceTimeoutMs(30_000);
            join.protocols().add(new JoinGroupRequestProtocol().setName("range").setMetadata(new byte[] {1, 2, 3}));
            JoinGroupResponseData joined = (JoinGroupResponseData) wire.mustCall(ApiKeys.JOIN_GROUP, 9, join);
            transcript.say("classic join, type " + type + ": " + Errors.forCode(joined.errorCode()));
        }
    }

    private void leave() {
        say("leaves", heartbeat(-1));
        say("leaves again", heartbeat(-1));
        say("heartbeats afterwards", heartbeat(1));
    }

    private void staticMembers() {
        String other = "x".repeat(22);
        ConsumerGroupHeartbeatResponseData joined = send(join().setInstanceId("i"));
        transcript.say("static member joins: " + show(joined));
        int epoch = joined.memberEpoch();
        say("another one of its name", join().setInstanceId("i").setMemberId(other));
        say("unknown instance", heartbeat(epoch).setInstanceId("j"));
        say("heartbeat with another id", heartbeat(epoch).setInstanceId("i").setMemberId(other));
        say("leaves for a while", heartbeat(-2).setInstanceId("i"));
        say("another one of its name", join().setInstanceId("i").setMemberId(other));
        say("the first one heartbeats", heartbeat(epoch).setInstanceId("i"));
        say("the second one leaves", heartbeat(-1).setInstanceId("i").setMemberId(other));
    }

    private void say(String what, ConsumerGroupHeartbeatRequestData request) {
        transcript.say(what + ": " + show(send(request)));
    }

    private ConsumerGroupHeartbeatResponseData send(ConsumerGroupHeartbeatRequestData request) {
        return (ConsumerGroupHeartbeatResponseData) wire.mustCall(ApiKeys.CONSUMER_GROUP_HEARTBEAT, 1, request);
    }

    /** Partitions alone: which topic, the story knows. */
    private static String show(ConsumerGroupHeartbeatResponseData reply) {
        if (reply.errorCode() != 0) {
            return Errors.forCode(reply.errorCode()).toString();
        }
        String assigned = reply.assignment() == null ? "no news"
            : reply.assignment().topicPartitions().stream().map(t -> t.partitions().stream().sorted().toList().toString()).collect(Collectors.joining(" ", "has ", ""));
        return "NONE, epoch " + (reply.memberEpoch() > 0 ? "> 0" : reply.memberEpoch()) + ", heartbeat in " + reply.heartbeatIntervalMs() + " ms, " + assigned;
    }

    private ConsumerGroupHeartbeatRequestData join() {
        return new ConsumerGroupHeartbeatRequestData().setGroupId(group).setMemberId(MEMBER).setMemberEpoch(0).setRebalanceTimeoutMs(30_000)
            .setSubscribedTopicNames(List.of(topic)).setTopicPartitions(List.of());
    }

    private ConsumerGroupHeartbeatRequestData heartbeat(int epoch) {
        return new ConsumerGroupHeartbeatRequestData().setGroupId(group).setMemberId(MEMBER).setMemberEpoch(epoch);
    }

    private String commit(String member, int epoch, int partition) {
        OffsetCommitRequestData request = new OffsetCommitRequestData().setGroupId(group).setMemberId(member).setGenerationIdOrMemberEpoch(epoch).setTopics(List.of(
            new OffsetCommitRequestTopic().setName(topic).setPartitions(List.of(new OffsetCommitRequestPartition().setPartitionIndex(partition).setCommittedOffset(3)))));
        OffsetCommitResponseData reply = (OffsetCommitResponseData) wire.mustCall(ApiKeys.OFFSET_COMMIT, 9, request);
        return Errors.forCode(reply.topics().get(0).partitions().get(0).errorCode()).toString();
    }

    private String fetch(String member, int epoch) {
        OffsetFetchRequestData request = new OffsetFetchRequestData().setGroups(List.of(new OffsetFetchRequestGroup().setGroupId(group).setMemberId(member).setMemberEpoch(epoch)
            .setTopics(List.of(new OffsetFetchRequestTopics().setName(topic).setPartitionIndexes(List.of(0))))));
        OffsetFetchResponseData.OffsetFetchResponseGroup reply = ((OffsetFetchResponseData) wire.mustCall(ApiKeys.OFFSET_FETCH, 9, request)).groups().get(0);
        return reply.errorCode() != 0 ? Errors.forCode(reply.errorCode()).toString() : String.valueOf(reply.topics().get(0).partitions().get(0).committedOffset());
    }
}

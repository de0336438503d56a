import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.common.message.DescribeGroupsRequestData;
import org.apache.kafka.common.message.DescribeGroupsResponseData;
import org.apache.kafka.common.message.DescribeGroupsResponseData.DescribedGroup;
import org.apache.kafka.common.message.HeartbeatRequestData;
import org.apache.kafka.common.message.HeartbeatResponseData;
import org.apache.kafka.common.message.JoinGroupRequestData;
import org.apache.kafka.common.message.JoinGroupRequestData.JoinGroupRequestProtocol;
import org.apache.kafka.common.message.JoinGroupResponseData;
import org.apache.kafka.common.message.LeaveGroupRequestData;
import org.apache.kafka.common.message.LeaveGroupRequestData.MemberIdentity;
import org.apache.kafka.common.message.LeaveGroupResponseData;
import org.apache.kafka.common.message.SyncGroupRequestData;
import org.apache.kafka.common.message.SyncGroupRequestData.SyncGroupRequestAssignment;
import org.apache.kafka.common.message.SyncGroupResponseData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.Errors;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;

/** A group that is none of consumers, as Connect's workers and Schema Registry make them: the coordinator passes on bytes that it does not know. */
final class RawStory implements Story {
    private static final int JOIN_VERSION = 9;
    private static final int SYNC_VERSION = 5;
    private static final String TYPE = "connect";

    @Override
    public void tell(Cluster cluster, String name, Transcript transcript) throws Exception {
        String group = name + ".group";
        cluster.create(name, 1);
        // the Admin client waits until the group has a coordinator
        cluster.committed(group);
        try (Wire one = cluster.wire("one"); Wire two = cluster.wire("two")) {
            JoinGroupResponseData refused = join(one, group, "", TYPE, "sessioned", "compatible");
            transcript.say("one joins without an id: " + Errors.forCode(refused.errorCode()));
            String first = refused.memberId();
            JoinGroupResponseData joined = join(one, group, first, TYPE, "sessioned", "compatible");
            transcript.say("one joins", describe(joined));
            transcript.say("one syncs: " + sync(one, group, first, joined, Map.of(first, "for one")));

            String second = join(two, group, "", TYPE, "compatible").memberId();
            CompletableFuture<JoinGroupResponseData> waits = CompletableFuture.supplyAsync(() -> join(two, group, second, TYPE, "compatible"));
            Cluster.until("one hears of it", () -> heartbeat(one, group, first, joined.generationId()) == Errors.REBALANCE_IN_PROGRESS);
            JoinGroupResponseData leads = join(one, group, first, TYPE, "sessioned", "compatible");
            JoinGroupResponseData follows = Cluster.get(waits);
            transcript.say("one joins again", describe(leads));
            transcript.say("two joined", describe(follows));
            transcript.say("generations agree and grew: " + (leads.generationId() == follows.generationId() && leads.generationId() > joined.generationId()));
            CompletableFuture<String> syncs = CompletableFuture.supplyAsync(() -> sync(two, group, second, follows, Map.of()));
            transcript.say("one syncs: " + sync(one, group, first, leads, Map.of(first, "one's part", second, "two's part")));
            transcript.say("two syncs: " + Cluster.get(syncs));
            errors(one, group, first, leads, transcript);
            transcript.say("described", described(one, group));
            others(cluster, name, group, transcript);
            leave(cluster, one, two, group, first, second, leads, transcript);
        }
        listed(cluster, group, transcript);
        try (Member consumer = cluster.join("consumer", Flavour.CLASSIC_RANGE, group, List.of(name))) {
            cluster.rest(group, 1, consumer);
            listed(cluster, group, transcript);
        }
    }

    private static void errors(Wire wire, String group, String member, JoinGroupResponseData joined, Transcript transcript) {
        int generation = joined.generationId();
        transcript.say("heartbeat: " + heartbeat(wire, group, member, generation));
        transcript.say("heartbeat, old generation: " + heartbeat(wire, group, member, generation - 1));
        transcript.say("heartbeat, unknown member: " + heartbeat(wire, group, "nobody", generation));
        transcript.say("heartbeat, unknown group: " + heartbeat(wire, group + ".unknown", member, generation));
        transcript.say("sync again: " + sync(wire, group, member, joined, Map.of()));
        transcript.say("sync, old generation: " + sync(wire, group, member, joined.duplicate().setGenerationId(generation - 1), Map.of()));
        transcript.say("sync, other protocol: " + sync(wire, group, member, joined.duplicate().setProtocolName("sessioned"), Map.of()));
        transcript.say("sync, other type: " + sync(wire, group, member, joined.duplicate().setProtocolType("consumer"), Map.of()));
        transcript.say("join, unknown member: " + Errors.forCode(join(wire, group, "nobody", TYPE, "compatible").errorCode()));
        transcript.say("join, other type: " + Errors.forCode(join(wire, group, "", "consumer", "compatible").errorCode()));
        transcript.say("join, other protocols: " + Errors.forCode(join(wire, group, "", TYPE, "nonesuch").errorCode()));
        transcript.say("join, no protocols: " + Errors.forCode(join(wire, group, "", TYPE).errorCode()));
        transcript.say("join, no group: " + Errors.forCode(join(wire, "", "", TYPE, "compatible").errorCode()));
    }

    private static void others(Cluster cluster, String topic, String group, Transcript transcript) throws Exception {
        listed(cluster, group, transcript);
        transcript.say("described as one of consumers: " + Cluster.outcome(cluster.admin.describeConsumerGroups(List.of(group)).all()));
        transcript.say("described as a classic one: " + Cluster.outcome(cluster.admin.describeClassicGroups(List.of(group)).all()));
        for (Flavour flavour : List.of(Flavour.CLASSIC_RANGE, Flavour.CONSUMER)) {
            try (Member consumer = cluster.join("consumer", flavour, group, List.of(topic))) {
                Cluster.until("a refusal", () -> consumer.failure() != null);
                transcript.say("a consumer comes, " + flavour.name() + ": " + Cluster.name(consumer.failure()));
            }
        }
        transcript.say("delete: " + Cluster.outcome(cluster.admin.deleteConsumerGroups(List.of(group)).all()));
    }

    private static void leave(Cluster cluster, Wire one, Wire two, String group, String first, String second, JoinGroupResponseData joined, Transcript transcript) throws Exception {
        LeaveGroupRequestData request = new LeaveGroupRequestData().setGroupId(group)
            .setMembers(List.of(new MemberIdentity().setMemberId("nobody"), new MemberIdentity().setMemberId(second).setReason("done")));
        LeaveGroupResponseData left = (LeaveGroupResponseData) two.call(ApiKeys.LEAVE_GROUP, 5, request);
        transcript.say("nobody and two leave: " + Errors.forCode(left.errorCode()), left.members().stream().map(m -> Errors.forCode(m.errorCode()).name()).toList());
        Cluster.until("one hears of it", () -> heartbeat(one, group, first, joined.generationId()) == Errors.REBALANCE_IN_PROGRESS);
        JoinGroupResponseData again = join(one, group, first, TYPE, "sessioned", "compatible");
        transcript.say("one joins again", describe(again));
        LeaveGroupResponseData last = (LeaveGroupResponseData) one.call(ApiKeys.LEAVE_GROUP, 5,
            new LeaveGroupRequestData().setGroupId(group).setMembers(List.of(new MemberIdentity().setMemberId(first))));
        transcript.say("one leaves: " + Errors.forCode(last.errorCode()));
    }

    private static void listed(Cluster cluster, String group, Transcript transcript) throws Exception {
        transcript.say("of type connect", Cluster.get(cluster.admin.listGroups(new ListGroupsOptions().withProtocolTypes(Set.of(TYPE))).all()).stream()
            .filter(g -> g.groupId().equals(group)).map(g -> g.groupId() + " " + g.type().get() + " '" + g.protocol() + "' " + g.groupState().get()).toList());
    }

    private static JoinGroupResponseData join(Wire wire, String group, String member, String type, String... protocols) {
        JoinGroupRequestData request = new JoinGroupRequestData().setGroupId(group).setMemberId(member).setProtocolType(type).setSessionTimeoutMs(30_000).setRebalanceTimeoutMs(30_000);
        for (String protocol : protocols) {
            request.protocols().add(new JoinGroupRequestProtocol().setName(protocol).setMetadata((protocol + " of " + wire.clientId()).getBytes(StandardCharsets.UTF_8)));
        }
        return (JoinGroupResponseData) wire.mustCall(ApiKeys.JOIN_GROUP, JOIN_VERSION, request);
    }

    private static List<String> describe(JoinGroupResponseData joined) {
        List<String> lines = new ArrayList<>();
        lines.add(Errors.forCode(joined.errorCode()) + ", type " + joined.protocolType() + ", protocol " + joined.protocolName() + (joined.leader().equals(joined.memberId()) ? ", leads" : "")
            + (joined.skipAssignment() ? ", skips the assignment" : ""));
        joined.members().stream().map(m -> new String(m.metadata(), StandardCharsets.UTF_8)).sorted().forEach(lines::add);
        return lines;
    }

    private static String sync(Wire wire, String group, String member, JoinGroupResponseData joined, Map<String, String> assignments) {
        SyncGroupRequestData request = new SyncGroupRequestData().setGroupId(group).setMemberId(member).setGenerationId(joined.generationId())
            .setProtocolType(joined.protocolType()).setProtocolName(joined.protocolName());
        assignments.forEach((id, part) -> request.assignments().add(new SyncGroupRequestAssignment().setMemberId(id).setAssignment(part.getBytes(StandardCharsets.UTF_8))));
        SyncGroupResponseData synced = (SyncGroupResponseData) wire.mustCall(ApiKeys.SYNC_GROUP, SYNC_VERSION, request);
        return Errors.forCode(synced.errorCode()) + " '" + new String(synced.assignment(), StandardCharsets.UTF_8) + "'";
    }

    private static Errors heartbeat(Wire wire, String group, String member, int generation) {
        HeartbeatRequestData request = new HeartbeatRequestData().setGroupId(group).setMemberId(member).setGenerationId(generation);
        return Errors.forCode(((HeartbeatResponseData) wire.mustCall(ApiKeys.HEARTBEAT, 4, request)).errorCode());
    }

    private static List<String> described(Wire wire, String group) {
        DescribedGroup d = ((DescribeGroupsResponseData) wire.mustCall(ApiKeys.DESCRIBE_GROUPS, 6, new DescribeGroupsRequestData().setGroups(List.of(group)))).groups().get(0);
        List<String> lines = new ArrayList<>(List.of(Errors.forCode(d.errorCode()) + ", " + d.groupState() + ", type " + d.protocolType() + ", protocol " + d.protocolData()));
        TreeMap<String, String> members = new TreeMap<>();
        d.members().forEach(m -> members.put(m.clientId(), "'" + new String(m.memberMetadata(), StandardCharsets.UTF_8) + "', '" + new String(m.memberAssignment(), StandardCharsets.UTF_8) + "'"));
        members.forEach((client, bytes) -> lines.add(client + ": " + bytes));
        return lines;
    }
}

import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Assignment;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Subscription;
import org.apache.kafka.clients.consumer.internals.ConsumerProtocol;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.message.DeleteGroupsRequestData;
import org.apache.kafka.common.message.DescribeGroupsRequestData;
import org.apache.kafka.common.message.FindCoordinatorRequestData;
import org.apache.kafka.common.message.HeartbeatRequestData;
import org.apache.kafka.common.message.JoinGroupRequestData;
import org.apache.kafka.common.message.JoinGroupRequestData.JoinGroupRequestProtocol;
import org.apache.kafka.common.message.JoinGroupResponseData;
import org.apache.kafka.common.message.LeaveGroupRequestData;
import org.apache.kafka.common.message.LeaveGroupRequestData.MemberIdentity;
import org.apache.kafka.common.message.ListGroupsRequestData;
import org.apache.kafka.common.message.SyncGroupRequestData;
import org.apache.kafka.common.message.SyncGroupRequestData.SyncGroupRequestAssignment;
import org.apache.kafka.common.protocol.ApiKeys;

import java.util.ArrayList;
import java.util.List;

/** The classic group protocol: a group of one member for each version of JoinGroup, and what is asked about groups. */
final class ClassicGroupScript {
    static final String TOPIC = "grouped";
    private static final String NOBODY = "nobody";
    private static final String CONSUMER = "consumer";
    private static final int SESSION_MS = 30_000;
    private static final int REBALANCE_MS = 60_000;
    private static final int LAST_JOIN = 9;

    private final Recorder recorder;
    private final CommitScript commits;

    ClassicGroupScript(Script script, CommitScript commits) {
        this.recorder = script.recorder;
        this.commits = commits;
    }

    void findCoordinator() throws Exception {
        for (int version = 0; version <= 6; version++) {
            FindCoordinatorRequestData request = new FindCoordinatorRequestData();
            recorder.exchange(ApiKeys.FIND_COORDINATOR, version, "found", version < 4 ? request.setKey("group") : request.setCoordinatorKeys(List.of("group", "other")));
            FindCoordinatorRequestData empty = new FindCoordinatorRequestData();
            recorder.exchange(ApiKeys.FIND_COORDINATOR, version, "empty-key", version < 4 ? empty.setKey("") : empty.setCoordinatorKeys(List.of("")));
        }
    }

    /** One group from its first member to its end, for each version of JoinGroup; the other APIs follow as far as they go. */
    void conversations() throws Exception {
        for (int version = 0; version <= LAST_JOIN; version++) {
            String group = "classic-" + version;
            String member = joined(version, group);
            completing(version, group, member);
            stable(version, group, member);
            rejoined(version, group, member);
            ended(version, group, member);
        }
    }

    private String joined(int version, String group) throws Exception {
        JoinGroupResponseData reply = join(version, group + "-first", joining(group, ""));
        if (version >= 4) {
            reply = join(version, group + "-with-id", joining(group, reply.memberId()));
        }
        return reply.memberId();
    }

    /** The leader has joined and has not said yet who gets what. */
    private void completing(int version, String group, String member) throws Exception {
        describe(version, group + "-completing", group);
        heartbeat(version, group + "-completing", group, 1, member);
        commits.commit(Math.max(version, 2), group + "-completing", group, 1, member);
        sync(version, group + "-wrong-generation", syncing(group, 7, member));
        sync(version, group + "-nobody", syncing(group, 1, NOBODY));
        sync(version, group + "-empty-member", syncing(group, 1, ""));
        if (version >= 5) {
            sync(version, group + "-wrong-protocol", syncing(group, 1, member).setProtocolType(CONSUMER).setProtocolName("sticky"));
            sync(version, group + "-wrong-type", syncing(group, 1, member).setProtocolType("connect").setProtocolName("range"));
        }
        sync(version, group + "-leader", assigning(group, 1, member));
    }

    private void stable(int version, String group, String member) throws Exception {
        heartbeat(version, group + "-stable", group, 1, member);
        heartbeat(version, group + "-wrong-generation", group, 2, member);
        heartbeat(version, group + "-nobody", group, 1, NOBODY);
        heartbeat(version, group + "-no-such-group", group + "-not", 1, member);
        describe(version, group + "-stable", group);
        list(version, group + "-stable", new ListGroupsRequestData());
        commits.commit(Math.max(version, 2), group + "-stable", group, 1, member);
        commits.commit(Math.max(version, 2), group + "-wrong-generation", group, 2, member);
        commits.commit(Math.max(version, 2), group + "-nobody", group, 1, NOBODY);
        commits.commit(Math.max(version, 2), group + "-without-member", group, -1, "");
        commits.fetch(Math.max(version, 1), group + "-stable", group);
        commits.delete(group + "-subscribed", group, TOPIC);
        delete(version, group + "-not-empty", group);
        sync(version, group + "-again", syncing(group, 1, member));
        join(version, group + "-other-type", joining(group, "").setProtocolType("connect"));
        join(version, group + "-other-protocol", joining(group, "").setProtocols(protocols("sticky")));
        join(version, group + "-nobody", joining(group, NOBODY));
    }

    /** The leader joins again, which is a new generation. */
    private void rejoined(int version, String group, String member) throws Exception {
        join(version, group + "-rejoin", joining(group, member));
        heartbeat(version, group + "-old-generation", group, 1, member);
        sync(version, group + "-second", assigning(group, 2, member));
        heartbeat(version, group + "-second", group, 2, member);
    }

    private void ended(int version, String group, String member) throws Exception {
        leave(version, group + "-nobody", group, NOBODY);
        leave(version, group + "-no-such-group", group + "-not", member);
        leave(version, group + "-member", group, member);
        describe(version, group + "-empty", group);
        heartbeat(version, group + "-left", group, 2, member);
        sync(version, group + "-left", syncing(group, 2, member));
        commits.commit(Math.max(version, 2), group + "-left", group, 2, member);
        commits.commit(Math.max(version, 2), group + "-empty", group, -1, "");
        commits.fetch(Math.max(version, 1), group + "-empty", group);
        commits.delete(group + "-empty", group, TOPIC);
        delete(version, group + "-empty", group);
        delete(version, group + "-again", group);
        describe(version, group + "-deleted", group);
    }

    /** An instance that comes back without its member id takes the place of its former self (KIP-345). */
    void staticMembers() throws Exception {
        for (int version = 5; version <= LAST_JOIN; version++) {
            String group = "static-" + version;
            String first = join(version, group + "-first", joining(group, "").setGroupInstanceId("instance")).memberId();
            sync(version, group + "-first", assigning(group, 1, first).setGroupInstanceId("instance"));
            describe(version, group + "-first", group);
            String second = join(version, group + "-second", joining(group, "").setGroupInstanceId("instance")).memberId();
            HeartbeatRequestData beat = new HeartbeatRequestData().setGroupId(group).setGenerationId(1).setGroupInstanceId("instance");
            exchange(ApiKeys.HEARTBEAT, version, group + "-fenced", beat.duplicate().setMemberId(first));
            exchange(ApiKeys.HEARTBEAT, version, group + "-second", beat.duplicate().setMemberId(second));
            exchange(ApiKeys.HEARTBEAT, version, group + "-no-such-instance", beat.duplicate().setMemberId(second).setGroupInstanceId("other"));
            join(version, group + "-fenced", joining(group, first).setGroupInstanceId("instance"));
            sync(version, group + "-fenced", syncing(group, 1, first).setGroupInstanceId("instance"));
            sync(version, group + "-second", syncing(group, 1, second).setGroupInstanceId("instance"));
            describe(version, group + "-second", group);
            exchange(ApiKeys.LEAVE_GROUP, version, group + "-several", new LeaveGroupRequestData().setGroupId(group).setMembers(List.of(
                new MemberIdentity().setMemberId(first).setGroupInstanceId("instance"), new MemberIdentity().setGroupInstanceId("other"),
                new MemberIdentity().setMemberId(NOBODY), new MemberIdentity().setGroupInstanceId("instance"))));
            describe(version, group + "-left", group);
        }
    }

    void refusedJoins() throws Exception {
        for (int version = 0; version <= LAST_JOIN; version++) {
            join(version, "empty-group-id", joining("", ""));
            join(version, "unknown-member", joining("unseen", NOBODY));
            join(version, "session-too-short", joining("unseen", "").setSessionTimeoutMs(5_999));
            join(version, "session-too-long", joining("unseen", "").setSessionTimeoutMs(1_800_001));
            join(version, "session-negative", joining("unseen", "").setSessionTimeoutMs(-1));
            join(version, "no-protocols", joining("unseen", "").setProtocols(protocols()));
            join(version, "no-type", joining("unseen", "").setProtocolType(""));
            sync(version, "empty-group-id", syncing("", 1, NOBODY));
            sync(version, "no-such-group", syncing("never", 1, NOBODY));
            if (version == 5) {
                exchange(ApiKeys.SYNC_GROUP, version, "no-protocol", syncing("unseen", 1, NOBODY));
            }
            heartbeat(version, "empty-group-id", "", 1, NOBODY);
            leave(version, "empty-group-id", "", NOBODY);
            describe(version, "unseen", "unseen", "", "never");
            delete(version, "unseen", "unseen", "", "never", "unseen");
        }
        for (String instance : new String[] {"a/b", ""}) {
            String name = instance.isEmpty() ? "empty-instance" : "strange-instance";
            join(9, name, joining(name, "").setGroupInstanceId(instance));
            exchange(ApiKeys.LEAVE_GROUP, 5, name, new LeaveGroupRequestData().setGroupId(name).setMembers(List.of(new MemberIdentity().setGroupInstanceId(instance))));
        }
        heartbeat(4, "generation-negative", "unseen", -1, NOBODY);
    }

    /** Filters of ListGroups, and descriptions of several groups at once; there are groups of both kinds by then. */
    void listed() throws Exception {
        for (int version = 0; version <= 5; version++) {
            list(version, "all", new ListGroupsRequestData());
        }
        for (int version = 4; version <= 5; version++) {
            list(version, "empty-ones", new ListGroupsRequestData().setStatesFilter(List.of("Empty")));
            list(version, "any-case", new ListGroupsRequestData().setStatesFilter(List.of("emPTY", "stable")));
            list(version, "dead", new ListGroupsRequestData().setStatesFilter(List.of("Dead")));
            list(version, "no-such-state", new ListGroupsRequestData().setStatesFilter(List.of("Asleep")));
        }
        list(5, "classic", new ListGroupsRequestData().setTypesFilter(List.of("classic")));
        list(5, "consumer", new ListGroupsRequestData().setTypesFilter(List.of("Consumer")));
        list(5, "no-such-type", new ListGroupsRequestData().setTypesFilter(List.of("round")));
        list(5, "both-filters", new ListGroupsRequestData().setTypesFilter(List.of("classic")).setStatesFilter(List.of("Empty")));
        for (int version = 0; version <= 6; version++) {
            describe(version, "several", "static-5", "unseen", "static-6", "static-5");
            if (version >= 3) {
                recorder.exchange(ApiKeys.DESCRIBE_GROUPS, version, "authorized-operations",
                    new DescribeGroupsRequestData().setGroups(List.of("static-5")).setIncludeAuthorizedOperations(true));
            }
        }
    }

    private static JoinGroupRequestData joining(String group, String member) {
        return new JoinGroupRequestData().setGroupId(group).setMemberId(member).setSessionTimeoutMs(SESSION_MS).setRebalanceTimeoutMs(REBALANCE_MS)
            .setProtocolType(CONSUMER).setProtocols(protocols("range", "roundrobin"));
    }

    private static JoinGroupRequestData.JoinGroupRequestProtocolCollection protocols(String... names) {
        JoinGroupRequestData.JoinGroupRequestProtocolCollection all = new JoinGroupRequestData.JoinGroupRequestProtocolCollection();
        byte[] subscription = ConsumerProtocol.serializeSubscription(new Subscription(List.of(TOPIC))).array();
        for (String name : names) {
            all.add(new JoinGroupRequestProtocol().setName(name).setMetadata(subscription));
        }
        return all;
    }

    private static SyncGroupRequestData syncing(String group, int generation, String member) {
        return new SyncGroupRequestData().setGroupId(group).setGenerationId(generation).setMemberId(member);
    }

    private static SyncGroupRequestData assigning(String group, int generation, String member) {
        byte[] assignment = ConsumerProtocol.serializeAssignment(new Assignment(List.of(new TopicPartition(TOPIC, 0), new TopicPartition(TOPIC, 2)))).array();
        return syncing(group, generation, member).setAssignments(List.of(new SyncGroupRequestAssignment().setMemberId(member).setAssignment(assignment)));
    }

    private JoinGroupResponseData join(int version, String name, JoinGroupRequestData request) throws Exception {
        return (JoinGroupResponseData) recorder.exchange(ApiKeys.JOIN_GROUP, version, name, request);
    }

    private void sync(int version, String name, SyncGroupRequestData request) throws Exception {
        if (version >= 5 && request.protocolType() == null) {
            request.setProtocolType(CONSUMER).setProtocolName("range");
        }
        exchange(ApiKeys.SYNC_GROUP, version, name, request);
    }

    private void heartbeat(int version, String name, String group, int generation, String member) throws Exception {
        exchange(ApiKeys.HEARTBEAT, version, name, new HeartbeatRequestData().setGroupId(group).setGenerationId(generation).setMemberId(member));
    }

    private void leave(int version, String name, String group, String member) throws Exception {
        LeaveGroupRequestData request = new LeaveGroupRequestData().setGroupId(group);
        exchange(ApiKeys.LEAVE_GROUP, version, name, version < 3 ? request.setMemberId(member) : request.setMembers(List.of(new MemberIdentity().setMemberId(member))));
    }

    private void describe(int version, String name, String... groups) throws Exception {
        exchange(ApiKeys.DESCRIBE_GROUPS, version, name, new DescribeGroupsRequestData().setGroups(List.of(groups)));
    }

    private void list(int version, String name, ListGroupsRequestData request) throws Exception {
        exchange(ApiKeys.LIST_GROUPS, version, name, request);
    }

    private void delete(int version, String name, String... groups) throws Exception {
        exchange(ApiKeys.DELETE_GROUPS, version, name, new DeleteGroupsRequestData().setGroupsNames(new ArrayList<>(List.of(groups))));
    }

    /** In this version, or in the API's last one; what several of those would be called is told apart by where they come from. */
    private void exchange(ApiKeys api, int version, String name, org.apache.kafka.common.protocol.ApiMessage request) throws Exception {
        int spoken = Math.min(version, api.latestVersion());
        boolean anew = spoken < version && !name.startsWith("classic-") && !name.startsWith("static-");
        if (!anew) {
            recorder.exchange(api, spoken, name, request);
        }
    }
}

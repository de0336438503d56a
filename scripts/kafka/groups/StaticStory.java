import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupResult;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Static members: restarted without a rebalance, fenced or refused when there are two of one name, removed by an administrator. */
final class StaticStory implements Story {
    private final Flavour flavour;

    StaticStory(Flavour flavour) {
        this.flavour = flavour;
    }

    @Override
    public void tell(Cluster cluster, String name, Transcript transcript) throws Exception {
        cluster.create(name, 4);
        Member a = join(cluster, "a", name, "i1");
        cluster.rest(name, 4, a);
        Member b = join(cluster, "b", name, "i2");
        cluster.rest(name, 4, a, b);
        // both range assignors sort static members by instance id
        transcript.say("a is i1, b is i2", Cluster.owners(Flavour.Owners.LABELS, a, b));
        transcript.say("instances: " + instances(cluster, name));

        int noticed = a.revocations();
        b.close();
        transcript.say("b stopped, instances: " + instances(cluster, name));
        Member again = join(cluster, "b", name, "i2");
        cluster.rest(name, 4, a, again);
        transcript.say("b came back", Cluster.owners(Flavour.Owners.LABELS, a, again));
        transcript.say("a noticed: " + (a.revocations() == noticed ? "nothing" : "something"));

        second(cluster, name, transcript, a, again);
    }

    /** A second member with an instance id that is in use: the classic protocol fences the first, the other one refuses the second. */
    private void second(Cluster cluster, String name, Transcript transcript, Member a, Member b) throws Exception {
        // with the same label, since the classic protocol's coordinator keeps the client id of the member that is replaced
        Member other = join(cluster, "b", name, "i2");
        Cluster.until("one of two fails", () -> b.failure() != null || other.failure() != null);
        transcript.say("two are i2: first " + Cluster.name(b.failure()) + ", second " + Cluster.name(other.failure()));
        Member kept = b.failure() == null ? b : other;
        Member failed = b.failure() == null ? other : b;
        failed.close();
        cluster.rest(name, 4, a, kept);
        transcript.say("afterwards", Cluster.owners(Flavour.Owners.LABELS, a, kept));

        kept.close();
        transcript.say("remove an unknown instance: " + remove(cluster, name, "i3"));
        transcript.say("remove i2: " + remove(cluster, name, "i2"));
        cluster.rest(name, 4, a);
        transcript.say("i2 removed", Cluster.owners(Flavour.Owners.LABELS, a));
        a.close();
        transcript.say("a stopped, instances: " + instances(cluster, name));
        transcript.say("remove all: " + Cluster.outcome(cluster.admin.removeMembersFromConsumerGroup(name, new RemoveMembersFromConsumerGroupOptions()).all()));
        cluster.restEmpty(name);
        transcript.say("instances: " + instances(cluster, name));
        transcript.say("remove i1: " + remove(cluster, name, "i1"));
    }

    private static String remove(Cluster cluster, String group, String instance) throws Exception {
        MemberToRemove member = new MemberToRemove(instance);
        RemoveMembersFromConsumerGroupResult result = cluster.admin.removeMembersFromConsumerGroup(group, new RemoveMembersFromConsumerGroupOptions(Set.of(member)));
        return Cluster.outcome(result.memberResult(member));
    }

    private Member join(Cluster cluster, String label, String name, String instance) {
        Map<String, Object> settings = new HashMap<>(Map.of("group.instance.id", instance));
        if (flavour.classic()) {
            settings.put("session.timeout.ms", "30000");
        }
        return cluster.join(label, flavour, name, settings, List.of(name));
    }

    private static List<String> instances(Cluster cluster, String group) throws Exception {
        ConsumerGroupDescription described = cluster.describe(group);
        return described.members().stream().map(MemberDescription::groupInstanceId).map(id -> id.orElse("dynamic")).sorted().toList();
    }
}

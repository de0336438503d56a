import org.apache.kafka.clients.admin.ConsumerGroupDescription;

import java.util.List;
import java.util.Map;

/** A live group goes from the classic protocol to the other and back, and an empty one at once; offsets stay. */
final class MigrationStory implements Story {
    private static final Map<String, Object> CLASSIC = Map.of("partition.assignment.strategy",
        "org.apache.kafka.clients.consumer.RangeAssignor,org.apache.kafka.clients.consumer.CooperativeStickyAssignor");

    @Override
    public void tell(Cluster cluster, String name, Transcript transcript) throws Exception {
        live(cluster, name + ".cooperative", Map.of("partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"), transcript);
        live(cluster, name + ".eager", CLASSIC, transcript);
        empty(cluster, name + ".empty", transcript);
    }

    private void live(Cluster cluster, String name, Map<String, Object> classic, Transcript transcript) throws Exception {
        transcript.say("== " + name);
        cluster.create(name, 6);
        Member a = cluster.join("a", Flavour.CLASSIC_RANGE, name, classic, List.of(name));
        Member b = cluster.join("b", Flavour.CLASSIC_RANGE, name, classic, List.of(name));
        cluster.rest(name, 6, a, b);
        cluster.produce(name, 6, 2);
        Cluster.read(12, a, b);
        commit(a, b);
        report(cluster, name, "two classic members", transcript, a, b);

        Member c = cluster.join("c", Flavour.CONSUMER, name, List.of(name));
        cluster.rest(name, 6, a, b, c);
        report(cluster, name, "c came with the consumer protocol", transcript, a, b, c);
        a.close();
        b.close();
        Member d = cluster.join("d", Flavour.CONSUMER, name, List.of(name));
        cluster.rest(name, 6, c, d);
        cluster.produce(name, 6, 1);
        Cluster.read(6, c, d);
        report(cluster, name, "only the consumer protocol", transcript, c, d);
        transcript.say("read", Cluster.offsetsRead(c, d));
        commit(c, d);

        Member e = cluster.join("e", Flavour.CLASSIC_RANGE, name, classic, List.of(name));
        cluster.rest(name, 6, c, d, e);
        report(cluster, name, "a classic member came", transcript, c, d, e);
        c.close();
        d.close();
        cluster.rest(name, 6, e);
        cluster.produce(name, 6, 1);
        Cluster.read(6, e);
        report(cluster, name, "only the classic one is left", transcript, e);
        transcript.say("read", Cluster.offsetsRead(e));
        commit(e);
        transcript.say("committed", cluster.committed(name));
        e.close();
        cluster.restEmpty(name);
    }

    private void empty(Cluster cluster, String name, Transcript transcript) throws Exception {
        transcript.say("== " + name);
        cluster.create(name, 2);
        cluster.produce(name, 2, 2);
        Flavour[] turns = {Flavour.CLASSIC_RANGE, Flavour.CONSUMER, Flavour.CLASSIC_RANGE};
        for (int turn = 0; turn < turns.length; turn++) {
            Member member = cluster.join("m" + turn, turns[turn], name, List.of(name));
            cluster.rest(name, 2, member);
            Cluster.read(turn == 0 ? 4 : 2, member);
            report(cluster, name, "turn " + turn, transcript, member);
            transcript.say("read", Cluster.offsetsRead(member));
            commit(member);
            member.close();
            cluster.restEmpty(name);
            cluster.produce(name, 2, 1);
            transcript.say("empty it is " + cluster.describe(name).type(), cluster.committed(name));
        }
    }

    private static void commit(Member... members) throws Exception {
        for (Member member : members) {
            member.call(consumer -> {
                consumer.commitSync();
                return null;
            });
        }
    }

    private static void report(Cluster cluster, String name, String heading, Transcript transcript, Member... members) throws Exception {
        ConsumerGroupDescription described = cluster.describe(name);
        transcript.say(heading + ": " + described.groupState() + ", " + described.type(), Cluster.owners(Flavour.Owners.SIZES, members));
        List<String> upgraded = described.members().stream().map(m -> m.clientId() + " " + m.upgraded().map(u -> u ? "consumer" : "classic").orElse("none")).sorted().toList();
        transcript.say("members' protocols", upgraded);
    }
}

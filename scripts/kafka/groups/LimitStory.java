import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** What the coordinator refuses: a member too many, settings out of bounds, assignors that nobody shares or knows. The broker's groups end at MAX_SIZE. */
final class LimitStory implements Story {
    /** The suite starts the broker with group.max.size and group.consumer.max.size at this. */
    static final int MAX_SIZE = 4;

    private final Flavour flavour;

    LimitStory(Flavour flavour) {
        this.flavour = flavour;
    }

    @Override
    public void tell(Cluster cluster, String name, Transcript transcript) throws Exception {
        cluster.create(name, 4);
        List<Member> members = new ArrayList<>();
        for (int i = 0; i < MAX_SIZE; i++) {
            members.add(cluster.join("m" + i, flavour, name, List.of(name)));
        }
        cluster.rest(name, 4, members.toArray(Member[]::new));
        transcript.say("as many as may be", Cluster.owners(flavour.owners(), members.toArray(Member[]::new)));
        transcript.say("one more: " + refusal(cluster, name, name, Map.of()));
        cluster.rest(name, 4, members.toArray(Member[]::new));
        transcript.say("the others", Cluster.owners(flavour.owners(), members.toArray(Member[]::new)));
        members.remove(0).close();
        cluster.rest(name, 4, members.toArray(Member[]::new));
        transcript.say("one left");
        if (flavour.classic()) {
            transcript.say("another assignor: " + refusal(cluster, name, name,
                Map.of("partition.assignment.strategy", "org.apache.kafka.clients.consumer.RoundRobinAssignor")));
            String other = name + ".session";
            transcript.say("session timeout too short: " + refusal(cluster, name, other, Map.of("session.timeout.ms", "5999")));
            transcript.say("session timeout too long: " + refusal(cluster, name, other, Map.of("session.timeout.ms", "1800001", "max.poll.interval.ms", "1800001",
                "request.timeout.ms", "1800002")));
        } else {
            transcript.say("unknown assignor: " + refusal(cluster, name, name + ".assignor", Map.of("group.remote.assignor", "nonesuch")));
        }
        members.forEach(Member::close);
    }

    private String refusal(Cluster cluster, String topic, String group, Map<String, Object> settings) throws Exception {
        try (Member member = cluster.join("refused", flavour, group, settings, List.of(topic))) {
            Cluster.until("a refusal", () -> member.failure() != null);
            return Cluster.name(member.failure());
        }
    }
}

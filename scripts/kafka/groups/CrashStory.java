import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.GroupState;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** A member is killed, which takes a process of its own, and after its session timeout the others have what it had. */
final class CrashStory implements Story {
    private final Flavour flavour;

    CrashStory(Flavour flavour) {
        this.flavour = flavour;
    }

    /** The victim: java CrashStory <key=value of the consumer's settings> ... polls the topic named like its group until it is killed. */
    public static void main(String[] arguments) {
        Map<String, Object> settings = new HashMap<>();
        for (String argument : arguments) {
            settings.put(argument.substring(0, argument.indexOf('=')), argument.substring(argument.indexOf('=') + 1));
        }
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings)) {
            consumer.subscribe(List.of((String) settings.get("group.id")));
            while (true) {
                consumer.poll(Duration.ofMillis(100));
            }
        }
    }

    @Override
    public void tell(Cluster cluster, String name, Transcript transcript) throws Exception {
        cluster.create(name, 4);
        // the members' clients choose the session timeout of the classic protocol, the group's config that of the other
        if (!flavour.classic()) {
            GroupConfigStory.alter(cluster, name, Map.of("consumer.session.timeout.ms", "6000"));
        }
        Member a = cluster.join("a", flavour, name, List.of(name));
        cluster.rest(name, 4, a);
        Process victim = victim(cluster, name);
        try {
            Cluster.until("the other process is a member", () -> {
                ConsumerGroupDescription described = cluster.describe(name);
                return described.groupState() == GroupState.STABLE && described.members().size() == 2
                    && described.members().stream().allMatch(m -> m.assignment().topicPartitions().size() == 2) && a.owned().size() == 2;
            });
        } finally {
            victim.destroyForcibly().waitFor();
        }
        transcript.say("two members, one is killed and " + (cluster.describe(name).members().size() == 2 ? "still counts" : "does not count"));
        cluster.rest(name, 4, a);
        transcript.say("its session is over", Cluster.owners(flavour.owners(), a));
        a.close();
        cluster.restEmpty(name);
    }

    private Process victim(Cluster cluster, String group) throws Exception {
        List<String> command = new ArrayList<>(List.of(System.getProperty("java.home") + "/bin/java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            "-Dlog4j2.configurationFile=" + System.getProperty("log4j2.configurationFile"), "-cp", System.getProperty("java.class.path"), "CrashStory"));
        Cluster.withDefaults(cluster.settings(flavour, group, Map.of("client.id", "b"))).forEach((key, value) -> command.add(key + "=" + value));
        return new ProcessBuilder(command).inheritIO().start();
    }
}

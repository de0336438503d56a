import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.AlterConfigOp.OpType;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListConfigResourcesOptions;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.config.ConfigResource;

import java.util.List;
import java.util.Map;
import java.util.Set;

/** A group's configs: what is refused, what is described, and that they are kept for groups that are not there yet. */
final class GroupConfigStory implements Story {
    private static final List<String> KEYS = List.of("consumer.heartbeat.interval.ms", "consumer.session.timeout.ms");

    @Override
    public void tell(Cluster cluster, String name, Transcript transcript) throws Exception {
        transcript.say("at first", describe(cluster, name));
        alter(cluster, name, Map.of(KEYS.get(0), "1000", KEYS.get(1), "40000"));
        transcript.say("both set", describe(cluster, name));
        transcript.say("listed among config resources: " + Cluster.get(cluster.admin.listConfigResources(Set.of(ConfigResource.Type.GROUP),
            new ListConfigResourcesOptions()).all()).contains(resource(name)));
        transcript.say("heartbeat interval below the broker's least: " + tryAlter(cluster, name, Map.of(KEYS.get(0), "1")));
        transcript.say("heartbeat interval above the broker's most: " + tryAlter(cluster, name, Map.of(KEYS.get(0), "15001")));
        transcript.say("session timeout below the broker's least: " + tryAlter(cluster, name, Map.of(KEYS.get(1), "1")));
        transcript.say("session timeout above the broker's most: " + tryAlter(cluster, name, Map.of(KEYS.get(1), "60001")));
        transcript.say("not a number: " + tryAlter(cluster, name, Map.of(KEYS.get(1), "soon")));
        transcript.say("an unknown key: " + tryAlter(cluster, name, Map.of("no.such.key", "1")));
        transcript.say("a topic's key: " + tryAlter(cluster, name, Map.of("retention.ms", "1000")));
        transcript.say("session timeout below the heartbeat interval: " + tryAlter(cluster, name, Map.of(KEYS.get(0), "15000", KEYS.get(1), "3000")));
        transcript.say("described", describe(cluster, name));
        transcript.say("remove one: " + Cluster.outcome(cluster.admin.incrementalAlterConfigs(Map.of(resource(name),
            List.of(new AlterConfigOp(new ConfigEntry(KEYS.get(0), null), OpType.DELETE)))).all()));
        await(cluster, name, Map.of(KEYS.get(0), "200"));
        transcript.say("described", describe(cluster, name));
        transcript.say("without a name: " + tryAlter(cluster, "", Map.of(KEYS.get(0), "1000")));
    }

    private static ConfigResource resource(String group) {
        return new ConfigResource(ConfigResource.Type.GROUP, group);
    }

    static void alter(Cluster cluster, String group, Map<String, String> values) throws Exception {
        Cluster.get(alteration(cluster, group, values));
        await(cluster, group, values);
    }

    /** The broker answers an alteration before it acts on it. */
    static void await(Cluster cluster, String group, Map<String, String> values) throws Exception {
        Cluster.until(values + " of " + group, () -> {
            Config config = Cluster.get(cluster.admin.describeConfigs(List.of(resource(group))).all()).get(resource(group));
            return values.entrySet().stream().allMatch(e -> config.get(e.getKey()).value().equals(e.getValue()));
        });
    }

    private static String tryAlter(Cluster cluster, String group, Map<String, String> values) throws Exception {
        return Cluster.outcome(alteration(cluster, group, values));
    }

    private static KafkaFuture<Void> alteration(Cluster cluster, String group, Map<String, String> values) {
        List<AlterConfigOp> operations = values.entrySet().stream().map(e -> new AlterConfigOp(new ConfigEntry(e.getKey(), e.getValue()), OpType.SET)).toList();
        return cluster.admin.incrementalAlterConfigs(Map.of(resource(group), operations)).all();
    }

    private static List<String> describe(Cluster cluster, String group) throws Exception {
        Config config = Cluster.get(cluster.admin.describeConfigs(List.of(resource(group))).all()).get(resource(group));
        return KEYS.stream().map(key -> key + " = " + config.get(key).value() + " " + config.get(key).source()).toList();
    }
}

import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.slf4j.LoggerFactory;

import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** Kafka's own tools for groups, one after the other, and what they print: java ToolStories <bootstrap> <folder> [story ...] */
final class ToolStories {
    private static final String GROUPS = "kafka-consumer-groups";

    private final Cluster cluster;
    private final Tool tool;
    private final Path folder;
    private Transcript transcript;

    private ToolStories(Cluster cluster, Tool tool, Path folder) {
        this.cluster = cluster;
        this.tool = tool;
        this.folder = folder;
    }

    private interface Part {
        void tell() throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        // logging keeps the standard error that it finds, which tools shall not have
        LoggerFactory.getLogger(ToolStories.class);
        PrintStream said = System.err;
        int failed = 0;
        try (Cluster cluster = new Cluster(arguments[0])) {
            ToolStories stories = new ToolStories(cluster, new Tool(arguments[0]), Files.createDirectories(Path.of(arguments[1])));
            List<String> wanted = List.of(arguments).subList(2, arguments.length);
            Map<String, Part> parts = stories.parts();
            if (!wanted.isEmpty()) {
                parts.keySet().retainAll(wanted);
            }
            for (Map.Entry<String, Part> part : parts.entrySet()) {
                failed += stories.tell(part.getKey(), part.getValue(), said) ? 0 : 1;
            }
        }
        Runtime.getRuntime().halt(failed == 0 ? 0 : 1);
    }

    private Map<String, Part> parts() {
        Map<String, Part> parts = new LinkedHashMap<>();
        parts.put("describe", this::describe);
        parts.put("reset-offsets", this::resetOffsets);
        parts.put("delete", this::delete);
        parts.put("console-consumer", this::consoleConsumer);
        parts.put("offsets-topic", this::offsetsTopic);
        parts.put("verifiable-consumer", this::verifiableConsumer);
        parts.put("configs", this::configs);
        return parts;
    }

    private boolean tell(String name, Part part, PrintStream said) throws Exception {
        transcript = new Transcript(name);
        long begun = System.nanoTime();
        try {
            part.tell();
            said.printf("%s: %.1f s%n", name, (System.nanoTime() - begun) / 1e9);
            return true;
        } catch (Throwable e) {
            said.println(name + " failed");
            e.printStackTrace(said);
            transcript.say("FAILED: " + e);
            return false;
        } finally {
            transcript.write(folder.resolve(name + ".txt"));
        }
    }

    private void run(String... command) throws Exception {
        String shown = String.join(" ", command).replace(folder.toString(), "<folder>");
        transcript.say("$ " + shown, tool.run(command).stream().map(line -> line.replace(folder.toString(), "<folder>")).toList());
    }

    private void groups(String arguments) throws Exception {
        run((GROUPS + " " + arguments).split(" "));
    }

    private void describe() throws Exception {
        run("kafka-groups", "--list");
        groups("--list --state");
        groups("--describe --all-groups");
        cluster.create("described", 4);
        cluster.produce("described", 4, 3);
        TopicPartition p0 = new TopicPartition("described", 0);
        Cluster.get(cluster.admin.alterConsumerGroupOffsets("d.simple", Map.of(p0, new OffsetAndMetadata(1))).all());
        Member a = cluster.join("a", Flavour.CLASSIC_RANGE, "d.classic", List.of("described"));
        Member b = cluster.join("b", Flavour.CLASSIC_RANGE, "d.classic", List.of("described"));
        Member c = cluster.join("c", Flavour.CONSUMER_RANGE, "d.consumer", Map.of("group.instance.id", "i1"), List.of("described"));
        Member d = cluster.join("d", Flavour.CONSUMER_RANGE, "d.consumer", Map.of("group.instance.id", "i2"), List.of("described"));
        Member e = cluster.join("e", Flavour.CONSUMER, "d.emptied", List.of("described"));
        cluster.rest("d.classic", 4, a, b);
        cluster.rest("d.consumer", 4, c, d);
        cluster.rest("d.emptied", 4, e);
        for (Member member : List.of(a, c, e)) {
            member.call(consumer -> {
                consumer.commitSync(Map.of(p0, new OffsetAndMetadata(2)));
                return null;
            });
        }
        e.close();
        cluster.restEmpty("d.emptied");

        for (String arguments : List.of("", " --consumer", " --share", " --group-type classic", " --group-type consumer", " --protocol consumer", " --protocol connect")) {
            run(("kafka-groups --list" + arguments).split(" "));
        }
        for (String arguments : List.of("", " --state", " --state stable", " --state Empty,Stable", " --type", " --type classic", " --type consumer --state")) {
            groups("--list" + arguments);
        }
        for (String group : List.of("d.classic", "d.consumer", "d.emptied", "d.simple", "d.unknown")) {
            for (String arguments : List.of("", " --offsets --verbose", " --members", " --members --verbose", " --state", " --state --verbose")) {
                groups("--describe --group " + group + arguments);
            }
        }
        groups("--describe --group d.classic --group d.emptied --state");
        groups("--describe --all-groups --members");
        groups("--reset-offsets --group d.classic --topic described --to-earliest --execute");
        groups("--reset-offsets --group d.consumer --all-topics --to-latest --execute");
        groups("--validate-regex d.*");
        run("kafka-get-offsets", "--topic", "described");
        for (Member member : List.of(a, b, c, d)) {
            member.close();
        }
    }

    /** Four records of 2024, a day apart, and two of now; the second topic is behind. */
    private void resetOffsets() throws Exception {
        cluster.create("reset", 2);
        cluster.create("reset-too", 1);
        for (String topic : List.of("reset", "reset-too")) {
            ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
            Cluster.get(cluster.admin.incrementalAlterConfigs(Map.of(resource, List.of(new AlterConfigOp(new ConfigEntry("retention.ms", "-1"), AlterConfigOp.OpType.SET)))).all());
        }
        long[] times = new long[4];
        for (int day = 0; day < 4; day++) {
            times[day] = Instant.parse("2024-01-0" + (day + 1) + "T00:00:00Z").toEpochMilli();
        }
        cluster.produceAt("reset", 0, times);
        cluster.produceAt("reset", 1, times[0], times[3]);
        cluster.produce("reset", 2, 2);
        cluster.produce("reset-too", 1, 5);
        Cluster.get(cluster.admin.alterConsumerGroupOffsets("r", Map.of(new TopicPartition("reset", 0), new OffsetAndMetadata(3, "kept?"),
            new TopicPartition("reset-too", 0), new OffsetAndMetadata(4))).all());

        groups("--reset-offsets --group r --topic reset --to-earliest");
        groups("--reset-offsets --group r --topic reset --to-earliest --dry-run");
        groups("--describe --group r");
        groups("--reset-offsets --group r --topic reset --to-current --execute");
        for (String rule : List.of("--to-earliest", "--to-latest", "--to-offset 2", "--to-offset 100", "--to-offset 4", "--shift-by -2", "--shift-by 1", "--shift-by -50",
            "--by-duration PT1H", "--by-duration P10000D", "--to-datetime 2024-01-02T00:00:00.000", "--to-datetime 2024-01-02T12:00:00.000+01:00", "--to-datetime 2099-01-01T00:00:00.000")) {
            groups("--reset-offsets --group r --topic reset " + rule + " --execute");
        }
        groups("--reset-offsets --group r --topic reset:1 --to-offset 1 --execute");
        groups("--reset-offsets --group r --topic reset:0,1 --topic reset-too --to-offset 3 --execute");
        groups("--reset-offsets --group r --all-topics --shift-by 1 --execute");
        groups("--reset-offsets --group r.new --topic reset --to-latest --execute");
        groups("--reset-offsets --group r --group r.new --topic reset --to-earliest --dry-run");
        groups("--reset-offsets --group r.unknown --all-topics --to-latest --dry-run");
        groups("--reset-offsets --group r --topic nowhere --to-latest --dry-run");
        groups("--reset-offsets --group r --topic reset:7 --to-offset 0 --dry-run");
        fromFile();
        groups("--describe --group r");
        groups("--describe --group r.new");
    }

    private void fromFile() throws Exception {
        String exported = tool.output(GROUPS, "--reset-offsets", "--group", "r", "--all-topics", "--to-current", "--export", "--dry-run");
        transcript.say("exported", exported.lines().filter(line -> !line.isBlank()).sorted().toList());
        Path file = folder.resolve("offsets.csv");
        Files.writeString(file, exported.replace(",4", ",2"));
        run(GROUPS, "--reset-offsets", "--group", "r", "--from-file", file.toString(), "--dry-run");
        run(GROUPS, "--reset-offsets", "--group", "r", "--from-file", file.toString(), "--execute");
        Files.writeString(file, "\"r\",\"reset\",0,1\n\"r.new\",\"reset\",1,2\n");
        run(GROUPS, "--reset-offsets", "--group", "r", "--group", "r.new", "--from-file", file.toString(), "--execute");
        Files.delete(file);
    }

    private void delete() throws Exception {
        cluster.create("deleted", 2);
        cluster.create("deleted-too", 1);
        Map<TopicPartition, OffsetAndMetadata> offsets = Map.of(new TopicPartition("deleted", 0), new OffsetAndMetadata(1), new TopicPartition("deleted", 1), new OffsetAndMetadata(2),
            new TopicPartition("deleted-too", 0), new OffsetAndMetadata(3));
        for (Flavour flavour : List.of(Flavour.CLASSIC_RANGE, Flavour.CONSUMER)) {
            String group = "x." + (flavour.classic() ? "classic" : "consumer");
            Cluster.get(cluster.admin.alterConsumerGroupOffsets(group, offsets).all());
            Member a = cluster.join("a", flavour, group, List.of("deleted"));
            cluster.rest(group, 2, a);
            groups("--delete --group " + group);
            groups("--delete-offsets --group " + group + " --topic deleted");
            groups("--delete-offsets --group " + group + " --topic deleted-too");
            a.close();
            cluster.restEmpty(group);
            groups("--delete-offsets --group " + group + " --topic deleted:1 --topic nowhere");
            groups("--describe --group " + group + " --offsets");
        }
        groups("--delete-offsets --group x.unknown --topic deleted");
        groups("--delete --group x.classic --group x.unknown");
        groups("--delete --group x.consumer");
        groups("--delete --group x.consumer");
    }

    private void consoleConsumer() throws Exception {
        cluster.create("console", 2);
        cluster.produce("console", 2, 3);
        for (String protocol : List.of("classic", "consumer")) {
            String command = "kafka-console-consumer --topic console --group k." + protocol + " --timeout-ms 20000 --command-property group.protocol=" + protocol
                + " --formatter-property print.partition=true --formatter-property print.offset=true --from-beginning --max-messages ";
            // how records of several partitions come in turns is no promise: those of both halves together are
            List<String> both = new ArrayList<>(tool.run((command + 4).split(" ")));
            both.addAll(tool.run((command + 2).split(" ")));
            transcript.say("$ " + command + "4, and 2 more", both.stream().sorted().toList());
            cluster.restEmpty("k." + protocol);
            groups("--describe --group k." + protocol);
        }
        run("kafka-console-consumer", "--include", "con.*e", "--group", "k.include", "--timeout-ms", "20000", "--consumer-property", "auto.offset.reset=earliest", "--max-messages", "6");
        cluster.restEmpty("k.include");
        groups("--describe --group k.include");
    }

    /** What Kafka keeps of these two groups: each record once, since how often one is written over is no promise. */
    private void offsetsTopic() throws Exception {
        cluster.create("kept", 1);
        for (Flavour flavour : List.of(Flavour.CLASSIC_RANGE, Flavour.CONSUMER)) {
            String group = "o." + (flavour.classic() ? "classic" : "consumer");
            Member a = cluster.join("a", flavour, group, List.of("kept"));
            cluster.rest(group, 1, a);
            a.call(consumer -> {
                consumer.commitSync(Map.of(new TopicPartition("kept", 0), new OffsetAndMetadata(5, "kept")));
                return null;
            });
            a.close();
            cluster.restEmpty(group);
        }
        Cluster.get(cluster.admin.deleteConsumerGroupOffsets("o.consumer", Set.of(new TopicPartition("kept", 0))).all());
        Cluster.get(cluster.admin.deleteConsumerGroups(List.of("o.classic")).all());
        for (String formatter : List.of("OffsetsMessageFormatter", "GroupMetadataMessageFormatter")) {
            for (String group : List.of("o.classic", "o.consumer")) {
                // where Kafka puts a group
                int partition = (group.hashCode() & Integer.MAX_VALUE) % 50;
                String printed = tool.output("kafka-console-consumer", "--topic", "__consumer_offsets", "--partition", String.valueOf(partition), "--offset", "earliest",
                    "--timeout-ms", "20000", "--max-messages", cluster.end("__consumer_offsets", partition), "--formatter", "org.apache.kafka.tools.consumer." + formatter);
                // the formatters end no lines
                // A new group's empty record is Kafka's alone, and Ottla's alone is one for each generation before its assignments are known.
                List<String> records = List.of(printed.replace("{\"key\":", "\n{\"key\":").split("\n")).stream()
                    .filter(record -> record.contains("\"group\":\"" + group + "\""))
                    .filter(record -> !record.contains("\"protocolType\":\"\"") && !record.contains("\"assignment\":\"\"")).map(ToolStories::withoutTimes).distinct().sorted().toList();
                transcript.say(formatter + ", " + group, records);
            }
        }
    }

    private static String withoutTimes(String record) {
        return Tool.tidy(record.replaceAll("(\"\\w*Timestamp\":)\\d+", "$1<time>").replaceAll("(\"generation\":)\\d+", "$1<generation>")
            .replaceAll("(\"topicId\":)\"[^\"]+\"", "$1<id>"));
    }

    private void verifiableConsumer() throws Exception {
        cluster.create("verified", 2);
        cluster.produce("verified", 2, 5);
        for (String arguments : List.of("classic", "classic --assignment-strategy org.apache.kafka.clients.consumer.CooperativeStickyAssignor", "classic --group-instance-id i1 --enable-autocommit",
            "consumer", "consumer --group-remote-assignor range", "consumer --group-instance-id i1")) {
            String group = "v." + arguments.replaceAll("[^a-zA-Z0-9]+", ".");
            String printed = tool.output(("kafka-verifiable-consumer --topic verified --max-messages 10 --reset-policy earliest --verbose --group-id " + group + " --group-protocol " + arguments).split(" "));
            transcript.say(group, events(printed));
            run(GROUPS, "--describe", "--group", group, "--offsets");
        }
    }

    /** How many events there are of a kind is no promise, but what they add up to is. */
    private static List<String> events(String printed) {
        TreeMap<String, Integer> records = new TreeMap<>();
        TreeMap<String, Integer> others = new TreeMap<>();
        for (String line : printed.lines().toList()) {
            String tidy = line.replaceAll("\"timestamp\":\\d+,?", "");
            if (tidy.contains("\"record_data\"")) {
                records.merge(tidy, 1, Integer::sum);
            } else if (tidy.contains("\"partitions_assigned\"") && tidy.contains("\"partitions\":[]")) {
                // nothing, until the client knows the topic that it was given: whether it does depends on which answer came first
                continue;
            } else if (tidy.contains("\"partitions_assigned\"") || tidy.contains("_complete\"") || tidy.contains("\"success\":false")) {
                others.merge(tidy, 1, (x, y) -> x);
            }
        }
        List<String> all = new ArrayList<>(others.keySet());
        records.forEach((record, times) -> all.add(record + (times == 1 ? "" : " " + times + " times")));
        return all;
    }

    private void configs() throws Exception {
        String interval = "consumer.heartbeat.interval.ms";
        String timeout = "consumer.session.timeout.ms";
        String first = "kafka-configs --entity-type groups --entity-name c.1";
        run((first + " --describe").split(" "));
        run((first + " --alter --add-config " + interval + "=1000," + timeout + "=40000").split(" "));
        GroupConfigStory.await(cluster, "c.1", Map.of(interval, "1000", timeout, "40000"));
        run((first + " --describe").split(" "));
        run(("kafka-configs --group c.2 --alter --add-config " + timeout + "=50000").split(" "));
        GroupConfigStory.await(cluster, "c.2", Map.of(timeout, "50000"));
        // with all groups, those without configs too: which ones there are, the stories before this one decide
        run("kafka-configs --entity-type groups --describe".split(" "));
        run((first + " --alter --delete-config " + interval).split(" "));
        GroupConfigStory.await(cluster, "c.1", Map.of(interval, "200"));
        run("kafka-configs --group c.1 --describe".split(" "));
        for (String refused : List.of("--add-config " + timeout + "=1", "--add-config no.such.key=1", "--delete-config " + interval)) {
            run((first + " --alter " + refused).split(" "));
        }
        run("kafka-configs --entity-type groups --entity-name c.unknown --describe".split(" "));
    }
}

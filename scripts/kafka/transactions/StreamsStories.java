import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringSerializer;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.IntStream;

/**
 * A Streams application that processes exactly once (StreamsApp) is killed in the middle of a transaction and started again, first with its state, then
 * without: java StreamsStories <bootstrap> <folder>
 */
final class StreamsStories implements AutoCloseable {
    private static final int PARTITIONS = 2;
    private static final int RECORDS = 3000;
    private static final List<String> WORDS = List.of("broker", "commit", "consumer", "epoch", "fence", "group", "log", "marker", "offset", "partition", "producer", "topic");
    private static final String NAME = "words";

    private final Broker broker;
    private final String bootstrap;
    private final Path scratch;
    private final String input = NAME + ".input";
    private final String output = NAME + ".output";
    private final List<TopicPartition> outputs = IntStream.range(0, PARTITIONS).mapToObj(p -> new TopicPartition(output, p)).toList();
    private final Random random = new Random(1);
    private final KafkaProducer<String, String> producer;
    private final KafkaConsumer<String, String> reader;
    private final Map<String, List<String>> updates = new TreeMap<>();
    private int written;
    private int read;
    private Process app;

    private StreamsStories(Broker broker, String bootstrap, Path scratch) {
        this.broker = broker;
        this.bootstrap = bootstrap;
        this.scratch = scratch;
        producer = new KafkaProducer<>(broker.client("source", Map.of()), new StringSerializer(), new StringSerializer());
        reader = broker.consumer("reader", IsolationLevel.READ_COMMITTED, Map.of());
    }

    public static void main(String[] arguments) throws Exception {
        Path folder = Files.createDirectories(Path.of(arguments[1]));
        Transcript transcript = new Transcript(NAME);
        boolean failed = false;
        try (Broker broker = new Broker(arguments[0], null); StreamsStories stories = new StreamsStories(broker, arguments[0], Path.of(System.getenv("SCRATCH")))) {
            stories.killed(transcript);
        } catch (Throwable e) {
            e.printStackTrace();
            transcript.say("FAILED: " + e);
            failed = true;
        }
        transcript.write(folder.resolve("killed.txt"));
        System.exit(failed ? 1 : 0);
    }

    @Override
    public void close() {
        if (app != null) {
            app.destroyForcibly();
        }
        producer.close();
        reader.close();
    }

    private void killed(Transcript transcript) throws Exception {
        broker.create(input, PARTITIONS);
        broker.create(output, PARTITIONS);
        reader.assign(outputs);
        write(200);
        start("state");
        readAll();
        killInTransaction(transcript);

        start("state");
        readAll();
        transcript.say("with its state again: as many updates as records: " + (read == written));
        killInTransaction(transcript);

        start("other-state");
        write(RECORDS - written);
        readAll();
        app.getOutputStream().close();
        transcript.say("without its state: it ended with " + app.waitFor());
        app = null;
        results(transcript);
    }

    /** The next words, to partitions that are the same in each run. */
    private void write(int records) throws Exception {
        for (int i = 0; i < records; i++) {
            producer.send(new ProducerRecord<>(input, random.nextInt(PARTITIONS), null, WORDS.get((int) (Math.abs(random.nextGaussian()) * 4) % WORDS.size())));
        }
        producer.flush();
        written += records;
    }

    private void start(String state) throws Exception {
        List<String> command = new ArrayList<>(List.of(System.getProperty("java.home") + "/bin/java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            "-Dlog4j2.configurationFile=" + System.getProperty("log4j2.configurationFile"), "-cp", System.getProperty("java.class.path"), "StreamsApp", input, output));
        Map<String, String> settings = new TreeMap<>(Map.of("application.id", NAME, "bootstrap.servers", bootstrap, "processing.guarantee", "exactly_once_v2",
            "state.dir", scratch.resolve(state).toString(), "statestore.cache.max.bytes", "0", "enable.metrics.push", "false", "retry.backoff.ms", "50"));
        // transactions long enough to be killed in, and short enough not to be waited for
        settings.putAll(Map.of("commit.interval.ms", "1000", "producer.transaction.timeout.ms", "4000", "producer.linger.ms", "5", "consumer.max.poll.records", "50"));
        // the next process takes the place of the killed one at once
        settings.put("main.consumer.group.instance.id", "i");
        // records of repartition topics are deleted after processing: not here
        settings.put("repartition.purge.interval.ms", "86400000");
        settings.forEach((key, value) -> command.add(key + "=" + value));
        app = new ProcessBuilder(command).redirectOutput(ProcessBuilder.Redirect.DISCARD).redirectError(scratch.resolve("said-" + state).toFile()).start();
    }

    /** Until there are as many committed updates as there are records, or more, which would show in the results. */
    private void readAll() throws Exception {
        Broker.until("all updates", () -> {
            if (!app.isAlive()) {
                throw new IllegalStateException("the application ended with " + app.exitValue());
            }
            readSome();
            return read >= written;
        });
    }

    private void readSome() {
        reader.poll(Duration.ofMillis(50)).forEach(update -> {
            updates.computeIfAbsent(update.key(), word -> new ArrayList<>()).add(update.value());
            read++;
        });
    }

    private void killInTransaction(Transcript transcript) throws Exception {
        Broker.until("a transaction", () -> {
            if (read == written) {
                write(300);
            }
            readSome();
            return open();
        });
        app.destroyForcibly().waitFor();
        transcript.say("killed, with a transaction open: " + open());
    }

    private boolean open() throws Exception {
        for (TopicPartition partition : outputs) {
            if (broker.offset(partition, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED) < broker.offset(partition, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED)) {
                return true;
            }
        }
        return false;
    }

    private void results(Transcript transcript) throws Exception {
        List<String> last = new ArrayList<>();
        updates.forEach((word, values) -> {
            boolean inOrder = IntStream.range(0, values.size()).allMatch(i -> values.get(i).equals((i + 1) + " " + (i + 1) * word.length()));
            last.add(word + ": " + values.size() + " updates, each once and in order: " + inOrder + ", the last is '" + values.get(values.size() - 1) + "'");
        });
        transcript.say("updates", last);
        String changelog = NAME + "-" + StreamsApp.STORE + "-changelog";
        String repartition = NAME + "-by-word-repartition";
        Map<String, String> stored = new TreeMap<>();
        int repartitioned = 0;
        try (KafkaConsumer<String, String> all = broker.consumer("all", IsolationLevel.READ_COMMITTED, Map.of())) {
            for (String topic : List.of(changelog, repartition)) {
                List<TopicPartition> partitions = all.partitionsFor(topic).stream().map(p -> new TopicPartition(topic, p.partition())).toList();
                all.assign(partitions);
                all.seekToBeginning(partitions);
                Map<TopicPartition, Long> ends = all.endOffsets(partitions);
                int[] records = new int[1];
                Broker.until("the end of " + topic, () -> {
                    all.poll(Duration.ofMillis(50)).forEach(record -> {
                        stored.merge(record.topic() + " " + record.key(), record.value(), (before, now) -> now);
                        records[0]++;
                    });
                    return partitions.stream().allMatch(p -> all.position(p) >= ends.get(p));
                });
                transcript.say(topic + ": " + partitions.size() + " partitions, " + config(topic, "cleanup.policy") + ", " + records[0] + " records committed");
            }
        }
        transcript.say("the changelog agrees with the last updates: "
            + updates.entrySet().stream().allMatch(e -> e.getValue().get(e.getValue().size() - 1).equals(stored.get(changelog + " " + e.getKey()))));
        transcript.say("committed offsets", broker.committed(NAME).stream().filter(line -> line.startsWith(input)).map(line -> line.replaceAll(" '.*", "")).toList());
        transcript.say("transactions open: " + Broker.get(broker.admin.listTransactions().all()).stream().filter(t -> t.state().toString().equals("Ongoing")).count());
    }

    private String config(String topic, String key) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        ConfigEntry entry = Broker.get(broker.admin.describeConfigs(List.of(resource)).all()).get(resource).get(key);
        return key + "=" + entry.value();
    }
}

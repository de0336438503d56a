import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.serialization.StringSerializer;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Kafka's TransactionalMessageCopier moves records from topic to topic, aborts at random, is killed on the way and goes on: each record arrives once, in order. */
final class CopierStory implements Story {
    private static final int PARTITIONS = 2;
    private static final Pattern PROCESSED = Pattern.compile("\"totalProcessed\":(\\d+)");

    private final String bootstrap;
    private final int records;
    private final int transactionSize;

    CopierStory(String bootstrap) {
        this(bootstrap, 2000, 100);
    }

    /** @param records for each partition */
    CopierStory(String bootstrap, int records, int transactionSize) {
        this.bootstrap = bootstrap;
        this.records = records;
        this.transactionSize = transactionSize;
    }

    @Override
    public void tell(Broker broker, String name, Transcript transcript) throws Exception {
        String from = fill(broker, name);
        assigned(broker, name, from, transcript);
        inGroup(broker, name, from, transcript);
    }

    /** One copier for each partition; one that gives up is begun anew. The broker may come and go. */
    void tellThroughCrashes(Broker broker, String name, Runnable copying, Transcript transcript) throws Exception {
        String from = fill(broker, name);
        String to = name + ".to";
        broker.create(to, PARTITIONS);
        List<Process> copiers = new ArrayList<>();
        try {
            for (int partition = 0; partition < PARTITIONS; partition++) {
                copiers.add(drained(assigned(from, to, partition)));
            }
            copying.run();
            for (int partition = 0; partition < PARTITIONS; partition++) {
                while (copiers.get(partition).waitFor() != 0) {
                    copiers.set(partition, drained(assigned(from, to, partition)));
                }
            }
        } finally {
            copiers.forEach(Process::destroyForcibly);
        }
        transcript.say("each record once and in order: " + copied(broker, from, to));
        transcript.say("offsets", broker.committed(to));
        for (int partition = 0; partition < PARTITIONS; partition++) {
            int transactions = records / transactionSize;
            transcript.say("each transaction has an epoch of its own: " + (broker.describe(to + "." + partition).producerEpoch() >= transactions));
        }
    }

    private String fill(Broker broker, String name) throws Exception {
        String from = name + ".from";
        broker.create(from, PARTITIONS);
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(broker.client(name + ".source", Map.of()), new StringSerializer(), new StringSerializer())) {
            for (int i = 0; i < records; i++) {
                for (int partition = 0; partition < PARTITIONS; partition++) {
                    producer.send(new ProducerRecord<>(from, partition, null, partition + "." + i));
                }
            }
        }
        return from;
    }

    /** One copier for each partition, killed when it has copied some; what it had open is there for as long as its transaction may take. */
    private void assigned(Broker broker, String name, String from, Transcript transcript) throws Exception {
        String to = name + ".assigned";
        broker.create(to, PARTITIONS);
        List<Process> copiers = new ArrayList<>();
        try {
            for (int partition = 0; partition < PARTITIONS; partition++) {
                copiers.add(assigned(from, to, partition));
            }
            List<CompletableFuture<Void>> killed = copiers.stream().map(copier -> CompletableFuture.runAsync(() -> kill(copier, 300))).toList();
            for (CompletableFuture<Void> each : killed) {
                Broker.get(each);
            }
            transcript.say("killed, all of it was copied: " + copied(broker, from, to));
            copiers.clear();
            for (int partition = 0; partition < PARTITIONS; partition++) {
                copiers.add(assigned(from, to, partition));
            }
            finish(copiers);
        } finally {
            copiers.forEach(Process::destroyForcibly);
        }
        transcript.say("afterwards, each record once and in order: " + copied(broker, from, to));
        transcript.say("offsets", broker.committed(to));
    }

    private Process assigned(String from, String to, int partition) throws Exception {
        return copier(from, to, to + "." + partition, "--input-partition", String.valueOf(partition));
    }

    /** Two copiers of one group, which share the partitions. */
    private void inGroup(Broker broker, String name, String from, Transcript transcript) throws Exception {
        String to = name + ".group";
        broker.create(to, PARTITIONS);
        List<Process> copiers = new ArrayList<>();
        try {
            for (int i = 0; i < 2; i++) {
                copiers.add(copier(from, to, to + "." + i, "--input-partition", "-1", "--group-mode", "--use-group-metadata"));
            }
            finish(copiers);
        } finally {
            copiers.forEach(Process::destroyForcibly);
        }
        transcript.say("a group, each record once and in order: " + copied(broker, from, to));
        transcript.say("offsets", broker.committed(to));
    }

    /** The consumer group is named like the topic. */
    private Process copier(String from, String to, String id, String... more) throws Exception {
        List<String> command = new ArrayList<>(List.of(System.getProperty("java.home") + "/bin/java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            "-Dlog4j2.configurationFile=" + System.getProperty("log4j2.configurationFile"), "-cp", System.getProperty("java.class.path"),
            "org.apache.kafka.tools.TransactionalMessageCopier", "--broker-list", bootstrap, "--transactional-id", id, "--consumer-group", to, "--input-topic", from,
            "--output-topic", to, "--transaction-size", String.valueOf(transactionSize), "--transaction-timeout", "2000", "--enable-random-aborts"));
        command.addAll(List.of(more));
        return new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD).start();
    }

    /** When it has copied that many, and before it has copied all. */
    private static void kill(Process copier, int copied) {
        try (BufferedReader said = new BufferedReader(new InputStreamReader(copier.getInputStream()))) {
            for (String line = said.readLine(); line != null; line = said.readLine()) {
                Matcher matcher = PROCESSED.matcher(line);
                if (matcher.find() && Integer.parseInt(matcher.group(1)) >= copied) {
                    copier.destroyForcibly().waitFor();
                    return;
                }
            }
        } catch (IOException | InterruptedException e) {
            throw new IllegalStateException(e);
        }
        throw new IllegalStateException("a copier ended too soon");
    }

    /** Reads what it says, or it would wait for that. */
    private static Process drained(Process copier) {
        Thread reads = new Thread(() -> new BufferedReader(new InputStreamReader(copier.getInputStream())).lines().forEach(line -> { }));
        reads.setDaemon(true);
        reads.start();
        return copier;
    }

    private static void finish(List<Process> copiers) throws Exception {
        copiers.forEach(CopierStory::drained);
        Broker.until("the end of the copiers", () -> copiers.stream().noneMatch(Process::isAlive));
        for (Process copier : copiers) {
            if (copier.exitValue() != 0) {
                throw new IllegalStateException("a copier ended with " + copier.exitValue());
            }
        }
    }

    /** Whether who reads committed sees in one topic the values of the other. */
    private boolean copied(Broker broker, String from, String to) throws Exception {
        List<String> source = values(broker, from);
        for (int partition = 0; partition < PARTITIONS; partition++) {
            if (source.get(partition).split(" ").length != records) {
                throw new IllegalStateException("not all records are there: " + source.get(partition));
            }
        }
        return source.equals(values(broker, to));
    }

    private static List<String> values(Broker broker, String topic) throws Exception {
        return broker.read(topic, IsolationLevel.READ_COMMITTED).stream().map(line -> line.substring(line.indexOf(": ") + 2).replaceAll("\\d+=", "")).toList();
    }
}

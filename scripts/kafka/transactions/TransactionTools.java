import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.slf4j.LoggerFactory;

import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Kafka's own tools for transactions, one after the other, and what they print: java TransactionTools <bootstrap> <folder> [story ...] */
final class TransactionTools {
    private final Broker broker;
    private final String bootstrap;
    private final Tool tool;
    private final Path folder;
    private Transcript transcript;

    private TransactionTools(Broker broker, String bootstrap, Path folder) {
        this.broker = broker;
        this.bootstrap = bootstrap;
        this.folder = folder;
        tool = new Tool(bootstrap);
    }

    private interface Part {
        void tell() throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        // logging keeps the standard error that it finds, which tools shall not have
        LoggerFactory.getLogger(TransactionTools.class);
        PrintStream said = System.err;
        int failed = 0;
        try (Broker broker = new Broker(arguments[0], null)) {
            TransactionTools tools = new TransactionTools(broker, arguments[0], Files.createDirectories(Path.of(arguments[1])));
            Map<String, Part> parts = tools.parts();
            Set<String> wanted = Set.copyOf(List.of(arguments).subList(2, arguments.length));
            if (!wanted.isEmpty()) {
                parts.keySet().retainAll(wanted);
            }
            for (Map.Entry<String, Part> part : parts.entrySet()) {
                failed += tools.tell(part.getKey(), part.getValue(), said) ? 0 : 1;
            }
        }
        Runtime.getRuntime().halt(failed == 0 ? 0 : 1);
    }

    private Map<String, Part> parts() {
        Map<String, Part> parts = new LinkedHashMap<>();
        parts.put("list-and-describe", this::listAndDescribe);
        parts.put("find-hanging", this::findHanging);
        parts.put("abort", this::abort);
        parts.put("console-consumer", this::consoleConsumer);
        parts.put("state-topic", this::stateTopic);
        parts.put("producer-perf-test", this::producerPerformance);
        parts.put("copier", () -> new CopierStory(bootstrap).tell(broker, "copier", transcript));
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

    private void run(String command) throws Exception {
        transcript.say("$ " + command, tool.run(command.split(" ")));
    }

    private void transactions(String arguments) throws Exception {
        run("kafka-transactions " + arguments);
    }

    private void listAndDescribe() throws Exception {
        transactions("list");
        broker.create("listed", 2);
        TopicPartition p0 = new TopicPartition("listed", 0);
        TopicPartition p1 = new TopicPartition("listed", 1);
        try (Writer open = broker.writer("l.open", Map.of("transaction.timeout.ms", "120000")).init(); Writer committed = broker.writer("l.committed");
            Writer aborted = broker.writer("l.aborted"); Writer empty = broker.writer("l.empty"); Writer offsets = broker.writer("l.offsets"); Writer plain = broker.plain("plain")) {
            committed.begin().send(p0, "c1").commit();
            broker.ended(committed.id);
            aborted.begin().send(p0, "x1").abort();
            broker.ended(aborted.id);
            plain.send(p0, "plain1");
            offsets.begin().offsets(new ConsumerGroupMetadata("l.group"), Map.of(p0, new OffsetAndMetadata(1)));
            open.begin().send(p0, "o1", "o2").send(p1, "o3");
            for (String arguments : List.of("", " --transactional-id-pattern l\\.o.*", " --transactional-id-pattern nothing", " --transactional-id-pattern (",
                " --duration-filter -1", " --duration-filter 1 --transactional-id-pattern l\\.(open|offsets)")) {
                transactions("list" + arguments);
            }
            for (String id : List.of(open.id, committed.id, aborted.id, empty.id, offsets.id, "l.unknown")) {
                transactions("describe --transactional-id " + id);
            }
            transactions("describe-producers --topic listed --partition 0");
            transactions("describe-producers --topic listed --partition 1");
            transactions("describe-producers --topic listed --partition 1 --broker-id 1");
            open.commit();
            broker.ended(open.id);
            transactions("describe-producers --topic listed --partition 1");
            transactions("describe --transactional-id l.open");
            offsets.abort();
            broker.ended(offsets.id);
        }
    }

    /** Open for years, as its records' times say, but the coordinator knows of it: not what is looked for. */
    private void findHanging() throws Exception {
        broker.create("old", 2);
        TopicPartition p0 = new TopicPartition("old", 0);
        transactions("find-hanging");
        transactions("find-hanging --topic old");
        try (Writer old = broker.writer("h.old")) {
            old.begin().send(p0, 1_600_000_000_000L, "old1");
            transactions("describe-producers --topic old --partition 0");
            transactions("find-hanging --topic old --partition 0");
            transactions("find-hanging --topic old");
            transactions("find-hanging --broker-id 1 --max-transaction-timeout 0");
            transactions("find-hanging --broker-id 1 --topic old");
            transactions("find-hanging --partition 0");
            old.abort();
        }
    }

    private void abort() throws Exception {
        broker.create("aborted", 2);
        TopicPartition p0 = new TopicPartition("aborted", 0);
        TopicPartition p1 = new TopicPartition("aborted", 1);
        try (Writer first = broker.writer("a.first"); Writer second = broker.writer("a.second")) {
            first.begin().send(p0, "first1").commit();
            broker.ended(first.id);
            first.begin().send(p0, "first2").send(p1, "first3");
            second.begin().send(p0, "second1");
            transcript.say("p0 " + broker.ends(p0) + ", p1 " + broker.ends(p1));
            transactions("abort --topic aborted --partition 0");
            transactions("abort --topic aborted --partition 0 --start-offset 1");
            transactions("describe-producers --topic aborted --partition 0");
            transactions("abort --topic aborted --partition 0 --start-offset 2");
            transcript.say("p0 " + broker.ends(p0) + ", p1 " + broker.ends(p1));
            transactions("describe-producers --topic aborted --partition 0");
            transactions("abort --topic aborted --partition 0 --start-offset 2");
            transactions("abort --topic aborted --partition 0 --start-offset 3");
            transactions("abort --topic aborted --partition 1 --start-offset 0");
            transcript.say("p0 " + broker.ends(p0) + ", p1 " + broker.ends(p1));
            transactions("describe --transactional-id a.first");
            transactions("forceTerminateTransaction --transactionalId a.first");
            broker.ended(first.id);
            transactions("describe --transactional-id a.first");
            transactions("forceTerminateTransaction --transactionalId a.first");
            transactions("forceTerminateTransaction --transactionalId a.unknown");
            transcript.say("the first commits: " + Broker.outcome(first::commit));
            transcript.say("the second commits: " + Broker.outcome(second::commit));
            broker.ended(second.id);
        }
        broker.show("aborted", "at last", transcript);
    }

    private void consoleConsumer() throws Exception {
        broker.create("console", 1);
        TopicPartition p0 = new TopicPartition("console", 0);
        try (Writer a = broker.writer("c.a"); Writer b = broker.writer("c.b")) {
            a.begin().send(p0, "a1");
            b.begin().send(p0, "b1");
            a.send(p0, "a2").abort();
            broker.ended(a.id);
            b.commit();
            broker.ended(b.id);
            a.begin().send(p0, "a3").commit();
            broker.ended(a.id);
            a.begin().send(p0, "a4");
            String command = "kafka-console-consumer --topic console --partition 0 --offset earliest --timeout-ms 20000 --formatter-property print.offset=true";
            run(command + " --isolation-level read_committed --max-messages 2");
            run(command + " --isolation-level read_uncommitted --max-messages 5");
            a.abort();
        }
    }

    /** What is kept of a transactional id: each record once, since how often one is written over is no promise. */
    private void stateTopic() throws Exception {
        broker.create("kept", 2);
        TopicPartition p0 = new TopicPartition("kept", 0);
        TopicPartition p1 = new TopicPartition("kept", 1);
        try (Writer a = broker.writer("s.a")) {
            a.begin().send(p0, "a1").send(p1, "a2").commit();
            broker.ended(a.id);
            a.begin().send(p1, "a3").abort();
            broker.ended(a.id);
            // where Kafka puts it
            TopicPartition state = new TopicPartition("__transaction_state", (a.id.hashCode() & Integer.MAX_VALUE) % 50);
            String printed = tool.output("kafka-console-consumer", "--topic", state.topic(), "--partition", String.valueOf(state.partition()), "--offset", "earliest",
                "--timeout-ms", "20000", "--max-messages", String.valueOf(broker.offset(state, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED)),
                "--formatter", "org.apache.kafka.tools.consumer.TransactionLogMessageFormatter");
            // the formatter ends no lines, and partitions have no order
            transcript.say(a.id, List.of(printed.replace("{\"key\":", "\n{\"key\":").split("\n")).stream().filter(record -> record.contains("\"" + a.id + "\""))
                .map(record -> record.replaceAll("(\"\\w*Timestamp\\w*\":)\\d+", "$1<time>").replaceAll("(\"\\w*[pP]roducerId\":)\\d+", "$1<id>").replace("[1,0]", "[0,1]")).distinct().toList());
        }
    }

    /** How fast it was is no promise, but that all of it was committed is. */
    private void producerPerformance() throws Exception {
        broker.create("perf", 1);
        tool.output("kafka-producer-perf-test --topic perf --num-records 3000 --record-size 20 --throughput 3000 --transactional-id p.perf --transaction-duration-ms 50".split(" "));
        broker.ended("p.perf");
        transcript.say("records committed: " + broker.read("perf", IsolationLevel.READ_COMMITTED).get(0).replaceAll("[^=]", "").length());
        transcript.say("in several transactions: " + (broker.offset(new TopicPartition("perf", 0), OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED) > 3001));
        transcript.say("open: " + (broker.offset(new TopicPartition("perf", 0), OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED)
            - broker.offset(new TopicPartition("perf", 0), OffsetSpec.latest(), IsolationLevel.READ_COMMITTED)));
    }
}

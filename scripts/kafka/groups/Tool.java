import org.apache.kafka.common.utils.Exit;
import org.apache.kafka.tools.GetOffsetShell;
import org.apache.kafka.tools.GroupsCommand;
import org.apache.kafka.tools.ProducerPerformance;
import org.apache.kafka.tools.TransactionsCommand;
import org.apache.kafka.tools.VerifiableConsumer;
import org.apache.kafka.tools.consumer.ConsoleConsumer;
import org.apache.kafka.tools.consumer.group.ConsumerGroupCommand;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** Kafka's command line tools, run one after the other in this JVM, and what they print with everything taken out that differs between two right brokers. */
final class Tool {
    private static final String EXITED = "(exited)";

    /** Ends a tool where it would end the process; no Exception, so that no tool handles it. */
    private static final class Exited extends Error {
        private static final long serialVersionUID = 1L;

        Exited() {
            super(EXITED, null, false, false);
        }
    }

    /** Put in place once: Scala's println, for one, keeps the output that it first saw. */
    private static final class Redirect extends OutputStream {
        private volatile OutputStream to = OutputStream.nullOutputStream();

        @Override
        public void write(int b) throws IOException {
            to.write(b);
        }

        @Override
        public void write(byte[] bytes, int offset, int length) throws IOException {
            to.write(bytes, offset, length);
        }
    }

    private interface Main {
        void main(String[] arguments) throws Exception;
    }

    private static final Redirect OUT = new Redirect();
    private static final Redirect ERR = new Redirect();
    private static final Pattern CLIENT_ID_AND_UUID = Pattern.compile("-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}");
    /** What looks like an id, but for a column of kafka-transactions that is as long. */
    private static final Pattern ID = Pattern.compile("(?<![\\w.-])(?!LatestCoordinatorEpoch)(?=[\\w-]*[A-Z])(?=[\\w-]*[a-z])[A-Za-z0-9_-]{22}(?![\\w-])");
    private static final Pattern BROKER = Pattern.compile("127\\.0\\.0\\.1:\\d+(\\s+\\(\\d+\\))?");
    private static final Pattern STACK_FRAME = Pattern.compile("^\\s+(at|\\.\\.\\.) .*");
    /** The wording behind an exception's name is the broker's. */
    private static final Pattern EXCEPTION = Pattern.compile("((?:\\w+\\.)+\\w+(?:Exception|Error)): .*");
    private static final Pattern HEADER = Pattern.compile("^((GROUP|TOPIC|TransactionalId|CoordinatorId|ProducerId|Topic Partition) .*|Dynamic configs for .*)");

    /** Columns of kafka-transactions, and what their cells are called. */
    private static final Map<String, String> VARYING = Map.of("ProducerId", "<id>", "LastTimestamp", "<time>", "CurrentTransactionStartTimeMs", "<time>",
        "TransactionDurationMs", "<duration>", "LatestCoordinatorEpoch", "<epoch>", "Duration(min)", "<duration>");

    private final String bootstrap;
    private int exitCode;

    Tool(String bootstrap) {
        this.bootstrap = bootstrap;
        System.setOut(new PrintStream(OUT, true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(ERR, true, StandardCharsets.UTF_8));
        Exit.setExitProcedure((code, message) -> {
            // the first call counts: some tools exit again in a finally block. The message is one that was printed already.
            exitCode = exitCode < 0 ? code : exitCode;
            throw new Exited();
        });
        Exit.setShutdownHookAdder((name, runnable) -> { });
    }

    /** Runs the command with --bootstrap-server added: its output line by line, sorted below its header, then standard error, then an exit code that is not 0. */
    List<String> run(String... command) throws Exception {
        return tidy(raw(command));
    }

    /** What is printed on standard output by a command that succeeds, as it is. */
    String output(String... command) throws Exception {
        return raw(command)[0];
    }

    private String[] raw(String... command) throws Exception {
        List<String> arguments = new ArrayList<>(Arrays.asList(command).subList(1, command.length));
        // a tool with commands of its own wants it in front of them
        arguments.addAll(command[0].equals("kafka-transactions") ? 0 : arguments.size(), List.of("--bootstrap-server", bootstrap));
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        OUT.to = out;
        ERR.to = err;
        exitCode = -1;
        try {
            main(command[0]).main(arguments.toArray(String[]::new));
        } catch (Exited e) {
            // how tools end
        } finally {
            System.out.flush();
            System.err.flush();
            OUT.to = OutputStream.nullOutputStream();
            ERR.to = OutputStream.nullOutputStream();
        }
        return new String[] {out.toString(StandardCharsets.UTF_8), err.toString(StandardCharsets.UTF_8)};
    }

    private static Main main(String name) {
        return switch (name) {
            case "kafka-configs" -> kafka.admin.ConfigCommand::main;
            case "kafka-console-consumer" -> ConsoleConsumer::main;
            case "kafka-consumer-groups" -> ConsumerGroupCommand::main;
            case "kafka-get-offsets" -> GetOffsetShell::main;
            case "kafka-groups" -> GroupsCommand::main;
            case "kafka-producer-perf-test" -> ProducerPerformance::main;
            case "kafka-transactions" -> TransactionsCommand::main;
            case "kafka-verifiable-consumer" -> VerifiableConsumer::main;
            default -> throw new IllegalArgumentException(name);
        };
    }

    /** A block is a header with its rows sorted, or what comes before the first header; blocks are sorted too. */
    private List<String> tidy(String[] raw) {
        List<List<String>> blocks = new ArrayList<>(List.of(new ArrayList<>()));
        String header = null;
        for (String line : printed(raw[0])) {
            if (HEADER.matcher(line).matches()) {
                header = line;
                blocks.add(new ArrayList<>(List.of(line)));
            } else {
                blocks.get(blocks.size() - 1).add(header == null ? line : withoutVarying(header, line));
            }
        }
        List<String> lines = new ArrayList<>();
        blocks.stream().skip(1).forEach(block -> Collections.sort(block.subList(1, block.size())));
        Collections.sort(blocks.get(0));
        lines.addAll(blocks.get(0));
        blocks.stream().skip(1).sorted(Comparator.comparing(List::toString)).forEach(lines::addAll);
        for (String line : printed(raw[1])) {
            if (line.startsWith("Option ")) {
                // the explanation of all options goes on to the end
                break;
            }
            lines.add("stderr: " + line);
        }
        if (exitCode > 0) {
            lines.add("exit code " + exitCode);
        }
        return lines;
    }

    private static List<String> printed(String raw) {
        return raw.lines().filter(line -> !STACK_FRAME.matcher(line).matches() && !line.contains(EXITED)).map(Tool::tidy).filter(line -> !line.isEmpty()).toList();
    }

    /** Columns are as wide as the ids in them, so that widths say nothing. */
    static String tidy(String line) {
        String tidy = EXCEPTION.matcher(line).replaceAll("$1");
        tidy = CLIENT_ID_AND_UUID.matcher(tidy).replaceAll("-<uuid>");
        tidy = BROKER.matcher(tidy).replaceAll("<broker>");
        tidy = ID.matcher(tidy).replaceAll("<id>");
        return tidy.replace("COORDINATOR (ID)", "COORDINATOR").replaceAll("\\s+", " ").trim();
    }

    private static String withoutVarying(String header, String row) {
        String[] names = header.split(" ");
        String[] cells = row.split(" ");
        // a last cell may be empty
        if (names.length != cells.length && !header.endsWith(" TopicPartitions")) {
            return row;
        }
        for (int i = 0; i < cells.length; i++) {
            if (names[i].endsWith("EPOCH") && !cells[i].equals("-")) {
                cells[i] = "<epoch>";
            } else if (VARYING.containsKey(names[i]) && !cells[i].equals("None") && !cells[i].equals("-1")) {
                cells[i] = VARYING.get(names[i]);
            } else if (names[i].equals("TopicPartitions")) {
                cells[i] = String.join(",", Stream.of(cells[i].split(",")).sorted().toList());
            }
        }
        return String.join(" ", cells);
    }
}

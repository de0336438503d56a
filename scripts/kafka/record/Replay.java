import com.fasterxml.jackson.databind.JsonNode;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * Asks another broker what Kafka was asked, in the same order, and compares the answers field by field:
 * java Replay <port> <folder> <file of deviations | -> [settle]. With `settle` the broker is given time after each change, as a real Kafka needs.
 * A deviation is a line `<exchange> <path> <reason>`, both with `*` for any characters; one that no longer occurs is an error as well.
 */
final class Replay {
    private static final int SETTLE_MS = 500;
    private static final int TRIES = 8;
    private static final Set<ApiKeys> CHANGES = Set.of(ApiKeys.CREATE_TOPICS, ApiKeys.CREATE_PARTITIONS, ApiKeys.DELETE_TOPICS,
        ApiKeys.ALTER_CONFIGS, ApiKeys.INCREMENTAL_ALTER_CONFIGS);
    private static final Set<ApiKeys> REPEATABLE = Set.of(ApiKeys.METADATA, ApiKeys.INIT_PRODUCER_ID, ApiKeys.FIND_COORDINATOR, ApiKeys.DESCRIBE_CONFIGS);

    private final Wire wire;
    private final Path folder;
    private final boolean settle;
    private final Map<String, byte[]> own = new HashMap<>();
    private final Map<String, String> recordedIds = new HashMap<>();
    private final Map<String, String> differences = new TreeMap<>();
    private int connection = 1;

    private Replay(int port, Path folder, boolean settle) {
        this.wire = new Wire(port);
        this.folder = folder;
        this.settle = settle;
    }

    public static void main(String[] arguments) throws Exception {
        Replay replay = new Replay(Integer.parseInt(arguments[0]), Path.of(arguments[1]), arguments.length > 3);
        int exchanges = 0;
        for (String line : Files.readAllLines(Path.of(arguments[1], "INDEX"))) {
            if (!line.startsWith("#")) {
                String[] words = line.split(" ");
                replay.exchange(words[0], Integer.parseInt(words[1]));
                exchanges++;
            }
        }
        List<String> deviations = arguments[2].equals("-") ? List.of() : Files.readAllLines(Path.of(arguments[2]));
        System.exit(replay.report(exchanges, deviations) ? 0 : 1);
    }

    private void exchange(String name, int recordedConnection) throws Exception {
        if (recordedConnection != connection) {
            wire.disconnect();
            connection = recordedConnection;
        }
        byte[] request = null;
        String answer = null;
        Map<String, byte[]> uses = new HashMap<>();
        Map<String, byte[]> binds = new HashMap<>();
        for (String line : Files.readAllLines(folder.resolve(name))) {
            String[] words = line.split(" ");
            switch (words[0]) {
                case "#": break;
                case "use": uses.put(words[1], bytes(words[2])); break;
                case "bind": binds.put(words[1], bytes(words[2])); break;
                case ">": request = bytes(words[1]); break;
                default: answer = line;
            }
        }
        for (Map.Entry<String, byte[]> use : uses.entrySet()) {
            replace(request, use.getValue(), own.getOrDefault(use.getKey(), use.getValue()));
        }
        if (answer.equals("none")) {
            wire.unanswered(request);
        } else {
            compare(name, request, answer, binds);
        }
    }

    private void compare(String name, byte[] request, String answer, Map<String, byte[]> binds) throws Exception {
        ApiKeys api = request.length < 8 || !ApiKeys.hasId(at(request, 4)) ? null : ApiKeys.forId(at(request, 4));
        Map<String, String> found = new TreeMap<>();
        for (int left = settle && api != null && REPEATABLE.contains(api) ? TRIES : 1; left > 0; left--) {
            found.clear();
            once(name, api, request, answer, binds, found);
            if (found.isEmpty() || left == 1) {
                break;
            }
            Thread.sleep(SETTLE_MS);
        }
        differences.putAll(found);
        if (settle && api != null && CHANGES.contains(api)) {
            Thread.sleep(SETTLE_MS);
        }
    }

    private void once(String name, ApiKeys api, byte[] request, String answer, Map<String, byte[]> binds, Map<String, String> found) throws IOException {
        byte[] reply = wire.roundTrip(request);
        if (reply == null || answer.equals("closed")) {
            if (reply != null || !answer.equals("closed")) {
                found.put(name + " /", answer.equals("closed") ? "Kafka closes, this broker answers" : "Kafka answers, this broker closes");
            }
            return;
        }
        short version = api.isVersionSupported(at(request, 6)) || api == ApiKeys.PRODUCE ? at(request, 6) : 0;
        ApiMessage response;
        try {
            response = Wire.parse(api, version, reply);
        } catch (IOException | RuntimeException e) {
            found.put(name + " /", "not read: " + e);
            return;
        }
        for (Map.Entry<String, byte[]> binding : Bindings.of(api, version, response).entrySet()) {
            own.put(binding.getKey(), binding.getValue());
            byte[] recorded = binds.get(binding.getKey());
            if (recorded != null && recorded.length == 16) {
                recordedIds.put(id(binding.getValue()), id(recorded));
            }
        }
        JsonNode expected = Wire.json(Wire.parse(api, version, bytes(answer.substring(2))), version, true);
        Comparison comparison = new Comparison(recordedIds);
        comparison.compare("", expected, Wire.json(response, version, true));
        comparison.differences().forEach((path, what) -> found.put(name + " " + path, what));
    }

    private boolean report(int exchanges, List<String> deviations) {
        List<String> unused = new ArrayList<>();
        int excused = 0;
        for (String line : deviations) {
            if (line.isBlank() || line.startsWith("#")) {
                continue;
            }
            String[] words = line.split(" +", 3);
            String pattern = quote(words[0]) + " " + quote(words[1]);
            int before = differences.size();
            differences.keySet().removeIf(difference -> difference.matches(pattern));
            excused += before - differences.size();
            if (before == differences.size()) {
                unused.add(line);
            }
        }
        differences.forEach((where, what) -> System.out.println("DIFFERS " + where + ": " + what));
        unused.forEach(line -> System.out.println("NO LONGER TRUE " + line));
        System.out.printf("%d exchanges, %d differences, %d known deviations%n", exchanges, differences.size(), excused);
        return differences.isEmpty() && unused.isEmpty();
    }

    private static String quote(String glob) {
        return "\\Q" + glob.replace("*", "\\E.*\\Q") + "\\E";
    }

    private static short at(byte[] frame, int at) {
        return ByteBuffer.wrap(frame).getShort(at);
    }

    private static String id(byte[] bytes) {
        ByteBuffer buffer = ByteBuffer.wrap(bytes);
        return new Uuid(buffer.getLong(), buffer.getLong()).toString();
    }

    private static byte[] bytes(String hex) {
        return HexFormat.of().parseHex(hex);
    }

    private static void replace(byte[] bytes, byte[] from, byte[] to) {
        for (int i = 0; i + from.length <= bytes.length; i++) {
            if (Arrays.equals(bytes, i, i + from.length, from, 0, from.length)) {
                System.arraycopy(to, 0, bytes, i, to.length);
            }
        }
    }
}

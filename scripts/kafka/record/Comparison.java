import com.fasterxml.jackson.databind.JsonNode;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** Two replies as Kafka prints them, equal but for what two right brokers may differ in. */
final class Comparison {
    /** Choices of a broker, and wordings. */
    private static final Set<String> FREE = Set.of("errorMessage", "batchIndexErrorMessage", "clusterId", "port", "sessionId", "finalizedFeaturesEpoch", "documentation");
    /** Here only "there is one" and "there is none" must agree. */
    private static final Set<String> SIGN_ONLY = Set.of("producerId", "leaderEpoch", "logAppendTimeMs", "logAppendTime");
    /** Lists in which a broker may know fewer things, or other defaults: what both know must agree. */
    private static final Set<String> SHARED_ONLY = Set.of("apiKeys", "supportedFeatures", "finalizedFeatures", "configs");
    /** What an element of a list is known by, as far as it has it. */
    private static final String[] NAMES = {"name", "topic", "topicId", "resourceType", "resourceName", "key", "partition", "partitionIndex", "index", "batchIndex", "apiKey", "brokerId", "nodeId"};
    private static final int BATCH_EPOCH = 12;
    private static final int BATCH_CRC = 17;
    private static final int BATCH_ATTRIBUTES = 21;
    private static final int BATCH_MAX_TIMESTAMP = 35;
    private static final int APPEND_TIME = 8;

    private final Map<String, String> recordedIds;
    private final Map<String, String> differences = new TreeMap<>();

    /** `recordedIds`: the topic ids of this broker, and what they were where the fixture was recorded. */
    Comparison(Map<String, String> recordedIds) {
        this.recordedIds = recordedIds;
    }

    Map<String, String> differences() {
        return differences;
    }

    void compare(String path, JsonNode expected, JsonNode actual) throws IOException {
        if (expected == null || actual == null) {
            differ(path, expected, actual);
        } else if (expected.isObject() && actual.isObject()) {
            compareFields(path, expected, actual);
        } else if (expected.isArray() && actual.isArray() && hasNames(expected, actual)) {
            compareNamed(path, named(expected, false), named(actual, true));
        } else if (expected.isBinary() && actual.isBinary()) {
            String kafka = batches(expected.binaryValue());
            String ours = batches(actual.binaryValue());
            if (!kafka.equals(ours)) {
                differences.put(path, "Kafka " + kafka + ", this broker " + ours);
            }
        } else if (!expected.toString().equals(translated(actual))) {
            differ(path, expected, actual);
        }
    }

    private void compareFields(String path, JsonNode expected, JsonNode actual) throws IOException {
        for (Iterator<String> names = expected.fieldNames(); names.hasNext(); ) {
            String name = names.next();
            JsonNode kafka = expected.get(name);
            JsonNode ours = actual.get(name);
            if (FREE.contains(name)) {
                continue;
            }
            if (SIGN_ONLY.contains(name) && ours != null && kafka.isNumber() && ours.isNumber()) {
                if (kafka.asLong() < 0 != ours.asLong() < 0) {
                    differ(path + "/" + name, kafka, ours);
                }
            } else {
                compare(path + "/" + name, kafka, ours);
            }
        }
        for (Iterator<String> names = actual.fieldNames(); names.hasNext(); ) {
            String name = names.next();
            if (!expected.has(name) && !FREE.contains(name)) {
                differ(path + "/" + name, null, actual.get(name));
            }
        }
    }

    private void compareNamed(String path, Map<String, JsonNode> expected, Map<String, JsonNode> actual) throws IOException {
        boolean sharedOnly = SHARED_ONLY.contains(path.substring(path.lastIndexOf('/') + 1));
        for (Map.Entry<String, JsonNode> entry : expected.entrySet()) {
            if (!sharedOnly || actual.containsKey(entry.getKey())) {
                compare(path + "/" + entry.getKey(), entry.getValue(), actual.get(entry.getKey()));
            }
        }
        for (Map.Entry<String, JsonNode> entry : actual.entrySet()) {
            if (!expected.containsKey(entry.getKey())) {
                differ(path + "/" + entry.getKey(), null, entry.getValue());
            }
        }
    }

    private static boolean hasNames(JsonNode expected, JsonNode actual) {
        JsonNode sample = expected.isEmpty() ? actual : expected;
        return !sample.isEmpty() && sample.get(0).isObject();
    }

    /** The elements by name, for their order is the broker's choice; the second of a name is called name#2. */
    private Map<String, JsonNode> named(JsonNode list, boolean translate) {
        Map<String, JsonNode> elements = new LinkedHashMap<>();
        for (JsonNode element : list) {
            StringBuilder name = new StringBuilder();
            for (String part : NAMES) {
                JsonNode value = element.get(part);
                if (value != null && !value.isNull() && !(part.equals("topicId") && name.length() > 0)) {
                    String text = translate ? translated(value) : value.toString();
                    name.append(name.length() == 0 ? "" : ",").append(text.replace("\"", ""));
                }
            }
            String unique = name.toString();
            for (int i = 2; elements.containsKey(unique); i++) {
                unique = name + "#" + i;
            }
            elements.put(unique, element);
        }
        return elements;
    }

    private String translated(JsonNode value) {
        return value.isTextual() ? "\"" + recordedIds.getOrDefault(value.asText(), value.asText()) + "\"" : value.toString();
    }

    private void differ(String path, JsonNode expected, JsonNode actual) {
        differences.put(path, "Kafka " + (expected == null ? "nothing" : expected) + ", this broker " + (actual == null ? "nothing" : actual));
    }

    /** Record batches in hex, without the leader epoch, and without the time of an append and the checksum over it. */
    private static String batches(byte[] bytes) {
        ByteBuffer batches = ByteBuffer.wrap(bytes.clone());
        int at = 0;
        while (at + 61 <= bytes.length) {
            batches.putInt(at + BATCH_EPOCH, 0);
            if ((batches.getShort(at + BATCH_ATTRIBUTES) & APPEND_TIME) != 0) {
                batches.putInt(at + BATCH_CRC, 0).putLong(at + BATCH_MAX_TIMESTAMP, 0);
            }
            int length = batches.getInt(at + 8);
            if (length <= 0 || length > bytes.length) {
                break;
            }
            at += 12 + length;
        }
        return HexFormat.of().formatHex(batches.array());
    }
}

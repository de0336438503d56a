import org.apache.kafka.clients.NetworkClient;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.logging.log4j.Level;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.core.LogEvent;
import org.apache.logging.log4j.core.LoggerContext;
import org.apache.logging.log4j.core.appender.AbstractAppender;
import org.apache.logging.log4j.core.config.LoggerConfig;
import org.apache.logging.log4j.core.config.Property;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Which requests the clients of this JVM sent, and in which versions: read in what their network layer logs of each request that it sends. */
final class Spoken extends AbstractAppender {
    /** From these versions on it is the second protocol (KIP-890); what has no version here is not sent at all then. */
    private static final Map<ApiKeys, Integer> SECOND = new TreeMap<>(Map.of(ApiKeys.PRODUCE, 12, ApiKeys.TXN_OFFSET_COMMIT, 5, ApiKeys.END_TXN, 5));
    private static final List<ApiKeys> FIRST_ONLY = List.of(ApiKeys.ADD_PARTITIONS_TO_TXN, ApiKeys.ADD_OFFSETS_TO_TXN);
    private static final Pattern SENDING = Pattern.compile("Sending \\w+ request with header RequestHeader\\(apiKey=(\\w+), apiVersion=(\\d+), clientId=([^,]+),");

    private record Request(String clientId, String api, int version) { }

    private final Map<Request, Integer> sent = new ConcurrentHashMap<>();

    private Spoken() {
        super("spoken", null, null, true, Property.EMPTY_ARRAY);
    }

    /** Before the first client is made, since each keeps whether it is to log. */
    static Spoken listen() {
        Spoken spoken = new Spoken();
        spoken.start();
        LoggerContext context = (LoggerContext) LogManager.getContext(false);
        LoggerConfig logger = new LoggerConfig(NetworkClient.class.getName(), Level.DEBUG, true);
        logger.addAppender(spoken, Level.DEBUG, null);
        logger.setAdditive(false);
        context.getConfiguration().addLogger(NetworkClient.class.getName(), logger);
        context.updateLoggers();
        return spoken;
    }

    @Override
    public void append(LogEvent event) {
        Matcher sending = SENDING.matcher(event.getMessage().getFormattedMessage());
        if (sending.find()) {
            sent.merge(new Request(sending.group(3), sending.group(1), Integer.parseInt(sending.group(2))), 1, Integer::sum);
        }
    }

    int times(String clientId, ApiKeys api) {
        return sent.entrySet().stream().filter(e -> e.getKey().clientId.equals(clientId) && e.getKey().api.equals(api.name())).mapToInt(Map.Entry::getValue).sum();
    }

    /** Which protocol of transactions clients whose id begins like this spoke, request by request. */
    List<String> protocol(String clientIdPrefix) {
        List<String> lines = new ArrayList<>();
        SECOND.forEach((api, second) -> {
            int[] versions = versions(clientIdPrefix, api);
            lines.add(api.name + (versions.length == 0 ? ": not sent"
                : versions[0] >= second ? ": from version " + second + " on"
                : versions[versions.length - 1] < second ? ": below version " + second : ": some below version " + second));
        });
        for (ApiKeys api : FIRST_ONLY) {
            lines.add(api.name + (versions(clientIdPrefix, api).length == 0 ? ": not sent" : ": sent"));
        }
        return lines;
    }

    private int[] versions(String clientIdPrefix, ApiKeys api) {
        return sent.keySet().stream().filter(r -> r.clientId.startsWith(clientIdPrefix) && r.api.equals(api.name())).mapToInt(Request::version).sorted().toArray();
    }
}

import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.CreateTopicsResponseData;
import org.apache.kafka.common.message.FetchResponseData;
import org.apache.kafka.common.message.MetadataResponseData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;

import java.nio.ByteBuffer;
import java.util.Map;
import java.util.TreeMap;

/** Which values a reply chooses that later requests repeat: the ids of topics, and of fetch sessions. */
final class Bindings {
    private Bindings() {
    }

    static Map<String, byte[]> of(ApiKeys api, int version, ApiMessage response) {
        Map<String, byte[]> found = new TreeMap<>();
        switch (api) {
            case CREATE_TOPICS:
                ((CreateTopicsResponseData) response).topics().forEach(topic -> topic(found, topic.name(), topic.topicId()));
                break;
            case METADATA:
                ((MetadataResponseData) response).topics().forEach(topic -> topic(found, topic.name(), topic.topicId()));
                break;
            case FETCH:
                int session = ((FetchResponseData) response).sessionId();
                if (session != 0) {
                    found.put("session", ByteBuffer.allocate(4).putInt(session).array());
                }
                break;
            default:
                break;
        }
        return found;
    }

    static byte[] bytes(Uuid id) {
        return ByteBuffer.allocate(16).putLong(id.getMostSignificantBits()).putLong(id.getLeastSignificantBits()).array();
    }

    private static void topic(Map<String, byte[]> found, String name, Uuid id) {
        if (name != null && !id.equals(Uuid.ZERO_UUID)) {
            found.put("topic-id:" + name, bytes(id));
        }
    }
}

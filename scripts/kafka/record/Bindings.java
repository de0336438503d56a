import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.ConsumerGroupHeartbeatResponseData;
import org.apache.kafka.common.message.CreateTopicsResponseData;
import org.apache.kafka.common.message.FetchResponseData;
import org.apache.kafka.common.message.InitProducerIdResponseData;
import org.apache.kafka.common.message.JoinGroupResponseData;
import org.apache.kafka.common.message.MetadataResponseData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.TreeMap;

/** Which values a reply chooses that later requests repeat: the ids of topics, of fetch sessions, of members, and of producers. */
final class Bindings {
    private static final int MADE_BY_BROKER = 22;

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
            case JOIN_GROUP:
                member(found, ((JoinGroupResponseData) response).memberId());
                break;
            case CONSUMER_GROUP_HEARTBEAT:
                member(found, ((ConsumerGroupHeartbeatResponseData) response).memberId());
                break;
            case INIT_PRODUCER_ID:
                long producer = ((InitProducerIdResponseData) response).producerId();
                if (producer >= 0) {
                    found.put("producer-id:" + producer, ByteBuffer.allocate(8).putLong(producer).array());
                }
                break;
            default:
                break;
        }
        return found;
    }

    /** Ids that a client made are short words; those that a broker made are long. */
    private static void member(Map<String, byte[]> found, String id) {
        if (id != null && id.length() >= MADE_BY_BROKER) {
            found.put("member-id:" + id.substring(id.length() - 8), id.getBytes(StandardCharsets.UTF_8));
        }
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

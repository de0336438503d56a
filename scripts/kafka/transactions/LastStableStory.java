import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;

import java.util.List;
import java.util.Map;

/** Where committed reading ends: before the first open transaction, whatever was committed behind it; and what time leads to for such readers. */
final class LastStableStory implements Story {
    private static final long T_MS = 1_700_000_000_000L;

    @Override
    public void tell(Broker broker, String name, Transcript transcript) throws Exception {
        String topic = name + ".t";
        broker.create(topic, 1);
        TopicPartition p0 = new TopicPartition(topic, 0);
        transcript.say("empty: " + broker.ends(p0));
        try (Writer a = broker.writer(name + ".a"); Writer b = broker.writer(name + ".b"); Writer plain = broker.plain(name + ".plain")) {
            plain.send(p0, T_MS, "plain1");
            a.begin();
            transcript.say("begun, nothing sent: " + broker.ends(p0));
            a.send(p0, T_MS + 1000, "a1");
            transcript.say("a sent: " + broker.ends(p0));
            b.begin().send(p0, T_MS + 2000, "b1");
            b.commit();
            broker.ended(b.id);
            plain.send(p0, T_MS + 3000, "plain2");
            transcript.say("b committed: " + broker.ends(p0));
            broker.show(topic, "a is open", transcript);
            times(broker, p0, transcript);
            try (KafkaConsumer<String, String> committed = broker.consumer("committed", IsolationLevel.READ_COMMITTED, Map.of());
                KafkaConsumer<String, String> all = broker.consumer("all", IsolationLevel.READ_UNCOMMITTED, Map.of())) {
                transcript.say("consumers' ends: " + committed.endOffsets(List.of(p0)).get(p0) + " and " + all.endOffsets(List.of(p0)).get(p0));
                transcript.say("consumers' beginnings: " + committed.beginningOffsets(List.of(p0)).get(p0) + " and " + all.beginningOffsets(List.of(p0)).get(p0));
            }
            a.abort();
            broker.ended(a.id);
            transcript.say("a aborted: " + broker.ends(p0));
            broker.show(topic, "nothing is open", transcript);
            times(broker, p0, transcript);

            a.begin().send(p0, "a2");
            b.begin().send(p0, "b2");
            a.send(p0, "a3");
            transcript.say("both are open: " + broker.ends(p0));
            a.commit();
            broker.ended(a.id);
            transcript.say("a committed: " + broker.ends(p0));
            a.begin().send(p0, "a4");
            b.commit();
            broker.ended(b.id);
            transcript.say("a is open again, b committed: " + broker.ends(p0));
            broker.show(topic, "at last", transcript);
            a.commit();
            broker.ended(a.id);
            transcript.say("a committed: " + broker.ends(p0));
        }
    }

    private static void times(Broker broker, TopicPartition partition, Transcript transcript) throws Exception {
        for (IsolationLevel isolation : IsolationLevel.values()) {
            StringBuilder line = new StringBuilder("earliest " + broker.offset(partition, OffsetSpec.earliest(), isolation));
            for (int second = 0; second <= 4; second++) {
                long found = broker.offset(partition, OffsetSpec.forTimestamp(T_MS + second * 1000 - 1), isolation);
                line.append(", from second ").append(second).append(": ").append(found < 0 ? "none" : String.valueOf(found));
            }
            transcript.say("by time, " + isolation + ": " + line);
        }
    }
}

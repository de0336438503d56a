import org.apache.kafka.clients.admin.TransactionDescription;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

import java.util.Map;

/** Which of the two protocols of transactions producer and broker agreed on, and what it does to the producer's epoch at the end of each transaction. */
final class ProtocolStory implements Story {
    @Override
    public void tell(Broker broker, String name, Transcript transcript) throws Exception {
        String topic = name + ".t";
        broker.create(topic, 2);
        TopicPartition p0 = new TopicPartition(topic, 0);
        TopicPartition p1 = new TopicPartition(topic, 1);
        try (Writer a = broker.writer(name + ".a")) {
            TransactionDescription before = said(broker, a, "initialized", null, transcript);
            a.begin().send(p0, "a1").send(p1, "a2").offsets(new ConsumerGroupMetadata(name + ".group"), Map.of(p0, new OffsetAndMetadata(1))).commit();
            before = said(broker, a, "committed, two partitions and offsets", before, transcript);
            a.begin().send(p0, "a3").abort();
            before = said(broker, a, "aborted, one partition", before, transcript);
            a.begin().offsets(new ConsumerGroupMetadata(name + ".group"), Map.of(p0, new OffsetAndMetadata(2))).commit();
            before = said(broker, a, "committed, only offsets", before, transcript);
            a.begin().commit();
            said(broker, a, "committed, nothing", before, transcript);
            transcript.say("spoken", broker.spoken.protocol(a.id));
        }
    }

    private static TransactionDescription said(Broker broker, Writer writer, String what, TransactionDescription before, Transcript transcript) throws Exception {
        TransactionDescription now = broker.ended(writer.id);
        transcript.say(what + ": " + now.state() + (before == null ? "" : ", the epoch grew by " + (now.producerEpoch() - before.producerEpoch()) + ", the producer id "
            + (now.producerId() == before.producerId() ? "stayed" : "changed")));
        return now;
    }
}

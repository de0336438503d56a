import org.apache.kafka.clients.admin.AbortTransactionSpec;
import org.apache.kafka.clients.admin.DescribeProducersOptions;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.common.TopicPartition;

import java.util.List;
import java.util.Map;

/** An administrator ends what producers have open: in one partition, by marker; for transactional ids, by fencing. */
final class AbortStory implements Story {
    @Override
    public void tell(Broker broker, String name, Transcript transcript) throws Exception {
        String topic = name + ".t";
        broker.create(topic, 2);
        TopicPartition p0 = new TopicPartition(topic, 0);
        TopicPartition p1 = new TopicPartition(topic, 1);
        byMarker(broker, name, p0, p1, transcript);
        broker.show(topic, "after all", transcript);
        byFencing(broker, name, p0, transcript);
        broker.show(topic, "at last", transcript);
    }

    private static void byMarker(Broker broker, String name, TopicPartition p0, TopicPartition p1, Transcript transcript) throws Exception {
        // the second of its id has an epoch above 0 with either protocol
        broker.writer(name + ".a").close();
        try (Writer a = broker.writer(name + ".a")) {
            a.begin().send(p0, "a1").commit();
            broker.ended(a.id);
            a.begin().send(p0, "a2").send(p1, "a3");
            ProducerState open = Broker.get(broker.admin.describeProducers(List.of(p0)).partitionResult(p0)).activeProducers().get(0);
            short epoch = (short) open.producerEpoch();
            int coordinator = open.coordinatorEpoch().orElse(0);
            transcript.say("open: p0 " + broker.ends(p0) + ", p1 " + broker.ends(p1));
            transcript.say("abort, epoch too low: " + abort(broker, p0, open.producerId(), (short) (epoch - 1), coordinator));
            transcript.say("abort, coordinator epoch too low: " + abort(broker, p0, open.producerId(), epoch, coordinator - 1));
            transcript.say("still open: p0 " + broker.ends(p0) + ", p1 " + broker.ends(p1));
            transcript.say("abort: " + abort(broker, p0, open.producerId(), epoch, coordinator));
            transcript.say("aborted in one partition: p0 " + broker.ends(p0) + ", p1 " + broker.ends(p1));
            transcript.say("producers of p0", AdminStory.producers(broker, p0, AdminStory.names(broker, a), new DescribeProducersOptions()));
            transcript.say("described: " + broker.describe(a.id).state() + ", " + broker.describe(a.id).topicPartitions().size() + " partitions");
            transcript.say("abort: " + Broker.outcome(a::abort) + ", " + broker.ended(a.id).state());
            transcript.say("aborted by the producer: p0 " + broker.ends(p0) + ", p1 " + broker.ends(p1));
            transcript.say("the producer goes on: " + Broker.outcome(() -> a.begin().send(p0, "a4").commit()) + ", " + broker.ended(a.id).state());
        }
    }

    private static String abort(Broker broker, TopicPartition partition, long producerId, short epoch, int coordinatorEpoch) throws Exception {
        return Broker.outcome(() -> Broker.get(broker.admin.abortTransaction(new AbortTransactionSpec(partition, producerId, epoch, coordinatorEpoch)).all()));
    }

    private static void byFencing(Broker broker, String name, TopicPartition partition, Transcript transcript) throws Exception {
        try (Writer a = broker.writer(name + ".fenced"); Writer b = broker.writer(name + ".fenced-too")) {
            a.begin().send(partition, "f1");
            b.begin().send(partition, "f2").commit();
            Map<String, Integer> before = Map.of(a.id, broker.describe(a.id).producerEpoch(), b.id, broker.ended(b.id).producerEpoch());
            transcript.say("fence both: " + Broker.outcome(() -> Broker.get(broker.admin.fenceProducers(List.of(a.id, b.id)).all())));
            for (Writer writer : List.of(a, b)) {
                transcript.say(writer.id + ": " + broker.ended(writer.id).state() + ", the epoch grew: " + (broker.describe(writer.id).producerEpoch() > before.get(writer.id)));
            }
            transcript.say(broker.ends(partition));
            transcript.say("a commits: " + Broker.outcome(a::commit));
            transcript.say("b begins and sends: " + Broker.outcome(() -> b.begin().send(partition, "zombie")));
        }
        String unknown = name + ".unknown";
        transcript.say("fence an unknown one: " + Broker.outcome(() -> Broker.get(broker.admin.fenceProducers(List.of(unknown)).all())));
        transcript.say("which is known now: " + broker.describe(unknown).state());
        try (Writer a = broker.writer(name + ".fenced")) {
            a.begin().send(partition, "f3").commit();
            broker.ended(a.id);
        }
    }
}

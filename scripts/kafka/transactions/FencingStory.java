import org.apache.kafka.clients.admin.TransactionDescription;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

import java.util.LinkedHashMap;
import java.util.Map;

/** A second producer with the same transactional id ends what the first had open, and whatever the first does next fails. */
final class FencingStory implements Story {
    private interface Step {
        Object take(Writer zombie) throws Exception;
    }

    @Override
    public void tell(Broker broker, String name, Transcript transcript) throws Exception {
        String topic = name + ".t";
        String group = name + ".group";
        broker.create(topic, 1);
        TopicPartition p0 = new TopicPartition(topic, 0);
        Map<String, Step> steps = new LinkedHashMap<>();
        steps.put("commit", Writer::commit);
        steps.put("abort", Writer::abort);
        steps.put("send", zombie -> zombie.send(p0, "zombie"));
        steps.put("offsets", zombie -> zombie.offsets(new ConsumerGroupMetadata(group), Map.of(p0, new OffsetAndMetadata(9))));
        for (Map.Entry<String, Step> step : steps.entrySet()) {
            String id = name + "." + step.getKey();
            try (Writer first = broker.writer(id)) {
                first.begin().send(p0, "first-" + step.getKey());
                TransactionDescription before = broker.describe(id);
                try (Writer second = broker.writer(id)) {
                    TransactionDescription after = broker.describe(id);
                    transcript.say("== " + step.getKey());
                    transcript.say("the second is initialized: " + after.state() + ", the epoch grew: " + (after.producerEpoch() > before.producerEpoch())
                        + ", the producer id stayed: " + (after.producerId() == before.producerId()));
                    second.begin().send(p0, "second-" + step.getKey());
                    transcript.say("the first, " + step.getKey() + ": " + Broker.outcome(() -> step.getValue().take(first)));
                    transcript.say("the first, commit: " + Broker.outcome(first::commit));
                    transcript.say("the first, abort: " + Broker.outcome(first::abort));
                    transcript.say("the second, commit: " + Broker.outcome(second::commit));
                    broker.ended(id);
                }
            }
        }
        betweenTransactions(broker, name + ".between", p0, transcript);
        broker.show(topic, "at last", transcript);
        transcript.say("offsets", broker.committed(group));
    }

    private static void betweenTransactions(Broker broker, String id, TopicPartition partition, Transcript transcript) throws Exception {
        try (Writer first = broker.writer(id)) {
            first.begin().send(partition, "first-between").commit();
            try (Writer second = broker.writer(id)) {
                transcript.say("== between transactions");
                transcript.say("the second is initialized: " + broker.describe(id).state());
                first.begin();
                transcript.say("the first, send: " + Broker.outcome(() -> first.send(partition, "zombie")));
                transcript.say("the first, commit: " + Broker.outcome(first::commit));
                try (Writer third = broker.writer(id)) {
                    second.begin();
                    transcript.say("the second, offsets: " + Broker.outcome(() -> second.offsets(new ConsumerGroupMetadata(id), Map.of(partition, new OffsetAndMetadata(9)))));
                    third.begin().send(partition, "third-between").commit();
                    broker.ended(id);
                }
            }
        }
    }
}

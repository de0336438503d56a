import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.protocol.ApiKeys;

/** Transactions without anything in them, and others that lose what they had before it was sent. */
final class EmptyStory implements Story {
    @Override
    public void tell(Broker broker, String name, Transcript transcript) throws Exception {
        String topic = name + ".t";
        broker.create(topic, 1);
        TopicPartition p0 = new TopicPartition(topic, 0);
        try (Writer a = broker.writer(name + ".a")) {
            transcript.say("initialized: " + broker.describe(a.id).state());
            transcript.say("begin, commit: " + Broker.outcome(() -> a.begin().commit()) + ", " + broker.describe(a.id).state());
            transcript.say("begin, abort: " + Broker.outcome(() -> a.begin().abort()) + ", " + broker.describe(a.id).state());
            transcript.say("EndTxn was sent: " + (broker.spoken.times(a.id, ApiKeys.END_TXN) > 0));
            a.begin();
            transcript.say("a record that is too large: " + Broker.outcome(() -> a.send(p0, "x".repeat(2_000_000))));
            transcript.say("commit: " + Broker.outcome(a::commit));
            transcript.say("abort: " + Broker.outcome(a::abort));
            transcript.say(broker.describe(a.id).state().toString());
            a.begin().send(p0, "a1");
            transcript.say("too large, after another one: " + Broker.outcome(() -> a.send(p0, "x".repeat(2_000_000))));
            transcript.say("commit: " + Broker.outcome(a::commit));
            transcript.say("abort: " + Broker.outcome(a::abort) + ", " + broker.ended(a.id).state());
            transcript.say("begin, send, commit: " + Broker.outcome(() -> a.begin().send(p0, "a2").commit()) + ", " + broker.ended(a.id).state());
            transcript.say("begin, commit: " + Broker.outcome(() -> a.begin().commit()) + ", " + broker.describe(a.id).state());
            broker.show(topic, "at last", transcript);
        }
    }
}

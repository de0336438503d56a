import org.apache.kafka.clients.admin.TransactionDescription;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.common.TopicPartition;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The coordinator aborts what is open for too long, the producer learns of it with its next step; and which timeouts may be asked for. */
final class TimeoutStory implements Story {
    private static final String TIMEOUT_MS = "3000";

    private interface Step {
        Object take(Writer late) throws Exception;
    }

    private record Late(String step, Writer writer, TopicPartition partition, TransactionDescription open) { }

    @Override
    public void tell(Broker broker, String name, Transcript transcript) throws Exception {
        String topic = name + ".t";
        broker.create(topic, 3);
        List<Late> all = new ArrayList<>();
        for (String step : List.of("commit", "abort", "send")) {
            String id = name + "." + step;
            Writer writer = broker.writer(id, Map.of("transaction.timeout.ms", TIMEOUT_MS)).init();
            TopicPartition partition = new TopicPartition(topic, all.size());
            writer.begin().send(partition, "open-" + step);
            all.add(new Late(step, writer, partition, broker.describe(id)));
        }
        for (Late late : all) {
            tell(broker, late, transcript);
        }
        broker.show(topic, "at last", transcript);

        transcript.say("== which timeouts");
        for (String timeoutMs : new String[] {"1", "900000", "900001"}) {
            try (Writer writer = broker.writer(name + ".of" + timeoutMs, Map.of("transaction.timeout.ms", timeoutMs))) {
                transcript.say(timeoutMs + " ms: " + Broker.outcome(writer::init));
            }
        }
    }

    private static void tell(Broker broker, Late late, Transcript transcript) throws Exception {
        String id = late.writer.id;
        transcript.say("== " + late.step);
        transcript.say("open: " + late.open.state() + ", timeout " + late.open.transactionTimeoutMs() + ", started: " + late.open.transactionStartTimeMs().isPresent());
        TransactionDescription over = Broker.await("a timeout", () -> Optional.of(broker.describe(id)).filter(d -> d.state() == TransactionState.COMPLETE_ABORT));
        transcript.say("over: " + over.state() + ", the epoch grew: " + (over.producerEpoch() > late.open.producerEpoch()) + ", " + broker.ends(late.partition));
        try (Writer writer = late.writer) {
            Step step = switch (late.step) {
                case "commit" -> Writer::commit;
                case "abort" -> Writer::abort;
                default -> w -> w.send(late.partition, "late");
            };
            transcript.say(late.step + ": " + Broker.outcome(() -> step.take(writer)));
            transcript.say("abort: " + Broker.outcome(writer::abort));
            transcript.say("begin, send, commit: " + Broker.outcome(() -> writer.begin().send(late.partition, "again-" + late.step).commit()));
        }
        try (Writer next = broker.writer(id)) {
            next.begin().send(late.partition, "next-" + late.step).commit();
            broker.ended(id);
        }
    }
}

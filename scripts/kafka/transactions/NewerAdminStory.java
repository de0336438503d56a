import org.apache.kafka.clients.admin.ListTransactionsOptions;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.common.TopicPartition;

import java.util.Set;
import java.util.regex.Pattern;

/** What only newer Admin clients ask for: transactional ids by pattern, and the forced end of a transaction. */
final class NewerAdminStory implements Story {
    @Override
    public void tell(Broker broker, String name, Transcript transcript) throws Exception {
        String topic = name + ".t";
        broker.create(topic, 1);
        TopicPartition p0 = new TopicPartition(topic, 0);
        try (Writer a1 = broker.writer(name + ".a1"); Writer a2 = broker.writer(name + ".a2"); Writer b1 = broker.writer(name + ".b1")) {
            a1.begin().send(p0, "x1");
            a2.begin().send(p0, "x2").commit();
            b1.begin().send(p0, "x3").abort();
            broker.ended(a2.id);
            broker.ended(b1.id);
            String quoted = Pattern.quote(name + ".");
            for (String pattern : new String[] {".*", quoted + "a.", quoted + "a", ".*1", quoted + "[a-z]\\d", quoted + "(a1|b1)", "(?i)" + quoted + "A\\d", "nothing", ""}) {
                AdminStory.list(broker, name, "pattern '" + pattern.replace(quoted, "<name>") + "'",
                    new ListTransactionsOptions().filterOnTransactionalIdPattern(pattern), transcript);
            }
            AdminStory.list(broker, name, "pattern and state",
                new ListTransactionsOptions().filterOnTransactionalIdPattern(quoted + "a.").filterStates(Set.of(TransactionState.ONGOING)), transcript);
            transcript.say("a pattern that is none: "
                + Broker.outcome(() -> Broker.get(broker.admin.listTransactions(new ListTransactionsOptions().filterOnTransactionalIdPattern("(")).all())));

            int before = broker.describe(a1.id).producerEpoch();
            transcript.say("terminate: " + Broker.outcome(() -> Broker.get(broker.admin.forceTerminateTransaction(a1.id).result())));
            transcript.say(broker.ended(a1.id).state() + ", the epoch grew: " + (broker.describe(a1.id).producerEpoch() > before));
            transcript.say("its producer commits: " + Broker.outcome(a1::commit));
            transcript.say("terminate, nothing is open: " + Broker.outcome(() -> Broker.get(broker.admin.forceTerminateTransaction(a2.id).result())));
            transcript.say("terminate, unknown: " + Broker.outcome(() -> Broker.get(broker.admin.forceTerminateTransaction(name + ".unknown").result())));
        }
        broker.show(topic, "at last", transcript);
    }
}

import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Two transactional producers and a plain one take turns in the same partition, some abort and some commit; who reads committed can begin anywhere. */
final class InterleavedStory implements Story {
    @Override
    public void tell(Broker broker, String name, Transcript transcript) throws Exception {
        String topic = name + ".t";
        broker.create(topic, 2);
        TopicPartition p0 = new TopicPartition(topic, 0);
        TopicPartition p1 = new TopicPartition(topic, 1);
        try (Writer a = broker.writer(name + ".a"); Writer b = broker.writer(name + ".b"); Writer plain = broker.plain(name + ".plain")) {
            a.begin().send(p0, "a1");
            b.begin().send(p0, "b1");
            plain.send(p0, "plain1");
            a.send(p0, "a2");
            b.send(p1, "b2");
            end(broker, a.abort());
            b.send(p0, "b3");
            a.begin().send(p0, "a3");
            end(broker, b.commit());
            a.send(p1, "a4");
            end(broker, a.commit());
            broker.show(topic, "a aborted, b committed, a committed", transcript);

            for (int round = 0; round < 12; round++) {
                a.begin();
                b.begin();
                for (int i = 0; i < 2; i++) {
                    a.send(p0, "A" + round + "." + i);
                    b.send(p0, "B" + round + "." + i);
                }
                plain.send(p0, "plain" + round);
                // who ends first takes turns too
                Writer first = round % 2 == 0 ? a : b;
                Writer second = round % 2 == 0 ? b : a;
                end(broker, round % 3 == 0 ? first.abort() : first.commit());
                second.send(p0, "late" + round);
                end(broker, round % 4 == 0 ? second.commit() : second.abort());
            }
            broker.show(topic, "twelve rounds", transcript);
            transcript.say("ends: " + broker.ends(p0));
            // with one byte, each fetch brings one batch
            anywhere(broker, p0, "1", 7, transcript);
            anywhere(broker, p0, "1048576", 1, transcript);
        }
    }

    private static void end(Broker broker, Writer writer) throws Exception {
        broker.ended(writer.id);
    }

    /** From every offset on, or every seventh, the rest of what is read from the first. */
    private static void anywhere(Broker broker, TopicPartition partition, String fetchBytes, int step, Transcript transcript) throws Exception {
        Map<String, Object> settings = Map.of("max.partition.fetch.bytes", fetchBytes, "fetch.max.wait.ms", "1");
        try (KafkaConsumer<String, String> reader = broker.consumer("anywhere", IsolationLevel.READ_COMMITTED, settings)) {
            reader.assign(List.of(partition));
            long end = reader.endOffsets(List.of(partition)).get(partition);
            List<ConsumerRecord<String, String>> all = from(reader, partition, 0, end);
            for (long offset = 1; offset < end; offset += step) {
                long from = offset;
                List<String> expected = all.stream().filter(r -> r.offset() >= from).map(Broker::shown).toList();
                List<String> read = from(reader, partition, from, end).stream().map(Broker::shown).toList();
                if (!read.equals(expected)) {
                    transcript.say("from " + from + " on, fetching " + fetchBytes + " bytes: " + read);
                    return;
                }
            }
            transcript.say("from anywhere on, fetching " + fetchBytes + " bytes: the rest of " + all.size() + " records");
        }
    }

    private static List<ConsumerRecord<String, String>> from(KafkaConsumer<String, String> reader, TopicPartition partition, long offset, long end) throws Exception {
        List<ConsumerRecord<String, String>> read = new ArrayList<>();
        reader.seek(partition, offset);
        Broker.until("the end", () -> {
            // looks often before it pauses: a poll may bring one batch, or nothing of one that was aborted
            for (int i = 0; i < 1000 && reader.position(partition) < end; i++) {
                reader.poll(Duration.ofMillis(50)).forEach(read::add);
            }
            return reader.position(partition) >= end;
        });
        return read;
    }
}

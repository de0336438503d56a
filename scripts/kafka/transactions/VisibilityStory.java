import org.apache.kafka.common.TopicPartition;

/** What is written to several partitions is there at once when it is committed and never when it is aborted, for those who read committed. */
final class VisibilityStory implements Story {
    @Override
    public void tell(Broker broker, String name, Transcript transcript) throws Exception {
        String topic = name + ".t";
        String other = name + ".u";
        broker.create(topic, 3);
        broker.create(other, 1);
        TopicPartition p0 = new TopicPartition(topic, 0);
        TopicPartition p1 = new TopicPartition(topic, 1);
        TopicPartition p2 = new TopicPartition(topic, 2);
        TopicPartition q0 = new TopicPartition(other, 0);
        try (Writer a = broker.writer(name + ".a"); Writer plain = broker.plain(name + ".plain")) {
            a.begin().send(p0, "a1", "a2").send(p1, "a3").send(p2, "a4");
            broker.show(topic, "open", transcript);
            a.commit();
            broker.ended(a.id);
            broker.show(topic, "committed", transcript);

            a.begin().send(p0, "b1").send(p1, "b2", "b3");
            plain.send(p1, "plain1");
            broker.show(topic, "the second is open", transcript);
            a.abort();
            broker.ended(a.id);
            plain.send(p1, "plain2").send(p2, "plain3");
            broker.show(topic, "aborted", transcript);

            a.begin().send(p2, "c1").send(q0, "c2");
            broker.show(other, "open in two topics", transcript);
            a.commit();
            broker.ended(a.id);
            // the next begins before anybody asked whether the last is complete
            a.begin().send(p2, "d1").abort().begin().send(p2, "e1").commit().begin().send(p2, "f1").send(q0, "f2").commit();
            broker.ended(a.id);
            broker.show(topic, "one after the other", transcript);
            broker.show(other, "the other topic", transcript);
        }
    }
}

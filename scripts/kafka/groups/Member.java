import org.apache.kafka.clients.consumer.CloseOptions;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BiConsumer;
import java.util.function.Function;

/** A Java consumer on a thread of its own, which polls until it is closed or an exception comes out of poll. Its label is its client id. */
final class Member implements AutoCloseable, ConsumerRebalanceListener {
    private static final Duration POLL = Duration.ofMillis(20);

    final String label;
    private final KafkaConsumer<String, String> consumer;
    private final ConcurrentLinkedQueue<Runnable> calls = new ConcurrentLinkedQueue<>();
    private final List<ConsumerRecord<String, String>> records = new ArrayList<>();
    private final AtomicInteger revocations = new AtomicInteger();
    private final Thread thread;
    private volatile Set<TopicPartition> owned = Set.of();
    private volatile Throwable failure;
    private volatile boolean closing;

    /** @param subscribe what the member does before its first poll: subscribes or assigns itself */
    Member(String label, Map<String, Object> settings, BiConsumer<KafkaConsumer<String, String>, ConsumerRebalanceListener> subscribe) {
        this.label = label;
        Map<String, Object> all = Cluster.withDefaults(settings);
        all.put("client.id", label);
        consumer = new KafkaConsumer<>(all);
        subscribe.accept(consumer, this);
        thread = new Thread(this::run, "member-" + label);
        thread.setDaemon(true);
        thread.start();
    }

    private void run() {
        try {
            while (!closing && failure == null) {
                runCalls();
                poll();
            }
        } catch (Throwable e) {
            failure = e;
        }
        while (!closing) {
            runCalls();
            sleep();
        }
        consumer.close(CloseOptions.timeout(Duration.ofSeconds(20)));
    }

    private void poll() {
        ConsumerRecords<String, String> polled;
        try {
            polled = consumer.poll(POLL);
        } catch (IllegalStateException notSubscribed) {
            sleep();
            polled = ConsumerRecords.empty();
        }
        synchronized (records) {
            polled.forEach(records::add);
        }
        owned = Set.copyOf(consumer.assignment());
    }

    private void runCalls() {
        for (Runnable call = calls.poll(); call != null; call = calls.poll()) {
            call.run();
        }
    }

    private static void sleep() {
        try {
            Thread.sleep(POLL.toMillis());
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Runs on the member's thread between two polls. */
    <T> T call(Function<Consumer<String, String>, T> function) throws Exception {
        CompletableFuture<T> answer = new CompletableFuture<>();
        calls.add(() -> {
            try {
                answer.complete(function.apply(consumer));
            } catch (Throwable e) {
                answer.completeExceptionally(e);
            }
        });
        return answer.get(Cluster.HANG_S, TimeUnit.SECONDS);
    }

    Set<TopicPartition> owned() {
        return owned;
    }

    /** What came out of poll, or null. */
    Throwable failure() {
        return failure;
    }

    /** How often partitions were taken from this member: only ever compared with itself. */
    int revocations() {
        return revocations.get();
    }

    List<ConsumerRecord<String, String>> records() {
        synchronized (records) {
            return List.copyOf(records);
        }
    }

    void forgetRecords() {
        synchronized (records) {
            records.clear();
        }
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        if (!partitions.isEmpty()) {
            revocations.incrementAndGet();
        }
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> partitions) {
        onPartitionsRevoked(partitions);
    }

    /** Leaves the group, or stays in it for a while as a static member. */
    @Override
    public void close() {
        closing = true;
        try {
            thread.join(Cluster.HANG_S * 1000L);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
        owned = Set.of();
    }
}

import java.util.List;
import java.util.Map;

/** How a Java consumer takes part in a group: the protocol, and who assigns by which rule. */
record Flavour(String name, boolean classic, Map<String, String> settings, Owners owners, boolean sticky) {
    /** What of the assignment at rest is the same in every run. */
    enum Owners {
        /** Member ids begin with the client's id, so that sorting by them sorts by label. */
        LABELS,
        /** Members are sorted by random ids: how many partitions of each topic the members have. */
        SIZES_BY_TOPIC,
        /** How many partitions the members have. */
        SIZES
    }

    static final Flavour CLASSIC_RANGE = classic("range", "RangeAssignor", Owners.LABELS, false);
    static final Flavour CLASSIC_COOPERATIVE = classic("cooperative-sticky", "CooperativeStickyAssignor", Owners.SIZES, true);
    static final Flavour CONSUMER_RANGE = consumer("range", "range", Owners.SIZES_BY_TOPIC, false);
    static final Flavour CONSUMER = consumer("default", null, Owners.SIZES, true);

    static final List<Flavour> ALL = List.of(
        CLASSIC_RANGE,
        classic("roundrobin", "RoundRobinAssignor", Owners.LABELS, false),
        classic("sticky", "StickyAssignor", Owners.SIZES, true),
        CLASSIC_COOPERATIVE,
        CONSUMER_RANGE,
        consumer("uniform", "uniform", Owners.SIZES, true),
        CONSUMER);

    private static Flavour classic(String name, String assignor, Owners owners, boolean sticky) {
        return new Flavour("classic-" + name, true, Map.of("group.protocol", "classic", "session.timeout.ms", "6000", "heartbeat.interval.ms", "200",
            "partition.assignment.strategy", "org.apache.kafka.clients.consumer." + assignor), owners, sticky);
    }

    private static Flavour consumer(String name, String assignor, Owners owners, boolean sticky) {
        Map<String, String> settings = assignor == null
            ? Map.of("group.protocol", "consumer")
            : Map.of("group.protocol", "consumer", "group.remote.assignor", assignor);
        return new Flavour("consumer-" + name, false, settings, owners, sticky);
    }
}

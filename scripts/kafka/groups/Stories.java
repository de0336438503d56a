import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** Tells the stories of groups of Java consumers to a broker and writes down what came out: java Stories <bootstrap> <folder> [story ...] */
final class Stories {
    /** They wait most of the time. */
    private static final int AT_ONCE = 4;

    private final Map<String, Story> stories = new LinkedHashMap<>();

    private Stories() {
        stories.put("subscriptions-consumer", new SubscriptionStory(Flavour.CONSUMER));
        stories.put("subscriptions-classic", new SubscriptionStory(Flavour.CLASSIC_COOPERATIVE));
        for (Flavour flavour : List.of(Flavour.CLASSIC_RANGE, Flavour.CONSUMER_RANGE)) {
            String protocol = flavour.classic() ? "classic" : "consumer";
            stories.put("static-" + protocol, new StaticStory(flavour));
            stories.put("crash-" + protocol, new CrashStory(flavour));
            stories.put("limits-" + protocol, new LimitStory(flavour));
            stories.put("commits-" + protocol, new CommitStory(flavour));
        }
        for (Flavour flavour : Flavour.ALL) {
            stories.put("consume-" + flavour.name(), new ConsumeStory(flavour));
        }
        stories.put("patterns", new PatternStory());
        stories.put("migration", new MigrationStory());
        stories.put("raw", new RawStory());
        stories.put("raw-consumer", new RawConsumerStory());
        stories.put("admin", new AdminStory());
        stories.put("admin-offsets", new AdminOffsetsStory());
        stories.put("group-configs", new GroupConfigStory());
    }

    public static void main(String[] arguments) throws Exception {
        Path folder = Files.createDirectories(Path.of(arguments[1]));
        Stories all = new Stories();
        Set<String> wanted = Set.copyOf(List.of(arguments).subList(2, arguments.length));
        if (!wanted.isEmpty()) {
            all.stories.keySet().retainAll(wanted);
        }
        int failed;
        try (Cluster cluster = new Cluster(arguments[0])) {
            failed = all.tell(cluster, folder);
        }
        // the members of a story that failed are still there
        System.exit(failed == 0 ? 0 : 1);
    }

    private int tell(Cluster cluster, Path folder) throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(AT_ONCE);
        List<Future<Boolean>> told = new ArrayList<>();
        stories.forEach((name, story) -> told.add(threads.submit(() -> tell(cluster, folder, name, story))));
        int failed = 0;
        for (Future<Boolean> each : told) {
            failed += each.get() ? 0 : 1;
        }
        threads.shutdown();
        return failed;
    }

    private static boolean tell(Cluster cluster, Path folder, String name, Story story) throws Exception {
        Transcript transcript = new Transcript(name);
        long begun = System.nanoTime();
        try {
            story.tell(cluster, name, transcript);
            System.err.printf("%s: %.1f s%n", name, (System.nanoTime() - begun) / 1e9);
            return true;
        } catch (Throwable e) {
            System.err.println(name + " failed");
            e.printStackTrace();
            transcript.say("FAILED: " + e);
            return false;
        } finally {
            transcript.write(folder.resolve(name + ".txt"));
        }
    }
}

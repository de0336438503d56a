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

/** Tells the stories of transactions of Java clients to a broker and writes down what came out. The mains are FirstProtocol and SecondProtocol. */
final class Stories {
    /** They wait most of the time. */
    private static final int AT_ONCE = 4;

    private final String teller;
    private final Map<String, Story> stories = new LinkedHashMap<>();

    /**
     * Those that every client can tell; the long ones first.
     *
     * @param teller goes before the name of each story, so that one broker can be told them by several
     */
    Stories(String teller) {
        this.teller = teller;
        with("timeout", new TimeoutStory());
        with("interleaved", new InterleavedStory());
        with("offsets-classic", new OffsetsStory("classic"));
        with("offsets-consumer", new OffsetsStory("consumer"));
        with("fencing", new FencingStory());
        with("killed", new KilledStory());
        with("many", new ManyStory());
        with("protocol", new ProtocolStory());
        with("visibility", new VisibilityStory());
        with("last-stable-offset", new LastStableStory());
        with("empty", new EmptyStory());
        with("admin", new AdminStory());
        with("abort", new AbortStory());
    }

    Stories with(String name, Story story) {
        stories.put(name, story);
        return this;
    }

    /** @param arguments bootstrap, folder, and the stories that are wanted, if not all are */
    void tell(String[] arguments) throws Exception {
        Path folder = Files.createDirectories(Path.of(arguments[1]));
        Set<String> wanted = Set.copyOf(List.of(arguments).subList(2, arguments.length));
        if (!wanted.isEmpty()) {
            stories.keySet().retainAll(wanted);
        }
        Spoken spoken = Spoken.listen();
        int failed;
        try (Broker broker = new Broker(arguments[0], spoken)) {
            failed = tell(broker, folder);
        }
        // of all producers of all stories
        Transcript transcript = new Transcript("spoken");
        transcript.say("spoken", spoken.protocol(""));
        transcript.write(folder.resolve("spoken.txt"));
        // the clients of a story that failed are still there
        System.exit(failed == 0 ? 0 : 1);
    }

    private int tell(Broker broker, Path folder) throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(AT_ONCE);
        List<Future<Boolean>> told = new ArrayList<>();
        stories.forEach((name, story) -> told.add(threads.submit(() -> tell(broker, folder, name, story))));
        int failed = 0;
        for (Future<Boolean> each : told) {
            failed += each.get() ? 0 : 1;
        }
        threads.shutdown();
        return failed;
    }

    private boolean tell(Broker broker, Path folder, String name, Story story) throws Exception {
        String prefix = teller + "." + name;
        Transcript transcript = new Transcript(prefix);
        long begun = System.nanoTime();
        try {
            story.tell(broker, prefix, transcript);
            System.err.printf("%s: %.1f s%n", prefix, (System.nanoTime() - begun) / 1e9);
            return true;
        } catch (Throwable e) {
            System.err.println(prefix + " failed");
            e.printStackTrace();
            transcript.say("FAILED: " + e);
            return false;
        } finally {
            transcript.write(folder.resolve(name + ".txt"));
        }
    }
}

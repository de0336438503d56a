import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;

/** What a story has to tell: only what is the same on every correct broker. The story's name in front of its topics and groups is left out. */
final class Transcript {
    private final String prefix;
    private final List<String> lines = new ArrayList<>();

    Transcript(String name) {
        prefix = name + ".";
    }

    void say(String line) {
        lines.add(line.replace(prefix, ""));
    }

    /** A heading, and beneath it what belongs to it. */
    void say(String heading, Collection<String> what) {
        say(heading);
        what.forEach(line -> say("  " + line));
        if (what.isEmpty()) {
            say("  nothing");
        }
    }

    void write(Path file) throws IOException {
        Files.write(file, lines);
    }
}

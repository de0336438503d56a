import java.nio.file.Files;
import java.nio.file.Path;

/** Kafka's copiers, by the newest protocol, while somebody kills the broker: java CopierThroughCrashes <bootstrap> <folder>, which says when they copy. */
final class CopierThroughCrashes {
    public static void main(String[] arguments) throws Exception {
        Path folder = Files.createDirectories(Path.of(arguments[1]));
        Transcript transcript = new Transcript("copier");
        int code = 0;
        try (Broker broker = new Broker(arguments[0], null)) {
            new CopierStory(arguments[0], 6000, 20).tellThroughCrashes(broker, "crashes", () -> System.out.println("copying"), transcript);
        } catch (Throwable e) {
            e.printStackTrace();
            code = 1;
        }
        transcript.write(folder.resolve("copier.txt"));
        Runtime.getRuntime().halt(code);
    }
}

import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.KeyValueStore;

import java.util.List;
import java.util.Properties;

/**
 * A Streams application that counts words and adds up their lengths: java StreamsApp <input> <output> <key=value of its settings> ...
 * Words are keys only after the repartition topic, and the store has a changelog. Every record makes an update, none is held back by a cache,
 * so that a word's updates are 1, 2, 3, ... if each record counts once. Runs until it is killed, or until its standard input ends.
 */
final class StreamsApp {
    static final String STORE = "words";

    private StreamsApp() { }

    public static void main(String[] arguments) throws Exception {
        Properties settings = new Properties();
        for (String argument : List.of(arguments).subList(2, arguments.length)) {
            settings.put(argument.substring(0, argument.indexOf('=')), argument.substring(argument.indexOf('=') + 1));
        }
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(arguments[0], Consumed.with(Serdes.String(), Serdes.String()))
            .map((line, word) -> KeyValue.pair(word, word.length()))
            .groupByKey(Grouped.<String, Integer>as("by-word").withKeySerde(Serdes.String()).withValueSerde(Serdes.Integer()))
            .aggregate(() -> "0 0", (word, length, sums) -> add(sums, length),
                Materialized.<String, String, KeyValueStore<Bytes, byte[]>>as(STORE).withKeySerde(Serdes.String()).withValueSerde(Serdes.String()))
            .toStream()
            .to(arguments[1], Produced.with(Serdes.String(), Serdes.String()));
        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        streams.setUncaughtExceptionHandler(e -> {
            e.printStackTrace();
            Runtime.getRuntime().halt(1);
            return null;
        });
        streams.start();
        while (System.in.read() >= 0) {
            // told nothing but the end
        }
        streams.close();
    }

    private static String add(String sums, int length) {
        String[] both = sums.split(" ");
        return (Integer.parseInt(both[0]) + 1) + " " + (Integer.parseInt(both[1]) + length);
    }
}

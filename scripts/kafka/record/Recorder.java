import com.fasterxml.jackson.databind.JsonNode;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.MessageUtil;

import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.net.SocketException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * Sends requests to a broker over plain sockets, one at a time, and keeps the bytes of each exchange as a fixture.
 * It knows frames and files; which requests, and in which order, is Script's business.
 */
final class Recorder {
    static final String CLIENT_ID = "golden";
    private static final int REPLY_WITHIN_MS = 20_000;
    private static final int SILENCE_MS = 300;

    private final int port;
    private final Path folder;
    private final List<String> index = new ArrayList<>();
    private final Map<String, byte[]> bound = new LinkedHashMap<>();
    private final List<String> awaited = new ArrayList<>();
    private Socket socket;
    private int connection;
    private int correlationId;

    Recorder(int port, Path folder) {
        this.port = port;
        this.folder = folder;
    }

    /** Sends and records under `<api>-v<version>-<case>`, and returns what came back. */
    ApiMessage exchange(ApiKeys api, int version, String name, ApiMessage request) throws IOException {
        byte[] frame = frame(api, (short) version, request);
        byte[] reply = roundTrip(frame);
        if (reply == null) {
            throw new IOException("closed: " + fileName(api, version, name));
        }
        ApiMessage response = parse(api, (short) version, reply);
        write(api, version, name, frame, "< " + hex(reply),
            json(request, (short) version), json(response, (short) version), binds(api, version, response));
        return response;
    }

    /** A request that has no reply: acks=0. Silence for a moment is the recorded answer. */
    void unanswered(ApiKeys api, int version, String name, ApiMessage request) throws IOException {
        byte[] frame = frame(api, (short) version, request);
        connect();
        socket.getOutputStream().write(frame);
        socket.setSoTimeout(SILENCE_MS);
        try {
            int first = socket.getInputStream().read();
            throw new IOException("an answer, or the end, where there should be none: " + first);
        } catch (java.net.SocketTimeoutException expected) {
            socket.setSoTimeout(REPLY_WITHIN_MS);
        }
        write(api, version, name, frame, "none", json(request, (short) version), null, List.of());
    }

    /** Bytes as given, on a connection of their own; the reply's body, if there is one, is of `replyVersion`. */
    void raw(ApiKeys api, int version, String name, byte[] frame, int replyVersion) throws IOException {
        disconnect();
        byte[] reply = roundTrip(frame);
        String answer = reply == null ? "closed" : "< " + hex(reply);
        JsonNode response = reply == null ? null : json(parse(api, (short) replyVersion, reply), (short) replyVersion);
        write(api, version, name, frame, answer, null, response, List.of());
        disconnect();
    }

    /** Sends without recording: waiting for the broker to have caught up with itself. */
    ApiMessage unrecorded(ApiKeys api, int version, ApiMessage request) throws IOException {
        byte[] reply = roundTrip(frame(api, (short) version, request));
        if (reply == null) {
            throw new IOException("closed: " + api);
        }
        return parse(api, (short) version, reply);
    }

    /** From now on a request that contains these bytes is marked: whoever replays it puts its own broker's value there. */
    void bind(String name, byte[] value) {
        bound.put(name, value);
    }

    /** What the recorder has waited for since the last exchange; whoever replays it waits too, before the next. */
    void awaited(String what) {
        awaited.add(what);
    }

    byte[] frame(ApiKeys api, short version, ApiMessage request) {
        return frame(api, version, api.requestHeaderVersion(version), MessageUtil.toByteBufferAccessor(request, version).buffer());
    }

    byte[] frame(ApiKeys api, short version, short headerVersion, ByteBuffer body) {
        correlationId++;
        RequestHeaderData header = new RequestHeaderData().setRequestApiKey(api.id).setRequestApiVersion(version)
            .setCorrelationId(correlationId).setClientId(CLIENT_ID);
        ByteBuffer head = MessageUtil.toByteBufferAccessor(header, headerVersion).buffer();
        return ByteBuffer.allocate(4 + head.remaining() + body.remaining())
            .putInt(head.remaining() + body.remaining()).put(head).put(body).array();
    }

    void finish(String broker) throws IOException {
        disconnect();
        List<String> lines = new ArrayList<>();
        lines.add("# Exchanges with " + broker + ", in the order in which they took place: file, connection.");
        lines.add("# What a replay needs to know stands in fixtures/README.md.");
        lines.addAll(index);
        Files.writeString(folder.resolve("INDEX"), String.join("\n", lines) + "\n");
        System.out.println(index.size() + " exchanges");
    }

    private byte[] roundTrip(byte[] frame) throws IOException {
        connect();
        OutputStream out = socket.getOutputStream();
        try {
            out.write(frame);
            DataInputStream in = new DataInputStream(socket.getInputStream());
            int size = in.readInt();
            byte[] reply = new byte[4 + size];
            ByteBuffer.wrap(reply).putInt(size);
            in.readFully(reply, 4, size);
            return reply;
        } catch (EOFException | SocketException closed) {
            return null;
        }
    }

    private void connect() throws IOException {
        if (socket == null) {
            socket = new Socket(InetAddress.getLoopbackAddress(), port);
            socket.setTcpNoDelay(true);
            socket.setSoTimeout(REPLY_WITHIN_MS);
            connection++;
        }
    }

    private void disconnect() throws IOException {
        if (socket != null) {
            socket.close();
            socket = null;
        }
    }

    private ApiMessage parse(ApiKeys api, short version, byte[] reply) throws IOException {
        ByteBuffer buffer = ByteBuffer.wrap(reply, 4, reply.length - 4).slice();
        ByteBufferAccessor accessor = new ByteBufferAccessor(buffer);
        new ResponseHeaderData(accessor, api.responseHeaderVersion(version));
        ApiMessage response = ApiMessageType.fromApiKey(api.id).newResponse();
        response.read(accessor, version);
        if (buffer.hasRemaining()) {
            throw new IOException(buffer.remaining() + " bytes left over in a reply of " + api + " v" + version);
        }
        return response;
    }

    private void write(ApiKeys api, int version, String name, byte[] frame, String answer, JsonNode request, JsonNode response,
                       List<String> binds) throws IOException {
        String file = fileName(api, version, name);
        StringBuilder text = new StringBuilder();
        text.append("# ").append(api.name).append(" v").append(version).append(", ").append(name).append('\n');
        if (request != null) {
            text.append("# request ").append(request).append('\n');
        }
        if (response != null) {
            text.append("# response ").append(response).append('\n');
        }
        for (String what : awaited) {
            text.append("await ").append(what).append('\n');
        }
        awaited.clear();
        for (Map.Entry<String, byte[]> entry : bound.entrySet()) {
            if (contains(frame, entry.getValue())) {
                text.append("use ").append(entry.getKey()).append(' ').append(HexFormat.of().formatHex(entry.getValue())).append('\n');
            }
        }
        for (String bind : binds) {
            text.append("bind ").append(bind).append('\n');
        }
        text.append("> ").append(hex(frame)).append('\n').append(answer).append('\n');
        Path path = folder.resolve(file);
        if (Files.exists(path)) {
            throw new IOException("two exchanges are called " + file);
        }
        Files.writeString(path, text, StandardCharsets.UTF_8);
        index.add(file + " " + connection);
    }

    private List<String> binds(ApiKeys api, int version, ApiMessage response) {
        List<String> names = new ArrayList<>();
        for (Map.Entry<String, byte[]> binding : Bindings.of(api, version, response).entrySet()) {
            bind(binding.getKey(), binding.getValue());
            names.add(binding.getKey() + " " + HexFormat.of().formatHex(binding.getValue()));
        }
        return names;
    }

    private static String fileName(ApiKeys api, int version, String name) {
        return String.format(Locale.ROOT, "%s-v%02d-%s", api.name.toLowerCase(Locale.ROOT), version, name);
    }

    private static String hex(byte[] bytes) {
        return HexFormat.of().formatHex(bytes);
    }

    private static boolean contains(byte[] bytes, byte[] sought) {
        return new String(bytes, StandardCharsets.ISO_8859_1).contains(new String(sought, StandardCharsets.ISO_8859_1));
    }

    /** The message as Kafka's own converters print it; record bytes are left to the hex line. */
    private static JsonNode json(ApiMessage message, short version) throws IOException {
        try {
            Class<?> converter = Class.forName(message.getClass().getName() + "JsonConverter");
            return (JsonNode) converter.getMethod("write", message.getClass(), short.class, boolean.class).invoke(null, message, version, false);
        } catch (ReflectiveOperationException e) {
            throw new IOException("cannot print " + message.getClass().getSimpleName() + " v" + version, e);
        }
    }
}

import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.net.InetAddress;
import java.net.Socket;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.nio.ByteBuffer;

/** One connection at a time to a broker on loopback, whole frames in and out, and what Kafka's own classes read in them. */
final class Wire {
    private static final int REPLY_WITHIN_MS = 20_000;
    private static final int SILENCE_MS = 300;

    private final int port;
    private Socket socket;
    private int connection;

    Wire(int port) {
        this.port = port;
    }

    /** How many connections there have been, this one included. */
    int connection() {
        return connection;
    }

    /** The reply with its size, or null if the broker ended the connection. */
    byte[] roundTrip(byte[] frame) throws IOException {
        connect();
        try {
            socket.getOutputStream().write(frame);
            DataInputStream in = new DataInputStream(socket.getInputStream());
            int size = in.readInt();
            byte[] reply = new byte[4 + size];
            ByteBuffer.wrap(reply).putInt(size);
            in.readFully(reply, 4, size);
            return reply;
        } catch (EOFException | SocketException closed) {
            disconnect();
            return null;
        }
    }

    /** Sends, and is sure for a moment that nothing comes back. */
    void unanswered(byte[] frame) throws IOException {
        connect();
        socket.getOutputStream().write(frame);
        socket.setSoTimeout(SILENCE_MS);
        try {
            int first = socket.getInputStream().read();
            throw new IOException("an answer, or the end, where there should be none: " + first);
        } catch (SocketTimeoutException expected) {
            socket.setSoTimeout(REPLY_WITHIN_MS);
        }
    }

    void disconnect() throws IOException {
        if (socket != null) {
            socket.close();
            socket = null;
        }
    }

    /** Reads a reply with its size; a byte left over is an error. */
    static ApiMessage parse(ApiKeys api, short version, byte[] reply) throws IOException {
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

    /** The message as Kafka's own converters print it, with its record batches or with their sizes alone. */
    static JsonNode json(ApiMessage message, short version, boolean records) throws IOException {
        try {
            Class<?> converter = Class.forName(message.getClass().getName() + "JsonConverter");
            return (JsonNode) converter.getMethod("write", message.getClass(), short.class, boolean.class).invoke(null, message, version, records);
        } catch (ReflectiveOperationException e) {
            throw new IOException("cannot print " + message.getClass().getSimpleName() + " v" + version, e);
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
}

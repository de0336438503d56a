import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.MessageUtil;

import java.io.DataInputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.Socket;
import java.nio.ByteBuffer;

/** One connection and one request at a time, for what no client of Kafka's says. */
final class Wire implements AutoCloseable {
    private final Socket socket;
    private final String clientId;
    private int correlationId;

    Wire(String bootstrap, String clientId) throws IOException {
        int colon = bootstrap.lastIndexOf(':');
        this.clientId = clientId;
        socket = new Socket(bootstrap.substring(0, colon), Integer.parseInt(bootstrap.substring(colon + 1)));
        socket.setTcpNoDelay(true);
        socket.setSoTimeout(Cluster.HANG_S * 1000);
    }

    ApiMessage call(ApiKeys api, int version, ApiMessage request) throws IOException {
        RequestHeaderData header = new RequestHeaderData().setRequestApiKey(api.id).setRequestApiVersion((short) version).setCorrelationId(correlationId++).setClientId(clientId);
        ByteBuffer head = MessageUtil.toByteBufferAccessor(header, api.requestHeaderVersion((short) version)).buffer();
        ByteBuffer body = MessageUtil.toByteBufferAccessor(request, (short) version).buffer();
        socket.getOutputStream().write(ByteBuffer.allocate(4 + head.remaining() + body.remaining()).putInt(head.remaining() + body.remaining()).put(head).put(body).array());
        DataInputStream in = new DataInputStream(socket.getInputStream());
        byte[] reply = new byte[in.readInt()];
        in.readFully(reply);
        ByteBufferAccessor accessor = new ByteBufferAccessor(ByteBuffer.wrap(reply));
        new ResponseHeaderData(accessor, api.responseHeaderVersion((short) version));
        ApiMessage response = ApiMessageType.fromApiKey(api.id).newResponse();
        response.read(accessor, (short) version);
        return response;
    }

    String clientId() {
        return clientId;
    }

    ApiMessage mustCall(ApiKeys api, int version, ApiMessage request) {
        try {
            return call(api, version, request);
        } catch (IOException e) {
            throw new UncheckedIOException(api.toString(), e);
        }
    }

    @Override
    public void close() throws IOException {
        socket.close();
    }
}

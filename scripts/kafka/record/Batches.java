import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.record.internal.SimpleRecord;
import org.apache.kafka.common.utils.Crc32C;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.function.Consumer;

/** Record batches whose every byte is the same in each run: fixed times, fixed producer ids, and damage in fixed places. */
final class Batches {
    static final long T0 = 1_700_000_000_000L;
    static final byte V2 = RecordBatch.MAGIC_VALUE_V2;
    private static final int LENGTH = 8;
    private static final int CRC = 17;
    private static final int ATTRIBUTES = 21;

    private Batches() {
    }

    /** `count` records, one second apart from T0 + `second`; the first has a key and two headers of one name, the last a null value. */
    static SimpleRecord[] records(long second, int count) {
        SimpleRecord[] records = new SimpleRecord[count];
        for (int i = 0; i < count; i++) {
            byte[] key = i == 0 ? utf8("key") : null;
            byte[] value = i > 0 && i == count - 1 ? null : utf8("value " + (second + i));
            Header[] headers = i == 0 ? new Header[] {new RecordHeader("h", utf8("1")), new RecordHeader("h", null)} : new Header[0];
            records[i] = new SimpleRecord(T0 + (second + i) * 1000, key, value, headers);
        }
        return records;
    }

    static MemoryRecords plain(long second, int count) {
        return MemoryRecords.withRecords(Compression.NONE, records(second, count));
    }

    static MemoryRecords compressed(String codec, long second, int count) {
        return MemoryRecords.withRecords(Compression.of(CompressionType.forName(codec)).build(), records(second, count));
    }

    static MemoryRecords idempotent(long producerId, int epoch, int sequence, long second, int count) {
        return MemoryRecords.withIdempotentRecords(Compression.NONE, producerId, (short) epoch, sequence, records(second, count));
    }

    static MemoryRecords transactional(long producerId, int epoch, int sequence, long second, int count) {
        return MemoryRecords.withTransactionalRecords(Compression.NONE, producerId, (short) epoch, sequence, records(second, count));
    }

    static MemoryRecords at(long timestamp) {
        return MemoryRecords.withRecords(Compression.NONE, new SimpleRecord(timestamp, utf8("value")));
    }

    static MemoryRecords ofSize(int bytes) {
        return MemoryRecords.withRecords(Compression.NONE, new SimpleRecord(T0, utf8("x".repeat(bytes))));
    }

    static MemoryRecords magic(byte magic) {
        return MemoryRecords.withRecords(magic, 0L, Compression.NONE, TimestampType.CREATE_TIME, new SimpleRecord(T0, utf8("old")));
    }

    /** Two batches in one set of records, which a client may not send. */
    static MemoryRecords two() {
        ByteBuffer one = plain(0, 1).buffer();
        ByteBuffer other = plain(1, 1).buffer();
        return MemoryRecords.readableRecords(ByteBuffer.allocate(one.remaining() + other.remaining()).put(one).put(other).flip());
    }

    /** A batch with something changed in it and its checksum put right. */
    static MemoryRecords changed(MemoryRecords good, Consumer<ByteBuffer> change) {
        ByteBuffer batch = damaged(good, change).buffer();
        batch.putInt(CRC, (int) Crc32C.compute(batch, ATTRIBUTES, batch.getInt(LENGTH) + 12 - ATTRIBUTES));
        return MemoryRecords.readableRecords(batch);
    }

    /** A batch with something changed in it and its checksum left as it was. */
    static MemoryRecords damaged(MemoryRecords good, Consumer<ByteBuffer> change) {
        ByteBuffer from = good.buffer().duplicate();
        ByteBuffer batch = ByteBuffer.allocate(from.remaining()).put(from).flip();
        change.accept(batch);
        return MemoryRecords.readableRecords(batch);
    }

    private static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}

//! Settings of log storage that do not act yet or never will: retention, compaction, checkpoints, tiered storage.

use super::rows;
use crate::config::registry::{Key, Kind, Valid};

rows! { STORAGE
    "log.retention.ms": Long = null [dynamic, later],
        "How long a segment is kept; -1 is for ever. Before log.retention.minutes.";
    "log.retention.minutes": Int = null [later],
        "How long a segment is kept. Before log.retention.hours.";
    "log.retention.hours": Int = "168" [later],
        "How long a segment is kept.";
    "log.retention.bytes": Long = "-1" [dynamic, later],
        "Size to which a partition is trimmed; -1 is no limit.";
    "log.retention.check.interval.ms": Long = "300000" [at_least(1), later],
        "How often segments are checked against retention.";
    "log.cleanup.policy": List = "delete" [valid(Valid::DistinctOf(&["compact", "delete"])), dynamic, later],
        "Whether old records are deleted, compacted, both or neither.";
    "log.segment.delete.delay.ms": Long = "60000" [at_least(0), dynamic, later],
        "Delay between the removal of a segment and of its files.";
    "log.cleaner.enable": Boolean = "true" [later],
        "Whether compaction runs.";
    "log.cleaner.threads": Int = "1" [at_least(0), dynamic, later],
        "Threads that compact.";
    "log.cleaner.io.max.bytes.per.second": Double = "1.7976931348623157E308" [dynamic, later],
        "Most bytes per second read and written by compaction.";
    "log.cleaner.dedupe.buffer.size": Long = "134217728" [dynamic, later],
        "Memory for the key map of compaction.";
    "log.cleaner.io.buffer.size": Int = "524288" [at_least(0), dynamic, later],
        "Memory for the input and output of compaction.";
    "log.cleaner.io.buffer.load.factor": Double = "0.9" [dynamic, later],
        "How full the key map of compaction may get.";
    "log.cleaner.backoff.ms": Long = "15000" [at_least(0), dynamic, later],
        "Pause of compaction when there is nothing to do.";
    "log.cleaner.min.cleanable.ratio": Double = "0.5" [valid(Valid::Fraction(0.0, 1.0)), dynamic, later],
        "Share of a log that must be new before it is compacted.";
    "log.cleaner.delete.retention.ms": Long = "86400000" [at_least(0), dynamic, later],
        "How long the tombstone of a deleted key is kept.";
    "log.cleaner.min.compaction.lag.ms": Long = "0" [at_least(0), dynamic, later],
        "Time for which a new record is not compacted.";
    "log.cleaner.max.compaction.lag.ms": Long = "9223372036854775807" [at_least(1), dynamic, later],
        "Time after which a record must have been compacted.";
    "log.preallocate": Boolean = "false" [dynamic],
        "Whether a segment file is created at its full size.";
    "log.roll.jitter.ms": Long = null [dynamic, later],
        "Largest random delay of a roll by time. Before log.roll.jitter.hours.";
    "log.roll.jitter.hours": Int = "0" [at_least(0), later],
        "Largest random delay of a roll by time.";
    "log.flush.offset.checkpoint.interval.ms": Int = "60000" [at_least(0)],
        "How often recovery points are written down.";
    "log.flush.start.offset.checkpoint.interval.ms": Int = "60000" [at_least(0)],
        "How often log start offsets are written down.";
    "log.dir.failure.timeout.ms": Long = "30000" [at_least(1)],
        "How long a broker may fail to report a broken directory.";
    "log.initial.task.delay.ms": Long = "30000" [at_least(0), internal],
        "Delay of the first background task after a start.";
    "cordoned.log.dirs": List = "" [distinct, dynamic],
        "Directories that take no new partitions.";
    "compression.gzip.level": Int = "-1" [valid(Valid::GzipLevel), dynamic],
        "Level for topics recompressed with gzip.";
    "compression.lz4.level": Int = "9" [between(1, 17), dynamic],
        "Level for topics recompressed with lz4.";
    "compression.zstd.level": Int = "3" [between(-131072, 22), dynamic],
        "Level for topics recompressed with zstd.";
    "log.local.retention.ms": Long = "-2" [at_least(-2), dynamic],
        "How long a tiered segment stays on local disk; -2 follows log.retention.ms.";
    "log.local.retention.bytes": Long = "-2" [at_least(-2), dynamic],
        "Size of the local part of a tiered partition; -2 follows log.retention.bytes.";
    "remote.log.storage.system.enable": Boolean = "false",
        "Whether tiered storage runs.";
    "remote.log.storage.manager.impl.prefix": String = "rsm.config." [valid(Valid::NonEmpty)],
        "Prefix of the settings of the remote storage class.";
    "remote.log.metadata.manager.impl.prefix": String = "rlmm.config." [valid(Valid::NonEmpty)],
        "Prefix of the settings of the remote metadata class.";
    "remote.log.storage.manager.class.name": String = null [valid(Valid::NonEmpty)],
        "Class that stores segments remotely.";
    "remote.log.storage.manager.class.path": String = null,
        "Class path of the remote storage class.";
    "remote.log.metadata.manager.class.name": String =
        "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager" [valid(Valid::NonEmpty)],
        "Class that keeps remote metadata.";
    "remote.log.metadata.manager.class.path": String = null,
        "Class path of the remote metadata class.";
    "remote.log.metadata.manager.listener.name": String = null [valid(Valid::NonEmpty)],
        "Listener that the remote metadata class calls.";
    "remote.log.metadata.custom.metadata.max.bytes": Int = "128" [at_least(0)],
        "Longest custom metadata of a remote segment.";
    "remote.log.index.file.cache.total.size.bytes": Long = "1073741824" [at_least(1), dynamic],
        "Disk space for indexes of remote segments.";
    "remote.log.index.file.cache.ttl.ms": Long = "900000" [at_least(1)],
        "How long an unused index of a remote segment is kept.";
    "remote.log.manager.thread.pool.size": Int = "2" [at_least(1)],
        "Threads of tiered storage, by an older name.";
    "remote.log.manager.copier.thread.pool.size": Int = "10" [at_least(1), dynamic],
        "Threads that copy segments away.";
    "remote.log.manager.expiration.thread.pool.size": Int = "10" [at_least(1), dynamic],
        "Threads that remove expired remote segments.";
    "remote.log.manager.follower.thread.pool.size": Int = "2" [at_least(1), dynamic],
        "Threads that follow remote offsets.";
    "remote.log.manager.task.interval.ms": Long = "30000" [at_least(1)],
        "How often the tasks of tiered storage run.";
    "remote.log.manager.task.retry.backoff.ms": Long = "500" [at_least(1), internal],
        "First pause before a failed task is repeated.";
    "remote.log.manager.task.retry.backoff.max.ms": Long = "30000" [at_least(1), internal],
        "Longest pause before a failed task is repeated.";
    "remote.log.manager.task.retry.jitter": Double = "0.2" [valid(Valid::Fraction(0.0, 0.5)), internal],
        "Random part of the pause before a failed task is repeated.";
    "remote.log.reader.threads": Int = "10" [at_least(1), dynamic],
        "Threads that read remote segments.";
    "remote.log.reader.max.pending.tasks": Int = "100" [at_least(1)],
        "Reads of remote segments that may queue.";
    "remote.log.manager.copy.max.bytes.per.second": Long = "9223372036854775807" [at_least(1), dynamic],
        "Most bytes per second copied away.";
    "remote.log.manager.copy.quota.window.num": Int = "11" [at_least(1)],
        "Samples kept for the limit on copies.";
    "remote.log.manager.copy.quota.window.size.seconds": Int = "1" [at_least(1)],
        "Length of a sample of the limit on copies.";
    "remote.log.manager.fetch.max.bytes.per.second": Long = "9223372036854775807" [at_least(1), dynamic],
        "Most bytes per second read back.";
    "remote.log.manager.fetch.quota.window.num": Int = "11" [at_least(1)],
        "Samples kept for the limit on reads back.";
    "remote.log.manager.fetch.quota.window.size.seconds": Int = "1" [at_least(1)],
        "Length of a sample of the limit on reads back.";
    "remote.fetch.max.wait.ms": Int = "500" [at_least(1), dynamic],
        "Longest wait of a fetch that reads remote segments.";
    "remote.list.offsets.request.timeout.ms": Long = "30000" [at_least(1), dynamic],
        "Longest wait of an offset look-up in remote segments.";
}

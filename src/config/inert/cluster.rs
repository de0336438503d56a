//! Settings of Kafka's cluster machinery: KRaft controllers, replication, quotas, metrics, threads. Most have no
//! counterpart in Ottla.

use super::rows;
use crate::config::registry::{Key, Kind, Valid};

rows! { CLUSTER
    "process.roles": List = null [valid(Valid::DistinctOf(&["broker", "controller"])), controller],
        "Roles of the process, broker or controller. Ottla is always a broker that keeps its own catalog.";
    "controller.quorum.voters": List = "" [controller],
        "Controllers of a fixed quorum, as id@host:port.";
    "controller.quorum.bootstrap.servers": List = "" [controller],
        "Controllers to ask for the quorum, as host:port.";
    "controller.quorum.election.timeout.ms": Int = "1000" [at_least(0), controller],
        "Wait without a leader before an election.";
    "controller.quorum.fetch.timeout.ms": Int = "2000" [at_least(0), controller],
        "Wait without a fetch from the leader before a new election.";
    "controller.quorum.election.backoff.max.ms": Int = "1000" [at_least(0), controller],
        "Longest pause between two elections.";
    "controller.quorum.append.linger.ms": Int = "25" [at_least(0), controller],
        "Wait of the controller to gather records before it writes.";
    "controller.quorum.request.timeout.ms": Int = "2000" [at_least(0), controller],
        "Timeout of a request between controllers.";
    "controller.quorum.retry.backoff.ms": Int = "20" [at_least(0), controller],
        "Pause before a request between controllers is repeated.";
    "controller.quorum.auto.join.enable": Boolean = "false" [controller],
        "Whether a new controller joins the voters by itself.";
    "controller.quorum.fetch.max.bytes": Int = "1048576" [at_least(1), controller],
        "Most bytes of one fetch between controllers.";
    "controller.quorum.fetch.snapshot.max.bytes": Int = "1048576" [at_least(1), controller],
        "Most bytes of one snapshot fetch between controllers.";
    "sasl.mechanism.controller.protocol": String = "GSSAPI" [controller],
        "SASL mechanism towards controllers.";
    "controller.socket.timeout.ms": Int = "30000",
        "Socket timeout of channels between controller and broker.";
    "controller.performance.sample.period.ms": Long = "60000" [at_least(100), internal],
        "Period over which the controller's event times are summed up.";
    "controller.performance.always.log.threshold.ms": Long = "2000" [at_least(0), internal],
        "Controller events slower than this are logged.";
    "controller.quota.window.num": Int = "11" [at_least(1)],
        "Samples kept for the quota on topic changes.";
    "controller.quota.window.size.seconds": Int = "1" [at_least(1)],
        "Length of a sample of the quota on topic changes.";
    "initial.broker.registration.timeout.ms": Int = "60000",
        "How long a broker tries to register before it gives up.";
    "broker.heartbeat.interval.ms": Int = "2000",
        "Interval of heartbeats to the controller.";
    "broker.session.timeout.ms": Int = "9000",
        "Silence after which the controller fences a broker.";
    "server.max.startup.time.ms": Long = "9223372036854775807" [at_least(0), internal],
        "Longest time the start may take.";
    "metadata.log.dir": String = null,
        "Directory of the metadata log. Ottla keeps its catalog in log.dirs.";
    "metadata.log.max.record.bytes.between.snapshots": Long = "20971520" [at_least(1)],
        "Bytes of metadata between two snapshots.";
    "metadata.log.max.snapshot.interval.ms": Long = "3600000" [at_least(0)],
        "Time between two metadata snapshots.";
    "metadata.log.segment.bytes": Int = "1073741824" [at_least(8388608)],
        "Segment size of the metadata log.";
    "metadata.log.segment.ms": Long = "604800000",
        "Time until a segment of the metadata log is rolled.";
    "metadata.max.retention.bytes": Long = "104857600",
        "Size to which the metadata log is trimmed.";
    "metadata.max.retention.ms": Long = "604800000",
        "Age to which the metadata log is trimmed.";
    "metadata.max.idle.interval.ms": Int = "500" [at_least(0)],
        "Interval of no-op records in an idle metadata log.";
    "internal.metadata.log.segment.bytes": Int = null [internal],
        "Segment size of the metadata log, for tests.";
    "internal.metadata.max.batch.size.in.bytes": Int = "8388608" [internal],
        "Largest batch of the metadata log, for tests.";
    "internal.metadata.max.fetch.size.in.bytes": Int = "8388608" [internal],
        "Largest fetch of the metadata log, for tests.";
    "internal.metadata.delete.delay.millis": Long = "60000" [internal],
        "Delay before a metadata file is removed, for tests.";
    "inter.broker.listener.name": String = null,
        "Listener that brokers use among themselves. A single broker does not call itself.";
    "security.inter.broker.protocol": String = "PLAINTEXT"
        [one_of(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])],
        "Security protocol among brokers.";
    "early.start.listeners": List = null [distinct],
        "Listeners opened before the authorizer is ready.";
    "replica.lag.time.max.ms": Long = "30000",
        "How long a follower may lag before it leaves the in-sync set.";
    "replica.socket.timeout.ms": Int = "30000",
        "Socket timeout of a follower's fetch.";
    "replica.socket.receive.buffer.bytes": Int = "65536",
        "Socket receive buffer of a follower.";
    "replica.fetch.max.bytes": Int = "1048576" [at_least(0)],
        "Bytes a follower asks for per partition.";
    "replica.fetch.wait.max.ms": Int = "500",
        "Longest wait of a follower's fetch.";
    "replica.fetch.backoff.ms": Int = "1000" [at_least(0)],
        "Pause of a follower after an error.";
    "replica.fetch.min.bytes": Int = "1",
        "Fewest bytes of a follower's fetch.";
    "replica.fetch.response.max.bytes": Int = "10485760" [at_least(0)],
        "Most bytes of a whole follower's fetch.";
    "num.replica.fetchers": Int = "1" [at_least(1)],
        "Fetch threads per source broker.";
    "num.replica.alter.log.dirs.threads": Int = null,
        "Threads that move replicas between directories.";
    "replica.high.watermark.checkpoint.interval.ms": Long = "5000",
        "How often high watermarks are written down.";
    "replica.selector.class": String = null,
        "Class that picks the replica a consumer reads from.";
    "follower.fetch.last.tiered.offset.enable": Boolean = "false",
        "Whether an empty follower starts at the last tiered offset.";
    "fetch.purgatory.purge.interval.requests": Int = "1000",
        "Finished waiting fetches that trigger a clean-up.";
    "producer.purgatory.purge.interval.requests": Int = "1000",
        "Finished waiting produces that trigger a clean-up.";
    "delete.records.purgatory.purge.interval.requests": Int = "1",
        "Finished waiting record deletions that trigger a clean-up.";
    "auto.leader.rebalance.enable": Boolean = "true",
        "Whether leadership returns to preferred replicas by itself.";
    "leader.imbalance.check.interval.seconds": Long = "300" [at_least(1)],
        "How often leadership balance is checked.";
    "unclean.leader.election.enable": Boolean = "false" [dynamic],
        "Whether a replica outside the in-sync set may lead, at the price of lost records.";
    "unclean.leader.election.interval.ms": Long = "300000" [at_least(1), internal],
        "How often leaderless partitions are looked for.";
    "controlled.shutdown.enable": Boolean = "true",
        "Whether leadership is moved away before a stop.";
    "quota.window.num": Int = "11" [at_least(1), later],
        "Samples kept for client quotas.";
    "quota.window.size.seconds": Int = "1" [at_least(1), later],
        "Length of a sample of client quotas.";
    "replication.quota.window.num": Int = "11" [at_least(1)],
        "Samples kept for replication quotas.";
    "replication.quota.window.size.seconds": Int = "1" [at_least(1)],
        "Length of a sample of replication quotas.";
    "alter.log.dirs.replication.quota.window.num": Int = "11" [at_least(1)],
        "Samples kept for the quota on moves between directories.";
    "alter.log.dirs.replication.quota.window.size.seconds": Int = "1" [at_least(1)],
        "Length of a sample of the quota on moves between directories.";
    "client.quota.callback.class": Class = null,
        "Class that decides client quotas.";
    "metrics.num.samples": Int = "2" [at_least(1)],
        "Samples kept per metric.";
    "metrics.sample.window.ms": Long = "30000" [at_least(1)],
        "Length of a metric's sample.";
    "metrics.recording.level": String = "INFO",
        "Level of detail of metrics.";
    "metric.reporters": List = "org.apache.kafka.common.metrics.JmxReporter" [distinct, dynamic],
        "Classes that report metrics.";
    "kafka.metrics.reporters": List = "" [distinct],
        "Classes that report the older metrics.";
    "kafka.metrics.polling.interval.secs": Int = "10" [at_least(1)],
        "How often the older metrics are polled.";
    "telemetry.max.bytes": Int = "1048576" [at_least(1)],
        "Largest telemetry push a client may send.";
    "num.network.threads": Int = "3" [at_least(1), dynamic],
        "Threads that move bytes from and to sockets. Ottla uses one per core.";
    "num.io.threads": Int = "8" [at_least(1), dynamic],
        "Threads that handle requests. Ottla uses one per core.";
    "background.threads": Int = "10" [at_least(1), dynamic],
        "Threads for background work.";
    "num.recovery.threads.per.data.dir": Int = "2" [at_least(1), dynamic],
        "Threads that load and flush a log directory.";
    "queued.max.requests": Int = "500" [at_least(1)],
        "Requests that may queue before sockets are no longer read.";
    "request.timeout.ms": Int = "30000",
        "Timeout of a broker's own requests.";
    "socket.connection.setup.timeout.ms": Long = "10000",
        "First timeout for a broker's own connections.";
    "socket.connection.setup.timeout.max.ms": Long = "30000",
        "Longest timeout for a broker's own connections.";
    "socket.send.buffer.bytes": Int = "102400",
        "Socket send buffer; -1 is the system's choice.";
    "socket.receive.buffer.bytes": Int = "102400",
        "Socket receive buffer; -1 is the system's choice.";
    "max.connections.per.ip": Int = "2147483647" [at_least(0), dynamic, later],
        "Most connections from one address.";
    "max.connections.per.ip.overrides": String = "" [dynamic, later],
        "Exceptions to max.connections.per.ip, as host:count.";
    "max.connection.creation.rate": Int = "2147483647" [at_least(0), dynamic, later],
        "Most new connections per second.";
    "connection.failed.authentication.delay.ms": Int = "100" [at_least(0), later],
        "Pause before a connection that failed to authenticate is closed.";
    "config.providers": List = "" [distinct, dynamic],
        "Classes that resolve placeholders in values.";
    "create.topic.policy.class.name": Class = null,
        "Class that may refuse a new topic.";
    "alter.config.policy.class.name": Class = null,
        "Class that may refuse a change of settings.";
    "unstable.api.versions.enable": Boolean = "false" [internal],
        "Whether unreleased API versions are offered.";
    "unstable.feature.versions.enable": Boolean = "false" [internal],
        "Whether unreleased features may be enabled.";
}

//! Settings of groups, share groups, streams groups, committed offsets and transactions that do not act: their coordinator
//! does not exist yet, or the group coordinator has no use for them.

use super::rows;
use crate::config::registry::{Key, Kind};

rows! { GROUPS
    "group.coordinator.rebalance.protocols": List = "classic,consumer,streams" [some_distinct, later],
        "Protocols by which groups rebalance.";
    "group.coordinator.threads": Int = "4" [at_least(1)],
        "Threads of the group coordinator.";
    "group.coordinator.background.threads": Int = "2" [at_least(1)],
        "Threads for the group coordinator's background work.";
    "group.coordinator.append.linger.ms": Int = "-1" [at_least(-1), later],
        "Wait to gather writes of the group coordinator; -1 adapts.";
    "group.coordinator.cached.buffer.max.bytes": Int = "1048588" [at_least(524288), dynamic],
        "Largest buffer the group coordinator keeps for reuse.";
    "offsets.commit.timeout.ms": Int = "5000" [at_least(1), later],
        "Longest wait for a committed offset to be durable.";
    "offsets.load.buffer.size": Int = "5242880" [at_least(1), later],
        "Bytes read at once while offsets are loaded.";
    "offsets.topic.replication.factor": Short = "3" [at_least(1), later],
        "Replicas of the offsets topic.";
    "offsets.topic.compression.codec": Int = "0" [later],
        "Codec of the offsets topic, by its number.";
    "group.consumer.min.assignment.interval.ms": Int = "0" [at_least(0), later],
        "Shortest time between two assignments of a consumer group.";
    "group.consumer.max.assignment.interval.ms": Int = "15000" [at_least(0), later],
        "Longest time between two assignments of a consumer group.";
    "group.share.session.timeout.ms": Int = "45000" [at_least(1), later],
        "Session timeout of share group members.";
    "group.share.min.session.timeout.ms": Int = "45000" [at_least(1), later],
        "Shortest session timeout of share group members.";
    "group.share.max.session.timeout.ms": Int = "60000" [at_least(1), later],
        "Longest session timeout of share group members.";
    "group.share.heartbeat.interval.ms": Int = "5000" [at_least(1), later],
        "Heartbeat interval of share group members.";
    "group.share.min.heartbeat.interval.ms": Int = "5000" [at_least(1), later],
        "Shortest heartbeat interval of share group members.";
    "group.share.max.heartbeat.interval.ms": Int = "15000" [at_least(1), later],
        "Longest heartbeat interval of share group members.";
    "group.share.max.size": Int = "200" [between(1, 1000), later],
        "Most members of a share group.";
    "group.share.assignors": List = "simple" [some_distinct, later],
        "Assignors for share groups.";
    "group.share.initialize.retry.interval.ms": Int = "30000" [at_least(1), later, internal],
        "Pause before the state of a share group is initialised again.";
    "group.share.assignment.interval.ms": Int = "1000" [at_least(0), dynamic, later],
        "Time between two assignments of a share group.";
    "group.share.min.assignment.interval.ms": Int = "0" [at_least(0), later],
        "Shortest time between two assignments of a share group.";
    "group.share.max.assignment.interval.ms": Int = "15000" [at_least(0), later],
        "Longest time between two assignments of a share group.";
    "group.share.delivery.count.limit": Int = "5" [between(2, 10), later],
        "Deliveries of a record to a share group before it is given up.";
    "group.share.min.delivery.count.limit": Int = "2" [between(2, 10), later],
        "Smallest delivery limit a group may set.";
    "group.share.max.delivery.count.limit": Int = "10" [between(5, 25), later],
        "Largest delivery limit a group may set.";
    "group.share.record.lock.duration.ms": Int = "30000" [between(1000, 3600000), later],
        "How long a delivered record stays locked.";
    "group.share.min.record.lock.duration.ms": Int = "15000" [between(1000, 30000), later],
        "Shortest lock a group may set.";
    "group.share.max.record.lock.duration.ms": Int = "60000" [between(30000, 3600000), later],
        "Longest lock a group may set.";
    "group.share.partition.max.record.locks": Int = "2000" [between(100, 10000), later],
        "Locked records per share partition.";
    "group.share.min.partition.max.record.locks": Int = "100" [at_least(1), later],
        "Smallest number of locked records a group may set.";
    "group.share.max.partition.max.record.locks": Int = "4000" [at_least(1), later],
        "Largest number of locked records a group may set.";
    "group.share.max.share.sessions": Int = "2000" [at_least(1), later],
        "Most share sessions on a broker.";
    "group.share.persister.class.name": String = "org.apache.kafka.server.share.persister.DefaultStatePersister"
        [internal],
        "Class that keeps the state of share groups.";
    "share.fetch.purgatory.purge.interval.requests": Int = "1000",
        "Finished waiting share fetches that trigger a clean-up.";
    "share.coordinator.state.topic.num.partitions": Int = "50" [at_least(1), later],
        "Partitions of the share state topic.";
    "share.coordinator.state.topic.replication.factor": Short = "3" [at_least(1), later],
        "Replicas of the share state topic.";
    "share.coordinator.state.topic.min.isr": Short = "2" [at_least(1), later],
        "In-sync replicas required by the share state topic.";
    "share.coordinator.state.topic.segment.bytes": Int = "104857600" [at_least(1), later],
        "Segment size of the share state topic.";
    "share.coordinator.state.topic.compression.codec": Int = "0" [later],
        "Codec of the share state topic, by its number.";
    "share.coordinator.state.topic.prune.interval.ms": Int = "300000" [at_least(1), later, internal],
        "How often superseded share state is pruned.";
    "share.coordinator.cold.partition.snapshot.interval.ms": Int = "300000" [at_least(1), later, internal],
        "How often idle share partitions are snapshotted.";
    "share.coordinator.threads": Int = "1" [at_least(1)],
        "Threads of the share coordinator.";
    "share.coordinator.snapshot.update.records.per.snapshot": Int = "500" [between(0, 500), later],
        "Updates between two snapshots of a share partition.";
    "share.coordinator.write.timeout.ms": Int = "5000" [at_least(1), later],
        "Longest wait for share state to be durable.";
    "share.coordinator.load.buffer.size": Int = "5242880" [at_least(1), later],
        "Bytes read at once while share state is loaded.";
    "share.coordinator.append.linger.ms": Int = "-1" [at_least(-1), later],
        "Wait to gather writes of the share coordinator; -1 adapts.";
    "share.coordinator.cached.buffer.max.bytes": Int = "1048588" [at_least(524288), dynamic],
        "Largest buffer the share coordinator keeps for reuse.";
    "group.streams.session.timeout.ms": Int = "45000" [at_least(1), later],
        "Session timeout of streams group members.";
    "group.streams.min.session.timeout.ms": Int = "45000" [at_least(1), later],
        "Shortest session timeout of streams group members.";
    "group.streams.max.session.timeout.ms": Int = "60000" [at_least(1), later],
        "Longest session timeout of streams group members.";
    "group.streams.heartbeat.interval.ms": Int = "5000" [at_least(1), later],
        "Heartbeat interval of streams group members.";
    "group.streams.min.heartbeat.interval.ms": Int = "5000" [at_least(1), later],
        "Shortest heartbeat interval of streams group members.";
    "group.streams.max.heartbeat.interval.ms": Int = "15000" [at_least(1), later],
        "Longest heartbeat interval of streams group members.";
    "group.streams.max.size": Int = "2147483647" [at_least(1), later],
        "Most members of a streams group.";
    "group.streams.num.standby.replicas": Int = "0" [at_least(0), later],
        "Standby copies of each task.";
    "group.streams.max.standby.replicas": Int = "2" [at_least(0), later],
        "Most standby copies a group may set.";
    "group.streams.initial.rebalance.delay.ms": Int = "3000" [at_least(0), later],
        "Wait for more members before the first rebalance of a streams group.";
    "group.streams.assignment.interval.ms": Int = "1000" [at_least(0), dynamic, later],
        "Time between two assignments of a streams group.";
    "group.streams.min.assignment.interval.ms": Int = "0" [at_least(0), later],
        "Shortest time between two assignments of a streams group.";
    "group.streams.max.assignment.interval.ms": Int = "15000" [at_least(0), later],
        "Longest time between two assignments of a streams group.";
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": Int = "10000" [at_least(1)],
        "How often transactions past their timeout are looked for. Each is aborted when its own timeout is over.";
    "transaction.two.phase.commit.enable": Boolean = "false" [later],
        "Whether transactions may take part in a two-phase commit.";
    "transaction.state.log.min.isr": Int = "2" [at_least(1), later],
        "In-sync replicas required by the transaction topic.";
    "transaction.state.log.load.buffer.size": Int = "5242880" [at_least(1)],
        "Bytes read at once while transactions are loaded.";
    "transaction.state.log.replication.factor": Short = "3" [at_least(1), later],
        "Replicas of the transaction topic.";
    "transaction.partition.verification.enable": Boolean = "true" [dynamic, later],
        "Whether a transactional append is checked against the coordinator.";
    "producer.id.expiration.check.interval.ms": Int = "600000" [at_least(1), later, internal],
        "How often expired producers are looked for.";
    "add.partitions.to.txn.retry.backoff.ms": Int = "20" [at_least(1)],
        "Pause before partitions are added to a transaction again. Here it is the end of the one before that is waited for.";
}

"""kafka-python (pure Python, classic protocol): kafka_python.py <host:port>"""

import sys

import kafka.errors
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from kafka.structs import OffsetAndMetadata

from story import Assignor, POLL_S, code_name, run

ASSIGNORS = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor, "sticky": StickyPartitionAssignor}


class Consumer(ConsumerRebalanceListener):
    def __init__(self, bootstrap, group, topic, label, assignor, instance):
        self.topic, self.disturbed = topic, 0
        self.consumer = KafkaConsumer(
            bootstrap_servers=bootstrap, client_id=label, group_id=group, group_instance_id=instance, enable_auto_commit=False,
            auto_offset_reset="earliest", heartbeat_interval_ms=200, partition_assignment_strategy=[ASSIGNORS[assignor.name]])
        self.consumer.subscribe([topic], listener=self)

    def on_partitions_assigned(self, assigned):
        self.disturbed += 1

    def on_partitions_revoked(self, revoked):
        pass

    def poll(self):
        polled = self.consumer.poll(timeout_ms=int(POLL_S * 1000))
        return [(r.partition, r.offset, r.key.decode(), r.value.decode()) for records in polled.values() for r in records]

    def owned(self):
        return {tp.partition for tp in self.consumer.assignment()}

    def commit(self, offsets):
        self.consumer.commit({TopicPartition(self.topic, p): OffsetAndMetadata(offset, metadata, -1) for p, (offset, metadata) in offsets.items()})

    def close(self):
        self.consumer.close(autocommit=False)


class Client:
    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        self.producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=5)

    def create_topic(self, topic, partitions):
        self.admin.create_topics([NewTopic(topic, partitions, 1)])

    def produce(self, topic, batch):
        sent = [self.producer.send(topic, partition=p, key=key.encode(), value=value.encode()) for p, key, value in batch]
        self.producer.flush()
        for future in sent:
            future.get(timeout=30)

    def consumer(self, *arguments):
        return Consumer(self.bootstrap, *arguments)

    def committed(self, group, topic):
        found = self.admin.list_consumer_group_offsets(group)
        return {tp.partition: (at.offset, at.metadata) for tp, at in found.items() if tp.topic == topic}

    def listed(self, group):
        return "; ".join(entry[1] for entry in self.admin.list_consumer_groups() if entry[0] == group) or "not"

    def described(self, group):
        found = self.admin.describe_consumer_groups([group])[0]
        return f"{found.state}, {len(found.members)} members, {found.protocol_type}/{found.protocol}"

    def delete_group(self, group):
        return code_name(self.admin.delete_consumer_groups([group])[0][1].errno)

    def set_offsets(self, group, topic, offsets):
        """The admin has no call for it: a consumer without a subscription commits as a simple consumer of the group does."""
        consumer = KafkaConsumer(bootstrap_servers=self.bootstrap, group_id=group, enable_auto_commit=False)
        try:
            consumer.assign([TopicPartition(topic, p) for p in offsets])
            consumer.commit({TopicPartition(topic, p): OffsetAndMetadata(offset, "set", -1) for p, offset in offsets.items()})
            return code_name(0)
        except kafka.errors.KafkaError as failure:
            return code_name(self.code_of(failure))
        finally:
            consumer.close()

    @staticmethod
    def code_of(failure):
        return getattr(failure, "errno", None)


every = [Assignor(name, sorted=name in ("range", "roundrobin")) for name in ASSIGNORS]
run(Client(sys.argv[1]), every, static=every[:1])

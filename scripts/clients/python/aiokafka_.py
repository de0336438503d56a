"""aiokafka (pure Python, asyncio, classic protocol): aiokafka_.py <host:port>

The story is told by plain calls; the client's coroutines run on one event loop in a thread of its own."""

import asyncio
import sys
import threading

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaError

from story import Assignor, DEADLINE_S, POLL_S, code_name, run

ASSIGNORS = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor, "sticky": StickyPartitionAssignor}

loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()


def wait_for(coroutine):
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result(DEADLINE_S)


async def made(make):
    """The client's objects want to be made where a loop runs."""
    value = make()
    await value.start()
    return value


class Consumer(ConsumerRebalanceListener):
    def __init__(self, bootstrap, group, topic, label, assignor, instance):
        self.topic, self.disturbed = topic, 0

        def make():
            consumer = AIOKafkaConsumer(
                bootstrap_servers=bootstrap, client_id=label, group_id=group, group_instance_id=instance, enable_auto_commit=False,
                auto_offset_reset="earliest", heartbeat_interval_ms=200, partition_assignment_strategy=[ASSIGNORS[assignor.name]])
            consumer.subscribe([topic], listener=self)
            return consumer
        self.consumer = wait_for(made(make))

    def on_partitions_assigned(self, assigned):
        self.disturbed += 1

    def on_partitions_revoked(self, revoked):
        pass

    def poll(self):
        polled = wait_for(self.consumer.getmany(timeout_ms=int(POLL_S * 1000)))
        return [(r.partition, r.offset, r.key.decode(), r.value.decode()) for records in polled.values() for r in records]

    def owned(self):
        return {tp.partition for tp in self.consumer.assignment()}

    def commit(self, offsets):
        wait_for(self.consumer.commit({TopicPartition(self.topic, p): at for p, at in offsets.items()}))

    def close(self):
        wait_for(self.consumer.stop())


class Client:
    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.admin = wait_for(made(lambda: AIOKafkaAdminClient(bootstrap_servers=bootstrap)))
        self.producer = wait_for(made(lambda: AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=5)))

    def create_topic(self, topic, partitions):
        wait_for(self.admin.create_topics([NewTopic(topic, partitions, 1)]))

    def produce(self, topic, batch):
        async def send():
            sent = [await self.producer.send(topic, value.encode(), key.encode(), partition) for partition, key, value in batch]
            await asyncio.gather(*sent)
        wait_for(send())

    def consumer(self, *arguments):
        return Consumer(self.bootstrap, *arguments)

    def committed(self, group, topic):
        found = wait_for(self.admin.list_consumer_group_offsets(group))
        return {tp.partition: (at.offset, at.metadata) for tp, at in found.items() if tp.topic == topic}

    def listed(self, group):
        found = [entry for entry in wait_for(self.admin.list_consumer_groups()) if entry[0] == group]
        return "; ".join(entry[1] for entry in found) or "not"

    def described(self, group):
        (code, _, state, protocol_type, protocol, members, *_), = wait_for(self.admin.describe_consumer_groups([group]))[0].groups
        return f"{state}, {len(members)} members, {protocol_type}/{protocol}" + (f", {code_name(code)}" if code else "")

    def set_offsets(self, group, topic, offsets):
        """This client has no call for it: a consumer without a subscription commits as a simple consumer of the group does."""
        async def commit():
            consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, group_id=group, enable_auto_commit=False)
            consumer.assign([TopicPartition(topic, p) for p in offsets])
            await consumer.start()
            try:
                await consumer.commit({TopicPartition(topic, p): (offset, "set") for p, offset in offsets.items()})
                return code_name(0)
            except KafkaError as failure:
                return code_name(self.code_of(failure))
            finally:
                await consumer.stop()
        return wait_for(commit())

    @staticmethod
    def code_of(failure):
        """CommitFailedError is the client's own, on top of the broker's."""
        return failure.errno if hasattr(failure, "errno") else failure.__context__.errno


every = [Assignor(name, sorted=name != "sticky") for name in ASSIGNORS]
run(Client(sys.argv[1]), every, static=every[:1])

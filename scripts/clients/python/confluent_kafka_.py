"""confluent-kafka (librdkafka), with the classic protocol and with that of KIP-848: confluent_kafka_.py <host:port>"""

import sys

from confluent_kafka import Consumer as Librdkafka, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from story import Assignor, CODES, POLL_S, code_name, run

CLASSIC = ["range", "roundrobin", "cooperative-sticky"]
SERVER_SIDE = {"consumer-uniform": "uniform", "consumer-range": "range"}


class Consumer:
    def __init__(self, bootstrap, group, topic, label, assignor, instance):
        self.topic, self.disturbed = topic, 0
        settings = {"bootstrap.servers": bootstrap, "client.id": label, "group.id": group, "enable.auto.commit": False,
                    "auto.offset.reset": "earliest", "fetch.wait.max.ms": 100}
        if instance:
            settings["group.instance.id"] = instance
        if assignor.name in SERVER_SIDE:
            settings |= {"group.protocol": "consumer", "group.remote.assignor": SERVER_SIDE[assignor.name]}
        else:
            settings |= {"partition.assignment.strategy": assignor.name, "heartbeat.interval.ms": 200}
        self.consumer = Librdkafka(settings)
        self.consumer.subscribe([topic], on_assign=self.rebalanced)

    def rebalanced(self, consumer, partitions):
        self.disturbed += 1

    def poll(self):
        records = self.consumer.consume(100, timeout=POLL_S)
        for record in records:
            if record.error():
                raise KafkaException(record.error())
        return [(r.partition(), r.offset(), r.key().decode(), r.value().decode()) for r in records]

    def owned(self):
        return {tp.partition for tp in self.consumer.assignment()}

    def commit(self, offsets):
        wanted = [TopicPartition(self.topic, p, offset, metadata) for p, (offset, metadata) in offsets.items()]
        try:
            results = self.consumer.commit(offsets=wanted, asynchronous=False)
        except KafkaException as failure:
            # the consumer was told meanwhile, and only the next poll says of what
            if failure.args[0].code() == KafkaError._FATAL:
                return
            raise
        for result in results:
            if result.error:
                raise KafkaException(result.error)

    def close(self):
        self.consumer.close()


class Client:
    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.admin = AdminClient({"bootstrap.servers": bootstrap})
        self.producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})

    def create_topic(self, topic, partitions):
        self.admin.create_topics([NewTopic(topic, partitions, 1)], operation_timeout=30)[topic].result()

    def produce(self, topic, batch):
        failures = []
        for partition, key, value in batch:
            self.producer.produce(topic, value, key, partition, on_delivery=lambda error, _: failures.append(error) if error else None)
        self.producer.flush(30)
        if failures:
            raise KafkaException(failures[0])

    def consumer(self, *arguments):
        return Consumer(self.bootstrap, *arguments)

    def committed(self, group, topic):
        found = self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result()
        return {tp.partition: (tp.offset, tp.metadata or "") for tp in found.topic_partitions if tp.topic == topic}

    def listed(self, group):
        found = [g for g in self.admin.list_consumer_groups().result().valid if g.group_id == group]
        return "; ".join(f"{g.state.name}, {g.type.name}, simple: {g.is_simple_consumer_group}" for g in found) or "not"

    def described(self, group):
        try:
            found = self.admin.describe_consumer_groups([group])[group].result()
        except KafkaException as failure:
            return code_name(self.code_of(failure))
        return f"{found.state.name.title()}, {len(found.members)} members, {found.type.name}, {found.partition_assignor}"

    def delete_group(self, group):
        return self.code(lambda: self.admin.delete_consumer_groups([group])[group].result())

    def set_offsets(self, group, topic, offsets):
        wanted = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, p, offset, "set") for p, offset in offsets.items()])
        try:
            done = self.admin.alter_consumer_group_offsets([wanted])[group].result()
        except KafkaException as failure:
            return code_name(self.code_of(failure))
        return ", ".join(f"{tp.partition} {code_name(tp.error.code() if tp.error else 0)}" for tp in done.topic_partitions)

    def code(self, call):
        try:
            call()
            return code_name(0)
        except KafkaException as failure:
            return code_name(self.code_of(failure))

    @staticmethod
    def code_of(failure):
        error = failure.args[0]
        if error.code() != KafkaError._FATAL:
            return error.code()
        # the broker's code is behind it, and only its description comes up
        return next((code for code in CODES if code and KafkaError(code).str() in error.str()), error.code())


classic = [Assignor(name, sorted=name != "cooperative-sticky") for name in CLASSIC]
# the state is Reconciling, which librdkafka has no name for
server_side = [Assignor(name, away="Unknown", fences=False) for name in SERVER_SIDE]
run(Client(sys.argv[1]), classic + server_side, static=[classic[0], classic[2], server_side[0]])

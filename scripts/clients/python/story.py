"""The story that every Python client tells: produce, consume in a group, rebalance, commit, resume.

A client's program gives `run` an adapter (below) and gets a transcript on standard output. It holds only what two right brokers have in common:
records, committed offsets, owners at rest, error codes. Ids, times and counts of rebalances are left out. Every wait is for a condition; its
deadline only ends a hang.

An adapter has
    create_topic(topic, partitions)
    produce(topic, [(partition, key, value)])
    committed(group, topic) -> {partition: (offset, metadata)}
    consumer(group, topic, label, assignor, instance), which has
        poll() -> [(partition, offset, key, value)]    owned() -> {partition}    commit({partition: (offset, metadata)})    close()
        disturbed, how many rebalances it was told of
    code_of(exception) -> Kafka's error code
and, where the client can do it
    listed(group), described(group) -> what is said of it
    delete_group(group), delete_offsets(group, topic, partitions), set_offsets(group, topic, offsets), remove_members(group, instances) -> codes
"""

import collections
import faulthandler
import os
import queue
import sys
import threading
import time
import traceback

PARTITIONS = 6
DEADLINE_S = 40
POLL_S = 0.05

# the codes that the story can meet
CODES = {0: "NONE", 22: "ILLEGAL_GENERATION", 25: "UNKNOWN_MEMBER_ID", 27: "REBALANCE_IN_PROGRESS", 68: "NON_EMPTY_GROUP",
         69: "GROUP_ID_NOT_FOUND", 82: "FENCED_INSTANCE_ID", 86: "GROUP_SUBSCRIBED_TO_TOPIC", 110: "FENCED_MEMBER_EPOCH",
         111: "UNRELEASED_INSTANCE_ID", 113: "STALE_MEMBER_EPOCH"}
REBALANCE_IN_PROGRESS = 27

# sorted: the owners follow from the order of member ids, which begin with the client id; elsewhere only the sizes are told.
# away: the state of a group at rest, one of whose static members is down. fences: of two consumers of one instance the second stays
Assignor = collections.namedtuple("Assignor", "name sorted away fences", defaults=[False, "Stable", True])


def code_name(code):
    return CODES.get(code, str(code))


def wait(what, condition):
    deadline = time.monotonic() + DEADLINE_S
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {DEADLINE_S} s: {what()}")
        time.sleep(0.02)


class Member(threading.Thread):
    """A consumer and the thread that polls it; every other call is made by the same thread, between two polls."""

    def __init__(self, label, open_consumer, code_of):
        super().__init__(name=label, daemon=True)
        self.records, self.owns, self.failure = [], frozenset(), None
        self._open, self._code_of, self._calls, self._consumer = open_consumer, code_of, queue.Queue(), None
        self.start()

    def run(self):
        try:
            self._consumer = self._open()
            while self._calls is not None:
                self.records.extend(self._consumer.poll())
                self.owns = frozenset(self._consumer.owned())
                self._serve()
        except Exception as failure:  # told to whoever waits for this member
            self.failure = failure

    def _serve(self):
        while self._calls is not None and not self._calls.empty():
            call, done = self._calls.get()
            try:
                done.put((call(self._consumer), None))
            except Exception as failure:
                done.put((None, failure))

    def call(self, function):
        done = queue.Queue()
        self._calls.put((function, done))
        wait(lambda: f"an answer of {self.name}", lambda: not done.empty() or self.failure)
        value, failure = (None, self.failure) if done.empty() else done.get()
        if failure:
            raise failure
        return value

    def commit(self, metadata):
        """Commits behind everything this member has read of the partitions it owns."""
        ends = {}
        for partition, offset, _, _ in self.records:
            if partition in self.owns:
                ends[partition] = (max(offset + 1, ends.get(partition, (0,))[0]), metadata)
        self.call(lambda consumer: self._commit(consumer, ends))

    def _commit(self, consumer, ends):
        """Some clients begin one more rebalance of their own: what is refused because of it is for the caller to try again after polling."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                return consumer.commit(ends)
            except Exception as failure:
                if self._code_of(failure) != REBALANCE_IN_PROGRESS or time.monotonic() > deadline:
                    raise
                self.records.extend(consumer.poll())

    def disturbed(self):
        return self._consumer.disturbed

    def close(self):
        def end(consumer):
            consumer.close()
            self._calls = None
        self.call(end)
        self.owns = frozenset()


class Story:
    def __init__(self, client, assignor, name):
        self.client, self.assignor = client, assignor
        self.group, self.topic = f"{name}-group", f"{name}-topic"
        self.produced, self.members = [], []

    # what happens

    def member(self, label, instance=None):
        open_consumer = lambda: self.client.consumer(self.group, self.topic, label, self.assignor, instance)
        self.members.append(Member(label, open_consumer, self.client.code_of))
        return self.members[-1]

    def produce(self, phase):
        """One record more in each partition than in the one before, so that no two ends are alike."""
        self.produced = [(p, f"{phase}-{p}-{n}", f"value of {phase}-{p}-{n}") for p in range(PARTITIONS) for n in range(p + 1)]
        self.client.produce(self.topic, self.produced)
        print(f"produced: {len(self.produced)} records, {phase}")

    def await_owners(self, *shares):
        members, sizes = zip(*shares)
        owned = lambda: [sorted(member.owns) for member in members]

        def at_rest():
            self.check(members)
            flat = [partition for owns in owned() for partition in owns]
            return [len(owns) for owns in owned()] == list(sizes) and len(set(flat)) == len(flat) == PARTITIONS
        wait(lambda: f"each of {PARTITIONS} partitions with one of {owned()}", at_rest)

    def await_records(self, members):
        """The last phase's records have been read by these members, each by the one that owns its partition."""
        keys = {key for _, key, _ in self.produced}

        def seen():
            self.check(members)
            found = [(member, record) for member in members for record in list(member.records) if record[2] in keys]
            return found if len(found) >= len(keys) else None
        found = wait(lambda: f"{len(keys)} records, read are {[len(m.records) for m in members]}", seen)
        for member, record in found:
            assert record[0] in member.owns, f"{member.name} read {record} and owns {member.owns}"
        return [record for _, record in found]

    def check(self, members):
        for member in members:
            if member.failure:
                raise RuntimeError(f"{member.name} failed") from member.failure

    # what is told

    def tell_owners(self, *members):
        if self.assignor.sorted or len(members) == 1:
            print("owners:", "; ".join(f"{m.name} " + " ".join(map(str, sorted(m.owns))) for m in members))
        else:
            print("owners:", " and ".join(str(len(m.owns)) for m in members), "partitions, each with one")

    def tell_records(self, *members):
        """`2@3-5` are the records of partition 2 at these offsets, in the order in which they were produced; any other is told in full."""
        by_partition = collections.defaultdict(list)
        for partition, *record in self.await_records(members):
            by_partition[partition].append(record)
        extents = " ".join(self.extent(p, sorted(by_partition[p])) for p in range(PARTITIONS))
        print(f"read by {' and '.join(m.name for m in members)}: {extents}")

    def extent(self, partition, records):
        offsets = [offset for offset, _, _ in records]
        produced = [[key, value] for p, key, value in self.produced if p == partition]
        if [record[1:] for record in records] == produced and offsets == list(range(offsets[0], offsets[0] + len(offsets))):
            return f"{partition}@{offsets[0]}-{offsets[-1]}"
        return f"{partition}@{records}"

    def tell_committed(self):
        by_metadata = collections.defaultdict(list)
        for partition, (offset, metadata) in sorted(self.client.committed(self.group, self.topic).items()):
            by_metadata[metadata].append(f"{partition}@{offset}")
        print("committed:", "; ".join(f"{' '.join(at)} '{metadata}'" for metadata, at in by_metadata.items()) or "nothing")

    def tell_group(self, state, members):
        """Waits until the group is in the state (a member that has its assignment does not know that the others have theirs)."""
        if hasattr(self.client, "described"):
            told = lambda: self.client.described(self.group)
            wait(lambda: f"{state}, {members} members; the group is {told()}", lambda: told().startswith(f"{state}, {members} members"))
        self.tell("described")
        self.tell("listed")

    def tell(self, operation, *arguments):
        if hasattr(self.client, operation):
            print(f"{operation.replace('_', ' ')}:", getattr(self.client, operation)(self.group, *arguments))

    def tell_twice(self):
        read = collections.Counter(record[:3] for member in self.members for record in member.records)
        print("read more than once:", " ".join(sorted(key for (_, _, key), times in read.items() if times > 1)) or "nothing")

    def tell_fenced(self, which, member):
        """A client may end the consumer itself, or say it of the next commit."""
        def fenced():
            if member.owns and not member.failure:
                try:
                    member.commit("fenced")
                except Exception as failure:
                    return failure
            return member.failure
        failure = wait(lambda: f"the {which} of two consumers of instance-2 is refused", fenced)
        print(f"the {which} of two consumers of instance-2:", code_name(self.client.code_of(failure)))

    # the two stories

    def rebalance(self):
        print(f"== {self.assignor.name}")
        self.client.create_topic(self.topic, PARTITIONS)
        self.produce("first")

        a = self.member("A")
        self.await_owners((a, 6))
        self.tell_owners(a)
        self.tell_records(a)
        a.commit("first, by A")
        self.tell_committed()
        self.tell_group("Stable", 1)

        b = self.member("B")
        self.await_owners((a, 3), (b, 3))
        self.tell_owners(a, b)
        self.produce("second")
        self.tell_records(a, b)
        self.tell_group("Stable", 2)
        self.tell("delete_group")
        self.tell("delete_offsets", self.topic, [0, 5])
        self.tell("set_offsets", self.topic, {0: 0})
        a.commit("second")
        b.commit("second")
        self.tell_committed()

        b.close()
        print("B leaves")
        self.await_owners((a, 6))
        self.tell_owners(a)
        self.produce("third")
        self.tell_records(a)
        a.commit("third, by A")
        a.close()
        print("A leaves")
        self.tell_group("Empty", 0)
        self.tell_committed()

        self.produce("fourth")
        c = self.member("C")
        self.await_owners((c, 6))
        self.tell_records(c)
        c.close()
        print("C leaves and has committed nothing")
        self.tell_twice()
        self.end_of_group()

    def end_of_group(self):
        self.tell_group("Empty", 0)
        if hasattr(self.client, "set_offsets"):
            self.tell("set_offsets", self.topic, {0: 1, 2: 2})
            self.tell_committed()
        if hasattr(self.client, "delete_offsets"):
            self.tell("delete_offsets", self.topic, [1, 2])
            self.tell_committed()
        if hasattr(self.client, "delete_group"):
            self.tell("delete_group")
            self.tell("delete_group")
            self.tell("delete_offsets", self.topic, [1])
            self.tell_committed()
            self.tell("described")
            self.tell("listed")

    def static(self):
        print(f"== static members, {self.assignor.name}")
        self.client.create_topic(self.topic, PARTITIONS)
        one, two = self.member("one", "instance-1"), self.member("two", "instance-2")
        self.await_owners((one, 3), (two, 3))
        self.produce("first")
        self.tell_records(one, two)
        one.commit("first")
        two.commit("first")
        self.tell_group("Stable", 2)
        before, disturbed = (one.owns, two.owns), one.disturbed()

        two.close()
        self.tell_group(self.assignor.away, 2)
        again = self.member("two", "instance-2")
        self.await_owners((one, 3), (again, 3))
        print("two is back, owners are", "the same" if (one.owns, again.owns) == before else "others")
        self.produce("second")
        self.tell_records(one, again)
        print("one was told of", "nothing" if one.disturbed() == disturbed else "a rebalance")
        self.tell_twice()

        third = self.member("two", "instance-2")
        if self.assignor.fences:
            self.await_owners((one, 3), (third, 3))
            self.tell_fenced("first", again)
            third.close()
        else:
            self.tell_fenced("second", third)
            again.close()
        one.close()
        print("both leave, as static members do: without a word")
        self.tell("delete_group")
        if hasattr(self.client, "remove_members"):
            self.tell("remove_members", ["instance-1", "instance-2", "instance-3"])
            self.tell_group("Empty", 0)
            self.tell("delete_group")


def run(client, assignors, static=()):
    """Tells the story once for each assignor, and that of static members for those in `static`."""
    try:
        for assignor in assignors:
            Story(client, assignor, assignor.name).rebalance()
        for assignor in static:
            Story(client, assignor, f"static-{assignor.name}").static()
        code = 0
    except Exception:
        traceback.print_exc()
        faulthandler.dump_traceback()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # consumers that hang do not keep the program

// The story of scripts/clients/python/story.py for clients of Node: produce, consume in a group, rebalance, commit, resume.
// The transcript holds only what two right brokers have in common; every wait is for a condition, and its deadline only ends a hang.
//
// An adapter has, each returning a promise,
//   createTopic(topic, partitions)    produce(topic, [[partition, key, value]])    committed(group, topic) -> Map of partition to [offset, metadata]
//   consumer(group, topic, label, assignor) -> { records: [[partition, offset, key, value]], owned: Set of partitions, failure,
//                                                commit(Map of partition to [offset, metadata]), close() }
//   listed(group), described(group) -> what is said of it    deleteGroup(group), setOffsets(group, topic, Map) -> codes

'use strict'

const PARTITIONS = 6
const DEADLINE_MS = 40000

const all = [...Array(PARTITIONS).keys()]
const tell = (...words) => console.log(...words)
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

async function wait(what, condition) {
  const deadline = Date.now() + DEADLINE_MS
  for (;;) {
    const value = await condition()
    if (value) return value
    if (Date.now() > deadline) throw new Error(`not within ${DEADLINE_MS} ms: ${await what()}`)
    await sleep(20)
  }
}

// `sorted`: the owners follow from the order of member ids, which begin with the client id; elsewhere only the sizes are told.
// `setsOffsets`: once is enough where it takes the client five seconds.
class Story {
  constructor(client, assignor) {
    this.client = client
    this.assignor = assignor
    this.group = `${assignor.name}-group`
    this.topic = `${assignor.name}-topic`
    this.members = []
  }

  async member(label) {
    const consumer = await this.client.consumer(this.group, this.topic, label, this.assignor)
    this.members.push({ label, consumer })
    return this.members.at(-1)
  }

  // One record more in each partition than in the one before, so that no two ends are alike.
  async produce(phase) {
    this.produced = all.flatMap(p => [...Array(p + 1).keys()].map(n => [p, `${phase}-${p}-${n}`, `value of ${phase}-${p}-${n}`]))
    await this.client.produce(this.topic, this.produced)
    tell(`produced: ${this.produced.length} records, ${phase}`)
  }

  async awaitOwners(...shares) {
    const owned = () => shares.map(([member]) => [...member.consumer.owned].sort())
    await wait(() => `each of ${PARTITIONS} partitions with one of ${JSON.stringify(owned())}`, () => {
      this.check()
      return shares.every(([, size], i) => owned()[i].length === size) && new Set(owned().flat()).size === PARTITIONS
    })
  }

  // The last phase's records have been read by these members, each by the one that owns its partition.
  async awaitRecords(members) {
    const keys = new Set(this.produced.map(([, key]) => key))
    const found = await wait(() => `${keys.size} records, read are ${members.map(m => m.consumer.records.length)}`, () => {
      this.check()
      const seen = members.flatMap(m => m.consumer.records.filter(([, , key]) => keys.has(key)).map(record => [m, record]))
      return seen.length >= keys.size && seen
    })
    for (const [member, record] of found) {
      if (!member.consumer.owned.has(record[0])) throw new Error(`${member.label} read ${record} and owns ${[...member.consumer.owned]}`)
    }
    return found.map(([, record]) => record)
  }

  check() {
    for (const { label, consumer } of this.members) {
      if (consumer.failure) throw new Error(`${label} failed`, { cause: consumer.failure })
    }
  }

  // Behind everything this member has read of the partitions it owns.
  async commit(member, metadata) {
    const ends = new Map()
    for (const [partition, offset] of member.consumer.records) {
      if (member.consumer.owned.has(partition)) ends.set(partition, [Math.max(offset + 1, ends.get(partition)?.[0] ?? 0), metadata])
    }
    await member.consumer.commit(ends)
  }

  tellOwners(...members) {
    if (this.assignor.sorted || members.length === 1) {
      tell('owners:', members.map(m => [m.label, ...[...m.consumer.owned].sort()].join(' ')).join('; '))
    } else {
      tell('owners:', members.map(m => m.consumer.owned.size).join(' and '), 'partitions, each with one')
    }
  }

  // `2@3-5` are the records of partition 2 at these offsets, in the order in which they were produced; any other is told in full.
  async tellRecords(...members) {
    const records = await this.awaitRecords(members)
    const extents = all.map(p => this.extent(p, records.filter(r => r[0] === p).map(r => r.slice(1)).sort((a, b) => a[0] - b[0])))
    tell(`read by ${members.map(m => m.label).join(' and ')}: ${extents.join(' ')}`)
  }

  extent(partition, records) {
    const produced = this.produced.filter(([p]) => p === partition).map(([, key, value]) => [key, value])
    const first = records[0]?.[0]
    const whole = JSON.stringify(records) === JSON.stringify(produced.map(([key, value], n) => [first + n, key, value]))
    return whole ? `${partition}@${first}-${first + records.length - 1}` : `${partition}@${JSON.stringify(records)}`
  }

  async tellCommitted() {
    const byMetadata = new Map()
    for (const [partition, [offset, metadata]] of [...(await this.client.committed(this.group, this.topic))].sort((a, b) => a[0] - b[0])) {
      byMetadata.set(metadata, [...(byMetadata.get(metadata) ?? []), `${partition}@${offset}`])
    }
    tell('committed:', [...byMetadata].map(([metadata, at]) => `${at.join(' ')} '${metadata}'`).join('; ') || 'nothing')
  }

  async tellGroup(state, members) {
    const told = () => this.client.described(this.group)
    await wait(async () => `${state}, ${members} members; the group is ${await told()}`, async () => (await told()).startsWith(`${state}, ${members} members`))
    tell('described:', await told())
    tell('listed:', await this.client.listed(this.group))
  }

  tellTwice() {
    const times = new Map()
    for (const [partition, offset, key] of this.members.flatMap(m => m.consumer.records)) {
      const id = `${partition}@${offset}=${key}`
      times.set(id, (times.get(id) ?? 0) + 1)
    }
    tell('read more than once:', [...times].filter(([, n]) => n > 1).map(([id]) => id).sort().join(' ') || 'nothing')
  }

  async leave(member) {
    await member.consumer.close()
    tell(`${member.label} leaves`)
  }

  async rebalance() {
    const { client, group, topic } = this
    tell(`== ${this.assignor.name}`)
    await client.createTopic(topic, PARTITIONS)
    await this.produce('first')

    const a = await this.member('A')
    await this.awaitOwners([a, 6])
    this.tellOwners(a)
    await this.tellRecords(a)
    await this.commit(a, 'first, by A')
    await this.tellCommitted()
    await this.tellGroup('Stable', 1)

    const b = await this.member('B')
    await this.awaitOwners([a, 3], [b, 3])
    this.tellOwners(a, b)
    await this.produce('second')
    await this.tellRecords(a, b)
    await this.tellGroup('Stable', 2)
    tell('delete group:', await client.deleteGroup(group))
    tell('set offsets:', await client.setOffsets(group, topic, new Map([[0, 0]])))
    await this.commit(a, 'second')
    await this.commit(b, 'second')
    await this.tellCommitted()

    await this.leave(b)
    await this.awaitOwners([a, 6])
    this.tellOwners(a)
    await this.produce('third')
    await this.tellRecords(a)
    await this.commit(a, 'third, by A')
    await this.leave(a)
    await this.tellGroup('Empty', 0)
    await this.tellCommitted()

    await this.produce('fourth')
    const c = await this.member('C')
    await this.awaitOwners([c, 6])
    await this.tellRecords(c)
    await this.leave(c)
    this.tellTwice()

    await this.tellGroup('Empty', 0)
    if (this.assignor.setsOffsets) {
      tell('set offsets:', await client.setOffsets(group, topic, new Map([[0, 1], [2, 2]])))
      await this.tellCommitted()
    }
    tell('delete group:', await client.deleteGroup(group))
    tell('delete group:', await client.deleteGroup(group))
    await this.tellCommitted()
    tell('described:', await client.described(group))
    tell('listed:', await client.listed(group))
  }
}

async function run(client, assignors) {
  try {
    for (const assignor of assignors) await new Story(client, assignor).rebalance()
    process.exit(0)
  } catch (failure) {
    console.error(failure)
    process.exit(1)
  }
}

module.exports = { run, wait }

// kafkajs (classic protocol, its one assigner and one beside it): kafkajs.js <host:port>

'use strict'

const { Kafka, logLevel, AssignerProtocol } = require('kafkajs')
const { run, wait } = require('./story.js')

process.env.KAFKAJS_NO_PARTITIONER_WARNING = '1'

const ROUND_ROBIN = require('kafkajs').PartitionAssigners.roundRobin

// A user's own assigner, with user data: members sorted, contiguous runs of partitions.
const runs = ({ cluster }) => ({
  name: 'runs',
  version: 1,
  async assign({ members, topics }) {
    const ids = members.map(member => member.memberId).sort()
    return ids.map((memberId, i) => {
      const assignment = {}
      for (const topic of topics) {
        const partitions = cluster.findTopicPartitionMetadata(topic).map(found => found.partitionId).sort((a, b) => a - b)
        assignment[topic] = partitions.filter((_, n) => Math.floor((n * ids.length) / partitions.length) === i)
      }
      return { memberId, memberAssignment: AssignerProtocol.MemberAssignment.encode({ version: 1, assignment, userData: Buffer.from('runs') }) }
    })
  },
  protocol({ topics }) {
    return { name: 'runs', metadata: AssignerProtocol.MemberMetadata.encode({ version: 1, topics, userData: Buffer.from('runs') }) }
  },
})

class Consumer {
  constructor(kafka, group, topic, assignor) {
    this.topic = topic
    this.records = []
    this.owned = new Set()
    this.consumer = kafka.consumer({ groupId: group, partitionAssigners: [assignor.assigner], heartbeatInterval: 200, maxWaitTimeInMs: 100 })
    this.consumer.on(this.consumer.events.GROUP_JOIN, ({ payload }) => { this.owned = new Set(payload.memberAssignment[topic] ?? []) })
    this.consumer.on(this.consumer.events.CRASH, ({ payload }) => { if (!payload.restart) this.failure = payload.error })
  }

  async start() {
    await this.consumer.connect()
    await this.consumer.subscribe({ topics: [this.topic], fromBeginning: true })
    await this.consumer.run({
      autoCommit: false,
      eachMessage: async ({ partition, message }) => {
        this.records.push([partition, Number(message.offset), message.key.toString(), message.value.toString()])
      },
    })
    return this
  }

  async commit(ends) {
    await this.consumer.commitOffsets([...ends].map(([partition, [offset, metadata]]) => ({ topic: this.topic, partition, offset: String(offset), metadata })))
  }

  async close() {
    await this.consumer.disconnect()
    this.owned = new Set()
  }
}

class Client {
  constructor(bootstrap) {
    this.kafka = clientId => new Kafka({ clientId, brokers: [bootstrap], logLevel: logLevel.ERROR, retry: { initialRetryTime: 50 } })
    this.admin = this.kafka('admin').admin()
    this.producer = this.kafka('producer').producer()
  }

  async createTopic(topic, numPartitions) {
    await this.admin.connect()
    await this.producer.connect()
    await this.admin.createTopics({ topics: [{ topic, numPartitions }], waitForLeaders: true })
    // This producer sends a request again when one partition of it was refused: the leaders must know that they lead.
    await wait(() => 'partitions that answer', () => this.admin.fetchTopicOffsets(topic).catch(() => null))
  }

  async produce(topic, batch) {
    await this.producer.send({ topic, acks: -1, messages: batch.map(([partition, key, value]) => ({ partition, key, value })) })
  }

  consumer(group, topic, label, assignor) {
    return new Consumer(this.kafka(label), group, topic, assignor).start()
  }

  async committed(group, topic) {
    const found = (await this.admin.fetchOffsets({ groupId: group, topics: [topic] }))[0].partitions
    return new Map(found.filter(({ offset }) => offset !== '-1').map(({ partition, offset, metadata }) => [partition, [offset, metadata]]))
  }

  async listed(group) {
    return (await this.admin.listGroups()).groups.filter(found => found.groupId === group).map(found => found.protocolType).join('; ') || 'not'
  }

  async described(group) {
    const found = (await this.admin.describeGroups([group])).groups[0]
    return `${found.state}, ${found.members.length} members, ${found.protocolType}/${found.protocol}`
  }

  async deleteGroup(group) {
    try {
      await this.admin.deleteGroups([group])
      return 'NONE'
    } catch (failure) {
      return failure.groups?.[0]?.error?.type ?? failure.type ?? String(failure)
    }
  }

  // The client asks for the group's state itself, then joins it, seeks and commits.
  async setOffsets(group, topic, offsets) {
    try {
      await this.admin.setOffsets({ groupId: group, topic, partitions: [...offsets].map(([partition, offset]) => ({ partition, offset: String(offset) })) })
      return 'NONE'
    } catch (failure) {
      return failure.message
    }
  }
}

run(new Client(process.argv[2]), [
  { name: 'roundrobin', assigner: ROUND_ROBIN, sorted: true, setsOffsets: true },
  { name: 'runs', assigner: runs, sorted: true },
])

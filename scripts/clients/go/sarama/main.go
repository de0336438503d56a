// sarama (classic protocol): sarama <host:port>
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"ottla/clients/story"
)

var strategies = map[string]func() sarama.BalanceStrategy{
	"range": sarama.NewBalanceStrategyRange, "roundrobin": sarama.NewBalanceStrategyRoundRobin, "sticky": sarama.NewBalanceStrategySticky,
	"cooperative-sticky": sarama.NewBalanceStrategyCooperativeSticky,
}

func config(label string) *sarama.Config {
	c := sarama.NewConfig()
	c.ClientID = label
	c.Version = sarama.MaxVersion
	c.Metadata.Retry.Backoff = 50 * time.Millisecond
	c.Metadata.Retry.Max = 40
	return c
}

// consumer is its own handler: sarama runs Setup and Cleanup for each session, and a ConsumeClaim for each partition. A session is one
// generation, or with a cooperative strategy many, between which its claims change.
type consumer struct {
	story.Reader
	group sarama.ConsumerGroup
	topic string
	stop  context.CancelFunc
	ended chan struct{}

	mutex   sync.Mutex
	session sarama.ConsumerGroupSession
}

func (c *consumer) Setup(session sarama.ConsumerGroupSession) error {
	c.Assign(true, session.Claims()[c.topic])
	c.enter(session)
	return nil
}

func (c *consumer) Cleanup(sarama.ConsumerGroupSession) error {
	c.enter(nil)
	return nil
}

func (c *consumer) enter(session sarama.ConsumerGroupSession) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.session = session
}

func (c *consumer) Owned() []int32 {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.session == nil {
		return nil
	}
	return slices.Sorted(slices.Values(c.session.Claims()[c.topic]))
}

func (c *consumer) ConsumeClaim(_ sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for r := range claim.Messages() {
		c.Add(story.Record{Partition: r.Partition, Offset: r.Offset, Key: string(r.Key), Value: string(r.Value)})
	}
	return nil
}

// read enters one session after the other, as sarama wants it; what the coordinator refuses is tried again, less what is for ever.
func (c *consumer) read(ctx context.Context) {
	defer close(c.ended)
	for ctx.Err() == nil {
		err := c.group.Consume(ctx, []string{c.topic}, c)
		var code sarama.KError
		if err != nil && ctx.Err() == nil && (!errors.As(err, &code) || code == sarama.ErrFencedInstancedId) {
			c.Fail(err)
			return
		}
	}
}

// Commit waits for the answer, but sarama tells errors elsewhere: the story looks at what is committed.
func (c *consumer) Commit(offsets map[int32]story.Commit) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.session == nil {
		return nil // between two sessions
	}
	for p, at := range offsets {
		c.session.MarkOffset(c.topic, p, at.Offset, at.Metadata)
	}
	c.session.Commit()
	return nil
}

func (c *consumer) Close() error {
	c.stop()
	<-c.ended
	return c.group.Close()
}

type client struct {
	bootstrap []string
	producer  sarama.SyncProducer
	admin     sarama.ClusterAdmin
}

func (c *client) CreateTopic(topic string, partitions int32) error {
	return c.admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1}, false)
}

func (c *client) Produce(topic string, records []story.Record) error {
	var batch []*sarama.ProducerMessage
	for _, r := range records {
		batch = append(batch, &sarama.ProducerMessage{
			Topic: topic, Partition: r.Partition, Key: sarama.StringEncoder(r.Key), Value: sarama.StringEncoder(r.Value),
		})
	}
	return c.producer.SendMessages(batch)
}

func (c *client) Consumer(group, topic, label string, assignor story.Assignor, instance string) (story.Consumer, error) {
	settings := config(label)
	settings.Consumer.Offsets.Initial = sarama.OffsetOldest
	settings.Consumer.Offsets.AutoCommit.Enable = false
	settings.Consumer.MaxWaitTime = 100 * time.Millisecond
	settings.Consumer.Group.InstanceId = instance
	settings.Consumer.Group.Session.Timeout = 45 * time.Second
	settings.Consumer.Group.Heartbeat.Interval = 200 * time.Millisecond
	settings.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategies[assignor.Name]()}
	settings.Consumer.Group.Rebalance.Retry.Backoff = 100 * time.Millisecond
	made, err := sarama.NewConsumerGroup(c.bootstrap, group, settings)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	member := &consumer{group: made, topic: topic, stop: stop, ended: make(chan struct{})}
	go member.read(ctx)
	return member, nil
}

func (c *client) Committed(group, topic string) (map[int32]story.Commit, error) {
	found, err := c.admin.ListConsumerGroupOffsets(group, nil)
	committed := map[int32]story.Commit{}
	if err == nil {
		for p, block := range found.Blocks[topic] {
			committed[p] = story.Commit{Offset: block.Offset, Metadata: block.Metadata}
		}
	}
	return committed, err
}

func (c *client) Described(group string) (string, error) {
	groups, err := c.admin.DescribeConsumerGroups([]string{group})
	if err != nil {
		return "", err
	}
	found := groups[0]
	said := fmt.Sprintf("%s, %d members, %s/%s", found.State, len(found.Members), found.ProtocolType, found.Protocol)
	if found.ErrorCode != 0 {
		said += ", " + story.CodeName(int(found.ErrorCode))
	}
	return said, nil
}

func (c *client) Listed(group string) (string, error) {
	groups, err := c.admin.ListConsumerGroups()
	if protocolType, listed := groups[group]; listed {
		return protocolType, err
	}
	return "not", err
}

func (c *client) DeleteGroup(group string) string {
	return c.CodeOf(c.admin.DeleteConsumerGroup(group))
}

func (c *client) DeleteOffsets(group, topic string, partitions []int32) string {
	var codes []string
	for _, p := range partitions {
		codes = append(codes, fmt.Sprintf("%d %s", p, c.CodeOf(c.admin.DeleteConsumerGroupOffset(group, topic, p))))
	}
	return strings.Join(codes, ", ")
}

func (c *client) SetOffsets(group, topic string, offsets map[int32]story.Commit) string {
	wanted := map[int32]sarama.OffsetAndMetadata{}
	for p, at := range offsets {
		wanted[p] = sarama.OffsetAndMetadata{Offset: at.Offset, Metadata: at.Metadata, LeaderEpoch: -1}
	}
	said, err := c.admin.AlterConsumerGroupOffsets(group, map[string]map[int32]sarama.OffsetAndMetadata{topic: wanted}, nil)
	if err != nil {
		return c.CodeOf(err)
	}
	var codes []string
	for p, code := range said.Errors[topic] {
		codes = append(codes, fmt.Sprintf("%d %s", p, c.CodeOf(code)))
	}
	slices.Sort(codes)
	return strings.Join(codes, ", ")
}

func (c *client) RemoveMembers(group string, instances []string) string {
	said, err := c.admin.RemoveMemberFromConsumerGroup(group, instances)
	if err != nil {
		return c.CodeOf(err)
	}
	var codes []string
	for _, member := range said.Members {
		codes = append(codes, c.CodeOf(member.Err))
	}
	return strings.Join(codes, ", ")
}

func (c *client) CodeOf(err error) string {
	var code sarama.KError
	switch {
	case err == nil:
		return story.CodeName(0)
	case errors.As(err, &code):
		return story.CodeName(int(code))
	}
	return err.Error()
}

func main() {
	bootstrap := []string{os.Args[1]}
	settings := config("producer")
	settings.Producer.RequiredAcks = sarama.WaitForAll
	settings.Producer.Partitioner = sarama.NewManualPartitioner
	settings.Producer.Return.Successes = true
	producer, err := sarama.NewSyncProducer(bootstrap, settings)
	if err != nil {
		story.Fatal("producer: %v", err)
	}
	admin, err := sarama.NewClusterAdmin(bootstrap, config("admin"))
	if err != nil {
		story.Fatal("admin: %v", err)
	}
	ranges := story.Assignor{Name: "range", Sorted: true}
	story.Run(&client{bootstrap, producer, admin},
		[]story.Assignor{ranges, {Name: "roundrobin", Sorted: true}, {Name: "sticky"}, {Name: "cooperative-sticky"}}, []story.Assignor{ranges})
}

// kafka-go (classic protocol): kafkago <host:port>
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"ottla/clients/story"
)

var balancers = map[string]kafka.GroupBalancer{"range": kafka.RangeGroupBalancer{}, "roundrobin": kafka.RoundRobinGroupBalancer{}}

// consumer uses the client's consumer group, which gives one generation after the other, and a reader for each partition of a generation.
type consumer struct {
	story.Reader
	client *client
	group  *kafka.ConsumerGroup
	name   string
	topic  string
	stop   context.CancelFunc
	ended  chan struct{}

	mutex      sync.Mutex
	generation *kafka.Generation
}

func (c *consumer) run(ctx context.Context) {
	defer close(c.ended)
	for {
		generation, err := c.group.Next(ctx)
		if ctx.Err() != nil {
			return
		}
		var code kafka.Error
		if errors.As(err, &code) {
			continue // the group tries again by itself
		}
		if err != nil {
			c.Fail(err)
			return
		}
		c.mutex.Lock()
		c.generation = generation
		c.mutex.Unlock()
		var owned []int32
		for _, assigned := range generation.Assignments[c.topic] {
			owned = append(owned, int32(assigned.ID))
			generation.Start(func(ctx context.Context) { c.read(ctx, assigned) })
		}
		c.Assign(true, owned)
	}
}

func (c *consumer) read(ctx context.Context, from kafka.PartitionAssignment) {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{c.client.bootstrap.String()}, Topic: c.topic, Partition: from.ID, MinBytes: 1, MaxBytes: 1 << 20,
		MaxWait: 100 * time.Millisecond, ReadBackoffMin: 10 * time.Millisecond, ReadBackoffMax: 50 * time.Millisecond,
	})
	defer reader.Close()
	defer c.Revoke([]int32{int32(from.ID)})
	if err := reader.SetOffset(from.Offset); err != nil {
		c.Fail(err)
	}
	for {
		r, err := reader.ReadMessage(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			c.Fail(err)
			return
		}
		c.Add(story.Record{Partition: int32(r.Partition), Offset: r.Offset, Key: string(r.Key), Value: string(r.Value)})
	}
}

func (c *consumer) present() *kafka.Generation {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.generation
}

// Commit commits twice: as the client's own readers do, and by the call that can carry metadata.
func (c *consumer) Commit(offsets map[int32]story.Commit) error {
	plain := map[int]int64{}
	for p, at := range offsets {
		plain[int(p)] = at.Offset
	}
	generation := c.present()
	if err := generation.CommitOffsets(map[string]map[int]int64{c.topic: plain}); err != nil {
		return err
	}
	_, err := c.client.commit(c.name, c.topic, generation.MemberID, int(generation.ID), offsets)
	return err
}

func (c *consumer) Close() error {
	err := c.group.Close()
	c.stop()
	<-c.ended
	return err
}

type client struct {
	kafka.Client
	bootstrap net.Addr
}

func (c *client) CreateTopic(topic string, partitions int32) error {
	said, err := c.CreateTopics(context.Background(), &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: int(partitions), ReplicationFactor: 1}},
	})
	if err == nil {
		err = said.Errors[topic]
	}
	return err
}

func (c *client) Produce(topic string, records []story.Record) error {
	for p := range story.Partitions {
		of := slices.DeleteFunc(slices.Clone(records), func(r story.Record) bool { return int(r.Partition) != p })
		if err := c.produce(topic, p, of); err != nil {
			return err
		}
	}
	return nil
}

// produce sends again what a leader refused that does not know yet that it is one. Records can be sent once: they are streams.
func (c *client) produce(topic string, partition int, records []story.Record) (err error) {
	story.Wait(func() string { return fmt.Sprintf("a leader of %s-%d: %v", topic, partition, err) }, func() bool {
		var batch []kafka.Record
		for _, r := range records {
			batch = append(batch, kafka.Record{Key: kafka.NewBytes([]byte(r.Key)), Value: kafka.NewBytes([]byte(r.Value))})
		}
		var said *kafka.ProduceResponse
		said, err = c.Client.Produce(context.Background(), &kafka.ProduceRequest{
			Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(batch...),
		})
		if err == nil {
			err = said.Error
		}
		return !errors.Is(err, kafka.NotLeaderForPartition) && !errors.Is(err, kafka.UnknownTopicOrPartition) && !errors.Is(err, kafka.LeaderNotAvailable)
	})
	return err
}

func (c *client) Consumer(group, topic, label string, assignor story.Assignor, _ string) (story.Consumer, error) {
	made, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: group, Brokers: []string{c.bootstrap.String()}, Topics: []string{topic}, Dialer: &kafka.Dialer{ClientID: label},
		GroupBalancers: []kafka.GroupBalancer{balancers[assignor.Name]}, HeartbeatInterval: 200 * time.Millisecond,
		JoinGroupBackoff: 100 * time.Millisecond, StartOffset: kafka.FirstOffset,
	})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	member := &consumer{client: c, group: made, name: group, topic: topic, stop: stop, ended: make(chan struct{})}
	go member.run(ctx)
	return member, nil
}

func (c *client) Committed(group, topic string) (map[int32]story.Commit, error) {
	var all []int
	for p := range story.Partitions {
		all = append(all, p)
	}
	said, err := c.OffsetFetch(context.Background(), &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: all}})
	if err != nil {
		return nil, err
	}
	committed := map[int32]story.Commit{}
	for _, p := range said.Topics[topic] {
		if err = errors.Join(err, p.Error); p.CommittedOffset >= 0 {
			committed[int32(p.Partition)] = story.Commit{Offset: p.CommittedOffset, Metadata: p.Metadata}
		}
	}
	return committed, errors.Join(err, said.Error)
}

func (c *client) Described(group string) (string, error) {
	said, err := c.DescribeGroups(context.Background(), &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
	if err != nil {
		return "", err
	}
	found := said.Groups[0]
	text := fmt.Sprintf("%s, %d members", found.GroupState, len(found.Members))
	if found.Error != nil {
		text += ", " + c.CodeOf(found.Error)
	}
	return text, nil
}

func (c *client) Listed(group string) (string, error) {
	said, err := c.ListGroups(context.Background(), &kafka.ListGroupsRequest{})
	if err != nil {
		return "", err
	}
	for _, found := range said.Groups {
		if found.GroupID == group {
			return found.ProtocolType, said.Error
		}
	}
	return "not", said.Error
}

func (c *client) DeleteGroup(group string) string {
	said, err := c.DeleteGroups(context.Background(), &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})
	if err == nil {
		err = said.Errors[group]
	}
	return c.CodeOf(err)
}

func (c *client) DeleteOffsets(group, topic string, partitions []int32) string {
	var wanted []int
	for _, p := range partitions {
		wanted = append(wanted, int(p))
	}
	said, err := c.OffsetDelete(context.Background(), &kafka.OffsetDeleteRequest{GroupID: group, Topics: map[string][]int{topic: wanted}})
	if err == nil {
		err = said.Error
	}
	if err != nil {
		return c.CodeOf(err)
	}
	var codes []string
	for _, p := range said.Topics[topic] {
		codes = append(codes, fmt.Sprintf("%d %s", p.Partition, c.CodeOf(p.Error)))
	}
	slices.Sort(codes)
	return strings.Join(codes, ", ")
}

func (c *client) SetOffsets(group, topic string, offsets map[int32]story.Commit) string {
	codes, err := c.commit(group, topic, "", -1, offsets)
	if codes == "" {
		return c.CodeOf(err)
	}
	return codes
}

func (c *client) CommitOld(of story.Consumer) string {
	member := of.(*consumer)
	generation := member.present()
	codes, _ := c.commit(member.name, member.topic, generation.MemberID, int(generation.ID)-1, map[int32]story.Commit{0: {Offset: 0}})
	return codes
}

func (c *client) CommitUnknown(of story.Consumer) string {
	member := of.(*consumer)
	codes, _ := c.commit(member.name, member.topic, "nobody", int(member.present().ID), map[int32]story.Commit{0: {Offset: 0}})
	return codes
}

// commit gives the codes by partition, and the error that is behind any of them.
func (c *client) commit(group, topic, member string, generation int, offsets map[int32]story.Commit) (string, error) {
	var wanted []kafka.OffsetCommit
	for p, at := range offsets {
		wanted = append(wanted, kafka.OffsetCommit{Partition: int(p), Offset: at.Offset, Metadata: at.Metadata})
	}
	said, err := c.OffsetCommit(context.Background(), &kafka.OffsetCommitRequest{
		GroupID: group, MemberID: member, GenerationID: generation, Topics: map[string][]kafka.OffsetCommit{topic: wanted},
	})
	if err != nil {
		return "", err
	}
	var codes []string
	for _, p := range said.Topics[topic] {
		codes = append(codes, fmt.Sprintf("%d %s", p.Partition, c.CodeOf(p.Error)))
		err = errors.Join(err, p.Error)
	}
	slices.Sort(codes)
	return strings.Join(codes, ", "), err
}

func (c *client) CodeOf(err error) string {
	var code kafka.Error
	switch {
	case err == nil:
		return story.CodeName(0)
	case errors.As(err, &code):
		return story.CodeName(int(code))
	}
	return err.Error()
}

func main() {
	bootstrap := kafka.TCP(os.Args[1])
	transport := &kafka.Transport{MetadataTTL: 100 * time.Millisecond}
	story.Run(&client{kafka.Client{Addr: bootstrap, Transport: transport}, bootstrap},
		[]story.Assignor{{Name: "range", Sorted: true}, {Name: "roundrobin", Sorted: true}}, nil)
}

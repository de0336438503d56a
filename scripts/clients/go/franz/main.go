// franz-go, with the classic protocol and with that of KIP-848: franz <host:port>
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/clients/story"
)

var balancers = map[string]kgo.GroupBalancer{
	"range": kgo.RangeBalancer(), "roundrobin": kgo.RoundRobinBalancer(), "sticky": kgo.StickyBalancer(),
	"cooperative-sticky": kgo.CooperativeStickyBalancer(),
	// the server's own, by the names of the client's nearest
	"consumer-range": kgo.RangeBalancer(), "consumer-uniform": kgo.StickyBalancer(),
}

type consumer struct {
	story.Reader
	client *kgo.Client
	topic  string
	ended  chan struct{}
}

func (c *consumer) read() {
	defer close(c.ended)
	for {
		fetches := c.client.PollFetches(context.Background())
		if fetches.IsClientClosed() {
			return
		}
		fetches.EachError(func(_ string, _ int32, err error) { c.Fail(err) })
		fetches.EachRecord(func(r *kgo.Record) {
			c.Add(story.Record{Partition: r.Partition, Offset: r.Offset, Key: string(r.Key), Value: string(r.Value)})
		})
	}
}

func (c *consumer) Commit(offsets map[int32]story.Commit) error {
	wanted := map[int32]kgo.EpochOffset{}
	for p, at := range offsets {
		wanted[p] = kgo.EpochOffset{Epoch: -1, Offset: at.Offset}
	}
	// the one way to the metadata
	ctx := kgo.PreCommitFnContext(context.Background(), func(request *kmsg.OffsetCommitRequest) error {
		for t := range request.Topics {
			for p := range request.Topics[t].Partitions {
				partition := &request.Topics[t].Partitions[p]
				partition.Metadata = kmsg.StringPtr(offsets[partition.Partition].Metadata)
			}
		}
		return nil
	})
	var failed error
	c.client.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{c.topic: wanted},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, err error) {
			failed = err
			if err != nil {
				return
			}
			for _, t := range response.Topics {
				for _, p := range t.Partitions {
					failed = errors.Join(failed, kerr.ErrorForCode(p.ErrorCode))
				}
			}
		})
	return failed
}

func (c *consumer) Close() error {
	c.client.Close()
	<-c.ended
	c.Assign(true, nil)
	return nil
}

type client struct {
	bootstrap string
	producer  *kgo.Client
	admin     *kadm.Client
}

func (c *client) CreateTopic(topic string, partitions int32) error {
	_, err := c.admin.CreateTopic(context.Background(), partitions, 1, nil, topic)
	return err
}

func (c *client) Produce(topic string, records []story.Record) error {
	var batch []*kgo.Record
	for _, r := range records {
		batch = append(batch, &kgo.Record{Topic: topic, Partition: r.Partition, Key: []byte(r.Key), Value: []byte(r.Value)})
	}
	return c.producer.ProduceSync(context.Background(), batch...).FirstErr()
}

func (c *client) Consumer(group, topic, label string, assignor story.Assignor, instance string) (story.Consumer, error) {
	made := &consumer{topic: topic, ended: make(chan struct{})}
	options := []kgo.Opt{
		kgo.SeedBrokers(c.bootstrap), kgo.ClientID(label), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.Balancers(balancers[assignor.Name]), kgo.HeartbeatInterval(200 * time.Millisecond),
		kgo.FetchMaxWait(100 * time.Millisecond), kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, assigned map[string][]int32) {
			if len(assigned[topic]) > 0 {
				made.Assign(false, assigned[topic])
			}
		}),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, revoked map[string][]int32) { made.Revoke(revoked[topic]) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) { made.Revoke(lost[topic]) }),
	}
	if instance != "" {
		options = append(options, kgo.InstanceID(instance))
	}
	if strings.HasPrefix(assignor.Name, "consumer-") {
		options = append(options, kgo.ServerSideBalancer())
	}
	var err error
	made.client, err = kgo.NewClient(options...)
	if err == nil {
		go made.read()
	}
	return made, err
}

func (c *client) Committed(group, topic string) (map[int32]story.Commit, error) {
	found, err := c.admin.FetchOffsets(context.Background(), group)
	committed := map[int32]story.Commit{}
	found.Each(func(r kadm.OffsetResponse) {
		if r.Topic == topic {
			committed[r.Partition] = story.Commit{Offset: r.At, Metadata: r.Metadata}
		}
	})
	return committed, err
}

// Described asks as for a group of the consumer protocol first, and as for a classic one if there is none.
func (c *client) Described(group string) (string, error) {
	groups, err := c.admin.DescribeConsumerGroups(context.Background(), group)
	if found := groups[group]; err == nil && found.Err == nil {
		return fmt.Sprintf("%s, %d members, consumer protocol, %s", found.State, len(found.Members), found.AssignorName), nil
	}
	classic, err := c.admin.DescribeGroups(context.Background(), group)
	found := classic[group]
	said := fmt.Sprintf("%s, %d members, %s/%s", found.State, len(found.Members), found.ProtocolType, found.Protocol)
	if found.Err != nil {
		said += ", " + c.CodeOf(found.Err)
	}
	return said, err
}

func (c *client) Listed(group string) (string, error) {
	groups, err := c.admin.ListGroups(context.Background())
	found, listed := groups[group]
	if !listed {
		return "not", err
	}
	return fmt.Sprintf("%s, %s", found.ProtocolType, found.State), err
}

func (c *client) DeleteGroup(group string) string {
	said, err := c.admin.DeleteGroup(context.Background(), group)
	return c.CodeOf(errors.Join(err, said.Err))
}

func (c *client) DeleteOffsets(group, topic string, partitions []int32) string {
	set := kadm.TopicsSet{}
	set.Add(topic, partitions...)
	said, err := c.admin.DeleteOffsets(context.Background(), group, set)
	if err != nil {
		return c.CodeOf(err)
	}
	var codes []string
	for _, p := range partitions {
		codes = append(codes, fmt.Sprintf("%d %s", p, c.CodeOf(said[topic][p])))
	}
	return strings.Join(codes, ", ")
}

func (c *client) SetOffsets(group, topic string, offsets map[int32]story.Commit) string {
	wanted := kadm.Offsets{}
	for p, at := range offsets {
		wanted.Add(kadm.Offset{Topic: topic, Partition: p, At: at.Offset, LeaderEpoch: -1, Metadata: at.Metadata})
	}
	said, err := c.admin.CommitOffsets(context.Background(), group, wanted)
	if err != nil {
		return c.CodeOf(err)
	}
	var codes []string
	said.Each(func(r kadm.OffsetResponse) { codes = append(codes, fmt.Sprintf("%d %s", r.Partition, c.CodeOf(r.Err))) })
	slices.Sort(codes)
	return strings.Join(codes, ", ")
}

func (c *client) RemoveMembers(group string, instances []string) string {
	said, err := c.admin.LeaveGroup(context.Background(), kadm.LeaveGroup(group).InstanceIDs(instances...))
	if err != nil {
		return c.CodeOf(err)
	}
	var codes []string
	for _, r := range said.Sorted() {
		codes = append(codes, c.CodeOf(r.Err))
	}
	return strings.Join(codes, ", ")
}

func (c *client) CodeOf(err error) string {
	var code *kerr.Error
	switch {
	case err == nil:
		return "NONE"
	case errors.As(err, &code):
		return code.Message
	}
	return err.Error()
}

func main() {
	// the partition is the record's own, retries are the client's
	producer, err := kgo.NewClient(kgo.SeedBrokers(os.Args[1]), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		story.Fatal("producer: %v", err)
	}
	ranges, cooperative := story.Assignor{Name: "range", Sorted: true}, story.Assignor{Name: "cooperative-sticky"}
	story.Run(&client{os.Args[1], producer, kadm.NewClient(producer)},
		[]story.Assignor{ranges, {Name: "roundrobin", Sorted: true}, {Name: "sticky"}, cooperative, {Name: "consumer-uniform"}, {Name: "consumer-range"}},
		// A static member of the consumer protocol says nothing when it is closed, and is refused when it comes back before its session ends.
		[]story.Assignor{ranges, cooperative})
}

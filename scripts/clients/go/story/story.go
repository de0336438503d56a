// Package story is the story of scripts/clients/python/story.py for clients written in Go: produce, consume in a group, rebalance, commit,
// resume. The transcript holds only what two right brokers have in common; every wait is for a condition, and its deadline only ends a hang.
package story

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	Partitions = 6
	Deadline   = 40 * time.Second
)

var codes = map[int]string{
	0: "NONE", 22: "ILLEGAL_GENERATION", 25: "UNKNOWN_MEMBER_ID", 27: "REBALANCE_IN_PROGRESS", 68: "NON_EMPTY_GROUP", 69: "GROUP_ID_NOT_FOUND",
	82: "FENCED_INSTANCE_ID", 86: "GROUP_SUBSCRIBED_TO_TOPIC",
}

// CodeName is Kafka's name of an error code that the story can meet.
func CodeName(code int) string {
	if name, known := codes[code]; known {
		return name
	}
	return fmt.Sprint(code)
}

// Record is one that was produced or read.
type Record struct {
	Partition  int32
	Offset     int64
	Key, Value string
}

// Commit is a committed offset.
type Commit struct {
	Offset   int64
	Metadata string
}

// Assignor names a way to assign. Sorted: the owners follow from the order of member ids, which begin with the client id; elsewhere only the
// sizes are told.
type Assignor struct {
	Name   string
	Sorted bool
}

// Consumer is a member of a group that reads by itself. Its methods may be called at any time.
type Consumer interface {
	// Owned and Read tell what it has now and what it has read so far.
	Owned() []int32
	Read() []Record
	// Disturbed counts the rebalances it was told of.
	Disturbed() int
	Commit(map[int32]Commit) error
	Close() error
	// Failure is what ended it.
	Failure() error
}

// Client is what every client can do. Errors become Kafka's names in CodeOf.
type Client interface {
	CreateTopic(topic string, partitions int32) error
	Produce(topic string, records []Record) error
	Consumer(group, topic, label string, assignor Assignor, instance string) (Consumer, error)
	Committed(group, topic string) (map[int32]Commit, error)
	Described(group string) (string, error)
	Listed(group string) (string, error)
	DeleteGroup(group string) string
	DeleteOffsets(group, topic string, partitions []int32) string
	SetOffsets(group, topic string, offsets map[int32]Commit) string
	CodeOf(error) string
}

// Stranger is a Client that can commit as a member of an old generation, and as one that the group does not know.
type Stranger interface {
	CommitOld(Consumer) string
	CommitUnknown(Consumer) string
}

// Remover is a Client that can remove static members.
type Remover interface {
	RemoveMembers(group string, instances []string) string
}

type member struct {
	Consumer
	label string
}

type story struct {
	client   Client
	assignor Assignor
	group    string
	topic    string
	produced []Record
	members  []*member
}

// Run tells the story for each assignor, then that of static members for those in static.
func Run(client Client, assignors, static []Assignor) {
	for _, assignor := range assignors {
		tell(client, assignor, assignor.Name).rebalance()
	}
	for _, assignor := range static {
		tell(client, assignor, "static-"+assignor.Name).static()
	}
	os.Exit(0)
}

// Fatal ends the program with what went wrong.
func Fatal(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}

func must(err error, format string, arguments ...any) {
	if err != nil {
		Fatal("%s: %v", fmt.Sprintf(format, arguments...), err)
	}
}

// Wait returns when the condition is true, or ends the program.
func Wait(what func() string, condition func() bool) {
	for deadline := time.Now().Add(Deadline); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			Fatal("not within %v: %s", Deadline, what())
		}
	}
}

func tell(client Client, assignor Assignor, name string) *story {
	return &story{client: client, assignor: assignor, group: name + "-group", topic: name + "-topic"}
}

func (s *story) member(label, instance string) *member {
	consumer, err := s.client.Consumer(s.group, s.topic, label, s.assignor, instance)
	must(err, "consumer %s", label)
	s.members = append(s.members, &member{consumer, label})
	return s.members[len(s.members)-1]
}

// One record more in each partition than in the one before, so that no two ends are alike.
func (s *story) produce(phase string) {
	s.produced = nil
	for p := range int32(Partitions) {
		for n := range p + 1 {
			key := fmt.Sprintf("%s-%d-%d", phase, p, n)
			s.produced = append(s.produced, Record{Partition: p, Key: key, Value: "value of " + key})
		}
	}
	must(s.client.Produce(s.topic, s.produced), "produce")
	fmt.Printf("produced: %d records, %s\n", len(s.produced), phase)
}

// awaitOwners waits until each partition has one owner and the members have equal shares.
func (s *story) awaitOwners(members ...*member) {
	owned := func() (all [][]int32) {
		for _, m := range members {
			all = append(all, m.Owned())
		}
		return all
	}
	Wait(func() string { return fmt.Sprintf("each of %d partitions with one of %v", Partitions, owned()) }, func() bool {
		s.check(members)
		seen := map[int32]bool{}
		for _, owns := range owned() {
			if len(owns) != Partitions/len(members) {
				return false
			}
			for _, p := range owns {
				seen[p] = true
			}
		}
		return len(seen) == Partitions
	})
}

func (s *story) check(members []*member) {
	for _, m := range members {
		must(m.Failure(), "%s failed", m.label)
	}
}

// awaitRecords waits until these members have read the last phase's records, each read by the one that owns its partition.
func (s *story) awaitRecords(members []*member) (found []Record) {
	Wait(func() string { return fmt.Sprintf("%d records, read are %v", len(s.produced), found) }, func() bool {
		s.check(members)
		found = nil
		for _, m := range members {
			for _, r := range m.Read() {
				if slices.ContainsFunc(s.produced, func(p Record) bool { return p.Key == r.Key }) {
					found = append(found, r)
					if !slices.Contains(m.Owned(), r.Partition) {
						Fatal("%s read %v and owns %v", m.label, r, m.Owned())
					}
				}
			}
		}
		return len(found) >= len(s.produced)
	})
	slices.SortFunc(found, func(a, b Record) int { return int(a.Offset - b.Offset) })
	return found
}

// commit commits behind everything the member has read of the partitions it owns.
func (s *story) commit(m *member, metadata string) {
	must(m.Commit(ends(m, metadata)), "commit of %s", m.label)
}

func ends(m *member, metadata string) map[int32]Commit {
	ends, owned := map[int32]Commit{}, m.Owned()
	for _, r := range m.Read() {
		if slices.Contains(owned, r.Partition) && ends[r.Partition].Offset <= r.Offset {
			ends[r.Partition] = Commit{r.Offset + 1, metadata}
		}
	}
	return ends
}

func names(members []*member, separator string, name func(*member) string) string {
	var all []string
	for _, m := range members {
		all = append(all, name(m))
	}
	return strings.Join(all, separator)
}

func (s *story) tellOwners(members ...*member) {
	if s.assignor.Sorted || len(members) == 1 {
		fmt.Println("owners:", names(members, "; ", func(m *member) string { return m.label + " " + strings.Trim(fmt.Sprint(m.Owned()), "[]") }))
	} else {
		fmt.Println("owners:", names(members, " and ", func(m *member) string { return fmt.Sprint(len(m.Owned())) }), "partitions, each with one")
	}
}

// tellRecords: `2@3-5` are the records of partition 2 at these offsets, in the order in which they were produced; any other is told in full.
func (s *story) tellRecords(members ...*member) {
	read := s.awaitRecords(members)
	var extents []string
	for p := range int32(Partitions) {
		in := func(records []Record) []Record {
			return slices.DeleteFunc(slices.Clone(records), func(r Record) bool { return r.Partition != p })
		}
		extents = append(extents, extent(p, in(read), in(s.produced)))
	}
	fmt.Printf("read by %s: %s\n", names(members, " and ", func(m *member) string { return m.label }), strings.Join(extents, " "))
}

func extent(partition int32, read, produced []Record) string {
	same := slices.EqualFunc(read, produced, func(r, p Record) bool { return r.Key == p.Key && r.Value == p.Value })
	for n, r := range read {
		same = same && r.Offset == read[0].Offset+int64(n)
	}
	if !same {
		return fmt.Sprintf("%d@%v", partition, read)
	}
	return fmt.Sprintf("%d@%d-%d", partition, read[0].Offset, read[len(read)-1].Offset)
}

func (s *story) tellCommitted() {
	committed, err := s.client.Committed(s.group, s.topic)
	must(err, "committed offsets of %s", s.group)
	var order []string
	at := map[string][]string{}
	for p := range int32(Partitions) {
		if c, found := committed[p]; found {
			if _, known := at[c.Metadata]; !known {
				order = append(order, c.Metadata)
			}
			at[c.Metadata] = append(at[c.Metadata], fmt.Sprintf("%d@%d", p, c.Offset))
		}
	}
	var parts []string
	for _, metadata := range order {
		parts = append(parts, fmt.Sprintf("%s '%s'", strings.Join(at[metadata], " "), metadata))
	}
	if len(parts) == 0 {
		parts = []string{"nothing"}
	}
	fmt.Println("committed:", strings.Join(parts, "; "))
}

func (s *story) described() string {
	said, err := s.client.Described(s.group)
	must(err, "description of %s", s.group)
	return said
}

func (s *story) listed() string {
	said, err := s.client.Listed(s.group)
	must(err, "list of groups")
	return said
}

// tellGroup waits until the group is in the state: a member that has its assignment does not know that the others have theirs.
func (s *story) tellGroup(state string, members int) {
	wanted := fmt.Sprintf("%s, %d members", state, members)
	Wait(func() string { return wanted + "; the group is " + s.described() }, func() bool { return strings.HasPrefix(s.described(), wanted) })
	fmt.Println("described:", s.described())
	fmt.Println("listed:", s.listed())
}

func (s *story) leave(m *member) {
	must(m.Close(), "close of %s", m.label)
	fmt.Println(m.label, "leaves")
}

func (s *story) tellTwice() {
	times := map[string]int{}
	var twice []string
	for _, m := range s.members {
		for _, r := range m.Read() {
			id := fmt.Sprintf("%d@%d=%s", r.Partition, r.Offset, r.Key)
			if times[id]++; times[id] == 2 {
				twice = append(twice, id)
			}
		}
	}
	if slices.Sort(twice); len(twice) == 0 {
		twice = []string{"nothing"}
	}
	fmt.Println("read more than once:", strings.Join(twice, " "))
}

func (s *story) rebalance() {
	fmt.Println("==", s.assignor.Name)
	must(s.client.CreateTopic(s.topic, Partitions), "create %s", s.topic)
	s.produce("first")

	a := s.member("A", "")
	s.awaitOwners(a)
	s.tellOwners(a)
	s.tellRecords(a)
	s.commit(a, "first, by A")
	s.tellCommitted()
	s.tellGroup("Stable", 1)

	b := s.member("B", "")
	s.awaitOwners(a, b)
	s.tellOwners(a, b)
	s.produce("second")
	s.tellRecords(a, b)
	s.tellGroup("Stable", 2)
	fmt.Println("delete group:", s.client.DeleteGroup(s.group))
	fmt.Println("delete offsets:", s.client.DeleteOffsets(s.group, s.topic, []int32{0, 5}))
	fmt.Println("set offsets:", s.client.SetOffsets(s.group, s.topic, map[int32]Commit{0: {0, "set"}}))
	if stranger, can := s.client.(Stranger); can {
		fmt.Println("commit of an old generation:", stranger.CommitOld(a.Consumer))
		fmt.Println("commit of an unknown member:", stranger.CommitUnknown(a.Consumer))
	}
	s.commit(a, "second")
	s.commit(b, "second")
	s.tellCommitted()

	s.leave(b)
	s.awaitOwners(a)
	s.tellOwners(a)
	s.produce("third")
	s.tellRecords(a)
	s.commit(a, "third, by A")
	s.leave(a)
	s.tellGroup("Empty", 0)
	s.tellCommitted()

	s.produce("fourth")
	c := s.member("C", "")
	s.awaitOwners(c)
	s.tellRecords(c)
	s.leave(c)
	s.tellTwice()
	s.endOfGroup()
}

func (s *story) endOfGroup() {
	s.tellGroup("Empty", 0)
	fmt.Println("set offsets:", s.client.SetOffsets(s.group, s.topic, map[int32]Commit{0: {1, "set"}, 2: {2, "set"}}))
	s.tellCommitted()
	fmt.Println("delete offsets:", s.client.DeleteOffsets(s.group, s.topic, []int32{1, 2}))
	s.tellCommitted()
	fmt.Println("delete group:", s.client.DeleteGroup(s.group))
	fmt.Println("delete group:", s.client.DeleteGroup(s.group))
	fmt.Println("delete offsets:", s.client.DeleteOffsets(s.group, s.topic, []int32{1}))
	s.tellCommitted()
	fmt.Println("described:", s.described())
	fmt.Println("listed:", s.listed())
}

func (s *story) static() {
	fmt.Println("== static members,", s.assignor.Name)
	must(s.client.CreateTopic(s.topic, Partitions), "create %s", s.topic)
	one, two := s.member("one", "instance-1"), s.member("two", "instance-2")
	s.awaitOwners(one, two)
	s.produce("first")
	s.tellRecords(one, two)
	s.commit(one, "first")
	s.commit(two, "first")
	s.tellGroup("Stable", 2)
	before, disturbed := fmt.Sprint(one.Owned(), two.Owned()), one.Disturbed()

	must(two.Close(), "close of two")
	s.tellGroup("Stable", 2)
	again := s.member("two", "instance-2")
	s.awaitOwners(one, again)
	fmt.Println("two is back, owners are", either(fmt.Sprint(one.Owned(), again.Owned()) == before, "the same", "others"))
	s.produce("second")
	s.tellRecords(one, again)
	fmt.Println("one was told of", either(one.Disturbed() == disturbed, "nothing", "a rebalance"))
	s.tellTwice()

	third := s.member("two", "instance-2")
	s.awaitOwners(one, third)
	s.tellFenced(again)
	must(third.Close(), "close of two")
	must(one.Close(), "close of one")
	fmt.Println("both leave, as static members do: without a word")
	fmt.Println("delete group:", s.client.DeleteGroup(s.group))
	if remover, can := s.client.(Remover); can {
		fmt.Println("remove members:", remover.RemoveMembers(s.group, []string{"instance-1", "instance-2", "instance-3"}))
		s.tellGroup("Empty", 0)
		fmt.Println("delete group:", s.client.DeleteGroup(s.group))
	}
}

// tellFenced: a client may end the consumer itself, or say it of the next commit.
func (s *story) tellFenced(m *member) {
	var said error
	Wait(func() string { return "a second consumer of instance-2 fences the first" }, func() bool {
		if said = m.Failure(); said == nil && len(m.Owned()) > 0 {
			said = m.Commit(ends(m, "fenced"))
		}
		return said != nil
	})
	fmt.Println("the first of two consumers of instance-2:", s.client.CodeOf(said))
}

func either(condition bool, yes, no string) string {
	if condition {
		return yes
	}
	return no
}

// Package kafka takes records from topics of Apache Kafka, and of what speaks
// its protocol: Azure Event Hubs, to which Entra's and Azure's diagnostic
// settings stream (docs/KAFKA.md).
//
// A [Consumer] is a member of a consumer group. It hands out batches of
// messages, and commits a batch's offsets when it is told that the batch is
// stored: what was handed out and not stored, because a process died or a store
// failed, is handed out again, to whoever has the partition then. So every
// message is stored at least once, and the store knows by its events' ids what
// it has. While a batch is out, no partition changes hands.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"midwatch/source"
)

// Config says what to read, and how. Brokers, Topics and Group are necessary;
// the zero value of the rest means the defaults.
type Config struct {
	Brokers []string // host:port; the first is the name of the cluster in paths
	Topics  []string
	Group   string
	Login   Login
	// From is where a group begins in a partition of which it has committed
	// nothing.
	From From
	// MaxMessages and MaxBytes bound a batch; defaults 50,000 and 64 MiB. A
	// single message may be larger than MaxBytes.
	MaxMessages int
	MaxBytes    int64
	// Latency is how long a batch is waited for to become full, from its first
	// message; default 30 s. Each batch is a load of the store, which has a row
	// for each partition of it.
	Latency time.Duration
	// Eager hands a batch out as soon as nothing came for Quiet.
	Eager bool
	// Quiet is how long Next waits when nothing comes; default 1 s.
	Quiet time.Duration
	// Patience is how long a broker may take to answer when the consumer is
	// opened; default 15 s.
	Patience time.Duration
	// Session is after how long a member that gives no sign of life loses its
	// partitions; default 30 s. Event Hubs takes 6 s to 5 min.
	Session time.Duration
	// NewTopics is how often it is looked for topics and partitions that are
	// new; default 30 s.
	NewTopics time.Duration
	// Await says that topics which are not there are waited for, not an error.
	Await bool
	// Notice is told in words what a person should know and what is no reason
	// to stop; may be nil. Several goroutines call it.
	Notice func(string)
}

// From is a place in a partition.
type From struct {
	at    byte
	since time.Time
}

// Earliest is the first message that is still there: the default.
func Earliest() From { return From{} }

// Latest is what comes from now on.
func Latest() From { return From{at: 'l'} }

// Since is the first message that was written at t or later.
func Since(t time.Time) From { return From{at: 't', since: t} }

func (f From) offset() kgo.Offset {
	switch f.at {
	case 'l':
		return kgo.NewOffset().AtEnd()
	case 't':
		return kgo.NewOffset().AfterMilli(f.since.UnixMilli())
	}
	return kgo.NewOffset().AtStart()
}

func (c Config) withDefaults() (Config, error) {
	switch {
	case len(c.Brokers) == 0:
		return c, errors.New("no broker is named; it looks like HOST:9092, or NAMESPACE.servicebus.windows.net:9093")
	case len(c.Topics) == 0:
		return c, errors.New("no topic is named; of Event Hubs it is the name of the event hub, such as insights-logs-signinlogs")
	case c.Group == "":
		return c, errors.New("no consumer group is named; any name will do, which this program alone reads with")
	}
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.Latency, 30*time.Second)
	def(&c.Quiet, time.Second)
	def(&c.Patience, 15*time.Second)
	def(&c.Session, 30*time.Second)
	def(&c.NewTopics, 30*time.Second)
	if c.MaxMessages == 0 {
		c.MaxMessages = 50_000
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 64 << 20
	}
	if c.Notice == nil {
		c.Notice = func(string) {}
	}
	c.Topics = slices.Compact(slices.Sorted(slices.Values(c.Topics)))
	return c, nil
}

// Consumer is a member of a consumer group. Next and Done are called by one
// goroutine.
type Consumer struct {
	cfg Config
	cl  *kgo.Client
	adm *kadm.Client

	pending *Batch // being filled
	due     <-chan time.Time
	timer   *time.Timer

	mu       sync.Mutex
	wanted   bool   // a rebalance waits for the batch
	wake     func() // ends the poll that is waiting
	fatal    error
	joined   bool
	next     map[partition]int64 // offsets of what comes next, as far as it is known
	down     bool                // the last connection failed
	said     map[string]bool     // notices that are given once
	assigned map[partition]bool
}

type partition struct {
	topic string
	n     int32
}

// Batch is messages that are to be stored together.
type Batch struct {
	// Segments has one for each partition, in the order of their names. It is
	// empty when nothing came for a while.
	Segments []source.Segment
	Messages int
	Bytes    int64

	at    map[partition]int
	heads map[partition]kgo.EpochOffset
	ends  map[partition]int64 // last offsets
}

// Open joins the group. It fails when no broker can be reached, when it refuses
// the login, or when a topic is not there and is not to be awaited. The error
// says what to try.
func Open(ctx context.Context, cfg Config) (*Consumer, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Consumer{cfg: cfg, next: map[partition]int64{}, said: map[string]bool{}, assigned: map[partition]bool{}}
	opts := []kgo.Opt{
		kgo.SeedBrokers(cfg.Brokers...),
		kgo.ClientID("midwatch"),
		kgo.ConsumerGroup(cfg.Group),
		kgo.ConsumeTopics(cfg.Topics...),
		kgo.ConsumeResetOffset(cfg.From.offset()),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsCallbackBlocked(func(context.Context, *kgo.Client) { c.rebalanceWaits() }),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { c.gained(m) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { c.lost(m) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { c.lost(m) }),
		kgo.AdjustFetchOffsetsFn(c.committed),
		kgo.SessionTimeout(cfg.Session),
		kgo.HeartbeatInterval(min(cfg.Session/4, 3*time.Second)),
		kgo.RebalanceTimeout(4 * time.Minute), // a batch is stored in less
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxBytes(int32(min(cfg.MaxBytes, 32<<20))),
		kgo.FetchMaxPartitionBytes(int32(min(cfg.MaxBytes, 8<<20))),
		kgo.FetchMaxWait(time.Second),
		kgo.MetadataMaxAge(cfg.NewTopics),
		kgo.MetadataMinAge(min(cfg.NewTopics, 2500*time.Millisecond)),
		kgo.DialTimeout(10 * time.Second),
		kgo.WithHooks(hooks{c}),
	}
	login, err := cfg.Login.options()
	if err != nil {
		return nil, err
	}
	// The check has a client of its own, which is no member of the group.
	probe, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(cfg.Brokers...), kgo.ClientID("midwatch"), kgo.DialTimeout(min(10*time.Second, cfg.Patience)), kgo.RequestRetries(1), kgo.RetryTimeout(cfg.Patience)}, login...)...)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	defer probe.Close()
	if err := c.check(ctx, probe); err != nil {
		return nil, err
	}
	if c.cl, err = kgo.NewClient(append(opts, login...)...); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	c.adm = kadm.NewClient(c.cl)
	return c, nil
}

// check asks whether the broker is there, lets us in, and has the topics.
func (c *Consumer) check(ctx context.Context, cl *kgo.Client) error {
	timed, cancel := context.WithTimeout(ctx, c.cfg.Patience)
	defer cancel()
	if err := cl.Ping(timed); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return c.explain(err)
	}
	topics, err := kadm.NewClient(cl).ListTopics(timed, c.cfg.Topics...)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return c.explain(err)
	}
	for _, name := range c.cfg.Topics {
		switch err := topics[name].Err; {
		case err == nil && topics.Has(name):
		case err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition):
			return c.explain(fmt.Errorf("topic %s: %w", name, err))
		case c.cfg.Await:
			c.cfg.Notice(fmt.Sprintf("topic %s is not there yet; it is waited for", name))
		default:
			return c.noTopic(timed, cl, name)
		}
	}
	return nil
}

// noTopic names those that there are.
func (c *Consumer) noTopic(ctx context.Context, cl *kgo.Client, name string) error {
	there := "none that this login may see"
	if all, err := kadm.NewClient(cl).ListTopics(ctx); err == nil && len(all) > 0 {
		names := slices.Sorted(maps.Keys(all))
		there = fmt.Sprintf("%q", names[:min(len(names), 20)])
		if len(names) > 20 {
			there += fmt.Sprintf(" and %d more", len(names)-20)
		}
	}
	return fmt.Errorf("topic %s is not there, the broker has %s; Azure makes an event hub of a diagnostic setting when the first record comes", name, there)
}

// rebalanceWaits is called when partitions are to change hands and a batch is
// being filled or out: it is handed out as it is.
func (c *Consumer) rebalanceWaits() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted = true
	if c.wake != nil {
		c.wake()
	}
}

// allow lets partitions change hands.
func (c *Consumer) allow() {
	c.mu.Lock()
	c.wanted = false
	c.mu.Unlock()
	c.cl.AllowRebalance()
}

func (c *Consumer) gained(m map[string][]int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.joined = true
	for topic, ps := range m {
		for _, p := range ps {
			c.assigned[partition{topic, p}] = true
		}
	}
}

func (c *Consumer) lost(m map[string][]int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for topic, ps := range m {
		for _, p := range ps {
			delete(c.assigned, partition{topic, p})
			delete(c.next, partition{topic, p})
		}
	}
}

// committed notes how far the group is, so that it can be told when messages
// were deleted before they were read.
func (c *Consumer) committed(_ context.Context, m map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for topic, ps := range m {
		for n, o := range ps {
			if at := o.EpochOffset().Offset; at >= 0 {
				c.next[partition{topic, n}] = at
			}
		}
	}
	return m, nil
}

// Next returns the next batch, or one without segments when nothing came for
// Config.Quiet. A batch must be given to [Consumer.Done] before Next is called
// again. When ctx ends, what came until then is returned first, and then the
// context's error.
func (c *Consumer) Next(ctx context.Context) (*Batch, error) {
	if c.pending == nil {
		c.pending = &Batch{at: map[partition]int{}, heads: map[partition]kgo.EpochOffset{}, ends: map[partition]int64{}}
	}
	for {
		if c.pending.Messages == 0 {
			c.allow() // nothing would be lost by it
			if err := ctx.Err(); err != nil {
				return nil, context.Cause(ctx)
			}
		}
		if c.full() || ctx.Err() != nil {
			return c.hand(), nil
		}
		came, err := c.poll(ctx)
		if err != nil {
			return nil, err
		}
		switch {
		case came || ctx.Err() != nil:
		case c.pending.Messages == 0:
			return &Batch{}, nil
		case c.cfg.Eager:
			return c.hand(), nil
		}
	}
}

// full reports whether the batch is to be handed out.
func (c *Consumer) full() bool {
	b := c.pending
	if b.Messages == 0 {
		return false
	}
	c.mu.Lock()
	wanted := c.wanted
	c.mu.Unlock()
	if wanted || b.Messages >= c.cfg.MaxMessages || b.Bytes >= c.cfg.MaxBytes {
		return true
	}
	select {
	case <-c.due:
		return true
	default:
		return false
	}
}

// hand finishes the batch that was being filled.
func (c *Consumer) hand() *Batch {
	b := c.pending
	c.pending = nil
	c.timer.Stop()
	c.due = nil
	for p, i := range b.at {
		s := &b.Segments[i]
		s.Path = fmt.Sprintf("kafka://%s/%s/%d#%d-%d", c.cfg.Brokers[0], p.topic, p.n, s.Messages[0].Offset, b.ends[p])
		s.Name = p.topic
	}
	slices.SortFunc(b.Segments, func(x, y source.Segment) int { return compare(x.Path, y.Path) })
	return b
}

// poll waits for messages, at most until the batch is due.
func (c *Consumer) poll(ctx context.Context) (came bool, err error) {
	timed, cancel := context.WithTimeout(ctx, c.cfg.Quiet)
	defer cancel()
	c.mu.Lock()
	c.wake = cancel
	if c.wanted && c.pending.Messages > 0 {
		cancel()
	}
	c.mu.Unlock()
	fetches := c.cl.PollRecords(timed, c.cfg.MaxMessages-c.pending.Messages)
	c.mu.Lock()
	c.wake = nil
	err = c.fatal
	c.mu.Unlock()
	if err != nil {
		return false, err
	}
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if p.Err != nil && err == nil {
			err = c.trouble(p.Topic, p.Partition, p.Err)
		}
		if len(p.Records) > 0 {
			came = true
			c.add(p)
		}
	})
	return came, err
}

// add takes messages into the batch.
func (c *Consumer) add(f kgo.FetchTopicPartition) {
	b := c.pending
	if b.Messages == 0 {
		c.timer = time.NewTimer(c.cfg.Latency)
		c.due = c.timer.C
	}
	p := partition{f.Topic, f.Partition}
	i, ok := b.at[p]
	if !ok {
		i = len(b.Segments)
		b.at[p] = i
		b.Segments = append(b.Segments, source.Segment{})
	}
	s := &b.Segments[i]
	first, last := f.Records[0], f.Records[len(f.Records)-1]
	c.mu.Lock()
	expected, known := c.next[p]
	c.next[p] = last.Offset + 1
	c.mu.Unlock()
	if known && first.Offset > expected && f.LogStartOffset > expected {
		gap := fmt.Errorf("%d messages before it, offsets %d to %d, were deleted by the broker before they were read; its retention is too short, or nothing was read for too long", f.LogStartOffset-expected, expected, f.LogStartOffset-1)
		s.Err = errors.Join(s.Err, gap)
	}
	for _, r := range f.Records {
		s.Messages = append(s.Messages, source.Message{Offset: r.Offset, Time: r.Timestamp.UnixMicro(), Value: r.Value})
		b.Bytes += int64(len(r.Value)) + 1
	}
	b.Messages += len(f.Records)
	b.ends[p] = last.Offset
	b.heads[p] = kgo.EpochOffset{Epoch: last.LeaderEpoch, Offset: last.Offset + 1}
}

// trouble is what the client says about a partition. Most of it passes: the
// client tries again by itself.
func (c *Consumer) trouble(topic string, n int32, err error) error {
	var loss *kgo.ErrDataLoss
	var session *kgo.ErrGroupSession
	var op *net.OpError
	switch {
	case errors.As(err, &session), errors.As(err, &op): // [hooks] sees those that do not pass
		return nil
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return nil
	case errors.Is(err, kgo.ErrClientClosed):
		return err
	case errors.As(err, &loss):
		c.cfg.Notice(fmt.Sprintf("topic %s, partition %d: the broker lost messages: %v", topic, n, err))
		return nil
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		if c.cfg.Await {
			c.once("topic " + topic + " is not there; it is waited for")
			return nil
		}
		return c.explain(fmt.Errorf("topic %s: %w", topic, err))
	case kerr.IsRetriable(err), kgo.IsRetryableBrokerErr(err):
		return nil
	}
	return c.explain(fmt.Errorf("topic %s, partition %d: %w", topic, n, err))
}

// once gives a notice the first time only.
func (c *Consumer) once(text string) {
	c.mu.Lock()
	said := c.said[text]
	c.said[text] = true
	c.mu.Unlock()
	if !said {
		c.cfg.Notice(text)
	}
}

// Done ends a batch: with stored, its offsets are committed; without, they are
// not, and the group will read it again when its partitions change hands or it
// is begun anew. An error does not mean that anything is lost: the batch is
// stored, and may come once more.
func (c *Consumer) Done(ctx context.Context, b *Batch, stored bool) error {
	defer c.allow()
	if !stored || len(b.heads) == 0 {
		return nil
	}
	commit := map[string]map[int32]kgo.EpochOffset{}
	for p, o := range b.heads {
		if commit[p.topic] == nil {
			commit[p.topic] = map[int32]kgo.EpochOffset{}
		}
		commit[p.topic][p.n] = o
	}
	var failed error
	c.cl.CommitOffsetsSync(ctx, commit, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if failed = err; err != nil {
			return
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					failed = errors.Join(failed, fmt.Errorf("topic %s, partition %d: %w", t.Topic, p.Partition, err))
				}
			}
		}
	})
	if failed == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrNotCommitted, c.explain(failed))
}

// ErrNotCommitted is wrapped by the error of [Consumer.Done]: the batch is
// stored, and will be read again and counted as duplicates.
var ErrNotCommitted = errors.New("the batch is stored, but its offsets could not be committed; its messages come again and are counted as duplicates")

// Close leaves the group. A batch that is out is not committed.
func (c *Consumer) Close() {
	c.cl.CloseAllowingRebalance()
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

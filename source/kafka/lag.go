package kafka

import (
	"context"
	"maps"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Lag is how far the group is behind.
type Lag struct {
	// Partitions is how many the consumer has; -1 as long as it is not a member
	// of the group. One that joins has none, or not all, at first, when others
	// have to give some up, or are dead and the group does not know it yet.
	Partitions int
	Own        int64 // messages of its partitions that it has not handed out
	Others     int64 // messages of the others of which the offsets are not committed
}

// Lag asks how far the group is behind.
func (c *Consumer) Lag(ctx context.Context) (Lag, error) {
	c.mu.Lock()
	own, next, joined := maps.Clone(c.assigned), maps.Clone(c.next), c.joined
	c.mu.Unlock()
	if !joined {
		return Lag{Partitions: -1}, nil
	}
	timed, cancel := context.WithTimeout(ctx, c.cfg.Patience)
	defer cancel()
	lag := Lag{Partitions: len(own)}
	ends, err := c.adm.ListCommittedOffsets(timed, c.cfg.Topics...)
	if err != nil {
		return lag, c.explain(err)
	}
	committed, err := c.adm.FetchOffsets(timed, c.cfg.Group)
	if err != nil {
		return lag, c.explain(err)
	}
	starts, err := c.starts(timed)
	if err != nil {
		return lag, c.explain(err)
	}
	ends.Each(func(end kadm.ListedOffset) {
		if end.Err != nil {
			return // a topic that is not there yet
		}
		p := partition{end.Topic, end.Partition}
		at, known := next[p]
		if o, ok := committed.Lookup(p.topic, p.n); !known && ok && o.Err == nil && o.At >= 0 {
			at, known = o.At, true
		}
		if !known {
			start, ok := starts.Lookup(p.topic, p.n)
			if at = start.Offset; !ok || at < 0 {
				at = end.Offset
			}
		}
		if own[p] {
			lag.Own += max(0, end.Offset-at)
		} else {
			lag.Others += max(0, end.Offset-at)
		}
	})
	return lag, nil
}

// starts says where partitions begin for a group that has committed nothing.
func (c *Consumer) starts(ctx context.Context) (kadm.ListedOffsets, error) {
	switch c.cfg.From.at {
	case 'l':
		return kadm.ListedOffsets{}, nil
	case 't':
		return c.adm.ListOffsetsAfterMilli(ctx, c.cfg.From.since.UnixMilli(), c.cfg.Topics...)
	}
	return c.adm.ListStartOffsets(ctx, c.cfg.Topics...)
}

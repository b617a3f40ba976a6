package watch

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"midwatch/ingest"
	"midwatch/source/kafka"
	"midwatch/store"
)

// Topics is a feed of topics of Kafka or event hubs: each batch is a load, and
// its offsets are committed when the store has it.
type Topics struct {
	Config  kafka.Config
	Store   store.Store
	Options ingest.Options
	Log     *slog.Logger
	Now     func() time.Time
}

// Name implements [Feed].
func (f *Topics) Name() string { return "kafka " + f.Config.Brokers[0] }

// inferEvery is how often tenants are inferred, which looks at the whole store.
const inferEvery = 10 * time.Minute

// Run implements [Feed]. Brokers that are away are waited for: it begins anew,
// later and later, at what was committed.
func (f *Topics) Run(ctx context.Context, added func(int64, time.Time)) error {
	f.Config.Await, f.Config.Eager = true, true
	if f.Config.Latency == 0 {
		f.Config.Latency = 5 * time.Second
	}
	f.Config.Notice = func(text string) { f.Log.Warn(text, "feed", f.Name()) }
	for tries := 0; ; tries++ {
		began := f.Now()
		err := f.read(ctx, added)
		if ctx.Err() != nil {
			return nil
		}
		if f.Now().Sub(began) > 10*time.Minute {
			tries = 0
		}
		pause := min(time.Second<<min(tries, 8), time.Minute)
		f.Log.Error("topics cannot be read; it is tried again", "feed", f.Name(), "again_in", pause, "error", err)
		if sleep(ctx, pause) != nil {
			return nil
		}
	}
}

func (f *Topics) read(ctx context.Context, added func(int64, time.Time)) error {
	c, err := kafka.Open(ctx, f.Config)
	if err != nil {
		return err
	}
	defer c.Close()
	// A batch in work is finished, also when the watch ends.
	work := context.WithoutCancel(ctx)
	inferred := f.Now()
	for {
		b, err := c.Next(ctx)
		if err != nil {
			return err
		}
		if len(b.Segments) == 0 {
			if err := c.Done(work, b, true); err != nil {
				return err
			}
			continue
		}
		arrived := f.Now()
		res, err := ingest.Messages(work, f.Store, b.Segments, f.Options)
		if err != nil {
			return errors.Join(err, c.Done(work, b, false))
		}
		if err := c.Done(work, b, true); err != nil && !errors.Is(err, kafka.ErrNotCommitted) {
			return err
		}
		if f.Now().Sub(inferred) >= inferEvery {
			if err := ingest.InferTenants(work, f.Store); err != nil {
				return err
			}
			inferred = f.Now()
		}
		if res.Rejected > 0 {
			f.Log.Warn("records could not be read; table rejects has them", "feed", f.Name(), "rejected", res.Rejected, "of", res.Records)
		}
		if res.Accepted > 0 {
			added(res.Accepted, arrived)
		}
	}
}

package ingest

import (
	"context"

	"midwatch/event"
	"midwatch/store"
)

// failing is a store whose second batch cannot be written.
type failing struct {
	store.Store
	err   error
	after *int
}

func (f *failing) Begin(ctx context.Context) (store.Load, error) {
	l, err := f.Store.Begin(ctx)
	return &failingLoad{l, f}, err
}

type failingLoad struct {
	store.Load
	f *failing
}

func (l *failingLoad) Claim(b *event.Batch) (int, error) {
	if *l.f.after++; *l.f.after > 1 {
		return 0, l.f.err
	}
	return l.Load.Claim(b)
}

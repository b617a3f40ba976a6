package engines

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"midwatch/detect"
	"midwatch/detect/detecttest"
	"midwatch/store"
)

// both asks every question of a second engine too, for nothing but whether it
// takes it: what a detector asks only once it has found something is not asked
// by the cases that are compared.
type both struct {
	t *testing.T
	store.Querier
	second store.Querier

	mu    sync.Mutex
	asked map[string]bool
}

func (b *both) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	b.mu.Lock()
	again := b.asked[query]
	b.asked[query] = true
	b.mu.Unlock()
	if !again {
		rows, err := b.second.Query(ctx, query, args...)
		if err == nil {
			for rows.Next() { // some errors come with the answer
			}
			err = rows.Err()
			_ = rows.Close()
		}
		if err != nil {
			b.t.Errorf("%v\n%s", err, query)
		}
	}
	return b.Querier.Query(ctx, query, args...)
}

// TestDetectorsAsk asks ClickHouse all that the detectors ask DuckDB of their
// test data.
func TestDetectorsAsk(t *testing.T) {
	empty := openClickHouse(t, true)
	for _, d := range detect.All(detect.Settings{Canaries: []string{"canary@contoso.com"}}) {
		id := d.Card().ID
		t.Run(id, func(t *testing.T) {
			path := filepath.Join("..", "..", "detect", "testdata", id, "attack.ndjson")
			if _, err := os.Stat(path); err != nil {
				t.Fatal(err)
			}
			q := &both{t: t, Querier: detecttest.Open(t, path), second: empty, asked: map[string]bool{}}
			if _, err := d.Detect(t.Context(), q); err != nil {
				t.Fatal(err)
			}
		})
	}
}

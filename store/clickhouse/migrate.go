package clickhouse

import (
	"context"
	"fmt"

	"midwatch/store/dialect"
)

// migration brings the tables from one version to the next. Its statements are
// written out, and each can be done twice (IF NOT EXISTS and the like), for
// there are no transactions. %s stands for what the table's name is followed
// by on a cluster.
type migration struct {
	from, to string
	steps    func(c *config) []string
}

// migrations lists the migrations in their order. They are never changed, only
// added to. Version 1 is the first that these tables had.
func migrations() []migration { return nil }

func (s *Store) migrate(ctx context.Context, from string) error {
	steps := s.steps
	if steps == nil {
		steps = migrations()
	}
	at := from
	for _, m := range steps {
		if m.from != at {
			continue
		}
		for _, q := range m.steps(s.cfg) {
			if err := s.everywhere(ctx, q); err != nil {
				return err
			}
		}
		if err := s.write(ctx, "INSERT INTO meta (key, value) VALUES ('schema', "+dialect.Quote(m.to)+")"); err != nil {
			return err
		}
		at = m.to
	}
	if s.steps == nil && at != schemaVersion {
		return fmt.Errorf("%w", wrongVersion(from))
	}
	return nil
}

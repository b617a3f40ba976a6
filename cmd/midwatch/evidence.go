package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"midwatch/event"
	"midwatch/store"
)

func newEvidence(std stdio) *cobra.Command {
	var rawOnly bool
	var where storeFlags
	c := &cobra.Command{
		Use:   "evidence CASE EVENT...",
		Short: "Show the log lines behind event ids, byte for byte",
		Long: `Show the log lines behind event ids, byte for byte, with the file, line and hash
of where they stand. CASE is a case folder, or the store that a case stands on.
` + storeHelp,
		Example: `  midwatch evidence incident.case 3c1f0a52-8a8e-2b0c-0d4f-6a3f6f1f9a10
  midwatch evidence --raw incident.case 3c1f0a52-8a8e-2b0c-0d4f-6a3f6f1f9a10 | jq .`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			l, err := parseStore(args[0])
			if err == nil && l.file != "" {
				_, err = os.Stat(l.file)
			}
			if err != nil {
				return fmt.Errorf("%w; is %s a case folder?", err, args[0])
			}
			st, err := openStore(c.Context(), std, l, toLook, false, where.wait)
			if err != nil {
				return err
			}
			defer st.Close() //nolint:errcheck // read only
			for _, id := range args[1:] {
				if err := printEvidence(c.Context(), std, st, id, rawOnly); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&rawOnly, "raw", false, "print the record's bytes and nothing else")
	where.addWait(c)
	return c
}

func printEvidence(ctx context.Context, std stdio, q store.Querier, id string, rawOnly bool) error {
	if _, ok := event.ParseID(id); !ok {
		return fmt.Errorf("%q is not an event id; ids look like 3c1f0a52-8a8e-2b0c-0d4f-6a3f6f1f9a10", id)
	}
	rec, err := record(ctx, q, id)
	if err != nil {
		return err
	}
	if rec == nil {
		return fmt.Errorf("no event %s in this case; of a store that was pruned, records may be gone", id)
	}
	if !rawOnly {
		fmt.Fprint(std.out, rec.where(id))
	}
	if rec.raw == nil {
		return fmt.Errorf("the case was made with --raw none: read the record from %s at offset %d, %d bytes", rec.path, rec.offset, rec.length)
	}
	_, err = fmt.Fprintf(std.out, "%s\n", rec.raw)
	return err
}

// where says where the record stands: in a file, or in which message of a
// topic.
func (l *logLine) where(id string) string {
	cluster, messages := strings.CutPrefix(l.path, "kafka://")
	segment, _, _ := strings.Cut(cluster, "#")
	parts := strings.Split(segment, "/")
	if !messages || len(parts) != 3 {
		return fmt.Sprintf("event   %s\nfile    %s\nline    %d\noffset  %d\nlength  %d\nsha256  %s\n\n", id, l.path, l.line, l.offset, l.length, l.sha256)
	}
	return fmt.Sprintf("event      %s\nbroker     %s\ntopic      %s\npartition  %s\noffset     %d\nsegment    %s\nposition   %d\nlength     %d\nsha256     %s\n\n",
		id, parts[0], parts[1], parts[2], l.line, l.path, l.offset, l.length, l.sha256)
}

// logLine is a record and where it stands.
type logLine struct {
	path, sha256         string
	line, offset, length int64
	raw                  []byte
}

func record(ctx context.Context, q store.Querier, id string) (*logLine, error) {
	rows, err := q.Query(ctx, `SELECT coalesce(f.path,''), coalesce(f.sha256,''), e.line, e.pos, e.length, e.raw, e.raw_bytes
		FROM events e LEFT JOIN files f ON f.file = e.file WHERE e.id = ?::UUID`, id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	if !rows.Next() {
		return nil, rows.Err()
	}
	var l logLine
	var text *string
	var bytes []byte
	if err := rows.Scan(&l.path, &l.sha256, &l.line, &l.offset, &l.length, &text, &bytes); err != nil {
		return nil, err
	}
	l.raw = bytes
	if text != nil {
		l.raw = []byte(*text)
	}
	return &l, rows.Err()
}

// records reads what stands in the files, many events at a time.
func records(ctx context.Context, q store.Querier, ids []string) (map[string][]byte, error) {
	out := make(map[string][]byte, len(ids))
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { _, ok := event.ParseID(id); return !ok })
	for chunk := range slices.Chunk(ids, 1000) {
		query := "SELECT CAST(id AS VARCHAR), raw, raw_bytes FROM events WHERE id IN ('" + strings.Join(chunk, "', '") + "')"
		err := store.Each(ctx, q, query, nil, func(scan func(...any) error) error {
			var id string
			var text *string
			var bytes []byte
			if err := scan(&id, &text, &bytes); err != nil {
				return err
			}
			switch {
			case text != nil:
				out[id] = []byte(*text)
			case bytes != nil:
				out[id] = bytes
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read the cited records: %w", err)
		}
	}
	return out, nil
}

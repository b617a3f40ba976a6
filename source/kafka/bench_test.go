package kafka_test

import (
	"bufio"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"midwatch/ingest"
	"midwatch/internal/kafkatest"
	"midwatch/simulate"
	"midwatch/source/kafka"
	"midwatch/store/duckdb"
)

// BenchmarkIngest reads the same records from a file and from a topic of four
// partitions into DuckDB: one record a message, and 50 as Azure envelops them.
// Figures are in docs/KAFKA.md.
//
//	go test -run '^$' -bench . -benchtime 1x -count 5 ./source/kafka
func BenchmarkIngest(b *testing.B) {
	broker := kafkatest.Start(b)
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker.Plain), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(4<<20), kgo.MaxBufferedRecords(1<<20), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		b.Fatal(err)
	}
	defer cl.Close()
	records := simulated(b)
	file := filepath.Join(b.TempDir(), "records.ndjson")
	if err := os.WriteFile(file, append(bytes.Join(records, []byte("\n")), '\n'), 0o600); err != nil {
		b.Fatal(err)
	}
	const partitions = 4
	adm := kadm.NewClient(cl)
	for topic, most := range map[string]int{"single": 1, "envelopes": 50} {
		if _, err := adm.CreateTopic(b.Context(), partitions, 1, nil, topic); err != nil {
			b.Fatal(err)
		}
		var rs []*kgo.Record
		for i := 0; i < len(records); i += most {
			value := records[i]
			if most > 1 {
				value = append(append([]byte(`{"records":[`), bytes.Join(records[i:min(i+most, len(records))], []byte(","))...), "]}"...)
			}
			rs = append(rs, &kgo.Record{Topic: topic, Partition: int32(i / most % partitions), Value: value})
		}
		if err := cl.ProduceSync(b.Context(), rs...).FirstErr(); err != nil {
			b.Fatal(err)
		}
	}
	fresh := func(b *testing.B) *duckdb.Store {
		st, err := duckdb.Open(filepath.Join(b.TempDir(), "events.duckdb"), duckdb.Options{})
		if err != nil {
			b.Fatal(err)
		}
		return st
	}
	rate := func(b *testing.B, n int64) {
		if n < int64(len(records)) {
			b.Fatalf("%d records of %d", n, len(records))
		}
		b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
	}
	b.Run("file", func(b *testing.B) {
		var n int64
		for range b.N {
			st := fresh(b)
			res, err := ingest.Run(b.Context(), st, []string{file}, ingest.Options{})
			if err != nil {
				b.Fatal(err)
			}
			n = res.Records
			if err := st.Close(); err != nil {
				b.Fatal(err)
			}
		}
		rate(b, n)
	})
	for _, x := range []struct {
		name, topic string
		batch       int
	}{{"single/50000", "single", 50_000}, {"single/5000", "single", 5000}, {"single/500", "single", 500}, {"envelopes/50000", "envelopes", 50_000}} {
		b.Run(x.name, func(b *testing.B) {
			var n int64
			for i := range b.N {
				c, err := kafka.Open(b.Context(), kafka.Config{Brokers: []string{broker.Plain}, Topics: []string{x.topic}, Group: b.Name() + time.Now().String() + string(rune('a'+i)), MaxMessages: x.batch, Eager: true, Quiet: 200 * time.Millisecond})
				if err != nil {
					b.Fatal(err)
				}
				st := fresh(b)
				loads := 0
				for n = 0; n < int64(len(records)); {
					batch, err := c.Next(b.Context())
					if err != nil {
						b.Fatal(err)
					}
					if len(batch.Segments) == 0 {
						continue
					}
					res, err := ingest.Messages(b.Context(), st, batch.Segments, ingest.Options{})
					if err != nil {
						b.Fatal(err)
					}
					if err := c.Done(b.Context(), batch, true); err != nil {
						b.Fatal(err)
					}
					loads++
					n += res.Records
				}
				c.Close()
				if err := st.Close(); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(loads), "loads")
			}
			rate(b, n)
		})
	}
}

// simulated is the records of a made-up tenant's logs that are JSON lines.
func simulated(b *testing.B) (out [][]byte) {
	dir := b.TempDir()
	if _, err := simulate.Run(b.Context(), dir, simulate.Options{Scenario: "midnight", Users: 200, Days: 40, Seed: 7}, nil); err != nil {
		b.Fatal(err)
	}
	err := filepath.WalkDir(filepath.Join(dir, simulate.LogsDir), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		in := bufio.NewScanner(f)
		in.Buffer(nil, 8<<20)
		for in.Scan() {
			if line := in.Bytes(); len(line) > 1 && line[0] == '{' && line[len(line)-1] == '}' {
				out = append(out, bytes.Clone(line))
			}
		}
		return in.Err()
	})
	if err != nil {
		b.Fatal(err)
	}
	size := 0
	for _, r := range out {
		size += len(r)
	}
	b.Logf("%d records, %d MB", len(out), size/1e6)
	return out
}

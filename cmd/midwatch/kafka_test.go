package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"midwatch/internal/clickhousetest"
	"midwatch/internal/kafkatest"
)

// One broker for all, since it takes seconds to start.
func TestKafka(t *testing.T) {
	b := kafkatest.Start(t)
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Plain), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	k := &topics{b, cl}
	t.Run("once", func(t *testing.T) { testKafkaOnce(t, k) })
	t.Run("interrupted", func(t *testing.T) { testKafkaInterrupted(t, k) })
	t.Run("killed", func(t *testing.T) { testKafkaKilled(t, k) })
	t.Run("side by side", func(t *testing.T) { testKafkaSideBySide(t, k) })
	t.Run("login", func(t *testing.T) { testKafkaLogin(t, k) })
}

type topics struct {
	*kafkatest.Broker
	cl *kgo.Client
}

func auditRecord(i int) string {
	return fmt.Sprintf(`{"Id":"00000000-0000-4000-8000-%012d","CreationTime":"2024-01-02T03:04:05","Operation":"FileAccessed","RecordType":6,"Workload":"SharePoint","OrganizationId":"t","UserId":"a@x.example","UserType":0}`, i)
}

// fill writes n messages into a new topic of three partitions.
func (k *topics) fill(t *testing.T, topic string, n int) {
	t.Helper()
	if _, err := kadm.NewClient(k.cl).CreateTopic(t.Context(), 3, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	k.more(t, topic, 0, n)
}

func (k *topics) more(t *testing.T, topic string, from, n int) {
	t.Helper()
	var rs []*kgo.Record
	for i := from; i < from+n; i++ {
		rs = append(rs, &kgo.Record{Topic: topic, Partition: int32(i % 3), Value: []byte(auditRecord(i))})
	}
	if err := k.cl.ProduceSync(t.Context(), rs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func (k *topics) ingest(t *testing.T, topic, store string, more ...string) *exec.Cmd {
	return midwatch(t, append([]string{"ingest", "--kafka", k.Plain, "--topic", topic, "--group", "midwatch", "--store", store, "--kafka-session", "2s", "--json"}, more...)...)
}

// answer is the one value that a question to a store gives.
func answer(t *testing.T, spec, query string) (out string) {
	t.Helper()
	l, err := parseStore(spec)
	if err != nil {
		t.Fatal(err)
	}
	st, err := openStore(t.Context(), stdio{out: t.Output(), err: t.Output()}, l, toAsk, false, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close() //nolint:errcheck // read only
	each(t, st, query, func(row []string) { out = row[0] })
	return out
}

// outputOf runs it to its end and reads what it says.
func outputOf(t *testing.T, cmd *exec.Cmd, status int) (s streamed, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Fatalf("exit status %d, want %d: %v\n%s%s", got, status, err, out.String(), errs.String())
	}
	if out.Len() > 0 {
		if err := json.Unmarshal([]byte(out.String()), &s); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
	}
	return s, errs.String()
}

// What is there is read, then what came since, and an event leads to its
// message.
func testKafkaOnce(t *testing.T, k *topics) {
	store := filepath.Join(t.TempDir(), "audit.duckdb")
	k.fill(t, "once", 300)
	s, _ := outputOf(t, k.ingest(t, "once", store, "--once"), 0)
	if s.Messages != 300 || s.Added != 300 || s.Loads < 1 || s.Segments < 3 {
		t.Errorf("%+v", s)
	}
	k.more(t, "once", 300, 30)
	if err := k.cl.ProduceSync(t.Context(), &kgo.Record{Topic: "once", Value: []byte("poison")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	s, _ = outputOf(t, k.ingest(t, "once", store, "--until-idle", "1s"), exitIncomplete)
	if s.Added != 30 || s.Rejected != 1 || len(s.Incomplete) != 1 || !strings.Contains(s.Incomplete[0], "/once: 1 records rejected: message is not JSON (first in partition 0, offset 110)") {
		t.Errorf("%+v", s)
	}
	// From the beginning for another group: nothing is new.
	cmd := k.ingest(t, "once", store, "--once", "--group", "other")
	if s, _ = outputOf(t, cmd, exitIncomplete); s.Added != 0 || s.Duplicates != 330 {
		t.Errorf("%+v", s)
	}
	out, err := midwatch(t, "store", "check", store).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	// The case, and from an event to its message.
	folder := filepath.Join(t.TempDir(), "x.case")
	if out, err := midwatch(t, "investigate", "--store", store, "--out", folder).CombinedOutput(); err == nil || !strings.Contains(string(out), "message is not JSON") {
		t.Errorf("%v\n%s", err, out)
	}
	id := answer(t, store, "SELECT CAST(id AS VARCHAR) FROM events WHERE raw LIKE '%000000000150%'")
	out, err = midwatch(t, "evidence", store, id).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "topic      once\n") || !strings.Contains(string(out), "partition  0\noffset     50\n") || !strings.Contains(string(out), `"Operation":"FileAccessed"`) {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := midwatch(t, "verify", folder).CombinedOutput(); !strings.Contains(string(out), "messages of a topic are no file") {
		t.Errorf("verify: %v\n%s", err, out)
	}
	// Messages that are taken from the topic again are found by their hash and
	// hold the same bytes.
	dir := t.TempDir()
	for i, path := range strings.Fields(answer(t, store, "SELECT string_agg(path, ' ') FROM files WHERE events > 0")) {
		place, offsets, _ := strings.Cut(path, "#")
		var partition, first, last int
		if _, err := fmt.Sscanf(place[len(place)-1:]+" "+offsets, "%d %d-%d", &partition, &first, &last); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for n := first; n <= last; n++ {
			if partition == 0 && n == 110 {
				b.WriteString("poison\n")
			} else {
				b.WriteString(auditRecord(3*n+partition) + "\n")
			}
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err = midwatch(t, "verify", folder, "--logs", dir).CombinedOutput()
	if !strings.Contains(string(out), "files have in them, byte for byte") || !strings.Contains(string(out), " 0 differ") {
		t.Errorf("verify --logs: %v\n%s", err, out)
	}
}

// Ctrl-C stores and commits what is in work.
func testKafkaInterrupted(t *testing.T, k *topics) {
	store := filepath.Join(t.TempDir(), "audit.duckdb")
	k.fill(t, "interrupted", 1000)
	cmd := k.ingest(t, "interrupted", store, "--latency", "1m") // the batch is not due for long
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), errs.String())
	}
	var s streamed
	if err := json.Unmarshal([]byte(out.String()), &s); err != nil || s.Added != 1000 || s.Uncommitted != 0 {
		t.Errorf("%v %+v\n%s", err, s, errs.String())
	}
	if s, _ = outputOf(t, k.ingest(t, "interrupted", store, "--once"), 0); s.Messages != 0 {
		t.Errorf("it was not committed: %+v", s)
	}
}

// Processes that are killed at any moment lose nothing.
func testKafkaKilled(t *testing.T, k *topics) {
	store := filepath.Join(t.TempDir(), "audit.duckdb")
	const n = 3000
	k.fill(t, "killed", n)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 4 {
		cmd := k.ingest(t, "killed", store, "--once", "--batch", "100")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(400+random.IntN(1000)) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it may have come to its end
	}
	s, _ := outputOf(t, k.ingest(t, "killed", store, "--once"), 0)
	t.Logf("in the end %+v", s)
	if out, err := midwatch(t, "store", "check", store).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if got := answer(t, store, "SELECT CAST(count(*) AS VARCHAR) FROM events"); got != fmt.Sprint(n) {
		t.Errorf("%s events, want %d", got, n)
	}
}

// Processes of one group share the partitions and load into one server side by
// side; one that is killed loses nothing.
func testKafkaSideBySide(t *testing.T, k *topics) {
	node := clickhousetest.Start(t, clickhousetest.Options{Nodes: 1}).Nodes[0]
	store := node.DSN(node.Database(t))
	const n = 3000
	k.fill(t, "sidebyside", n)
	a, b := k.ingest(t, "sidebyside", store, "--once", "--batch", "200"), k.ingest(t, "sidebyside", store, "--batch", "200", "--latency", "500ms")
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Second)
	_ = b.Process.Kill()
	_ = b.Wait() // killed
	if err := a.Wait(); err != nil {
		t.Error(err)
	}
	s, _ := outputOf(t, k.ingest(t, "sidebyside", store, "--once"), 0)
	t.Logf("in the end %+v", s)
	if out, err := midwatch(t, "store", "check", store).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if got := answer(t, store, "SELECT CAST(count(*) AS VARCHAR) FROM events"); got != fmt.Sprint(n) {
		t.Errorf("%s events, want %d", got, n)
	}
}

// Secrets come from the environment or a file, and are in no output.
func testKafkaLogin(t *testing.T, k *topics) {
	k.fill(t, "login", 10)
	dir := t.TempDir()
	file := filepath.Join(dir, "connection")
	if err := os.WriteFile(file, []byte(kafkatest.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"ingest", "--kafka", k.SASL, "--kafka-ca", k.CA, "--topic", "login", "--once", "--json", "--kafka-session", "2s"}
	s, _ := outputOf(t, midwatch(t, append(args, "--group", "a", "--store", filepath.Join(dir, "a.duckdb"), "--kafka-credentials", file)...), 0)
	if s.Added != 10 {
		t.Errorf("%+v", s)
	}
	cmd := midwatch(t, append(args, "--group", "b", "--store", filepath.Join(dir, "b.duckdb"))...)
	cmd.Env = append(cmd.Environ(), envKafkaPassword+"="+kafkatest.Password)
	if s, _ = outputOf(t, cmd, 0); s.Added != 10 {
		t.Errorf("%+v", s)
	}
	cmd = midwatch(t, append(args, "--group", "b", "--store", filepath.Join(dir, "b.duckdb"))...)
	cmd.Env = append(cmd.Environ(), envKafkaPassword+"=Endpoint=sb://wrong", envKafkaUser+"=somebody")
	if _, stderr := outputOf(t, cmd, exitFailed); !strings.Contains(stderr, "authentication failed") || strings.Contains(stderr, "sb://wrong") {
		t.Error(stderr)
	}
}

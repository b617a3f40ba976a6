package kafka_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"midwatch/ingest"
	"midwatch/internal/kafkatest"
	"midwatch/source"
	"midwatch/source/kafka"
	"midwatch/store"
	"midwatch/store/duckdb"
)

// TestMain is also the process that dies between the two commits.
func TestMain(m *testing.M) {
	if spec := os.Getenv("KAFKATEST_DIE"); spec != "" {
		die(strings.Split(spec, "|"))
	}
	os.Exit(m.Run())
}

func record(i int) string {
	return fmt.Sprintf(`{"Id":"00000000-0000-4000-8000-%012d","CreationTime":"2024-01-02T03:04:05","Operation":"FileAccessed","RecordType":6,"Workload":"SharePoint","OrganizationId":"t","UserId":"a@x.example","UserType":0}`, i)
}

// world is a broker and what a test asks of it.
type world struct {
	*kafkatest.Broker
	cl *kgo.Client
}

func (w *world) topic(t *testing.T, partitions int32) string {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	w.create(t, name, partitions)
	return name
}

func (w *world) create(t *testing.T, name string, partitions int32) {
	t.Helper()
	if _, err := kadm.NewClient(w.cl).CreateTopic(t.Context(), partitions, 1, nil, name); err != nil {
		t.Fatal(err)
	}
}

// write writes records from to from+n to a topic, in turn to its partitions.
func (w *world) write(t *testing.T, topic string, partitions int32, from, n int) {
	t.Helper()
	var rs []*kgo.Record
	for i := from; i < from+n; i++ {
		rs = append(rs, &kgo.Record{Topic: topic, Partition: int32(i) % partitions, Value: []byte(record(i))})
	}
	if err := w.cl.ProduceSync(t.Context(), rs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func (w *world) config(t *testing.T, topic string) kafka.Config {
	return kafka.Config{
		Brokers: []string{w.Plain}, Topics: []string{topic}, Group: topic + "-group",
		Latency: 200 * time.Millisecond, Quiet: 100 * time.Millisecond, NewTopics: time.Second,
		Notice: func(s string) { t.Log(s) },
	}
}

func open(t *testing.T, cfg kafka.Config) *kafka.Consumer {
	t.Helper()
	c, err := kafka.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func database(t *testing.T) *duckdb.Store {
	t.Helper()
	st, err := duckdb.Open(filepath.Join(t.TempDir(), "events.duckdb"), duckdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		problems, err := st.Check(context.Background())
		if err != nil || len(problems) > 0 {
			t.Errorf("check: %v %v", problems, err)
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

// total is what consumers have stored.
type total struct {
	mu                            sync.Mutex
	records, accepted, duplicates int64
	rejected                      int64
	incomplete                    []string
}

func (x *total) get() (accepted int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.accepted
}

// pump stores what a consumer gives until stop says so.
func pump(t *testing.T, c *kafka.Consumer, st store.Store, x *total, opts ingest.Options, stop func() bool) {
	for !stop() {
		b, err := c.Next(t.Context())
		if err != nil {
			t.Errorf("next: %v", err)
			return
		}
		if len(b.Segments) == 0 {
			continue
		}
		res, err := ingest.Messages(t.Context(), st, b.Segments, opts)
		if err != nil {
			t.Errorf("store: %v", err)
			return
		}
		x.mu.Lock()
		x.records += res.Records
		x.accepted += res.Accepted
		x.duplicates += res.Duplicates
		x.rejected += res.Rejected
		x.incomplete = append(x.incomplete, res.Incomplete...)
		x.mu.Unlock()
		if err := c.Done(t.Context(), b, true); err != nil {
			t.Logf("commit: %v", err)
		}
	}
}

// patience is how long something may take that takes a second on a machine with
// nothing else to do: nothing may wait for ever.
const patience = 2 * time.Minute

// until gives a stop function that ends after n events, or when it takes long.
func until(t *testing.T, x *total, n int64) func() bool {
	limit := time.Now().Add(patience)
	return func() bool {
		if time.Now().After(limit) {
			t.Errorf("after %s there are %d events, want %d", patience, x.get(), n)
			return true
		}
		return x.get() >= n
	}
}

// await waits for another goroutine's consumer to have stored n events.
func await(t *testing.T, x *total, n int64) {
	t.Helper()
	for stop := until(t, x, n); !stop(); {
		time.Sleep(5 * time.Millisecond)
	}
}

// caughtUp ends when the consumer has all there is.
func caughtUp(t *testing.T, c *kafka.Consumer) func() bool {
	limit := time.Now().Add(patience)
	return func() bool {
		lag, err := c.Lag(t.Context())
		if err != nil {
			t.Error(err)
			return true
		}
		if time.Now().After(limit) {
			t.Errorf("after %s %+v is left", patience, lag)
			return true
		}
		return lag.Partitions > 0 && lag.Own == 0 && lag.Others == 0
	}
}

func count(t *testing.T, q store.Querier, query string) (n int64) {
	t.Helper()
	if err := store.Each(t.Context(), q, query, nil, func(scan func(...any) error) error { return scan(&n) }); err != nil {
		t.Fatal(err)
	}
	return n
}

func same(t *testing.T, what string, got, want int64) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %d, want %d", what, got, want)
	}
}

// One broker for all, since it takes seconds to start.
func TestKafka(t *testing.T) {
	b := kafkatest.Start(t)
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Plain), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(16<<20), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	w := &world{b, cl}
	for _, x := range []struct {
		name string
		run  func(*testing.T, *world)
	}{
		{"provenance", testProvenance}, {"rebalance", testRebalance}, {"poison", testPoison}, {"killed", testKilled}, {"gap", testGap},
		{"from", testFrom}, {"topics", testTopics}, {"login", testLogin}, {"refused", testRefused}, {"restart", testRestart},
	} {
		t.Run(x.name, func(t *testing.T) { x.run(t, w) })
	}
}

// An event leads to topic, partition and offset, and the segment's hash is that
// of its messages with a newline after each.
func testProvenance(t *testing.T, w *world) {
	topic := w.topic(t, 2)
	signin := func(id string) string {
		return `{"time":"2024-01-02T03:04:05Z","category":"SignInLogs","tenantId":"11111111-1111-4111-8111-111111111111","operationName":"Sign-in activity","resultType":"0","properties":{"id":"` + id + `","createdDateTime":"2024-01-02T03:04:05Z","userPrincipalName":"a@x.example","ipAddress":"192.0.2.7","status":{"errorCode":0}}}`
	}
	values := []string{
		`{"records":[` + signin("22222222-2222-4222-8222-000000000001") + `,` + signin("22222222-2222-4222-8222-000000000002") + `]}`,
		record(1),
		"\xef\xbb\xbf[" + record(2) + ",\n" + record(3) + "]",
	}
	for _, v := range values {
		if err := w.cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Partition: 1, Value: []byte(v)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	c, st, x := open(t, w.config(t, topic)), database(t), &total{}
	defer c.Close()
	pump(t, c, st, x, ingest.Options{}, caughtUp(t, c))
	same(t, "events", count(t, st, "SELECT count(*) FROM events"), 5)
	stream := strings.Join(values, "\n") + "\n"
	if err := store.Each(t.Context(), st, "SELECT path, line, pos, length, raw, format FROM events e JOIN files f ON e.file = f.file ORDER BY line, pos", nil, func(scan func(...any) error) error {
		var path, raw, format string
		var line, pos, length int64
		if err := scan(&path, &line, &pos, &length, &raw, &format); err != nil {
			return err
		}
		if want := "kafka://" + w.Plain + "/" + topic + "/1#0-2"; path != want {
			t.Errorf("path %s, want %s", path, want)
		}
		if stream[pos:pos+length] != raw || !strings.Contains(values[line], raw) {
			t.Errorf("%s at %d: %q, in the store %q", path, pos, stream[pos:pos+length], raw)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	// The same messages as a file are the same segment.
	file := filepath.Join(t.TempDir(), "segment")
	if err := os.WriteFile(file, []byte(stream), 0o600); err != nil {
		t.Fatal(err)
	}
	rd := &source.Reader{}
	files, err := rd.Read(t.Context(), []string{file}, func(b *source.Block) error { b.Release(); return nil })
	if err != nil {
		t.Fatal(err)
	}
	same(t, "segments with the hash of the file", count(t, st, "SELECT count(*) FROM files WHERE sha256 = '"+files[0].SHA256+"'"), 1)
}

// Two consumers share three partitions, the second comes in the middle, and
// every record is stored once.
func testRebalance(t *testing.T, w *world) {
	topic := w.topic(t, 3)
	const n = 6000
	w.write(t, topic, 3, 0, n/2)
	st, x := database(t), &total{}
	cfg := w.config(t, topic)
	cfg.MaxMessages = 100
	a := open(t, cfg)
	defer a.Close()
	var wg sync.WaitGroup
	wg.Go(func() { pump(t, a, st, x, ingest.Options{}, until(t, x, n)) })
	await(t, x, 500)
	b := open(t, cfg)
	defer b.Close()
	member := make(chan struct{}) // closed when b has a partition
	wg.Go(func() {
		stop := until(t, x, n)
		pump(t, b, st, x, ingest.Options{}, func() bool {
			if lag, _ := b.Lag(t.Context()); lag.Partitions > 0 {
				select {
				case <-member:
				default:
					close(member)
				}
			}
			return stop()
		})
	})
	select {
	case <-member:
	case <-time.After(patience):
		t.Error("b did not become a member")
	}
	w.write(t, topic, 3, n/2, n/2)
	wg.Wait()
	same(t, "events", count(t, st, "SELECT count(DISTINCT id) FROM events"), n)
	same(t, "records", x.records, n)
	same(t, "duplicates", x.duplicates, 0)
}

// What is no record does not stop the stream.
func testPoison(t *testing.T, w *world) {
	topic := w.topic(t, 1)
	big := `{"Id":"big","CreationTime":"2024-01-02T03:04:05","Operation":"` + strings.Repeat("x", 5<<20) + `"}`
	garbage := make([]byte, 5<<20)
	for i := range garbage {
		garbage[i] = byte(i*7 + i>>8)
	}
	utf16 := []byte{0xff, 0xfe}
	for _, c := range record(1) {
		utf16 = append(utf16, byte(c), 0)
	}
	values := [][]byte{
		[]byte(record(0)), {}, nil, []byte("  \n"), []byte("garbage"), garbage, []byte(big), utf16, {0, 0, 0, 0, 7, 1, 2, 3},
		[]byte(record(1)[:50]), []byte(`{"records":[` + record(1) + `,`), []byte(record(2) + "\n1,2\n"), []byte(`{"records":[]}`), []byte(`"text"`),
		[]byte("{\"a\":\xff}"), {0x1f, 0x8b, 8, 0, 0, 0, 0, 0}, []byte(strings.Repeat("[", 1<<20)), []byte("<165>1 2024-01-02 syslog"), []byte(record(3)),
	}
	for _, v := range values {
		if err := w.cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: v}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	st, x := database(t), &total{}
	c := open(t, w.config(t, topic))
	defer c.Close()
	pump(t, c, st, x, ingest.Options{Limits: source.Limits{Record: 4 << 20}}, caughtUp(t, c))
	reasons := map[string]int64{}
	if err := store.Each(t.Context(), st, "SELECT reason, line FROM rejects ORDER BY line", nil, func(scan func(...any) error) error {
		var reason string
		var line int64
		if err := scan(&reason, &line); err != nil {
			return err
		}
		reasons[reason]++
		t.Logf("offset %d: %s", line, reason)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	same(t, "events", count(t, st, "SELECT count(*) FROM events"), 4)
	same(t, "rejects and the account of them", x.rejected, count(t, st, "SELECT count(*) FROM rejects"))
	same(t, "empty messages", reasons["empty message"], 3)
	same(t, "records", x.records, x.accepted+x.rejected)
	if x.rejected < 15 {
		t.Errorf("only %d are rejected", x.rejected)
	}
}

// die stores one batch and is gone before its offsets are committed.
func die(spec []string) {
	ctx := context.Background()
	c, err := kafka.Open(ctx, kafka.Config{Brokers: spec[:1], Topics: spec[1:2], Group: spec[1] + "-group", MaxMessages: 400, Latency: time.Second, Session: 2 * time.Second})
	if err != nil {
		panic(err)
	}
	st, err := duckdb.Open(spec[2], duckdb.Options{})
	if err != nil {
		panic(err)
	}
	for n := 0; ; {
		b, err := c.Next(ctx)
		if err != nil {
			panic(err)
		}
		if len(b.Segments) == 0 {
			continue
		}
		if _, err := ingest.Messages(ctx, st, b.Segments, ingest.Options{}); err != nil {
			panic(err)
		}
		if n += b.Messages; n > 400 { // the second batch
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		if err := c.Done(ctx, b, true); err != nil {
			panic(err)
		}
	}
}

// A process that dies after the store's commit and before that of the offsets
// loses nothing, and what comes twice is recognized.
func testKilled(t *testing.T, w *world) {
	topic := w.topic(t, 2)
	const n = 2000
	w.write(t, topic, 2, 0, n)
	path := filepath.Join(t.TempDir(), "events.duckdb")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "KAFKATEST_DIE="+w.Plain+"|"+topic+"|"+path)
	out, err := cmd.CombinedOutput()
	if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); err == nil || !ok || s.Signal() != syscall.SIGKILL {
		t.Fatalf("it was to be killed: %v\n%s", err, out)
	}
	st, err := duckdb.Open(path, duckdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	before := count(t, st, "SELECT count(*) FROM events")
	x := &total{}
	cfg := w.config(t, topic)
	c := open(t, cfg)
	defer c.Close()
	// The group waits for the dead member as long as its session lasts.
	pump(t, c, st, x, ingest.Options{}, until(t, x, n-before))
	same(t, "events", count(t, st, "SELECT count(DISTINCT id) FROM events"), n)
	if x.duplicates == 0 || x.duplicates > 400 {
		t.Errorf("%d duplicates, want those of one batch of at most 400", x.duplicates)
	}
	t.Logf("%d events when it died, %d duplicates afterwards", before, x.duplicates)
}

// What the broker deleted before it was read is told.
func testGap(t *testing.T, w *world) {
	topic := w.topic(t, 1)
	w.write(t, topic, 1, 0, 10)
	st, x := database(t), &total{}
	c := open(t, w.config(t, topic))
	pump(t, c, st, x, ingest.Options{}, caughtUp(t, c))
	c.Close()
	w.write(t, topic, 1, 10, 10)
	adm := kadm.NewClient(w.cl)
	var to kadm.Offsets
	to.AddOffset(topic, 0, 15, -1)
	if _, err := adm.DeleteRecords(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	c = open(t, w.config(t, topic))
	defer c.Close()
	pump(t, c, st, x, ingest.Options{}, caughtUp(t, c))
	same(t, "events", count(t, st, "SELECT count(*) FROM events"), 15)
	if len(x.incomplete) != 1 || !strings.Contains(x.incomplete[0], "5 messages before it, offsets 10 to 14, were deleted") {
		t.Errorf("incomplete: %q", x.incomplete)
	}
}

// A new group begins where it is told to.
func testFrom(t *testing.T, w *world) {
	topic := w.topic(t, 1)
	w.write(t, topic, 1, 0, 5)
	middle := time.Now()
	time.Sleep(20 * time.Millisecond)
	w.write(t, topic, 1, 5, 7)
	for name, from := range map[string]struct {
		at   kafka.From
		want int64
	}{"earliest": {kafka.Earliest(), 12}, "latest": {kafka.Latest(), 0}, "since": {kafka.Since(middle), 7}} {
		cfg := w.config(t, topic)
		cfg.Group, cfg.From = "from-"+name, from.at
		st, x := database(t), &total{}
		c := open(t, cfg)
		pump(t, c, st, x, ingest.Options{}, caughtUp(t, c))
		c.Close()
		same(t, name, x.accepted, from.want)
	}
}

// Topics that are empty, not there, and there later.
func testTopics(t *testing.T, w *world) {
	empty := w.topic(t, 2)
	cfg := w.config(t, empty)
	c := open(t, cfg)
	st, x := database(t), &total{}
	pump(t, c, st, x, ingest.Options{}, caughtUp(t, c))
	c.Close()
	same(t, "records of an empty topic", x.records, 0)

	cfg.Topics = []string{empty, "later"}
	if _, err := kafka.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "topic later is not there") || !strings.Contains(err.Error(), `"`+empty+`"`) {
		t.Errorf("the error is %v", err)
	}
	var said []string
	var mu sync.Mutex
	cfg.Await, cfg.Notice = true, func(s string) { mu.Lock(); said = append(said, s); mu.Unlock() }
	c = open(t, cfg)
	defer c.Close()
	mu.Lock()
	if !slices.Contains(said, "topic later is not there yet; it is waited for") {
		t.Errorf("it says %q", said)
	}
	mu.Unlock()
	w.write(t, empty, 2, 0, 10)
	pump(t, c, st, x, ingest.Options{}, until(t, x, 10))
	w.create(t, "later", 1)
	w.write(t, "later", 1, 100, 10)
	pump(t, c, st, x, ingest.Options{}, until(t, x, 20))
	same(t, "events", count(t, st, "SELECT count(*) FROM events"), 20)
}

// Every way in.
func testLogin(t *testing.T, w *world) {
	topic := w.topic(t, 1)
	w.write(t, topic, 1, 0, 10)
	asked := 0
	tokens := tokenServer(t, &asked)
	for name, l := range map[string]struct {
		broker string
		login  kafka.Login
	}{
		"PLAIN":       {w.SASL, kafka.Login{TLS: true, CA: w.CA, Mechanism: "PLAIN", User: kafkatest.User, Password: kafkatest.Password}},
		"certificate": {w.MTLS, kafka.Login{TLS: true, CA: w.CA, Certificate: w.Cert, Key: w.Key}},
		"OAUTHBEARER": {w.OAuth, kafka.Login{Mechanism: "OAUTHBEARER", Token: kafka.ClientCredentials(tokens.URL, "midwatch", "right", []string{"https://hub.example/.default"}, nil)}},
	} {
		cfg := w.config(t, topic)
		cfg.Brokers, cfg.Login, cfg.Group = []string{l.broker}, l.login, "login-"+name
		st, x := database(t), &total{}
		c := open(t, cfg)
		pump(t, c, st, x, ingest.Options{}, caughtUp(t, c))
		c.Close()
		same(t, name, x.accepted, 10)
	}
	same(t, "tokens for all connections", int64(asked), 1)
}

// tokenServer gives tokens that are not signed to who knows the secret.
func tokenServer(t *testing.T, asked *int) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		id, secret, ok := r.BasicAuth()
		if !ok {
			id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
		}
		if id != "midwatch" || secret != "right" || r.PostFormValue("grant_type") != "client_credentials" || r.PostFormValue("scope") != "https://hub.example/.default" {
			rw.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(rw, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided."}`)
			return
		}
		*asked++
		now := time.Now().Unix()
		b64 := base64.RawURLEncoding.EncodeToString
		fmt.Fprintf(rw, `{"token_type":"Bearer","expires_in":3599,"access_token":"%s.%s."}`, b64([]byte(`{"alg":"none"}`)), b64(fmt.Appendf(nil, `{"sub":"midwatch","iat":%d,"exp":%d}`, now, now+3599)))
	}))
	t.Cleanup(s.Close)
	return s
}

// What goes wrong is said in words that help, without the secret.
func testRefused(t *testing.T, w *world) {
	topic := w.topic(t, 1)
	asked := 0
	tokens := tokenServer(t, &asked)
	other := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(other, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	right := kafka.Login{TLS: true, CA: w.CA, Mechanism: "PLAIN", User: kafkatest.User, Password: kafkatest.Password}
	with := func(l kafka.Login, change func(*kafka.Login)) kafka.Login { change(&l); return l }
	for _, x := range []struct {
		name, broker string
		login        kafka.Login
		want         string
	}{
		{"wrong password", w.SASL, with(right, func(l *kafka.Login) { l.Password = "hunter2" }), "authentication failed"},
		{"no login", w.SASL, with(right, func(l *kafka.Login) { l.Mechanism = "" }), "login"},
		{"another mechanism", w.SASL, with(right, func(l *kafka.Login) { l.Mechanism = "SCRAM-SHA-256" }), "does not take SASL SCRAM-SHA-256"},
		{"unknown CA", w.SASL, with(right, func(l *kafka.Login) { l.CA = "" }), "--kafka-ca"},
		{"no CA", w.SASL, with(right, func(l *kafka.Login) { l.CA = other }), "no certificate in PEM"},
		{"no TLS", w.SASL, kafka.Login{}, "--kafka-tls"},
		{"TLS where none is", w.Plain, kafka.Login{TLS: true}, "does it speak TLS"},
		{"no client certificate", w.MTLS, kafka.Login{TLS: true, CA: w.CA}, "--kafka-cert"},
		{"nobody there", "127.0.0.1:1", kafka.Login{}, "cannot be reached"},
		{"wrong secret", w.OAuth, kafka.Login{Mechanism: "OAUTHBEARER", Token: kafka.ClientCredentials(tokens.URL, "midwatch", "hunter2", []string{"https://hub.example/.default"}, nil)}, "AADSTS7000215"},
		{"bad token", w.OAuth, kafka.Login{Mechanism: "OAUTHBEARER", Token: func(context.Context) (string, error) { return "hunter2", nil }}, "authentication failed"},
		{"token endpoint gone", w.OAuth, kafka.Login{Mechanism: "OAUTHBEARER", Token: kafka.ClientCredentials("http://127.0.0.1:1/", "midwatch", "right", nil, nil)}, "no token to log in with"},
	} {
		t.Run(x.name, func(t *testing.T) {
			cfg := w.config(t, topic)
			cfg.Brokers, cfg.Login, cfg.Patience = []string{x.broker}, x.login, 5*time.Second
			c, err := kafka.Open(t.Context(), cfg)
			if err == nil {
				c.Close()
				t.Fatal("it got in")
			}
			if !strings.Contains(err.Error(), x.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error is %q, want %q in it", err, x.want)
			}
			t.Log(err)
		})
	}
}

// A broker that is gone for a while is waited for, and nothing is lost.
func testRestart(t *testing.T, w *world) {
	topic := w.topic(t, 3)
	const n = 3000
	w.write(t, topic, 3, 0, n/2)
	cfg := w.config(t, topic)
	cfg.MaxMessages = 100
	var mu sync.Mutex
	var said []string
	cfg.Notice = func(s string) { mu.Lock(); said = append(said, s); mu.Unlock(); t.Log(s) }
	st, x := database(t), &total{}
	c := open(t, cfg)
	defer c.Close()
	var wg sync.WaitGroup
	wg.Go(func() { pump(t, c, st, x, ingest.Options{}, until(t, x, n)) })
	await(t, x, 300)
	w.Kill()
	time.Sleep(time.Second)
	if err := w.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.write(t, topic, 3, n/2, n/2)
	wg.Wait()
	same(t, "events", count(t, st, "SELECT count(DISTINCT id) FROM events"), n)
	mu.Lock()
	defer mu.Unlock()
	if !slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, "cannot be reached") }) {
		t.Errorf("it says %q", said)
	}
	t.Logf("%d duplicates", x.duplicates)
}

// What is missing in a configuration is said before anything is asked.
func TestConfig(t *testing.T) {
	for _, x := range []struct {
		cfg  kafka.Config
		want string
	}{
		{kafka.Config{}, "no broker"},
		{kafka.Config{Brokers: []string{"x"}}, "no topic"},
		{kafka.Config{Brokers: []string{"x"}, Topics: []string{"t"}}, "no consumer group"},
		{kafka.Config{Brokers: []string{"x"}, Topics: []string{"t"}, Group: "g", Login: kafka.Login{Mechanism: "GSSAPI"}}, "GSSAPI is not known"},
		{kafka.Config{Brokers: []string{"x"}, Topics: []string{"t"}, Group: "g", Login: kafka.Login{Mechanism: "PLAIN"}}, "needs a user"},
		{kafka.Config{Brokers: []string{"x"}, Topics: []string{"t"}, Group: "g", Login: kafka.Login{CA: "x"}}, "TLS is off"},
		{kafka.Config{Brokers: []string{"x"}, Topics: []string{"t"}, Group: "g", Login: kafka.Login{TLS: true, Key: "x"}}, "needs its key"},
	} {
		if _, err := kafka.Open(t.Context(), x.cfg); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("the error is %v, want %q", err, x.want)
		}
	}
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/spf13/cobra"

	"midwatch/ingest"
	"midwatch/internal/progress"
	"midwatch/source"
	"midwatch/source/kafka"
	"midwatch/store"
)

// What the environment says about brokers. None of it is a flag, since others
// on the machine can read a command line.
const (
	envKafkaUser         = "MIDWATCH_KAFKA_USER"
	envKafkaPassword     = "MIDWATCH_KAFKA_PASSWORD"
	envKafkaClientID     = "MIDWATCH_KAFKA_CLIENT_ID"
	envKafkaClientSecret = "MIDWATCH_KAFKA_CLIENT_SECRET"
)

// kafkaFlags are the flags of ingest for topics.
type kafkaFlags struct {
	brokers       []string
	topics        []string
	group         string
	from          string
	batch         int
	latency       time.Duration
	session       time.Duration
	maxRecord     int64
	once          bool
	idle          time.Duration
	tls           bool
	ca, cert, key string
	sasl          string
	credentials   string
	tokenURL      string
	scope         []string
}

const kafkaHelp = `
With --kafka it reads topics of Kafka or event hubs of Azure in place of files,
until Ctrl-C, as a member of the consumer group --group. Every batch is a load,
and its offsets are committed when the store has it: what was read when a
process died is read again and counted as duplicates. Any number of processes of
a group share the topics' partitions. docs/KAFKA.md says how Entra's and
Microsoft 365's logs come into an event hub, and what to give here.

User and password are in the environment variables ` + envKafkaUser + ` and
` + envKafkaPassword + `, or in the file --kafka-credentials (user=..., password=...,
or nothing but an Azure connection string); a client's id and secret for
OAUTHBEARER in ` + envKafkaClientID + ` and ` + envKafkaClientSecret + `, or there
as client_id=... and client_secret=...
`

func (o *kafkaFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringSliceVar(&o.brokers, "kafka", nil, "read from Kafka: brokers, host:port with commas between (Event Hubs: NAMESPACE.servicebus.windows.net:9093)")
	f.StringSliceVar(&o.topics, "topic", nil, "topic, or event hub (repeatable)")
	f.StringVar(&o.group, "group", "", "consumer group; any name that no other program reads with")
	f.StringVar(&o.from, "from", "earliest", "where a new group begins: earliest, latest, or a time such as 2026-01-02T15:04:05Z")
	f.IntVar(&o.batch, "batch", 50_000, "messages in a load at most (and 64 MiB)")
	f.DurationVar(&o.latency, "latency", 0, "how long a load is waited for to become full (default 30s; with --once or --until-idle never longer than messages come)")
	f.DurationVar(&o.session, "kafka-session", 30*time.Second, "after how long the group takes a member for dead that gives no sign of life")
	f.Int64Var(&o.maxRecord, "max-record", 32<<20, "bytes that a record may have; longer ones are rejected")
	f.BoolVar(&o.once, "once", false, "stop when everything is read that is there")
	f.DurationVar(&o.idle, "until-idle", 0, "stop when nothing came for so long")
	f.BoolVar(&o.tls, "kafka-tls", false, "speak TLS (Event Hubs: always)")
	f.StringVar(&o.ca, "kafka-ca", "", "CA of the brokers' certificates, PEM file (default: the system's)")
	f.StringVar(&o.cert, "kafka-cert", "", "client certificate, PEM file")
	f.StringVar(&o.key, "kafka-key", "", "its private key, PEM file")
	f.StringVar(&o.sasl, "kafka-sasl", "", "how to log in: plain, scram-sha-256, scram-sha-512, oauthbearer, or azure (the machine's own identity)")
	f.StringVar(&o.credentials, "kafka-credentials", "", "file with user, password, client id and secret")
	f.StringVar(&o.tokenURL, "kafka-token-url", "", "token endpoint for oauthbearer (Entra ID: https://login.microsoftonline.com/TENANT/oauth2/v2.0/token)")
	f.StringSliceVar(&o.scope, "kafka-scope", nil, "scope for oauthbearer (Event Hubs: https://NAMESPACE.servicebus.windows.net/.default)")
	for _, name := range []string{"topic", "group", "from", "batch", "latency", "kafka-session", "max-record", "once", "until-idle", "kafka-tls", "kafka-ca", "kafka-cert", "kafka-key", "kafka-sasl", "kafka-credentials", "kafka-token-url", "kafka-scope"} {
		o.needKafka(c, name)
	}
}

// needKafka refuses a flag that says nothing without --kafka.
func (o *kafkaFlags) needKafka(c *cobra.Command, name string) {
	before := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		if c.Flags().Changed(name) && len(o.brokers) == 0 {
			return fmt.Errorf("--%s is about Kafka; name brokers with --kafka", name)
		}
		if before != nil {
			return before(c, args)
		}
		return nil
	}
}

// azure reports whether a broker is an Event Hubs namespace, of any cloud.
func azure(broker string) bool {
	host, _, err := net.SplitHostPort(broker)
	if err != nil {
		host = broker
	}
	return strings.Contains(strings.ToLower(host), ".servicebus.")
}

// config makes the consumer's configuration of the flags.
func (o *kafkaFlags) config() (kafka.Config, error) {
	c := kafka.Config{Topics: o.topics, Group: o.group, MaxMessages: o.batch, Latency: o.latency, Session: o.session, Await: !o.once && o.idle == 0}
	switch {
	case o.once && o.idle > 0:
		return c, errors.New("--once and --until-idle both say when to stop; give one")
	case len(o.topics) == 0:
		return c, errors.New("no topic is named; name one with --topic (the event hub, such as insights-logs-signinlogs)")
	case o.group == "":
		return c, errors.New("no consumer group is named; name one with --group: any name that no other program reads with")
	case o.batch < 1 || o.maxRecord < 1 || o.latency < 0 || o.idle < 0:
		return c, errors.New("--batch, --latency, --until-idle and --max-record are positive")
	case o.session < 6*time.Second && o.session != 0 && slices.ContainsFunc(o.brokers, azure):
		return c, errors.New("--kafka-session is at least 6s for Event Hubs")
	}
	c.Eager = !c.Await
	switch o.from {
	case "earliest":
	case "latest":
		c.From = kafka.Latest()
	default:
		t, err := time.Parse(time.RFC3339, o.from)
		if err != nil {
			return c, fmt.Errorf("--from %q; it is earliest, latest, or a time such as 2026-01-02T15:04:05Z", o.from)
		}
		c.From = kafka.Since(t)
	}
	hubs := false
	for _, b := range o.brokers {
		if azure(b) {
			hubs = true
			if !strings.Contains(b, ":") {
				b += ":9093"
			}
		}
		c.Brokers = append(c.Brokers, b)
	}
	login, err := o.login(hubs, c.Brokers[0])
	c.Login = login
	return c, err
}

func (o *kafkaFlags) login(hubs bool, broker string) (kafka.Login, error) {
	l := kafka.Login{TLS: o.tls || hubs || o.ca != "" || o.cert != "", CA: o.ca, Certificate: o.cert, Key: o.key}
	s := secretsOfKafka{user: os.Getenv(envKafkaUser), password: os.Getenv(envKafkaPassword), id: os.Getenv(envKafkaClientID), secret: os.Getenv(envKafkaClientSecret)}
	if o.credentials != "" {
		if err := s.read(o.credentials); err != nil {
			return l, fmt.Errorf("--kafka-credentials: %w", err)
		}
	}
	if s.user == "" && strings.HasPrefix(s.password, "Endpoint=sb://") {
		s.user = "$ConnectionString"
	}
	how := strings.ToLower(o.sasl)
	if how == "" && s.password != "" {
		how = "plain"
	}
	switch how {
	case "":
		if hubs {
			return l, fmt.Errorf("an event hub wants a login; put the connection string into %s, or give --kafka-sasl azure", envKafkaPassword)
		}
	case "plain", "scram-sha-256", "scram-sha-512":
		l.Mechanism, l.User, l.Password = strings.ToUpper(how), s.user, s.password
		switch {
		case l.User == "" || l.Password == "":
			return l, fmt.Errorf("--kafka-sasl %s needs a user and a password; put them into %s and %s, or into a file for --kafka-credentials", how, envKafkaUser, envKafkaPassword)
		case how == "plain" && !l.TLS && !loopback(broker):
			return l, errors.New("SASL PLAIN without TLS shows the password to everybody on the way; add --kafka-tls")
		}
	case "oauthbearer":
		if o.tokenURL == "" || s.id == "" || s.secret == "" {
			return l, fmt.Errorf("--kafka-sasl oauthbearer needs --kafka-token-url, and the client's id and secret in %s and %s or in a file for --kafka-credentials", envKafkaClientID, envKafkaClientSecret)
		}
		scope := o.scope
		if len(scope) == 0 && hubs {
			scope = []string{hubScope(broker)}
		}
		l.Mechanism, l.Token = "OAUTHBEARER", kafka.ClientCredentials(o.tokenURL, s.id, s.secret, scope, nil)
	case "azure":
		cred, err := azidentity.NewDefaultAzureCredential(nil)
		if err != nil {
			return l, fmt.Errorf("--kafka-sasl azure: %w", err)
		}
		scope := o.scope
		if len(scope) == 0 {
			scope = []string{hubScope(broker)}
		}
		l.Mechanism, l.Token = "OAUTHBEARER", func(ctx context.Context) (string, error) {
			t, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: scope})
			return t.Token, err
		}
	default:
		return l, fmt.Errorf("--kafka-sasl %q; it is plain, scram-sha-256, scram-sha-512, oauthbearer or azure", o.sasl)
	}
	return l, nil
}

func hubScope(broker string) string {
	host, _, _ := net.SplitHostPort(broker)
	return "https://" + host + "/.default"
}

func loopback(broker string) bool {
	host, _, _ := net.SplitHostPort(broker)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// secretsOfKafka are what a broker or a token endpoint wants to know.
type secretsOfKafka struct{ user, password, id, secret string }

// read takes them from a file. Its errors do not have what is in it.
func (s *secretsOfKafka) read(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	in := bufio.NewScanner(f)
	for n := 1; in.Scan(); n++ {
		line := strings.TrimSpace(in.Text())
		key, value, found := strings.Cut(line, "=")
		value = strings.TrimSpace(value)
		switch key = strings.TrimSpace(key); {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "Endpoint=sb://"):
			s.password = line
		case found && key == "user":
			s.user = value
		case found && key == "password":
			s.password = value
		case found && key == "client_id":
			s.id = value
		case found && key == "client_secret":
			s.secret = value
		default:
			return fmt.Errorf("%s, line %d; a line is user=..., password=..., client_id=..., client_secret=..., or a connection string (Endpoint=sb://...)", path, n)
		}
	}
	return in.Err()
}

// streamed is what --json prints.
type streamed struct {
	Store       string   `json:"store"`
	Loads       int      `json:"loads"`
	Segments    int      `json:"segments"` // rows of table files: one a partition and load
	Messages    int64    `json:"messages"`
	Records     int64    `json:"records"`
	Added       int64    `json:"added"`
	Duplicates  int64    `json:"duplicates"`
	Rejected    int64    `json:"rejected"`
	Uncommitted int      `json:"uncommitted"` // loads whose offsets could not be committed: their messages come again
	Incomplete  []string `json:"incomplete"`
}

func runKafka(ctx context.Context, std stdio, o ingestOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	cfg, err := o.kafka.config()
	if err != nil {
		return err
	}
	l, err := o.location(nil)
	if err != nil {
		return err
	}
	if l.folder != "" {
		return partOfCase(l)
	}
	en, err := o.enricher()
	if err != nil {
		return err
	}
	st, err := openStore(ctx, std, l, toAdd, o.raw == "none", o.wait)
	if err != nil {
		return explain(err, "nothing was read")
	}
	s := newStream(std, st, o, ingest.Options{Enrich: en.Batch, Limits: source.Limits{Record: o.kafka.maxRecord}})
	cfg.Notice = s.notice
	err = s.run(ctx, cfg)
	s.clear()
	if closing := st.Close(); err == nil && closing != nil {
		err = fmt.Errorf("close event store: %w", closing)
	}
	if err != nil {
		if s.sum.Loads > 0 {
			fmt.Fprintf(std.err, "%d loads are in the store: %s\n", s.sum.Loads, s.counts())
		}
		return explain(err, "what is not in the store is not committed either, and comes again with the same command")
	}
	s.sum.Store, s.sum.Incomplete = l.String(), s.gaps()
	if o.json {
		err = printJSON(std, s.sum)
	} else {
		fmt.Fprintf(std.out, "Added:   %s\nStore:   %s\n", s.counts(), l)
		printGaps(std, s.sum.Incomplete, "table files of the store")
	}
	if err == nil && len(s.sum.Incomplete) > 0 {
		return status(exitIncomplete)
	}
	return err
}

// stream is a run of ingest over topics.
type stream struct {
	std   stdio
	st    store.Store
	o     ingestOptions
	opts  ingest.Options
	meter *progress.Meter
	sum   streamed

	say     sync.Mutex
	lost    []string
	refused []*refusal
}

// refusal counts the records of a topic that were rejected for one reason.
type refusal struct {
	topic, reason, where string
	n                    int64
}

func newStream(std stdio, st store.Store, o ingestOptions, opts ingest.Options) *stream {
	s := &stream{std: std, st: st, o: o, opts: opts}
	if !o.quiet {
		_, tty := terminal(std.err)
		s.meter = progress.New(std.err, tty, 0, now)
		s.opts.Progress = s.meter.Bytes
		s.opts.Tally = func(records, _, _, rejected int64) { s.meter.Records(records, rejected) }
	}
	return s
}

func (s *stream) clear() {
	if s.meter != nil {
		s.meter.Done()
	}
}

func (s *stream) notice(text string) {
	s.say.Lock()
	defer s.say.Unlock()
	s.clear()
	fmt.Fprintln(s.std.err, "midwatch:", withoutSecrets(text, nil))
}

func (s *stream) counts() string {
	return fmt.Sprintf("%s records of %s messages; %s duplicates, %s rejected",
		progress.Count(s.sum.Added), progress.Count(s.sum.Messages), progress.Count(s.sum.Duplicates), progress.Count(s.sum.Rejected))
}

const (
	// grace is how long a batch may take to be stored after Ctrl-C.
	grace = time.Minute
	// tenantsEvery is how often tenants are inferred, which looks at the store.
	tenantsEvery = 10 * time.Minute
	// settled is after how long without a message --once believes that there is
	// no more: offsets that are left may have no message, as transactions leave
	// such.
	settled = 10 * time.Second
)

// run reads until ctx ends or the topics are at their end.
func (s *stream) run(ctx context.Context, cfg kafka.Config) error {
	c, err := kafka.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer c.Close()
	// What is in work is finished. Who cannot wait presses Ctrl-C again, which
	// costs nothing but the batch that is in work.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		signal.Reset(os.Interrupt, syscall.SIGTERM)
		s.notice("stopping when the batch in work is stored; press Ctrl-C again to stop at once")
		time.AfterFunc(grace, cancel)
	})()
	last, inferred := now(), now()
	for {
		b, err := c.Next(ctx)
		if err != nil && ctx.Err() != nil {
			return s.finish(work)
		}
		if err != nil {
			return err
		}
		if len(b.Segments) > 0 {
			if err := s.load(work, c, b); err != nil {
				return err
			}
			last = now()
			if now().Sub(inferred) >= tenantsEvery {
				if err := ingest.InferTenants(work, s.st); err != nil {
					return err
				}
				inferred = now()
			}
			continue
		}
		done, err := s.atEnd(ctx, c, &last)
		if err != nil {
			return err
		}
		if done {
			return s.finish(work)
		}
	}
}

// finish is what comes after the last batch.
func (s *stream) finish(ctx context.Context) error { return ingest.InferTenants(ctx, s.st) }

// atEnd reports whether a run that is to end has come to its end. last is when
// the last messages came; waiting for the group is not waiting for messages.
func (s *stream) atEnd(ctx context.Context, c *kafka.Consumer, last *time.Time) (bool, error) {
	if !s.o.kafka.once && s.o.kafka.idle == 0 {
		return false, nil
	}
	lag, err := c.Lag(ctx)
	switch {
	case ctx.Err() != nil:
		return true, nil
	case err != nil:
		return false, err
	case lag.Partitions < 0:
		*last = now()
		return false, nil
	}
	idle := now().Sub(*last)
	switch {
	case !s.o.kafka.once:
		return idle >= s.o.kafka.idle, nil
	case lag.Own == 0 && lag.Others == 0:
		return true, nil
	case lag.Others == 0:
		return idle >= settled, nil
	case idle >= settled+s.o.kafka.session: // by then a dead member's partitions would be ours
		s.notice(fmt.Sprintf("%s messages are left to other members of the group %s", progress.Count(lag.Others), s.o.kafka.group))
		return true, nil
	}
	return false, nil
}

// load stores a batch and commits its offsets.
func (s *stream) load(ctx context.Context, c *kafka.Consumer, b *kafka.Batch) error {
	res, err := ingest.Messages(ctx, s.st, b.Segments, s.opts)
	if err != nil {
		return errors.Join(err, c.Done(ctx, b, false))
	}
	s.count(b, res)
	if err := c.Done(ctx, b, true); errors.Is(err, kafka.ErrNotCommitted) {
		s.sum.Uncommitted++
		s.notice(err.Error())
	} else if err != nil {
		return err
	}
	return nil
}

func (s *stream) count(b *kafka.Batch, res *ingest.Result) {
	s.sum.Loads++
	s.sum.Segments += len(b.Segments)
	s.sum.Messages += int64(b.Messages)
	s.sum.Records += res.Records
	s.sum.Added += res.Accepted
	s.sum.Duplicates += res.Duplicates
	s.sum.Rejected += res.Rejected
	const most = 1000 // of each, over a run that may take months
	for _, gap := range res.Incomplete {
		if s.notice(gap); len(s.lost) < most {
			s.lost = append(s.lost, gap)
		}
	}
	for i := range res.Sources {
		src := &res.Sources[i]
		where, _, _ := strings.Cut(src.Path, "#")
		topic := where[:max(strings.LastIndex(where, "/"), 0)]
		for _, r := range src.Rejected {
			i := slices.IndexFunc(s.refused, func(x *refusal) bool { return x.topic == topic && x.reason == r.Reason })
			if i < 0 && len(s.refused) >= most {
				i = most - 1
			}
			if i < 0 {
				i = len(s.refused)
				s.refused = append(s.refused, &refusal{topic: topic, reason: r.Reason, where: fmt.Sprintf("partition %s, offset %d", where[len(topic)+1:], r.FirstLine)})
			}
			s.refused[i].n += r.Count
		}
	}
}

// gaps says what could not be read.
func (s *stream) gaps() []string {
	out := append([]string{}, s.lost...)
	for _, r := range s.refused {
		out = append(out, fmt.Sprintf("%s: %s records rejected: %s (first in %s)", r.topic, progress.Count(r.n), r.reason, r.where))
	}
	return out
}

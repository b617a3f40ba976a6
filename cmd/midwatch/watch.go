package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"midwatch/casefile"
	"midwatch/detect"
	"midwatch/detect/sigmarules"
	"midwatch/ingest"
	"midwatch/source"
	"midwatch/store"
	"midwatch/watch"
	"midwatch/watch/alert"
)

// watchOptions are the flags of the verb.
type watchOptions struct {
	tenantOptions
	kafka  kafkaFlags
	name   string
	file   string
	state  string
	listen string
	wait   time.Duration
	json   bool
}

// tenantOptions are what a tenant is watched with: the members of the file, and
// for one tenant the flags.
type tenantOptions struct {
	Store     string   `yaml:"store"`
	Folders   []string `yaml:"folders"`
	Alerts    []string `yaml:"alerts"`
	Least     string   `yaml:"least"`
	Lookback  duration `yaml:"lookback"`
	Budget    duration `yaml:"budget"`
	Whole     duration `yaml:"whole"`
	Quiet     bool     `yaml:"quiet_past"`
	ASN       string   `yaml:"asn"`
	Directory string   `yaml:"directory"`
	Config    string   `yaml:"config"`
	Rules     []string `yaml:"rules"`
	Raw       string   `yaml:"raw"`

	Kafka *kafkaTenant `yaml:"kafka"`
}

// kafkaTenant are the topics of a tenant, as the file has them.
type kafkaTenant struct {
	Brokers     []string `yaml:"brokers"`
	Topics      []string `yaml:"topics"`
	Group       string   `yaml:"group"`
	From        string   `yaml:"from"`
	Batch       int      `yaml:"batch"`
	Latency     duration `yaml:"latency"`
	TLS         bool     `yaml:"tls"`
	CA          string   `yaml:"ca"`
	Cert        string   `yaml:"cert"`
	Key         string   `yaml:"key"`
	SASL        string   `yaml:"sasl"`
	Credentials string   `yaml:"credentials"`
	TokenURL    string   `yaml:"token_url"`
	Scope       []string `yaml:"scope"`
}

func (k *kafkaTenant) flags() kafkaFlags {
	f := kafkaFlags{brokers: k.Brokers, topics: k.Topics, group: k.Group, from: first(k.From, "earliest"), batch: k.Batch, latency: time.Duration(k.Latency), session: 30 * time.Second, maxRecord: 32 << 20,
		tls: k.TLS, ca: k.CA, cert: k.Cert, key: k.Key, sasl: k.SASL, credentials: k.Credentials, tokenURL: k.TokenURL, scope: k.Scope}
	if f.batch == 0 {
		f.batch = 50_000
	}
	return f
}

// duration is a time.Duration in words, with days: 36h, 60d.
type duration time.Duration

func (d *duration) Set(s string) error {
	if n, ok := strings.CutSuffix(s, "d"); ok {
		x, err := time.ParseDuration(n + "h")
		if err == nil && x > 0 {
			*d = duration(24 * x)
			return nil
		}
	}
	x, err := time.ParseDuration(s)
	if err != nil || x <= 0 {
		return fmt.Errorf("%q is no length of time, such as 60d or 36h", s)
	}
	*d = duration(x)
	return nil
}

func (d *duration) String() string { return time.Duration(*d).String() }

// Type implements pflag.Value.
func (d *duration) Type() string { return "duration" }

// UnmarshalYAML reads it from the file.
func (d *duration) UnmarshalYAML(n *yaml.Node) error {
	if err := d.Set(n.Value); err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	return nil
}

const envWebhookSecret = "MIDWATCH_WEBHOOK_SECRET"

func newWatch(std stdio) *cobra.Command {
	o := watchOptions{}
	c := &cobra.Command{
		Use:   "watch --store STORE [--folder DIR] [--alert TO]... | --tenants FILE",
		Short: "Ask the detectors again and again over what keeps coming, and tell what they find",
		Long: `Ask the detectors and rules again whenever records have come, and tell what they
find: the same questions as midwatch investigate, over the newest part of the time.
Records come from folders that are watched, from topics of Kafka or event hubs of Azure
(--kafka, as in midwatch ingest), and from whatever else writes to the store, if it is
a server.

A finding is told once, to every receiver, at least once: alerts wait on disk (--state)
while a receiver is down, and after a crash they go on where they were. Receivers:

  stdout                       a JSON object a line
  file:PATH                    the same, appended to a file
  https://...                  a webhook; signed as Standard Webhooks has it, with the
                               secret in ` + envWebhookSecret + `
  slack+https://...            a message for Slack's incoming webhooks
  teams+https://...            an adaptive card for a workflow of Teams
  syslog+udp|tcp|tls://HOST:PORT

--listen serves /metrics for Prometheus, /healthz and /readyz. --tenants names a YAML
file of tenants, which are watched side by side in one process (docs/WATCH.md).

Ctrl-C ends it; what was read is in the store, and what was found is in the outbox.`,
		Example: `  midwatch watch --store contoso.duckdb --folder /srv/exports --alert stdout --alert slack+https://hooks.slack.example/T/B/x
  midwatch watch --store contoso.duckdb --kafka contoso.servicebus.windows.net --topic insights-logs-signinlogs --group midwatch
  midwatch watch --tenants watch.yaml --listen 127.0.0.1:9464`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c.Context(), std) },
	}
	o.kafka.add(c)
	f := c.Flags()
	f.StringVar(&o.Store, "store", "", "event store: DuckDB file or clickhouse:// URL")
	f.StringVar(&o.name, "name", "default", "what the tenant is called in alerts and figures")
	f.StringArrayVar(&o.Folders, "folder", nil, "folder whose files are read as they come (repeatable)")
	f.StringArrayVar(&o.Alerts, "alert", nil, "who is told (repeatable; default: stdout)")
	f.StringVar(&o.Least, "least", "medium", "severity from which on findings are told: info, low, medium, high, critical")
	o.Lookback, o.Budget, o.Whole = duration(60*24*time.Hour), duration(20*time.Second), duration(time.Hour)
	f.Var(&o.Lookback, "lookback", "how much of the time before the newest record a run looks at")
	f.Var(&o.Budget, "budget", "how long a run may take before the next looks less far back")
	f.Var(&o.Whole, "whole", "how long after a run that looks as far back as asked the next such one follows, where runs look less far")
	f.BoolVar(&o.Quiet, "quiet-past", false, "do not tell what is there before anybody watched")
	f.StringVar(&o.ASN, "asn", "", "table of networks: MaxMind .mmdb, or CSV cidr,asn,org,kind[,country]")
	f.StringVar(&o.Directory, "directory", "", "CSV of the organization's people")
	f.StringVar(&o.Config, "config", "", "YAML file that says what only you know")
	f.StringArrayVar(&o.Rules, "rules", nil, "folder of Sigma rules (repeatable)")
	f.StringVar(&o.Raw, "raw", "all", "keep records byte for byte (all), or only file and position (none)")
	f.StringVar(&o.file, "tenants", "", "YAML file of tenants, in the place of the flags above")
	f.StringVar(&o.state, "state", "", "folder for what waits to be told (default: STORE.watch beside a DuckDB file)")
	f.StringVar(&o.listen, "listen", "", "address for /metrics, /healthz and /readyz; loopback, or your own network")
	f.DurationVar(&o.wait, "wait", 10*time.Minute, "how long to wait for another process that has the DuckDB file open")
	f.BoolVar(&o.json, "log-json", false, "write the log as JSON")
	return c
}

// tenants are those that are watched, by name.
func (o *watchOptions) tenants() (map[string]tenantOptions, error) {
	if o.file == "" {
		if o.Store == "" {
			o.Store = os.Getenv(envStore)
		}
		if o.Store == "" {
			return nil, fmt.Errorf("no store is named; name one with --store, in %s, or tenants with --tenants", envStore)
		}
		return map[string]tenantOptions{o.name: o.tenantOptions}, nil
	}
	if o.Store != "" || len(o.Folders)+len(o.Alerts)+len(o.kafka.brokers) > 0 {
		return nil, errors.New("--tenants and flags of one tenant; put them into the file")
	}
	b, err := os.ReadFile(o.file)
	if err != nil {
		return nil, fmt.Errorf("--tenants: %w", err)
	}
	return parseTenants(o.file, b)
}

// parseTenants reads a file of tenants. ${NAME} stands for a variable of the
// environment: addresses of webhooks are passwords.
func parseTenants(name string, b []byte) (map[string]tenantOptions, error) {
	var f struct {
		Tenants map[string]tenantOptions `yaml:"tenants"`
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(f.Tenants) == 0 {
		return nil, fmt.Errorf("%s: no tenants; it looks like tenants: {contoso: {store: contoso.duckdb, folders: [/srv/contoso], alerts: [stdout]}}", name)
	}
	// In values, when the file has been read: what the environment holds is text.
	var unknown []string
	expand := func(texts ...*string) {
		for _, x := range texts {
			*x = os.Expand(*x, func(k string) string {
				v, ok := os.LookupEnv(k)
				if !ok && !slices.Contains(unknown, k) {
					unknown = append(unknown, k)
				}
				return v
			})
		}
	}
	stores := map[string]string{}
	for n, t := range f.Tenants {
		expand(&t.Store, &t.ASN, &t.Directory, &t.Config)
		lists := [][]string{t.Folders, t.Alerts, t.Rules}
		if t.Kafka != nil {
			lists = append(lists, t.Kafka.Brokers, t.Kafka.Topics)
		}
		for _, list := range lists {
			for i := range list {
				expand(&list[i])
			}
		}
		f.Tenants[n] = t
		if len(unknown) > 0 {
			return nil, fmt.Errorf("%s: the environment has no variable %s", name, strings.Join(unknown, ", "))
		}
		if t.Store == "" {
			return nil, fmt.Errorf("%s: tenant %s has no store", name, n)
		}
		if other, ok := stores[t.Store]; ok {
			return nil, fmt.Errorf("%s: %s and %s have the same store; one tenant's alerts would be the other's", name, min(n, other), max(n, other))
		}
		stores[t.Store] = n
	}
	return f.Tenants, nil
}

func (o *watchOptions) run(ctx context.Context, std stdio) (err error) {
	var h slog.Handler = slog.NewTextHandler(std.err, nil)
	if o.json {
		h = slog.NewJSONHandler(std.err, nil)
	}
	log := slog.New(h)
	all, err := o.tenants()
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	meter := watch.NewMeter(registry)
	var tenants []*watch.Tenant
	names := make([]string, 0, len(all))
	for n := range all {
		names = append(names, n)
	}
	slices.Sort(names)
	out := &alert.Writer{W: std.out, ID: "stdout"} // one for all: lines do not mix
	for _, n := range names {
		t, end, err := o.open(ctx, std, n, all[n], out, log)
		if err != nil {
			return fmt.Errorf("tenant %s: %w", n, err)
		}
		defer func() { err = errors.Join(err, end()) }()
		t.Meter = meter
		tenants = append(tenants, t)
	}
	if o.listen != "" {
		ln, err := net.Listen("tcp", o.listen)
		if err != nil {
			return fmt.Errorf("--listen: %w", err)
		}
		srv := &http.Server{Handler: figures(registry, tenants), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(h, slog.LevelWarn)}
		go func() { _ = srv.Serve(ln) }()
		defer srv.Close() //nolint:errcheck // the process ends
		log.Info("figures", "address", "http://"+ln.Addr().String()+"/metrics")
	}
	log.Info("watching", "tenants", len(tenants), "midwatch", revision())
	var wg sync.WaitGroup
	fails := make([]error, len(tenants))
	for i, t := range tenants {
		wg.Go(func() {
			if err := t.Run(ctx); err != nil {
				log.Error("a tenant is not watched any more", "tenant", t.Name, "error", err)
				fails[i] = fmt.Errorf("tenant %s: %w", t.Name, err)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(fails...); err != nil {
		return err
	}
	log.Info("ended")
	return nil
}

// open opens what a tenant is watched with.
func (o *watchOptions) open(ctx context.Context, std stdio, name string, t tenantOptions, out *alert.Writer, log *slog.Logger) (_ *watch.Tenant, end func() error, err error) {
	if t.Least == "" {
		t.Least = string(casefile.Medium)
	}
	if casefile.Severity(t.Least).Rank() == 0 {
		return nil, nil, fmt.Errorf("least %q; it is info, low, medium, high or critical", t.Least)
	}
	read := readOptions{asn: t.ASN, raw: first(t.Raw, "all"), quiet: true}
	if err := read.check(); err != nil {
		return nil, nil, err
	}
	en, err := read.enricher()
	if err != nil {
		return nil, nil, err
	}
	with := investigateOptions{directory: t.Directory, config: t.Config, rules: t.Rules}
	settings, err := with.given()
	if err != nil {
		return nil, nil, err
	}
	concluded, err := settings.read("config: ")
	if err != nil {
		return nil, nil, err
	}
	var sinks []alert.Sink
	for _, a := range t.Alerts {
		s, err := sinkOf(a, out)
		if err != nil {
			return nil, nil, err
		}
		sinks = append(sinks, s)
	}
	if len(sinks) == 0 {
		sinks = append(sinks, out)
	}
	l, err := parseStore(t.Store)
	if err != nil {
		return nil, nil, err
	}
	if l.folder != "" {
		return nil, nil, partOfCase(l)
	}
	state := o.state
	switch {
	case state != "":
		state = filepath.Join(state, name)
	case l.file != "":
		state = l.file + ".watch"
	default:
		return nil, nil, errors.New("--state is missing: a folder for what waits to be told")
	}
	box, err := alert.Open(state, log, now)
	if err != nil {
		return nil, nil, fmt.Errorf("--state: %w", err)
	}
	st, err := openStore(ctx, std, l, toAdd, read.raw == "none", o.wait)
	if err != nil {
		return nil, nil, errors.Join(err, box.Close())
	}
	detectors := detect.All(concluded.detect)
	w := &watch.Tenant{
		Name: name, Store: st, Outbox: box, Sinks: sinks, Least: casefile.Severity(t.Least),
		Lookback: time.Duration(t.Lookback), Budget: time.Duration(t.Budget), Whole: time.Duration(t.Whole), Quiet: t.Quiet, Log: log, Now: now,
		Detect: func(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
			found, err := detect.Run(ctx, q, detectors)
			if err != nil {
				return nil, err
			}
			ruled, err := sigmarules.Run(ctx, q, concluded.sets...)
			if err != nil {
				return nil, err
			}
			return append(found.Findings, ruled.Findings...), nil
		},
	}
	for _, dir := range t.Folders {
		w.Feeds = append(w.Feeds, &watch.Folder{Path: dir, Store: st, Options: ingest.Options{Enrich: en.Batch}, Log: log, Now: now})
	}
	topics := o.kafka
	if t.Kafka != nil {
		topics = t.Kafka.flags()
	}
	if len(topics.brokers) > 0 {
		if topics.once || topics.idle > 0 {
			return nil, nil, errors.Join(errors.New("--once and --until-idle are for midwatch ingest: a watch does not stop"), st.Close(), box.Close())
		}
		cfg, err := topics.config()
		if err != nil {
			return nil, nil, errors.Join(err, st.Close(), box.Close())
		}
		w.Feeds = append(w.Feeds, &watch.Topics{Config: cfg, Store: st, Options: ingest.Options{Enrich: en.Batch, Limits: source.Limits{Record: topics.maxRecord}}, Log: log, Now: now})
	}
	if l.server != nil {
		w.Feeds = append(w.Feeds, &watch.Polled{Store: st, Now: now, Log: log})
	}
	if len(w.Feeds) == 0 {
		return nil, nil, errors.Join(errors.New("nothing brings records; name a folder, topics of Kafka, or a server that others write to"), st.Close(), box.Close())
	}
	return w, func() error { return errors.Join(st.Close(), box.Close()) }, nil
}

// sinkOf makes a receiver of what people write for one.
func sinkOf(spec string, out *alert.Writer) (alert.Sink, error) {
	hook := func(form alert.Form, url string) (alert.Sink, error) {
		return &alert.Webhook{URL: url, Form: form, Secret: []byte(os.Getenv(envWebhookSecret)), Client: &http.Client{Timeout: time.Minute}, Now: now}, nil
	}
	scheme, rest, _ := strings.Cut(spec, ":")
	switch scheme {
	case "stdout":
		return out, nil
	case "file":
		if rest == "" {
			return nil, errors.New("file: names no file")
		}
		return &alert.LogFile{Path: rest}, nil
	case "http", "https":
		return hook(alert.Plain, spec)
	case "slack+https", "slack+http", "teams+https", "teams+http":
		form, url, _ := strings.Cut(spec, "+")
		return hook(alert.Form(form), url)
	case "syslog+udp", "syslog+tcp", "syslog+tls":
		host, err := os.Hostname()
		if err != nil {
			host = "-"
		}
		return alert.NewSyslog(spec, host)
	}
	return nil, fmt.Errorf("no receiver is %q; midwatch watch --help lists them", scheme)
}

// figures serves what is measured and whether it is well.
func figures(registry *prometheus.Registry, tenants []*watch.Tenant) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	state := func(ready bool) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			type tenant struct {
				Tenant string        `json:"tenant"`
				Last   casefile.Time `json:"last_run"`
				Window string        `json:"window"`
				Error  string        `json:"error,omitempty"`
			}
			status := http.StatusOK
			list := []tenant{}
			for _, t := range tenants {
				last, err := t.Health()
				x := tenant{Tenant: t.Name, Last: casefile.TimeOf(last), Window: t.Window().String()}
				if err != nil {
					x.Error = err.Error()
				}
				if err != nil || ready && last.IsZero() {
					status = http.StatusServiceUnavailable
				}
				list = append(list, x)
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(map[string]any{"tenants": list})
		}
	}
	mux.Handle("GET /healthz", state(false))
	mux.Handle("GET /readyz", state(true))
	return mux
}

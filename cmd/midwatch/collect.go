package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"midwatch/collect"
	"midwatch/report"
)

// collectOptions are the flags of the verb.
type collectOptions struct {
	graphAccess
	tenant, out     string
	from, to        string
	last            duration
	slice, late     duration
	logs            []string
	workspace       string
	office, laPlace string
	verify, json    bool
	quiet           bool
}

func newCollect(std stdio) *cobra.Command {
	o := collectOptions{last: duration(7 * 24 * time.Hour), slice: duration(time.Hour), late: duration(24 * time.Hour)}
	c := &cobra.Command{
		Use:   "collect --tenant ID --out DIR",
		Short: "Fetch a tenant's audit logs from Microsoft's services, window by window",
		Long: `Fetch a tenant's audit logs: sign-ins of all four kinds and directory audits (Graph), the
unified audit log (Office 365 Management Activity API), message traces (Graph), and Graph
activity where a Log Analytics workspace has it (--workspace). Nothing is changed in the
tenant but that subscriptions of the Activity API are started.

Every answer is kept byte for byte below DIR, with its hash in DIR/` + collect.Manifest + `. A run
goes on where the last one was; windows are fetched again until late records have had
their time (--late). With --verify each is fetched twice, cut differently, and what only
one of the two has is reported: counts that services give are not believed.

midwatch ingest or investigate reads DIR/` + collect.Folder + `; midwatch watch --folder DIR/` + collect.Folder + ` reads
it as it grows. docs/COLLECT.md lists the permissions.

Exit status 0: all that was asked for is there. 3: something is missing or not sure; it
is listed.`,
		Example: `  midwatch collect --tenant 11111111-2222-3333-4444-555555555555 --out contoso.logs --last 7d --verify
  midwatch collect --tenant contoso.com --out contoso.logs --log signins_interactive,directory_audits --from 2023-11-20 --to 2024-01-12`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c.Context(), std) },
	}
	f := c.Flags()
	f.StringVar(&o.tenant, "tenant", "", "tenant id; the Activity API takes no domain")
	f.StringVarP(&o.out, "out", "o", "", "folder of the answers")
	f.StringVar(&o.from, "from", "", "begin, UTC: 2024-01-12 or 2024-01-12T09:00:00Z (default: --last before now)")
	f.StringVar(&o.to, "to", "", "end, UTC (default: now)")
	f.Var(&o.last, "last", "how far back, where no --from is given")
	f.Var(&o.slice, "slice", "length of a window")
	f.Var(&o.late, "late", "how long after a window's end its records may still come")
	f.StringSliceVar(&o.logs, "log", nil, "only these logs (repeatable; default: all)")
	f.StringVar(&o.workspace, "workspace", "", "id of the Log Analytics workspace with table MicrosoftGraphActivityLogs")
	f.BoolVar(&o.verify, "verify", false, "fetch each window twice, cut differently, and compare")
	f.BoolVar(&o.json, "json", false, "print what was fetched and what is missing as JSON")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print no progress")
	f.StringVar(&o.office, "office-endpoint", "", "address of the Activity API in another cloud")
	f.StringVar(&o.laPlace, "log-analytics-endpoint", "", "address of Log Analytics in another cloud")
	o.graphAccess.add(f)
	return c
}

func (o *collectOptions) run(ctx context.Context, std stdio) error {
	if o.tenant == "" || o.out == "" {
		return errors.New("--tenant and --out are needed: whose logs, and where to")
	}
	to := now().UTC()
	if o.to != "" {
		t, ok := collectTime(o.to)
		if !ok {
			return fmt.Errorf("--to %q is no time; it looks like 2024-01-12 or 2024-01-12T09:00:00Z", o.to)
		}
		to = t
	}
	from := to.Add(-time.Duration(o.last)).Truncate(time.Duration(o.slice))
	if o.from != "" {
		t, ok := collectTime(o.from)
		if !ok {
			return fmt.Errorf("--from %q is no time; it looks like 2024-01-12 or 2024-01-12T09:00:00Z", o.from)
		}
		from = t
	}
	if !from.Before(to) {
		return errors.New("--from is not before --to")
	}
	s, base, err := o.connect(std)
	if err != nil {
		return err
	}
	e, err := o.endpoints(base)
	if err != nil {
		return err
	}
	logs, err := o.choose(collect.Logs(e, o.tenant, o.workspace))
	if err != nil {
		return err
	}
	level := slog.LevelInfo
	if o.quiet {
		level = slog.LevelWarn
	}
	log := slog.New(slog.NewTextHandler(std.err, &slog.HandlerOptions{Level: level}))
	client := &collect.Client{HTTP: &http.Client{}, Log: log, Now: now, Tokens: func(ctx context.Context, scope string) (string, error) {
		return s.tokenFor(ctx, o.tenant, scope)
	}}
	sum, err := collect.Run(ctx, collect.Config{Dir: o.out, Tenant: o.tenant, Logs: logs, From: from, To: to, Slice: time.Duration(o.slice), Late: time.Duration(o.late), Verify: o.verify, Client: client, Log: log, Now: now})
	if err != nil {
		if ctx.Err() != nil {
			return &interrupted{"what was fetched is in " + o.out + "; the same command goes on", err}
		}
		return explain(err, "what was fetched is in "+o.out)
	}
	if o.json {
		err = printJSON(std, sum)
	} else {
		fmt.Fprintf(std.out, "Fetched: %d windows, %d answers, %d records; %d windows were there already\n", sum.Windows, sum.Answers, sum.Records, sum.Known)
		if sum.Late > 0 {
			fmt.Fprintf(std.out, "Late:    records of %d windows may still come; run it again after %s\n", sum.Late, time.Duration(o.late))
		}
		for _, g := range sum.Gaps {
			fmt.Fprintf(std.out, "Missing: %s %s: %s\n", g.Log, g.Window, report.Plain(g.Why))
		}
		fmt.Fprintf(std.out, "Folder:  %s\n", o.out)
	}
	if err == nil && len(sum.Gaps) > 0 {
		return status(exitIncomplete)
	}
	return err
}

// collectTime reads a time, UTC where it has no zone.
func collectTime(s string) (time.Time, bool) {
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02"} {
		if t, err := time.Parse(form, s); err == nil && t.Year() > 2000 {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// endpoints are those of the cloud.
func (o *collectOptions) endpoints(graph string) (collect.Endpoints, error) {
	e := collect.Worldwide()
	e.Graph = graph
	switch o.cloud {
	case "usgov":
		e.Office, e.LogAnalytics = "https://manage-gcc.office.com", "https://api.loganalytics.us"
	case "usdod":
		e.Office, e.LogAnalytics = "https://manage.protection.apps.mil", "https://api.loganalytics.us"
	case "china":
		e.Office, e.LogAnalytics = "https://manage.office.cn", "https://api.loganalytics.azure.cn"
	}
	if o.office != "" {
		e.Office = strings.TrimSuffix(o.office, "/")
	}
	if o.laPlace != "" {
		e.LogAnalytics = strings.TrimSuffix(o.laPlace, "/")
	}
	for _, a := range []string{e.Graph, e.Office, e.LogAnalytics} {
		if !strings.HasPrefix(a, "https://") {
			return e, fmt.Errorf("%s is no https address of a service", report.Plain(withoutPassword(a)))
		}
	}
	return e, nil
}

// choose keeps the logs that are named.
func (o *collectOptions) choose(all []collect.Log) (out []collect.Log, err error) {
	var names []string
	for _, l := range all {
		names = append(names, l.Name())
	}
	for _, n := range o.logs {
		if !slices.Contains(names, n) {
			return nil, fmt.Errorf("--log %q; there are %s, and with --workspace graph_activity", n, strings.Join(names, ", "))
		}
	}
	for _, l := range all {
		if len(o.logs) == 0 || slices.Contains(o.logs, l.Name()) {
			out = append(out, l)
		}
	}
	return out, nil
}

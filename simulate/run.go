package simulate

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
)

// blockUsers is how many people one job makes a day for: small enough that the
// jobs in flight fit into memory, large enough that they cost nothing.
const blockUsers = 128

// The folders below the output: what an investigation is given, and what it is
// not.
const (
	LogsDir    = "logs"
	ContextDir = "context"
	TruthFile  = "truth.json"
	MailDir    = "mail" // with [Options.Mail]
)

// Result says what was written.
type Result struct {
	Truth   *Truth
	Records int64
	Bytes   int64
}

// Run writes an organization's logs into dir, which must be empty or absent.
// progress, when it is not nil, is called now and then from the goroutine of
// Run. The files are of no use when Run returns an error.
func Run(ctx context.Context, dir string, o Options, progress func(records, bytes int64, done float64)) (*Result, error) {
	o, err := o.check()
	if err != nil {
		return nil, err
	}
	if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
		return nil, fmt.Errorf("%s is not empty; name a new folder", dir)
	}
	w := newWorld(o)
	p := newPlan(w)
	p.make()
	for _, sub := range []string{LogsDir, ContextDir} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	out := newOutput(dir, w)
	defer out.discard()
	if err := p.run(ctx, out, progress); err != nil {
		return nil, err
	}
	if err := out.close(); err != nil {
		return nil, err
	}
	truth := p.truth(out)
	if err := writeContext(filepath.Join(dir, ContextDir), w, p); err != nil {
		return nil, err
	}
	if o.Mail {
		if truth.Mail, err = writeMailboxes(dir, w, p); err != nil {
			return nil, err
		}
	}
	if err := writeJSON(filepath.Join(dir, ContextDir, TruthFile), truth); err != nil {
		return nil, err
	}
	return &Result{Truth: truth, Records: out.records, Bytes: out.bytes}, nil
}

func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

// job is a day of a block of people; block -1 is the tenant itself.
type job struct {
	tenant, day, block int
	done               chan *gen
}

// run makes all jobs, several at a time, and writes them in order.
func (p *plan) run(ctx context.Context, out *output, progress func(int64, int64, float64)) error {
	w := p.w
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	todo := make(chan *job)
	order := make(chan *job, 2*w.o.Workers)
	free := sync.Pool{New: func() any { return &gen{} }}
	var wg sync.WaitGroup
	for range w.o.Workers {
		wg.Go(func() {
			for j := range todo {
				g := free.Get().(*gen)
				p.make1(g, j)
				j.done <- g
			}
		})
	}
	go func() {
		defer close(order)
		defer close(todo)
		for d := range w.days {
			for t := range w.tenants {
				blocks := (len(w.tenants[t].users) + blockUsers - 1) / blockUsers
				for b := -1; b < blocks; b++ {
					j := &job{t, d, b, make(chan *gen, 1)}
					select {
					case order <- j:
					case <-ctx.Done():
						return
					}
					select {
					case todo <- j:
					case <-ctx.Done():
						return
					}
				}
			}
		}
	}()
	var err error
	for j := range order {
		if err != nil {
			continue
		}
		var g *gen
		select {
		case g = <-j.done:
		case <-ctx.Done():
			err = ctx.Err()
			continue
		}
		p.marks = append(p.marks, g.acts...)
		p.dups += g.dups
		p.lost += g.lost
		if err = out.write(j, g); err != nil {
			cancel()
			continue
		}
		free.Put(g)
		if progress != nil {
			progress(out.records, out.bytes, float64(j.day+1)/float64(w.days))
		}
	}
	wg.Wait()
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// make1 makes one job's records.
func (p *plan) make1(g *gen, j *job) {
	w := p.w
	for k := range g.out {
		g.out[k].b, g.out[k].n = g.out[k].b[:0], 0
	}
	g.w, g.t, g.day, g.act, g.acts, g.dups, g.lost = w, w.tenants[j.tenant], j.day, nil, nil, 0, 0
	if j.block < 0 {
		g.tenantDay(j.day)
	} else {
		lo := j.block * blockUsers
		hi := min(lo+blockUsers, len(g.t.users))
		for team := lo / teamSize; team*teamSize < hi; team++ {
			if g.t.role == "corporate" {
				g.msgs = w.messages(g.t, team, j.day, g.msgs[:0])
				for i := range g.msgs {
					g.trace(&g.msgs[i])
				}
			}
			for i := team * teamSize; i < min(hi, (team+1)*teamSize); i++ {
				u := &g.t.users[i]
				if g.t.role == "corporate" {
					g.userDay(u, j.day)
					if u.enabled {
						g.appReads(u, j.day)
					}
				} else {
					g.testDay(u, j.day)
				}
			}
		}
	}
	for _, i := range p.byDay[dayKey{j.tenant, j.day, j.block}] {
		a := &p.acts[i]
		g.act = a
		x := w.rng(rsAct, uint64(a.camp), a.seq)
		a.emit(g, &x)
	}
	g.act = nil
}

// output is the files.
type output struct {
	dir     string
	w       *world
	files   map[fileKey]*sink
	logs    []LogOf
	records int64
	bytes   int64
}

type fileKey struct {
	tenant int
	kind   kind
}

// sink is the file that is open for a tenant's log.
type sink struct {
	f     *os.File
	log   LogOf
	part  int
	day   int
	tail  string
	first bool
}

// Rows after which a table goes on in another file: exports stop at 50,000
// rows (audit log) and 100,000 (message trace).
const (
	ualRows   = 45_000
	traceRows = 95_000
)

func newOutput(dir string, w *world) *output {
	return &output{dir: dir, w: w, files: map[fileKey]*sink{}}
}

// name gives the path of a log's file, its container, and what stands before
// and after the records.
func (o *output) name(t *tenant, k kind, part, d int) (path, form, head, tail string) {
	at := at(o.w.start + int64(d)*day).Format("2006-01-02")
	entra := "entra/corp/"
	if t.role == "test" {
		entra = "entra/test-tenant/"
	}
	const pageHead, pageTail = `{"@odata.context":"https://graph.microsoft.com/beta/$metadata#auditLogs/`, "\n]}\n"
	switch k {
	case fUAL:
		return "ual/ual.ndjson", "management api lines", "", ""
	case fUALCSV:
		return fmt.Sprintf("ual/ual-portal-%d.csv", part), "portal csv", "RecordId,CreationDate,RecordType,Operation,UserId,AuditData,AssociatedAdminUnits,AssociatedAdminUnitsNames\r\n", ""
	case fInteractive:
		if t.role == "test" {
			return entra + "InteractiveSignIns.json", "graph page", pageHead + `signIns","value":[`, pageTail
		}
		return entra + "signins/InteractiveSignIns_" + at + ".json", "graph page", pageHead + `signIns","value":[`, pageTail
	case fNonInteractive:
		return entra + "insights-logs-noninteractiveusersigninlogs.ndjson", "azure monitor lines", "", ""
	case fServicePrincipal:
		return entra + "insights-logs-serviceprincipalsigninlogs.ndjson", "azure monitor lines", "", ""
	case fManagedIdentity:
		return entra + "insights-logs-managedidentitysigninlogs.ndjson", "azure monitor lines", "", ""
	case fDirectory:
		if t.role == "test" {
			return entra + "insights-logs-auditlogs.ndjson", "azure monitor lines", "", ""
		}
		return entra + "AuditLogs.json", "graph page", pageHead + `directoryAudits","value":[`, pageTail
	case fGraph:
		return "graph/insights-logs-microsoftgraphactivitylogs.ndjson", "azure monitor lines", "", ""
	case fTraceCSV:
		return fmt.Sprintf("trace/message-trace-%d.csv", part), "historical csv", "origin_timestamp_utc,sender_address,recipient_status,message_subject,total_bytes,message_id,network_message_id,original_client_ip,directionality,connector_id,delivery_priority\r\n", ""
	}
	return "trace/message-trace-recent.ndjson", "get-messagetrace lines", "", ""
}

// perDay reports whether a log has a file a day.
func perDay(t *tenant, k kind) bool { return k == fInteractive && t.role == "corporate" }

// write appends a job's chunks to their files.
func (o *output) write(j *job, g *gen) error {
	t := o.w.tenants[j.tenant]
	for k := range kinds {
		c := &g.out[k]
		if c.n == 0 {
			continue
		}
		key := fileKey{j.tenant, k}
		s := o.files[key]
		full := s != nil && (perDay(t, k) && s.day != j.day || k == fUALCSV && s.log.Records+c.n > ualRows || k == fTraceCSV && s.log.Records+c.n > traceRows)
		if s == nil || full {
			part := 1
			if full {
				part = s.part + 1
				if err := o.finish(s); err != nil {
					return err
				}
			}
			var err error
			if s, err = o.create(t, k, part, j.day); err != nil {
				return err
			}
			o.files[key] = s
		}
		b := c.b
		if s.first && s.tail != "" {
			b = b[1:] // the first record has no comma before it
		}
		s.first = false
		if _, err := s.f.Write(b); err != nil {
			return fmt.Errorf("%s: %w", s.log.Path, err)
		}
		s.log.Records += c.n
		s.log.Bytes += int64(len(b))
		o.records += c.n
		o.bytes += int64(len(b))
	}
	return nil
}

func (o *output) create(t *tenant, k kind, part, d int) (*sink, error) {
	path, form, head, tail := o.name(t, k, part, d)
	full := filepath.Join(o.dir, LogsDir, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return nil, err
	}
	f, err := os.Create(full)
	if err != nil {
		return nil, err
	}
	if _, err := f.WriteString(head); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	o.bytes += int64(len(head))
	return &sink{f: f, part: part, day: d, tail: tail, first: true, log: LogOf{Path: LogsDir + "/" + path, Log: logOf(k), Tenant: t.id, Form: form, Bytes: int64(len(head))}}, nil
}

func (o *output) finish(s *sink) error {
	n, err := s.f.WriteString(s.tail)
	s.log.Bytes += int64(n)
	o.bytes += int64(n)
	o.logs = append(o.logs, s.log)
	if cerr := s.f.Close(); err == nil {
		err = cerr
	}
	s.f = nil
	if err != nil {
		return fmt.Errorf("%s: %w", s.log.Path, err)
	}
	return nil
}

func (o *output) close() error {
	for t := range o.w.tenants {
		for k := range kinds {
			if s := o.files[fileKey{t, k}]; s != nil && s.f != nil {
				if err := o.finish(s); err != nil {
					return err
				}
			}
		}
	}
	slices.SortFunc(o.logs, func(a, b LogOf) int {
		switch {
		case a.Path < b.Path:
			return -1
		case a.Path > b.Path:
			return 1
		}
		return 0
	})
	return nil
}

// discard closes what an error left open.
func (o *output) discard() {
	for _, s := range o.files {
		if s.f != nil {
			s.f.Close()
		}
	}
}

// DefaultWorkers is how many goroutines are of use on this machine.
func DefaultWorkers() int { return max(1, min(runtime.GOMAXPROCS(0), 8)) }

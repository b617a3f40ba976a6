package simulate

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
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
	p := newPlan(newWorld(o))
	p.make()
	if err := os.MkdirAll(filepath.Join(dir, LogsDir), 0o755); err != nil {
		return nil, err
	}
	out := newOutput(p.w, folder(filepath.Join(dir, LogsDir)))
	if err := p.logs(ctx, out, progress); err != nil {
		return nil, err
	}
	if err := writeContext(dir, p); err != nil {
		return nil, err
	}
	return p.finish(dir, out)
}

// Context writes what [Run] writes into dir/context, but the answer key: what
// has to be there before logs that come through a pipe are read.
func Context(dir string, o Options) error {
	o, err := o.check()
	if err != nil {
		return err
	}
	p := newPlan(newWorld(o))
	p.make()
	return writeContext(dir, p)
}

// Pipe writes an organization's logs into w as a tar archive, whose members are
// parts of the files that [Run] writes: as large an organization as one likes
// needs no room on a disk. With dir, which may hold its [Context] already,
// everything else is written there.
func Pipe(ctx context.Context, w io.Writer, dir string, o Options, progress func(records, bytes int64, done float64)) (*Result, error) {
	return pipe(ctx, w, partBytes, dir, o, progress)
}

func pipe(ctx context.Context, w io.Writer, part int64, dir string, o Options, progress func(records, bytes int64, done float64)) (*Result, error) {
	o, err := o.check()
	if err != nil {
		return nil, err
	}
	p := newPlan(newWorld(o))
	p.make()
	if dir != "" {
		if err := writeContext(dir, p); err != nil {
			return nil, err
		}
	}
	ar := newArchive(w, part, p.w.start)
	out := newOutput(p.w, ar)
	if err := p.logs(ctx, out, progress); err != nil {
		return nil, err
	}
	if err := ar.close(); err != nil {
		return nil, err
	}
	return p.finish(dir, out)
}

// logs makes all records and writes them.
func (p *plan) logs(ctx context.Context, out *output, progress func(int64, int64, float64)) error {
	defer out.discard()
	if err := p.run(ctx, out, progress); err != nil {
		return err
	}
	return out.close()
}

// finish writes what is known when the logs are written, unless dir is empty.
func (p *plan) finish(dir string, out *output) (*Result, error) {
	truth := p.truth(out)
	if dir != "" {
		if p.w.o.Mail {
			var err error
			if truth.Mail, err = writeMailboxes(dir, p.w, p); err != nil {
				return nil, err
			}
		}
		if err := writeJSON(filepath.Join(dir, ContextDir, TruthFile), truth); err != nil {
			return nil, err
		}
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

// DefaultWorkers is how many goroutines are of use on this machine.
func DefaultWorkers() int { return max(1, min(runtime.GOMAXPROCS(0), 8)) }

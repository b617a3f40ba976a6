package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"midwatch/web/auth"
	"midwatch/web/dossier"
)

// webMark is what is asked of a page, on the server.
const webMark = 300 * time.Millisecond

// webPart serves a large case and measures what its pages take one after
// another, and under many clients at once.
func webPart(ctx context.Context, o options) (err error) {
	midwatch := o.bin
	if midwatch == "" {
		midwatch = filepath.Join(o.dir, "midwatch")
		build := exec.CommandContext(ctx, "go", "build", "-o", midwatch, "./cmd/midwatch")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("build midwatch: %w; run it in the repository", err)
		}
	}
	dir := o.kase
	if dir == "" {
		if dir, err = largeCase(ctx, o, midwatch); err != nil {
			return err
		}
		if o.keep != "" {
			defer func() { err = errors.Join(err, os.Rename(dir, o.keep)) }()
		}
	}
	s, err := serve(ctx, o, midwatch, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	c, err := s.client(0)
	if err != nil {
		return err
	}
	began := time.Now()
	if _, _, err := c.get(ctx, s.home); err != nil {
		return err
	}
	first := time.Since(began)
	peak, now := s.memory()
	fmt.Printf("Opening: %.1f s until it listens, the first page %d ms after; peak memory %d MiB, then %d MiB\n\n", s.opened.Seconds(), first.Milliseconds(), peak>>10, now>>10)
	pages, err := pagesOf(ctx, c, s.home)
	if err != nil {
		return err
	}
	if o.runs > 0 {
		if err := measurePages(ctx, o, c, pages); err != nil {
			return err
		}
	}
	if o.clients == 0 {
		return nil
	}
	return pressure(ctx, o, s, pages)
}

// served is a server that runs.
type served struct {
	cmd          *exec.Cmd
	base, home   string // addresses: of the server, of the case
	opened       time.Duration
	name, secret string // of each user: name-0, name-1…
	log          *os.File
}

// serve starts a server on this machine alone, with a user for each client.
func serve(ctx context.Context, o options, midwatch, dir string) (*served, error) {
	s := &served{name: "client", secret: "correct horse battery staple 7"}
	users := filepath.Join(o.dir, "users")
	if err := s.users(ctx, users, o.clients); err != nil {
		return nil, err
	}
	var err error
	if s.log, err = os.Create(filepath.Join(o.dir, "serve.log")); err != nil {
		return nil, err
	}
	s.cmd = exec.CommandContext(ctx, midwatch, "serve", dir, "--listen", "127.0.0.1:0", "--users", users)
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	s.cmd.Stderr = s.log
	said, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(said); s.base == "" && lines.Scan(); {
		if x, ok := strings.CutPrefix(lines.Text(), "Open:"); ok {
			s.base, s.opened = strings.TrimRight(strings.TrimSpace(x), "/"), time.Since(began)
		}
	}
	if s.base == "" {
		_ = s.end()
		b, _ := os.ReadFile(s.log.Name())
		return nil, fmt.Errorf("midwatch serve did not begin: %s", b)
	}
	s.home = s.base + "/c/" + dossier.Name(dir) + "/"
	return s, nil
}

// users writes a file of users who all have one password: a hash is one of the
// password alone.
func (s *served) users(ctx context.Context, path string, clients int) error {
	if err := auth.AddUser(ctx, path, s.name, auth.Responder, s.secret); err != nil {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var lines strings.Builder
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, s.name+":"); ok {
			for i := range max(clients, 1) {
				fmt.Fprintf(&lines, "%s-%d:%s\n", s.name, i, strings.TrimSpace(rest))
			}
		}
	}
	return os.WriteFile(path, []byte(lines.String()), 0o600)
}

func (s *served) end() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	return errors.Join(s.cmd.Wait(), s.log.Close())
}

// memory is the server's peak and what it has now, KiB.
func (s *served) memory() (peak, now int64) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	read := func(key string) int64 {
		_, rest, _ := strings.Cut(string(b), key)
		f := strings.Fields(rest)
		if len(f) == 0 {
			return 0
		}
		n, _ := strconv.ParseInt(f[0], 10, 64)
		return n
	}
	return read("VmHWM:"), read("VmRSS:")
}

// webClient is a browser as far as it matters here.
type webClient struct {
	http *http.Client
}

// client logs a user in.
func (s *served) client(i int) (*webClient, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	// Logins are limited by address: each client has one, of the loopback network.
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, byte(1+i/250), byte(1+i%250))}}
	c := &webClient{&http.Client{Jar: jar, Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 1, DialContext: from.DialContext}}}
	for try := 0; ; try++ {
		_, body, err := c.get(context.Background(), s.base+"/login")
		if err != nil {
			return nil, err
		}
		token := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(body)
		if token == nil {
			return nil, errors.New("the login page has no token")
		}
		req, err := http.NewRequest(http.MethodPost, s.base+"/login", strings.NewReader(url.Values{"csrf": {token[1]}, "name": {fmt.Sprintf("%s-%d", s.name, i)}, "password": {s.secret}}.Encode()))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", s.base)
		r, err := c.http.Do(req)
		if err != nil {
			return nil, err
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
		switch {
		case r.StatusCode == http.StatusOK:
			return c, nil
		case r.StatusCode != http.StatusTooManyRequests || try == 20:
			return nil, fmt.Errorf("log in: %s", r.Status)
		}
		wait, _ := strconv.Atoi(r.Header.Get("Retry-After"))
		time.Sleep(time.Duration(max(wait, 1)) * time.Second)
	}
}

// get reads a page whole.
func (c *webClient) get(ctx context.Context, address string) (time.Duration, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, "", err
	}
	began := time.Now()
	r, err := c.http.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, "", err
	}
	if r.StatusCode != http.StatusOK {
		return 0, "", fmt.Errorf("%s: %s", req.URL.RequestURI(), r.Status)
	}
	return time.Since(began), string(b), nil
}

// webPage is an address, and the row of the table that it is in.
type webPage struct {
	row, address string
}

// pagesOf lists pages of every kind, by the links of others.
func pagesOf(ctx context.Context, c *webClient, home string) (out []webPage, err error) {
	u, err := url.Parse(home)
	if err != nil {
		return nil, err
	}
	add := func(row, path string) { out = append(out, webPage{row, home + path}) }
	body := func(path string) string {
		if err != nil {
			return ""
		}
		var b string
		_, b, err = c.get(ctx, home+path)
		return b
	}
	// link is the first link below a path that begins so.
	link := func(in, begin string) string {
		m := regexp.MustCompile(`href="` + regexp.QuoteMeta(u.Path) + `(` + begin + `[^"#]+)`).FindStringSubmatch(in)
		if m == nil {
			return ""
		}
		return html.UnescapeString(m[1])
	}
	add("overview", "")
	add("coverage", "coverage")
	add("work, its tabs", "work")
	for _, tab := range []string{"containment", "secrets", "notices", "clocks", "journal"} {
		add("work, its tabs", "work/"+tab)
	}
	add("reports, SQL", "report")
	add("reports, SQL", "questions")
	add("attack graph", "graph")
	if more := link(body("graph"), `graph\?[^"]*open=`); more != "" {
		add("attack graph, a group opened", more)
	}
	if x := link(body(""), "campaigns/"); x != "" {
		add("campaign", x)
	}
	// Each zoom of the time line: from the whole to a minute, in its middle.
	line := body("timeline")
	add("timeline, whole", "timeline")
	for _, m := range regexp.MustCompile(`href="`+regexp.QuoteMeta(u.Path)+`(timeline\?[^"]*from=[^"]*)"`).FindAllStringSubmatch(line, -1) {
		if p := html.UnescapeString(m[1]); !slices.ContainsFunc(out, func(w webPage) bool { return w.address == home+p }) {
			add("timeline, every zoom", p)
		}
	}
	for _, name := range []string{"mailboxes", "findings", "messages", "records"} {
		text := body(name)
		if err != nil {
			return nil, err
		}
		pages := "1"
		if m := regexp.MustCompile(`Page [\d,]+ of ([\d,]+)`).FindStringSubmatch(text); m != nil {
			pages = strings.ReplaceAll(m[1], ",", "")
		}
		last, _ := strconv.Atoi(pages)
		seen := map[string]bool{}
		for _, m := range regexp.MustCompile(`[?&;]sort=-?([a-z_]+)`).FindAllStringSubmatch(text, -1) {
			if seen[m[1]] {
				continue
			}
			seen[m[1]] = true
			for _, dir := range []string{"", "-"} {
				add(name+", first page, every order", name+"?sort="+dir+m[1])
				if last > 1 {
					add(name+", middle page, every order", fmt.Sprintf("%s?sort=%s%s&page=%d", name, dir, m[1], last/2+1))
					add(name+", last page, every order", fmt.Sprintf("%s?sort=%s%s&page=%d", name, dir, m[1], last))
				}
			}
		}
		switch name {
		case "mailboxes":
			if x := link(text, "mailboxes/"); x != "" {
				add("mailbox", x)
			}
			add("mailboxes, filters", "mailboxes?mailbox=an&certainty=confirmed")
			add("mailboxes, filters", "mailboxes?least=10&sort=first")
		case "findings":
			if x := link(text, "findings/"); x != "" {
				add("finding", x)
			}
			add("findings, filters", "findings?q=mail&sort=-first")
		case "messages":
			for _, q := range []string{"q=a", "q=no-such-text", "mailbox=an", "certainty=confirmed", "folder=inbox&sort=-bytes", "from=2024-01-01&to=2024-01-08"} {
				add("messages, filters", "messages?"+q)
			}
		case "records":
			for _, q := range []string{"class=sign_in", "class=mail_access&sort=-time", "source=ual&sort=actor", "outcome=failure", "operation=consent", "from=2023-12-24&to=2023-12-25", "from=2023-12-24+10:00&to=2023-12-24+11:00&q=chrome"} {
				add("records, filters that match many", "records?"+q)
			}
			// What a record's fields lead to.
			if id := link(text, "records/"); id != "" {
				add("record", id)
				found := body(id)
				for _, m := range regexp.MustCompile(`href="`+regexp.QuoteMeta(u.Path)+`(records\?[a-z]+=[^"]+)"`).FindAllStringSubmatch(found, -1) {
					p := html.UnescapeString(m[1])
					if !slices.ContainsFunc(out, func(w webPage) bool { return w.address == home+p }) {
						add("records, by a field of a record", p)
						add("records, by a field of a record", p+"&sort=-time")
					}
				}
			}
			add("records, nothing found", "records?actor=nobody@nowhere.example")
			add("records, nothing found", "records?session=none")
		}
	}
	return out, err
}

// timedPage is a page and what it took.
type timedPage struct {
	webPage
	took  []time.Duration
	bytes int
	err   error // of the last time that failed
}

func (t *timedPage) median() time.Duration {
	return slices.Sorted(slices.Values(t.took))[len(t.took)/2]
}

// measurePages asks for each page some times, in turns.
func measurePages(ctx context.Context, o options, c *webClient, pages []webPage) error {
	ts := make([]timedPage, len(pages))
	for run := range o.runs {
		for i, p := range pages {
			began := time.Now()
			took, body, err := c.get(ctx, p.address)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil { // such as one that took too long
				took, ts[i].err = time.Since(began), err
			}
			ts[i].webPage, ts[i].bytes = p, max(ts[i].bytes, len(body))
			ts[i].took = append(ts[i].took, took)
		}
		fmt.Fprintf(os.Stderr, "pages, run %d of %d, load %s\n", run+1, o.runs, load())
	}
	fmt.Printf("%d pages, each %d times. A page's figure is the median of its times; asked: under %d ms.\n\n", len(pages), o.runs, webMark.Milliseconds())
	fmt.Println("| pages | how many | median, ms | slowest, ms | slowest single time, ms | over | largest, kB |")
	fmt.Println("|---|---:|---:|---:|---:|---:|---:|")
	var rows []string
	by := map[string][]*timedPage{}
	for i := range ts {
		r := ts[i].row
		if by[r] == nil {
			rows = append(rows, r)
		}
		by[r] = append(by[r], &ts[i])
	}
	ms := func(d time.Duration) string { return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', 0, 64) }
	var slow []*timedPage
	for _, r := range rows {
		group := by[r]
		slices.SortFunc(group, func(a, b *timedPage) int { return cmp.Compare(a.median(), b.median()) })
		var single time.Duration
		over, large := 0, 0
		for _, t := range group {
			single, large = max(single, slices.Max(t.took)), max(large, t.bytes)
			if t.median() > webMark {
				over++
				slow = append(slow, t)
			}
		}
		fmt.Printf("| %s | %d | %s | %s | %s | %d | %d |\n", r, len(group), ms(group[len(group)/2].median()), ms(group[len(group)-1].median()), ms(single), over, large/1000)
	}
	fmt.Println()
	for _, t := range slow {
		u, _ := url.Parse(t.address)
		fmt.Fprintf(os.Stderr, "over: %5s ms %s\n", ms(t.median()), u.RequestURI())
	}
	for _, t := range ts {
		if t.err != nil {
			return t.err
		}
	}
	return nil
}

// pressure lets many clients ask for pages of all kinds for a while.
func pressure(ctx context.Context, o options, s *served, pages []webPage) error {
	var clients []*webClient
	for i := range o.clients {
		c, err := s.client(i)
		if err != nil {
			return err
		}
		clients = append(clients, c)
	}
	// Kinds of page are asked for equally often, however many there are of one.
	by := map[string][]webPage{}
	var rows []string
	for _, p := range pages {
		if by[p.row] == nil {
			rows = append(rows, p.row)
		}
		by[p.row] = append(by[p.row], p)
	}
	during, cancel := context.WithTimeout(ctx, o.during)
	defer cancel()
	var mu sync.Mutex
	var took []time.Duration
	var failed []error
	var wg sync.WaitGroup
	began := time.Now()
	for i, c := range clients {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(7, uint64(i)))
			for during.Err() == nil {
				group := by[rows[rnd.IntN(len(rows))]]
				d, _, err := c.get(during, group[rnd.IntN(len(group))].address)
				if during.Err() != nil {
					return // cut off by the end, not by the server
				}
				mu.Lock()
				if err != nil {
					failed = append(failed, err)
				} else {
					took = append(took, d)
				}
				mu.Unlock()
				if o.pause > 0 {
					time.Sleep(time.Duration(rnd.Float64() * 2 * float64(o.pause)))
				}
			}
		})
	}
	var memory []int64
	for tick := time.NewTicker(250 * time.Millisecond); during.Err() == nil; {
		select {
		case <-tick.C:
			_, now := s.memory()
			memory = append(memory, now)
		case <-during.Done():
			tick.Stop()
		}
	}
	wg.Wait()
	lasted := time.Since(began)
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(took) == 0 || len(memory) < 4 {
		return fmt.Errorf("nothing was answered: %w", errors.Join(failed...))
	}
	slices.Sort(took)
	mean := func(of []int64) int64 {
		sum := int64(0)
		for _, n := range of {
			sum += n
		}
		return sum / int64(len(of)) >> 10
	}
	q := len(memory) / 4
	fmt.Printf("%d clients for %s, each with a session of its own, audit on, pause between pages %s on average: %.0f pages/s, %d errors, p50 %d ms, p99 %d ms; memory %d MiB in the first quarter, %d in the last, %d at most\n",
		o.clients, lasted.Round(time.Second), o.pause, float64(len(took))/lasted.Seconds(), len(failed), took[len(took)/2].Milliseconds(), took[len(took)*99/100].Milliseconds(), mean(memory[:q]), mean(memory[len(memory)-q:]), slices.Max(memory)>>10)
	for _, err := range failed[:min(len(failed), 5)] {
		fmt.Fprintln(os.Stderr, "failed:", err)
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d requests failed", len(failed), len(failed)+len(took))
	}
	return nil
}

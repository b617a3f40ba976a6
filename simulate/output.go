package simulate

import (
	"archive/tar"
	"bufio"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// place is where the files of logs go to.
type place interface {
	// create opens a part of a file, and says what it is called there.
	create(name string, part int) (partFile, string, error)
	// most is after how many bytes a file goes on in another part.
	most() int64
}

// partFile is a part of a log that is being written.
type partFile interface {
	io.WriteCloser
	discard() // in the place of Close, when it will be of no use
}

// folder is a place on a disk, where files are as long as they get.
type folder string

func (f folder) most() int64 { return math.MaxInt64 }

func (f folder) create(name string, _ int) (partFile, string, error) {
	full := filepath.Join(string(f), filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return nil, "", err
	}
	w, err := os.Create(full)
	if err != nil {
		return nil, "", err
	}
	return diskFile{w}, name, nil
}

type diskFile struct{ *os.File }

func (f diskFile) discard() { f.Close() }

// archive is a tar stream. A member's length stands before it, so that members
// are held in memory until they are whole.
type archive struct {
	buf  *bufio.Writer
	tar  *tar.Writer
	part int64 // after how many bytes a member ends
	when time.Time
	free [][]byte
}

// partBytes is how large a member gets: as many of them are in memory as there
// are logs.
const partBytes = 8 << 20

func newArchive(w io.Writer, part, start int64) *archive {
	buf := bufio.NewWriterSize(w, 1<<20)
	return &archive{buf: buf, tar: tar.NewWriter(buf), part: part, when: at(start)}
}

func (a *archive) most() int64 { return a.part }

func (a *archive) create(name string, part int) (partFile, string, error) {
	ext := path.Ext(name)
	name = fmt.Sprintf("%s-%05d%s", strings.TrimSuffix(name, ext), part, ext)
	m := &member{archive: a, name: name}
	if n := len(a.free); n > 0 {
		m.b, a.free = a.free[n-1], a.free[:n-1]
	}
	return m, name, nil
}

// member is a file of it.
type member struct {
	archive *archive
	name    string
	b       []byte
}

func (m *member) Write(p []byte) (int, error) {
	m.b = append(m.b, p...)
	return len(p), nil
}

func (m *member) Close() error {
	a := m.archive
	if err := a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: LogsDir + "/" + m.name, Size: int64(len(m.b)), Mode: 0o644, ModTime: a.when, Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err := a.tar.Write(m.b)
	a.free = append(a.free, m.b[:0])
	return err
}

func (m *member) discard() {}

func (a *archive) close() error {
	if err := a.tar.Close(); err != nil {
		return err
	}
	return a.buf.Flush()
}

// output is the files.
type output struct {
	w       *world
	to      place
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
	f     partFile
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

func newOutput(w *world, to place) *output {
	return &output{w: w, to: to, files: map[fileKey]*sink{}}
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
		full := s != nil && (perDay(t, k) && s.day != j.day || k == fUALCSV && s.log.Records+c.n > ualRows || k == fTraceCSV && s.log.Records+c.n > traceRows || s.log.Bytes > o.to.most())
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
	f, path, err := o.to.create(path, part)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(f, head); err != nil {
		f.discard()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	o.bytes += int64(len(head))
	return &sink{f: f, part: part, day: d, tail: tail, first: true, log: LogOf{Path: LogsDir + "/" + path, Log: logOf(k), Tenant: t.id, Form: form, Bytes: int64(len(head))}}, nil
}

func (o *output) finish(s *sink) error {
	n, err := io.WriteString(s.f, s.tail)
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
	slices.SortFunc(o.logs, func(a, b LogOf) int { return strings.Compare(a.Path, b.Path) })
	return nil
}

// discard closes what an error left open.
func (o *output) discard() {
	for _, s := range o.files {
		if s.f != nil {
			s.f.discard()
		}
	}
}

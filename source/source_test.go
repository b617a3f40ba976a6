package source

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/klauspost/compress/zstd"

	"midwatch/event"
)

// got is what a reading of paths found.
type got struct {
	records []string // "line:offset:bytes"
	bodies  []string
	rejects []event.Reject
	files   []*File
	rows    []string
}

func read(t testing.TB, r *Reader, paths ...string) got {
	t.Helper()
	var g got
	files, err := r.Read(context.Background(), paths, func(b *Block) error {
		defer b.Release()
		g.rejects = append(g.rejects, b.Rejects...)
		note := func(raw []byte, line, offset int64) {
			g.records = append(g.records, fmt.Sprintf("%d:%d", line, offset))
			g.bodies = append(g.bodies, string(raw))
		}
		switch b.Kind {
		case Values:
			for _, s := range b.Spans {
				note(b.Data[s.Start:s.End], s.Line, b.Offset+int64(s.Start))
			}
		case Lines:
			line, off := b.Line, b.Offset
			for l := range bytes.SplitAfterSeq(b.Data, []byte("\n")) {
				if raw := bytes.TrimSpace(l); len(raw) > 0 {
					note(raw, line, off)
				}
				line++
				off += int64(len(l))
			}
		case Rows:
			rr := NewRowReader(b)
			for {
				raw, v, line, off, err := rr.Next()
				if err == io.EOF {
					break
				}
				if err != nil {
					g.rejects = append(g.rejects, event.Reject{Line: line, Offset: b.Offset + off, Reason: err.Error()})
					continue
				}
				note(raw, line, b.Offset+off)
				g.rows = append(g.rows, v.String())
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	g.files = files
	return g
}

func write(t testing.TB, name string, data []byte) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func gz(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(data)
	_ = w.Close()
	return b.Bytes()
}

func zst(data []byte) []byte {
	w, _ := zstd.NewWriter(nil)
	return w.EncodeAll(data, nil)
}

func zipped(files map[string][]byte) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, data := range files {
		f, _ := w.Create(name)
		_, _ = f.Write(data)
	}
	_ = w.Close()
	return b.Bytes()
}

func utf16le(s string, bom bool) []byte {
	var b []byte
	if bom {
		b = append(b, 0xff, 0xfe)
	}
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return b
}

// Every layout of the same three records gives the same three records.
func TestFramings(t *testing.T) {
	a, b, c := `{"n":1,"s":"x"}`, `{"n":2,"s":"a \"quoted\" } ] , text\\"}`, `{"n":3,"o":{"value":[1,2],"deep":[{"records":[{}]}]}}`
	three := []string{a, b, c}
	for name, text := range map[string]string{
		"lines":                a + "\n" + b + "\n" + c + "\n",
		"lines, no last end":   a + "\n" + b + "\n" + c,
		"lines with CRLF":      a + "\r\n\r\n" + b + "\r\n" + c,
		"array":                "[" + a + "," + b + "," + c + "]",
		"array, pretty":        "[\n  " + a + ",\n  " + b + ",\n\n" + c + "\n]\n",
		"array of arrays":      "[[" + a + "],[" + b + "," + c + "]]",
		"arrays after arrays":  "[" + a + "]\r\n[" + b + "," + c + "]",
		"objects after others": a + b + c,
		"graph page":           `{"@odata.context":"x","value":[` + a + "," + b + "," + c + `],"@odata.nextLink":"https://x"}`,
		"two graph pages":      `{"value":[` + a + `]}` + "\n" + `{"value":[` + b + "," + c + `]}`,
		"event hub":            `{"records":[` + a + "," + b + "," + c + "]}",
		"event hub lines":      `{"records":[` + a + `]}` + "\n" + `{"records":[` + b + "," + c + "]}\n",
		"google page":          `{"kind":"admin#reports#activities","items":[` + a + "," + b + "," + c + "]}",
		"odata v2":             `{"d":{"results":[` + a + "," + b + "," + c + `]}}`,
		"byte order mark":      "\ufeff[" + a + "," + b + "," + c + "]",
		"mark and lines":       "\ufeff" + a + "\n" + b + "\n" + c,
		"leading space":        "\n\n  [" + a + "," + b + "," + c + "]",
	} {
		for _, size := range []int{16, 64, 2 << 20} {
			t.Run(fmt.Sprintf("%s/%d", name, size), func(t *testing.T) {
				g := read(t, &Reader{blockSize: size}, write(t, "f.txt", []byte(text)))
				if fmt.Sprint(g.bodies) != fmt.Sprint(three) {
					t.Fatalf("got %q, want %q (rejects %+v, error %v)", g.bodies, three, g.rejects, g.files[0].Err)
				}
				for i, r := range g.records {
					var line, off int
					fmt.Sscanf(r, "%d:%d", &line, &off)
					if off+len(three[i]) > len(text) || text[off:off+len(three[i])] != three[i] {
						t.Errorf("record %d is not at its offset %d", i, off)
					}
					if want := 1 + strings.Count(text[:off], "\n"); line != want {
						t.Errorf("record %d is said to be in line %d, is in %d", i, line, want)
					}
				}
			})
		}
	}
}

func TestWrappedEvents(t *testing.T) {
	g := read(t, &Reader{}, write(t, "f", []byte(`{"events":[{"event":{"original":"{}"}},{"event":{"original":"{}"}}]}`)))
	if len(g.bodies) != 2 {
		t.Errorf("Elastic's envelope: %d records, want 2", len(g.bodies))
	}
	g = read(t, &Reader{}, write(t, "f", []byte(`{"kind":"admin#reports#activity","events":[{"type":"auth","name":"activity"}]}`)))
	if len(g.bodies) != 1 {
		t.Errorf("a Google activity was taken for an envelope: %d records", len(g.bodies))
	}
}

func TestEmptyPages(t *testing.T) {
	for _, text := range []string{"", "\n \n", "[]", `{"value":[]}`, `{"records":[]}`, "[]\n[]"} {
		g := read(t, &Reader{}, write(t, "f", []byte(text)))
		if len(g.bodies) != 0 || len(g.rejects) != 0 || g.files[0].Err != nil {
			t.Errorf("%q: %q %v %v", text, g.bodies, g.rejects, g.files[0].Err)
		}
	}
}

func TestNextLink(t *testing.T) {
	for text, want := range map[string]bool{
		`{"value":[{"a":1}],"@odata.nextLink":"https://x"}`:                               true,
		`{"@odata.nextLink":"https://x","value":[{"a":1}]}`:                               true,
		`{"value":[{"a":1}]}`:                                                             false,
		`{"value":[{"a":1}],"@odata.nextLink":"https://x"}` + "\n{\"value\":[{\"b\":1}]}": false,
	} {
		if g := read(t, &Reader{}, write(t, "f", []byte(text))); g.files[0].NextLink != want {
			t.Errorf("%s: %v", text, g.files[0].NextLink)
		}
	}
}

func TestCSV(t *testing.T) {
	const text = "Id,Time (UTC),Text,Incoming token type,Incoming token type\r\n" +
		"1,2024,\"line one\nline \"\"two\"\"\",a,b\r\n" +
		"2,2024,,,\r\n" +
		"\r\n" +
		"3,2024,\"x,y\",a,b"
	for name, data := range map[string][]byte{
		"plain":               []byte(text),
		"mark":                []byte("\ufeff" + text),
		"type line":           []byte("#TYPE System.Management.Automation.PSCustomObject\r\n" + text),
		"utf-16":              utf16le(text, true),
		"utf-16 without mark": utf16le(text, false),
		"semicolons":          []byte(strings.ReplaceAll(strings.ReplaceAll(text, "x,y", "x;y"), ",", ";")),
	} {
		for _, size := range []int{80, 2 << 20} {
			g := read(t, &Reader{blockSize: size}, write(t, "f.csv", data))
			if len(g.rows) != 3 || len(g.rejects) != 0 {
				t.Errorf("%s/%d: rows %q rejects %v err %v", name, size, g.rows, g.rejects, g.files[0].Err)
				continue
			}
			want := `{"Id":"1","Time (UTC)":"2024","Text":"line one\nline \"two\"","Incoming token type":"a","Incoming token type_2":"b"}`
			if g.rows[0] != want {
				t.Errorf("%s/%d: got %s, want %s", name, size, g.rows[0], want)
			}
			if want := `{"Id":"2","Time (UTC)":"2024","Text":null,"Incoming token type":null,"Incoming token type_2":null}`; g.rows[1] != want {
				t.Errorf("%s/%d: got %s, want %s", name, size, g.rows[1], want)
			}
		}
	}
	g := read(t, &Reader{}, write(t, "f.csv", []byte(text)))
	if g.records[0] != "2:60" || g.records[1][:2] != "4:" || g.records[2][:2] != "6:" {
		t.Errorf("positions %v", g.records)
	}
	if !strings.HasPrefix(text[60:], g.bodies[0]) {
		t.Errorf("raw row %q is not what stands at its offset", g.bodies[0])
	}
	g = read(t, &Reader{}, write(t, "f.csv", []byte("a,b\n1,2,3\n4,5\n")))
	if len(g.rows) != 1 || len(g.rejects) != 1 || !strings.Contains(g.rejects[0].Reason, "3 cells") {
		t.Errorf("a row with too many cells: %v %v", g.rows, g.rejects)
	}
}

func TestArchives(t *testing.T) {
	a, b := []byte(`{"n":1}`+"\n"), []byte(`[{"n":2},{"n":3}]`)
	inner := zipped(map[string][]byte{"b.json": b, "deep/a.json.gz": gz(a)})
	for name, data := range map[string][]byte{
		"gzip":           gz(append(a, []byte(`{"n":2}`+"\n"+`{"n":3}`)...)),
		"zstd":           zst(append(a, []byte(`{"n":2}`+"\n"+`{"n":3}`)...)),
		"zip":            zipped(map[string][]byte{"a.txt": a, "b.txt": b}),
		"zip in zip":     zipped(map[string][]byte{"inner.zip": inner}),
		"zip in gzip":    gz(inner),
		"gzip in zstd":   zst(gz(append(a, []byte(`{"n":2}`+"\n"+`{"n":3}`)...))),
		"two gzip parts": append(gz(a), gz([]byte(`{"n":2}`+"\n"+`{"n":3}`))...),
	} {
		g := read(t, &Reader{}, write(t, "misleading.csv", data))
		if len(g.bodies) != 3 {
			t.Errorf("%s: %q, want three records", name, g.bodies)
		}
		for _, f := range g.files {
			if f.Err != nil || len(f.SHA256) != 64 || len(f.OuterSHA256) != 64 || f.SHA256 == f.OuterSHA256 {
				t.Errorf("%s: %+v", name, f)
			}
		}
	}
}

func TestBadArchives(t *testing.T) {
	good := gz(bytes.Repeat([]byte(`{"n":1}`+"\n"), 1000))
	nested := []byte(`{"n":1}`)
	for range 6 {
		nested = gz(nested)
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"cut gzip":     {good[:len(good)/2], "unexpected EOF"},
		"corrupt gzip": {append(append([]byte{}, good[:len(good)-8]...), 1, 2, 3, 4, 5, 6, 7, 8), "checksum"},
		"cut zip":      {zipped(map[string][]byte{"a": nested})[:40], "zip"},
		"7z":           {[]byte("7z\xbc\xaf\x27\x1c and so on"), "7z archives are not read"},
		"too deep":     {nested, "nested more than"},
	} {
		g := read(t, &Reader{}, write(t, "f", c.data))
		if len(g.files) == 0 || g.files[len(g.files)-1].Err == nil || !strings.Contains(g.files[len(g.files)-1].Err.Error(), c.want) {
			t.Errorf("%s: %+v, want a reason with %q", name, g.files, c.want)
		}
	}
	if g := read(t, &Reader{}, write(t, "f", good[:len(good)-4])); len(g.bodies) == 0 {
		t.Error("what was read before the archive broke is lost")
	}
}

// zeros is a decompression bomb: 10 GiB of zero bytes.
type zeros struct{ left int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.left <= 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.left)
	clear(p[:n])
	z.left -= n
	return int(n), nil
}

func TestBomb(t *testing.T) {
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte(`{"n":1}` + "\n"))
	if _, err := io.Copy(w, &zeros{10 << 30}); err != nil {
		t.Fatal(err)
	}
	w.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	g := read(t, &Reader{}, write(t, "f.zst", b.Bytes()))
	runtime.ReadMemStats(&after)
	if !errors.Is(g.files[0].Err, errBomb) {
		t.Errorf("got %v, want a bomb", g.files[0].Err)
	}
	if len(g.bodies) != 1 {
		t.Errorf("%d records before the bomb, want 1", len(g.bodies))
	}
	if n := after.Sys - before.Sys; n > 512<<20 {
		t.Errorf("took %d MiB from the system", n>>20)
	}
	if g.files[0].Bytes > 1<<30 {
		t.Errorf("read %d bytes of it", g.files[0].Bytes)
	}
}

// A record of 200 MB is given up with its position; what stands around it is read.
func TestHugeRecord(t *testing.T) {
	huge := `{"n":2,"s":"` + strings.Repeat("x", 200_000_000) + `"}`
	for name, text := range map[string]string{
		"lines": `{"n":1}` + "\n" + huge + "\n" + `{"n":3}` + "\n",
		"array": `[{"n":1},` + huge + `,{"n":3}]`,
		"csv":   "n,s\n1,a\n2,\"" + strings.Repeat("x", 200_000_000) + "\"\n3,c\n",
	} {
		g := read(t, &Reader{}, write(t, "f", []byte(text)))
		if len(g.bodies) != 2 || len(g.rejects) != 1 {
			t.Fatalf("%s: %d records, rejects %.200v", name, len(g.bodies), g.rejects)
		}
		r := g.rejects[0]
		if r.Length < 200_000_000 || !strings.Contains(r.Reason, "longer than the limit") || r.Offset < 4 || r.Offset > 12 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestOverLimitSmall(t *testing.T) {
	r := func() *Reader { return &Reader{blockSize: 64, Limits: Limits{Record: 256}} }
	long := `{"n":2,"s":"` + strings.Repeat("x", 5000) + `"}`
	for name, text := range map[string]string{
		"lines": `{"n":1}` + "\n" + long + "\n" + `{"n":3}`,
		"array": `[{"n":1},` + long + `,{"n":3}]`,
		"value": `{"value":[{"n":1},` + long + `,{"n":3}]}`,
	} {
		g := read(t, r(), write(t, "f", []byte(text)))
		if len(g.bodies) != 2 || len(g.rejects) != 1 || g.rejects[0].Length != int64(len(long)) || g.rejects[0].Offset != int64(strings.Index(text, long)) {
			t.Errorf("%s: %q %+v", name, g.bodies, g.rejects)
		}
	}
}

func TestNotLogs(t *testing.T) {
	for name, c := range map[string]struct {
		data, want string
	}{
		"binary":          {"\x7fELF\x02\x01\x01\x00\x00\x00\x00 and so on", "binary data"},
		"prose":           {"Dear colleague\nthe logs follow tomorrow.\n", "single column"},
		"million columns": {strings.Repeat("c,", 1_000_000) + "c\n1,2\n", "columns"},
	} {
		g := read(t, &Reader{}, write(t, "f", []byte(c.data)))
		if g.files[0].Err == nil || !strings.Contains(g.files[0].Err.Error(), c.want) {
			t.Errorf("%s: %v, want a reason with %q", name, g.files[0].Err, c.want)
		}
	}
}

func TestTruncatedJSON(t *testing.T) {
	g := read(t, &Reader{}, write(t, "f", []byte(`[{"n":1},{"n":2,"s":"cut he`)))
	if len(g.bodies) != 1 || len(g.rejects) != 1 || !strings.Contains(g.rejects[0].Reason, "ends inside a record") || g.files[0].Err == nil {
		t.Errorf("%q %+v %v", g.bodies, g.rejects, g.files[0].Err)
	}
	g = read(t, &Reader{}, write(t, "f", []byte(`[{"n":1}, garbage here`+"\n"+`{"n":2}]`)))
	if len(g.bodies) != 2 || len(g.rejects) != 1 {
		t.Errorf("garbage between records: %q %+v", g.bodies, g.rejects)
	}
}

func TestFolders(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{"b/2.json": `{"n":2}`, "a/1.json": `{"n":1}`, "c.txt": `{"n":3}`, "old.case/case.json": `{"n":4}`} {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g := read(t, &Reader{}, dir, filepath.Join(dir, "missing"))
	if fmt.Sprint(g.bodies) != `[{"n":1} {"n":2} {"n":3}]` {
		t.Errorf("got %v: not in order, or its own output was read", g.bodies)
	}
	if last := g.files[len(g.files)-1]; !errors.Is(last.Err, os.ErrNotExist) {
		t.Errorf("a missing path: %+v", last)
	}
}

func TestNoPermission(t *testing.T) {
	if os.Getuid() == 0 {
		// Root reads everything; a directory in the place of a file fails alike.
		p := write(t, "f", []byte("{}"))
		g := read(t, &Reader{}, p+"/below")
		if g.files[0].Err == nil {
			t.Error("no reason given")
		}
		return
	}
	p := write(t, "f", []byte("{}"))
	if err := os.Chmod(p, 0); err != nil {
		t.Fatal(err)
	}
	if g := read(t, &Reader{}, p); !errors.Is(g.files[0].Err, os.ErrPermission) {
		t.Errorf("got %v", g.files[0].Err)
	}
}

func TestChangedWhileRead(t *testing.T) {
	p := write(t, "f", bytes.Repeat([]byte(`{"n":1}`+"\n"), 100_000))
	first := true
	r := &Reader{blockSize: 1 << 10}
	files, err := r.Read(context.Background(), []string{p}, func(b *Block) error {
		defer b.Release()
		if first {
			first = false
			f, err := os.OpenFile(p, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteString(`{"n":2}` + "\n")
			return err
		}
		return nil
	})
	if err != nil || !files[0].Changed {
		t.Errorf("%+v %v: the change went unnoticed", files[0], err)
	}
}

func TestSkip(t *testing.T) {
	p := write(t, "f", []byte(`{"n":1}`))
	g := read(t, &Reader{}, p)
	sum := g.files[0].SHA256
	r := &Reader{Skip: func(_, s string) bool { return s == sum }}
	if g := read(t, r, p); len(g.files) != 0 || len(r.Skipped()) != 1 {
		t.Errorf("%v %v", g.files, r.Skipped())
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	p := write(t, "f", bytes.Repeat([]byte(`{"n":1}`+"\n"), 100_000))
	_, err := (&Reader{blockSize: 1 << 10}).Read(ctx, []string{p}, func(b *Block) error {
		b.Release()
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// The walker finds the same records as encoding/json, whatever the layout and
// the size of its window.
func TestAgainstEncodingJSON(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var want []string
		var text bytes.Buffer
		text.WriteString("[")
		for i := range 1 + rnd.IntN(20) {
			v := map[string]any{"i": i, "s": strings.Repeat(`a"\é`, rnd.IntN(40)), "l": []any{map[string]any{"x": "]}"}, nil, 1.5}}
			b, _ := json.Marshal(v)
			if rnd.IntN(2) == 0 {
				b, _ = json.MarshalIndent(v, "", "\t")
			}
			if i > 0 {
				text.WriteString(",\n"[:1+rnd.IntN(2)])
			}
			text.Write(b)
			want = append(want, string(b))
		}
		text.WriteString("]")
		g := read(t, &Reader{blockSize: 16 << rnd.IntN(8)}, write(t, "f", text.Bytes()))
		if fmt.Sprint(g.bodies) != fmt.Sprint(want) {
			t.Fatalf("got %q, want %q from %s", g.bodies, want, text.Bytes())
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"value":[{"a":1},{"b":"\\\""}]}`))
	f.Add([]byte("a,b\n1,\"x\ny\"\n"))
	f.Add([]byte("[{\"a\":1}]\r\n[{\"b\":2}]"))
	f.Add(gz([]byte(`{"a":1}`)))
	f.Add(utf16le("a,b\n1,2", true))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		defer time.AfterFunc(20*time.Second, func() { panic(fmt.Sprintf("hangs on %q", data)) }).Stop()
		p := filepath.Join(dir, fmt.Sprint(os.Getpid()))
		if err := os.WriteFile(p, data, 0o600); err != nil {
			t.Fatal(err)
		}
		g := read(t, &Reader{blockSize: 32, Limits: Limits{Record: 200}}, p)
		big := read(t, &Reader{Limits: Limits{Record: 200}}, p)
		for i, r := range big.rejects { // a limit counts blocks too, so that only shorter records compare
			if strings.Contains(r.Reason, "longer") {
				return
			}
			_ = i
		}
		for _, r := range g.rejects {
			if strings.Contains(r.Reason, "longer") {
				return
			}
		}
		if len(g.files) == 1 && len(big.files) == 1 && g.files[0].Framing == big.files[0].Framing && g.files[0].Err == nil && big.files[0].Err == nil && fmt.Sprint(g.bodies) != fmt.Sprint(big.bodies) {
			t.Errorf("the window's size changes the records: %q, %q", g.bodies, big.bodies)
		}
	})
}

package source

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// segments reads values as one segment and checks what holds for any.
func segments(t testing.TB, blockSize int, values ...string) (records, reasons []string) {
	var stream []byte
	s := Segment{Path: "kafka://b/t/0#7-9", Name: "t", Err: errors.New("gap")}
	for i, v := range values {
		s.Messages = append(s.Messages, Message{Offset: int64(7 + i), Value: []byte(v)})
		stream = append(append(stream, v...), '\n')
	}
	r := &Reader{Limits: Limits{Record: 64}, blockSize: blockSize, FirstFile: 5}
	var seq int64
	files, err := r.ReadSegments(t.Context(), []Segment{s, {Path: "empty"}}, func(b *Block) error {
		defer b.Release()
		if b.Seq != seq || b.Kind != Values {
			t.Errorf("block %d of kind %d, want %d", b.Seq, b.Kind, seq)
		}
		seq++
		for _, x := range b.Spans {
			raw := b.Data[x.Start:x.End]
			if at := b.Offset + int64(x.Start); !bytes.Equal(stream[at:at+int64(len(raw))], raw) {
				t.Errorf("%q is not at %d", raw, at)
			}
			if x.Line < 7 || int(x.Line) >= 7+len(values) || !strings.Contains(values[x.Line-7], string(raw)) {
				t.Errorf("%q is not in message %d", raw, x.Line)
			}
			records = append(records, string(raw))
		}
		for _, x := range b.Rejects {
			if x.File != 5 || x.Line < 7 || x.Offset < 0 || x.Length < 0 || x.Offset+x.Length > int64(len(stream)) || len(x.Head) > 600 {
				t.Errorf("%+v", x)
			}
			reasons = append(reasons, x.Reason)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(stream)
	if f := files[0]; len(files) != 2 || f.SHA256 != hex.EncodeToString(sum[:]) || f.Bytes != int64(len(stream)) || f.Framing != Messages || f.Err == nil || files[1].Bytes != 0 {
		t.Errorf("%+v", f)
	}
	return records, reasons
}

func TestSegments(t *testing.T) {
	for _, x := range []struct {
		value           string
		records, reason string
	}{
		{`{"a":1}`, `{"a":1}`, ""},
		{"\xef\xbb\xbf {\"a\":1}\n", `{"a":1}`, ""},
		{`{"records":[{"a":1},{"b":2}]}`, `{"a":1} {"b":2}`, ""},
		{`[{"a":1}, {"b":2}]`, `{"a":1} {"b":2}`, ""},
		{"{\"a\":1}\n{\"b\":2}", `{"a":1} {"b":2}`, ""},
		{`{"records":[]}`, "", ""},
		{"", "", "empty message"},
		{" \n", "", "empty message"},
		{"text", "", "message is not JSON"},
		{`{"a":1`, "", "the message ends inside a record"},
		{`{"records":[{"a":1},`, `{"a":1}`, "the message ends inside an array or an envelope; the records before are read"},
		{`{"records":[{"a":1}`, `{"a":1}`, "the message ends inside an array or an envelope; the records before are read"},
		{`[{"a":1}`, `{"a":1}`, "the message ends inside an array or an envelope; the records before are read"},
		{`{"a":"` + strings.Repeat("x", 64) + `"}`, "", "record of at least 72 bytes is longer than the limit of 64"},
		{"{\x00}\x00\"\x00a\x00\"\x00", "", "message in UTF-16; only UTF-8 is read from queues"},
	} {
		for _, size := range []int{16, 1 << 20} {
			records, reasons := segments(t, size, `{"before":1}`, x.value, `{"after":1}`)
			want := strings.Join(strings.Fields(`{"before":1} `+x.records+` {"after":1}`), " ")
			if got := strings.Join(records, " "); got != want || strings.Join(reasons, ";") != x.reason {
				t.Errorf("%q in blocks of %d: records %s, want %s; rejects %q, want %q", x.value, size, got, want, reasons, x.reason)
			}
		}
	}
}

func FuzzSegments(f *testing.F) {
	for _, s := range []string{`{"records":[{"a":1},{"b":2}]}`, `[{"a":"\"}"}]`, "\xef\xbb\xbf{}", `{"d":{"results":[{}]}}`, `{"a":1`, "[", `{"events":[{"event":{}}`} {
		f.Add(s, 16)
	}
	f.Fuzz(func(t *testing.T, value string, size int) {
		segments(t, 1+max(0, size%4096), value, `{"after":1}`, value)
	})
}

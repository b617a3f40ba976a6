package source

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"midwatch/event"
)

// Message is what a queue hands over in one piece. It holds a record, or many
// of them: Azure writes {"records":[...]} into each message.
type Message struct {
	Offset int64 // number in its partition
	Time   int64 // when it was written to the queue, microseconds since 1970; 0 unknown
	Value  []byte
}

// Segment is a run of messages of one partition of a queue, in their order. It
// is read as if it were a file that holds each message with a newline after it:
// that is what its hash and the positions in it are of, so that messages which
// are taken from the queue again can be held against it. The lines of its
// records are the offsets of their messages.
type Segment struct {
	Path     string // kafka://broker/topic/partition#first-last
	Name     string // of the topic
	Messages []Message
	// Err says what of the queue is known to be missing before the segment, or
	// is nil.
	Err error
}

// Messages is the framing of segments.
const Messages = "messages"

// ReadSegments is Read for messages. It does not keep their values.
func (r *Reader) ReadSegments(ctx context.Context, segments []Segment, emit func(*Block) error) ([]*File, error) {
	r.begin(ctx, emit)
	for i := range segments {
		if err := r.readSegment(&segments[i]); err != nil {
			if e, ok := isStop(err); ok {
				err = e
			}
			return r.files, err
		}
	}
	return r.files, nil
}

func (r *Reader) readSegment(s *Segment) error {
	f := r.newFile(s.Path, s.Name)
	f.Framing, f.Encoding, f.Err = Messages, "utf-8", s.Err
	h := sha256.New()
	var b *Block
	var n int // bytes in b
	ship := func() error {
		if b == nil {
			return nil
		}
		out := b
		out.Data, b = out.buf[:n:n], nil
		return r.send(out)
	}
	for i := range s.Messages {
		m := &s.Messages[i]
		size := len(m.Value) + 1
		if b != nil && n+size > len(b.buf) {
			if err := ship(); err != nil {
				return err
			}
		}
		if b == nil {
			buf, err := r.pool.get(r.ctx, max(size, r.blockSize))
			if err != nil {
				return stop{err}
			}
			b, n = &Block{File: f, Kind: Values, Line: m.Offset, Offset: f.Bytes, buf: buf, pool: r.pool}, 0
		}
		copy(b.buf[n:], m.Value)
		b.buf[n+size-1] = '\n'
		h.Write(b.buf[n : n+size])
		r.cut(b, n, n+len(m.Value), m.Offset)
		n += size
		f.Bytes += int64(size)
		if r.Progress != nil {
			r.Progress(int64(size))
		}
	}
	f.SHA256 = hex.EncodeToString(h.Sum(nil))
	f.OuterSHA256, f.OuterBytes = f.SHA256, f.Bytes
	return ship()
}

// cut finds the records of the message that is buf[start:end] of b. What is no
// record is rejected in one piece where that can be told from its beginning,
// so that a megabyte of something else is one reject.
func (r *Reader) cut(b *Block, start, end int, offset int64) {
	value := b.buf[start:end:end]
	reject := func(reason string) {
		b.Rejects = append(b.Rejects, event.Reject{
			File: b.File.Ordinal, Line: offset, Offset: b.Offset + int64(start), Length: int64(len(value)), Reason: reason, Head: headOf(value),
		})
	}
	skip := 0
	if bytes.HasPrefix(value, []byte{0xef, 0xbb, 0xbf}) {
		skip = 3
	}
	text := bytes.TrimLeft(value[skip:], " \t\r\n")
	switch {
	case len(text) == 0:
		reject("empty message")
		return
	case sniffEncoding(value) != "utf-8":
		reject("message in UTF-16; only UTF-8 is read from queues")
		return
	case magic(value) != "":
		reject("message is compressed by its producer (" + magic(value) + "); compression of the queue itself is read")
		return
	case value[0] == 0 && len(value) > 5:
		reject("message in a binary format (Avro or Protobuf of a schema registry?); only JSON is read")
		return
	case text[0] != '{' && text[0] != '[':
		reject("message is not JSON")
		return
	}
	fr := framer{r: r, file: b.File, buf: value, n: len(value), eof: true, base: b.Offset + int64(start), i: skip, keep: -1}
	err := fr.walk()
	switch {
	case fr.keep >= 0:
		fr.reject(fr.keep, fr.n, "the message ends inside a record")
	case !errors.Is(err, errEnd):
		reject("the message ends inside an array or an envelope; the records before are read")
	}
	for i := range fr.rejects {
		fr.rejects[i].Line = offset
	}
	b.Rejects = append(b.Rejects, fr.rejects...)
	for _, s := range fr.spans {
		if n := int64(s.End - s.Start); n > r.Limits.Record {
			b.Rejects = append(b.Rejects, event.Reject{
				File: b.File.Ordinal, Line: offset, Offset: fr.base + int64(s.Start), Length: n,
				Reason: errTooLong(n, r.Limits.Record), Head: headOf(value[s.Start:s.End]),
			})
			continue
		}
		b.Spans = append(b.Spans, Span{Start: start + s.Start, End: start + s.End, Line: offset})
	}
}

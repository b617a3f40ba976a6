package dossier

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// A case.json can be a gigabyte, nearly all of it messages and the log lines
// behind events. They are never held at once: scan reads the file a piece at a
// time, hands out the members of the long lists one by one, and keeps the rest,
// which is small, for the decoder of the contract.

// long is what scan hands out. What is nil is passed over. raw is valid until it
// returns.
type long struct {
	message    func(campaign, mailbox int, raw []byte) error
	attachment func(campaign, mailbox int, raw []byte) error
	evidence   func(id string, raw []byte) error
}

// scan reads a case. keep gets it without its long lists; nil: nothing is kept.
// What is no JSON may be kept or handed out all the same: decoders see it.
func scan(r io.Reader, keep *bytes.Buffer, out long) error {
	s := &scanner{r: r, buf: make([]byte, 1<<20), keep: keep}
	err := s.object(func(key string) error {
		switch key {
		case "campaigns":
			return s.array(func(i int) error {
				return s.object(func(key string) error {
					if key != "mailboxes" {
						return s.copy()
					}
					return s.array(func(j int) error {
						return s.object(func(key string) error {
							switch key {
							case "messages":
								return s.elements(i, j, out.message)
							case "attachment_items":
								return s.elements(i, j, out.attachment)
							}
							return s.copy()
						})
					})
				})
			})
		case "evidence":
			return s.members(out.evidence)
		}
		return s.copy()
	})
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("offset %d: %w", s.base+int64(s.pos), err)
	}
	return nil
}

type scanner struct {
	r        io.Reader
	buf      []byte
	pos, end int   // what of buf was read and not used yet
	base     int64 // offset of buf in the file
	keep     *bytes.Buffer
	item     []byte
}

// fill reads more when everything was used.
func (s *scanner) fill() error {
	if s.pos < s.end {
		return nil
	}
	s.base += int64(s.end)
	s.pos, s.end = 0, 0
	for range 100 {
		n, err := s.r.Read(s.buf)
		if s.end = n; n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

func space(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

// peek is the next byte that is no space.
func (s *scanner) peek() (byte, error) {
	for {
		if err := s.fill(); err != nil {
			return 0, err
		}
		for ; s.pos < s.end; s.pos++ {
			if c := s.buf[s.pos]; !space(c) {
				return c, nil
			}
		}
	}
}

// take uses the next byte, which has to be one of those.
func (s *scanner) take(want string) (byte, error) {
	c, err := s.peek()
	if err != nil {
		return 0, err
	}
	for i := range len(want) {
		if c == want[i] {
			s.pos++
			s.put(c)
			return c, nil
		}
	}
	return 0, fmt.Errorf("%q where one of %q is expected", c, want)
}

func (s *scanner) put(c byte) {
	if s.keep != nil {
		s.keep.WriteByte(c)
	}
}

// value uses the next value and hands its pieces to to, unless that is nil.
func (s *scanner) value(to func([]byte)) error {
	if _, err := s.peek(); err != nil {
		return err
	}
	depth, text := 0, false
	for {
		if err := s.fill(); err != nil {
			return err
		}
		from := s.pos
		done := false
		for s.pos < s.end && !done {
			w := s.buf[s.pos:s.end]
			if text {
				i := bytes.IndexByte(w, '"')
				head := w
				if i >= 0 {
					head = w[:i]
				}
				if e := bytes.IndexByte(head, '\\'); e >= 0 {
					s.pos += e + 1
					if s.pos == s.end { // what is escaped is in the next piece
						if to != nil {
							to(s.buf[from:s.pos])
						}
						if err := s.fill(); err != nil {
							return err
						}
						from = s.pos
					}
					s.pos++
					continue
				}
				if i < 0 {
					s.pos = s.end
					continue
				}
				s.pos += i + 1
				text, done = false, depth == 0
				continue
			}
			for i, c := range w {
				switch c {
				case '"':
					text = true
				case '{', '[':
					depth++
					continue
				case '}', ']':
					if depth--; depth > 0 {
						continue
					}
					done = true
					if depth < 0 { // it ends what the value is in
						i--
					}
				case ',', ' ', '\n', '\t', '\r':
					if depth > 0 {
						continue
					}
					done = true
					i--
				default:
					continue
				}
				s.pos += i + 1
				w = nil
				break
			}
			if w != nil {
				s.pos = s.end
			}
		}
		if to != nil {
			to(s.buf[from:s.pos])
		}
		if done {
			return nil
		}
	}
}

// copy keeps the next value.
func (s *scanner) copy() error {
	if s.keep == nil {
		return s.value(nil)
	}
	return s.value(func(b []byte) { s.keep.Write(b) })
}

// text uses the next value, a string.
func (s *scanner) text() (string, error) {
	if c, err := s.peek(); err != nil || c != '"' {
		return "", errors.Join(err, fmt.Errorf("%q where a name is expected", c))
	}
	s.item = s.item[:0]
	if err := s.value(func(b []byte) { s.item = append(s.item, b...) }); err != nil {
		return "", err
	}
	var name string
	err := json.Unmarshal(s.item, &name)
	return name, err
}

// object calls fn at the value of each member; anything else than an object is
// kept.
func (s *scanner) object(fn func(key string) error) error {
	if c, err := s.peek(); err != nil || c != '{' {
		return errors.Join(err, s.copy())
	}
	_, _ = s.take("{")
	for first := true; ; first = false {
		c, err := s.peek()
		if err != nil {
			return err
		}
		if c == '}' && first {
			_, err := s.take("}")
			return err
		}
		name, err := s.text()
		if err != nil {
			return err
		}
		if s.keep != nil {
			s.keep.Write(s.item)
		}
		if _, err := s.take(":"); err != nil {
			return err
		}
		if err := fn(name); err != nil {
			return err
		}
		if c, err := s.take(",}"); err != nil || c == '}' {
			return err
		}
	}
}

// array calls fn at each element; anything else than an array is kept.
func (s *scanner) array(fn func(i int) error) error {
	if c, err := s.peek(); err != nil || c != '[' {
		return errors.Join(err, s.copy())
	}
	_, _ = s.take("[")
	for i := 0; ; i++ {
		c, err := s.peek()
		if err != nil {
			return err
		}
		if c == ']' && i == 0 {
			_, err := s.take("]")
			return err
		}
		if err := fn(i); err != nil {
			return err
		}
		if c, err := s.take(",]"); err != nil || c == ']' {
			return err
		}
	}
}

// quietly keeps nothing of a list but that it is there.
func (s *scanner) quietly(kept string, fn func() error) error {
	keep := s.keep
	s.keep = nil
	err := fn()
	if s.keep = keep; keep != nil {
		keep.WriteString(kept)
	}
	return err
}

// elements hands out the elements of an array.
func (s *scanner) elements(i, j int, fn func(i, j int, raw []byte) error) error {
	if c, err := s.peek(); err != nil || c != '[' {
		return errors.Join(err, s.copy())
	}
	return s.quietly("[]", func() error {
		if fn == nil {
			return s.value(nil)
		}
		return s.array(func(int) error {
			raw, err := s.raw()
			if err != nil {
				return err
			}
			return fn(i, j, raw)
		})
	})
}

// members hands out the members of an object.
func (s *scanner) members(fn func(id string, raw []byte) error) error {
	if c, err := s.peek(); err != nil || c != '{' {
		return errors.Join(err, s.copy())
	}
	return s.quietly("{}", func() error {
		if fn == nil {
			return s.value(nil)
		}
		return s.object(func(id string) error {
			raw, err := s.raw()
			if err != nil {
				return err
			}
			return fn(id, raw)
		})
	})
}

// raw uses the next value.
func (s *scanner) raw() ([]byte, error) {
	s.item = s.item[:0]
	err := s.value(func(b []byte) { s.item = append(s.item, b...) })
	return s.item, err
}

package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/valyala/fastjson"
)

// inputFile is the file that ingest reads, made where none is named.
func inputFile(o options) (name string, size int64, err error) {
	name = o.in
	if name == "" {
		n, err := parseSize(o.size)
		if err != nil {
			return "", 0, err
		}
		name = filepath.Join(o.dir, "ual.ndjson")
		if _, err := os.Stat(name); err != nil { // else another part made it
			if err := generate(filepath.Join(o.corpora, "invictus", "auditrecords.csv"), name, n); err != nil {
				return "", 0, err
			}
		}
	}
	info, err := os.Stat(name)
	if err != nil {
		return "", 0, err
	}
	return name, info.Size(), nil
}

func parseSize(s string) (int64, error) {
	for suffix, unit := range map[string]float64{"GB": 1e9, "MB": 1e6} {
		if n, ok := strings.CutSuffix(strings.ToUpper(s), suffix); ok {
			f, err := strconv.ParseFloat(n, 64)
			return int64(f * unit), err
		}
	}
	return 0, fmt.Errorf("size %q: use MB or GB", s)
}

// generate repeats the records, each time with new ids.
func generate(from, to string, size int64) error {
	f, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("the benchmark reads the Invictus set: %w", err)
	}
	defer f.Close()
	cr := csv.NewReader(bufio.NewReaderSize(f, 1<<20))
	header, err := cr.Read()
	if err != nil {
		return err
	}
	col := slices.Index(header, "AuditData")
	type rec struct{ text, id string }
	var recs []rec
	seen := map[string]bool{}
	for {
		row, err := cr.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		v, err := fastjson.Parse(row[col])
		if err != nil {
			continue
		}
		if id := string(v.GetStringBytes("Id")); !seen[id] {
			seen[id] = true
			recs = append(recs, rec{strings.Clone(row[col]), id})
		}
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(out, 4<<20)
	rnd := rand.New(rand.NewPCG(7, 7))
	var n int64
	for n < size {
		for _, r := range recs {
			id := fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", rnd.Uint32(), rnd.Uint32()&0xffff, rnd.Uint32()&0xfff, rnd.Uint32()&0xfff, rnd.Uint64()&0xffffffffffff)
			line := strings.ReplaceAll(r.text, r.id, id)
			n += int64(len(line)) + 1
			if _, err := w.WriteString(line + "\n"); err != nil {
				return err
			}
		}
	}
	return errors.Join(w.Flush(), out.Close())
}

// eachBlock calls fn with runs of whole lines.
func eachBlock(in string, fn func([]byte) error) error {
	f, err := os.Open(in)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, 2<<20)
	n := 0
	for {
		k, err := io.ReadFull(f, buf[n:])
		n += k
		end := n
		if err == nil {
			end = bytes.LastIndexByte(buf[:n], '\n') + 1
		}
		if e := fn(buf[:end]); e != nil {
			return e
		}
		if err != nil {
			return nil
		}
		n = copy(buf, buf[end:n])
	}
}

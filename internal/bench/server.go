package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"midwatch/internal/clickhousetest"
)

// servers are nodes that run for one measurement.
type servers struct {
	*clickhousetest.Cluster
	dir    string    // what they write
	before []float64 // each node's processor time when the measurement began
}

// launch starts nodes with nothing in them.
func launch(ctx context.Context, o options, nodes int) (*servers, error) {
	dir, err := os.MkdirTemp(o.dir, "clickhouse-")
	if err != nil {
		return nil, err
	}
	c, err := clickhousetest.Launch(ctx, clickhousetest.Options{Nodes: nodes, Dir: dir, MaxMemory: 8 << 30})
	if err != nil {
		return nil, err
	}
	s := &servers{Cluster: c, dir: dir, before: make([]float64, nodes)}
	return s, s.mark()
}

// end stops the nodes and removes what they wrote.
func (s *servers) end() error { return errors.Join(s.Close(), os.RemoveAll(s.dir)) }

// url names the database that measurements use: on the first node, or on the
// shards of all.
func (s *servers) url(parameters ...string) string {
	u := s.Nodes[0].DSN("bench")
	if len(s.Nodes) > 1 {
		parameters = append(parameters, "cluster="+s.Name)
	}
	if len(parameters) > 0 {
		u += "?" + strings.Join(parameters, "&")
	}
	return u
}

// mark begins to count processor time.
func (s *servers) mark() error {
	for i, n := range s.Nodes {
		var err error
		if s.before[i], err = cpuOf(n.Pid()); err != nil {
			return err
		}
	}
	return nil
}

// cpu is what all nodes used since the last mark, seconds.
func (s *servers) cpu() (float64, error) {
	sum := 0.0
	for i, n := range s.Nodes {
		now, err := cpuOf(n.Pid())
		if err != nil {
			return 0, err
		}
		sum += now - s.before[i]
	}
	return sum, nil
}

// peak is the most memory that any node had, KiB.
func (s *servers) peak() (int64, error) {
	var most int64
	for _, n := range s.Nodes {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.Pid()))
		if err != nil {
			return 0, err
		}
		_, rest, _ := strings.Cut(string(b), "VmHWM:")
		kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		if err != nil {
			return 0, err
		}
		most = max(most, kib)
	}
	return most, nil
}

// cpuOf is the processor time of a process, user and system, seconds.
// Source: proc(5): fields 14 and 15, in clock ticks, which are 100 a second.
func cpuOf(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	text := string(b)
	f := strings.Fields(text[strings.LastIndexByte(text, ')')+1:]) // the name may hold anything
	user, err := strconv.ParseFloat(f[11], 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseFloat(f[12], 64)
	return (user + system) / 100, err
}

// settle waits until the nodes have merged what they want to merge by
// themselves.
func (s *servers) settle(ctx context.Context) error {
	quiet := 0
	for range 600 {
		busy := false
		for _, n := range s.Nodes {
			got, err := n.Query(ctx, "SELECT count() FROM system.merges")
			if err != nil {
				return err
			}
			busy = busy || got != "0"
		}
		if quiet++; busy {
			quiet = 0
		}
		if quiet == 10 {
			return nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return errors.New("the merges of the server do not end")
}

// optimize merges each partition to one part, however large.
func (s *servers) optimize(ctx context.Context) error {
	for _, n := range s.Nodes {
		for _, t := range []string{"events", "items", "files", "rejects"} {
			if len(s.Nodes) > 1 {
				t += "_local"
			}
			if _, err := n.Query(ctx, "OPTIMIZE TABLE bench."+t+" FINAL"); err != nil {
				return err
			}
		}
	}
	return nil
}

// stored is what the database takes on disk, bytes, and in how many parts.
func (s *servers) stored(ctx context.Context) (bytes, parts int64, err error) {
	for _, n := range s.Nodes {
		got, err := n.Query(ctx, "SELECT sum(bytes_on_disk), count() FROM system.parts WHERE active AND database = 'bench'")
		if err != nil {
			return 0, 0, err
		}
		var b, p int64
		if _, err := fmt.Sscan(got, &b, &p); err != nil {
			return 0, 0, fmt.Errorf("size of the parts %q: %w", got, err)
		}
		bytes += b
		parts += p
	}
	return bytes, parts, nil
}

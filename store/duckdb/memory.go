package duckdb

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strconv"
	"strings"

	"midwatch/store"
)

// What a store that nobody gave a limit begins with. Loads need no more,
// whatever the size of the store.
const leastMemory = 640 << 20

// memoryFor is the memory, in bytes, that questions to a store of a size begin
// with: what they keep grows with it, and much of it cannot be spilled. Ten
// million events, 1.6 GB, are asked with the least; a hundred million need more.
func memoryFor(size int64) int64 {
	return max(leastMemory, min(size/6, machineMemory()/4))
}

// mostMemory is what questions may take at most.
func mostMemory() int64 { return max(leastMemory, machineMemory()/2) }

// machineMemory is the memory of this machine, or of the container that this
// process is in, in bytes; 4 GiB where it cannot be told.
//
// Source: proc(5), /proc/meminfo; Linux's cgroup v2, memory.max.
func machineMemory() int64 {
	most := int64(4 << 30)
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		_, rest, _ := strings.Cut(string(b), "MemTotal:")
		if f := strings.Fields(rest); len(f) > 0 {
			if kib, err := strconv.ParseInt(f[0], 10, 64); err == nil {
				most = kib << 10
			}
		}
	}
	if b, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil {
			most = min(most, n)
		}
	}
	return most
}

// outOfMemory reports whether a question needed more than the limit, and could
// not put it on disk.
func outOfMemory(err error) bool {
	return err != nil && strings.Contains(err.Error(), "Out of Memory Error")
}

// raise puts a quarter on the limit after a question that ran into limit before,
// and reports whether that is worth another try: whatever more there is, the
// engine takes. A limit that was asked for stays.
func (s *Store) raise(ctx context.Context, before int64) bool {
	s.room.Lock()
	defer s.room.Unlock()
	if s.opts.MemoryLimit != "" {
		return false
	}
	if s.memory > before {
		return true // another question has done it
	}
	next := min(s.memory+max(s.memory/4, leastMemory/4), s.most)
	if next <= s.memory {
		return false
	}
	if _, err := s.db.ExecContext(ctx, fmt.Sprintf("SET memory_limit = '%dMiB'", next>>20)); err != nil {
		return false
	}
	s.memory = next
	return true
}

// patiently asks, and asks again with more memory where that is what it lacks.
func (s *Store) patiently(ctx context.Context, ask func() (*sql.Rows, error)) (*sql.Rows, error) {
	for {
		s.room.Lock()
		before := s.memory
		s.room.Unlock()
		rows, err := ask()
		if !outOfMemory(err) || ctx.Err() != nil {
			return rows, err
		}
		if !s.raise(ctx, before) {
			return nil, fmt.Errorf("%w: %w", store.ErrMemory, err)
		}
	}
}

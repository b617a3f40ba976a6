package clickhouse

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	mrand "math/rand/v2"
	"strings"
	"time"

	"midwatch/store"
)

// Table loads says which loads there are and how far each is. It is only ever
// added to: a load's state is the greatest that any row gives it, so that a row
// written twice changes nothing and nobody has to be first.
const (
	open      = 0 // its rows do not count; a row a few seconds is its sign of life
	doubted   = 1 // it gave no sign of life for long: whoever says so looks once more before it is dead
	loaded    = 2 // all its rows are there; it waits for its turn to be settled
	settled   = 3 // and none of them repeats another load's: they count
	dead      = 4 // its rows never count
	withdrawn = 5 // so does this one's: its number was somebody else's, or it was doubted before it was loaded
)

// pace is how often loads give a sign of life, and how long they may give none.
type pace struct {
	beat time.Duration
	// deadAfter is how long a load may be silent. One that is declared dead by
	// mistake cannot commit, and says so. All that write to a store must mean
	// the same by it, so that it is no option of theirs.
	deadAfter time.Duration
}

func usualPace() pace { return pace{beat: 5 * time.Second, deadAfter: time.Minute} }

// loadRow is one load, as one holder has it.
type loadRow struct {
	number uint32
	holder string
	state  uint8
	first  int32         // ordinal of its first file
	ticket uint32        // loads are settled in the order of their tickets; 0 is none yet
	doubts bool          // somebody doubted it, whatever it is now
	silent time.Duration // since its last sign of life, by the server's clock
}

// loads reads the table.
func (s *Store) loads(ctx context.Context) ([]loadRow, error) {
	var out []loadRow
	err := s.again(ctx, func() error {
		out = out[:0]
		rows, err := s.db.QueryContext(ctx, "SELECT toInt64(load), holder, toInt64(max(state)), max(first), toInt64(max(ticket)), toInt64(max(state = 1)), dateDiff('millisecond', max(at), now64(3)) FROM loads GROUP BY load, holder ORDER BY load, holder")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var r loadRow
			var n, state, ticket, doubts, ms int64
			if err := rows.Scan(&n, &r.holder, &state, &r.first, &ticket, &doubts, &ms); err != nil {
				return err
			}
			r.number, r.state, r.ticket, r.doubts, r.silent = uint32(n), uint8(state), uint32(ticket), doubts > 0, time.Duration(ms)*time.Millisecond
			out = append(out, r)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read table loads: %w", err)
	}
	return out, nil
}

func (s *Store) writeLoad(ctx context.Context, r loadRow, state uint8) error {
	return s.write(ctx, fmt.Sprintf("INSERT INTO loads (load, holder, state, first, ticket) VALUES (%d, '%s', %d, %d, %d)", r.number, r.holder, state, r.first, r.ticket))
}

// writeFor is writeLoad about somebody else's load: it is no sign of its life.
func (s *Store) writeFor(ctx context.Context, r loadRow, state uint8) error {
	return s.write(ctx, fmt.Sprintf("INSERT INTO loads (load, holder, state, first, ticket, at) VALUES (%d, '%s', %d, %d, %d, toDateTime64(0, 3, 'UTC'))", r.number, r.holder, state, r.first, r.ticket))
}

// find is a load as it is in the table.
func find(loads []loadRow, holder string) loadRow {
	for _, r := range loads {
		if r.holder == holder {
			return r
		}
	}
	return loadRow{}
}

// seen is the condition on column load that selects the rows that count.
func seen(loads []loadRow) string {
	counts := map[uint32]bool{}
	var last uint32
	for _, r := range loads {
		if r.state == settled {
			counts[r.number] = true
			last = max(last, r.number)
		}
	}
	if last == 0 {
		return "load = 0"
	}
	var holes []string
	for n := uint32(1); n < last; n++ {
		if !counts[n] {
			holes = append(holes, fmt.Sprint(n))
		}
	}
	if len(holes) == 0 {
		return fmt.Sprintf("load <= %d", last)
	}
	return fmt.Sprintf("load <= %d AND load NOT IN (%s)", last, strings.Join(holes, ", "))
}

// refresh takes a new snapshot.
func (s *Store) refresh(ctx context.Context) error {
	loads, err := s.loads(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.visible = seen(loads)
	s.mu.Unlock()
	return nil
}

// claim takes a number and file ordinals that no other load has. Two that take
// the same at once both see it, for each writes before it reads; both withdraw
// and try again after different times.
func (s *Store) claim(ctx context.Context) (loadRow, error) {
	var id [8]byte
	_, _ = rand.Read(id[:]) // it never fails; see package crypto/rand
	me := loadRow{holder: hex.EncodeToString(id[:])}
	for try := range 20 {
		others, err := s.loads(ctx)
		if err != nil {
			return me, err
		}
		var next int64
		if err := s.again(ctx, func() error {
			return s.db.QueryRowContext(ctx, "SELECT toInt64(if(count() = 0, 0, max(file) + 1)) FROM files").Scan(&next)
		}); err != nil {
			return me, err
		}
		me.number = 1
		for _, r := range others {
			me.number = max(me.number, r.number+1)
			if r.mayWrite(s.pace) {
				next = max(next, int64(r.first)+store.MaxFiles)
			}
		}
		if next+store.MaxFiles > math.MaxInt32 {
			return me, errors.New("clickhouse: the store has held as many files as it can number; begin a new database")
		}
		me.first = int32(next)
		if err := s.writeLoad(ctx, me, open); err != nil {
			return me, err
		}
		now, err := s.loads(ctx)
		if err != nil {
			return me, err
		}
		clash := false
		for _, r := range now {
			if r.holder == me.holder || r.state == withdrawn {
				continue
			}
			if r.number == me.number || r.mayWrite(s.pace) && overlap(r.first, me.first) {
				clash = true
			}
		}
		if !clash {
			return me, nil
		}
		if err := s.writeLoad(ctx, me, withdrawn); err != nil {
			return me, err
		}
		t := time.NewTimer(time.Duration(mrand.IntN(50*(try+1))+1) * time.Millisecond)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return me, context.Cause(ctx)
		}
		_, _ = rand.Read(id[:])
		me.holder = hex.EncodeToString(id[:])
	}
	return me, errors.New("clickhouse: too many processes begin a load at once; try again")
}

// mayWrite reports whether a load may yet write to the files whose ordinals it
// took: also one that will be doubted in a moment.
func (r *loadRow) mayWrite(p pace) bool { return r.state < loaded && r.silent < 2*p.deadAfter }

func overlap(a, b int32) bool {
	return a < b+store.MaxFiles && b < a+store.MaxFiles
}

// bury ends loads that gave no sign of life and removes their rows. A load that
// says "loaded" and is not doubted goes on; who doubts one and then does not
// find it loaded ends it. Each writes before it reads, so that never both do.
func (s *Store) bury(ctx context.Context, loads []loadRow) (n int64, err error) {
	for _, r := range loads {
		if r.state >= loaded || r.silent < s.pace.deadAfter {
			continue
		}
		if err := s.writeFor(ctx, r, doubted); err != nil {
			return n, err
		}
		now, err := s.loads(ctx)
		if err != nil {
			return n, err
		}
		if find(now, r.holder).state >= loaded {
			continue
		}
		if err := s.writeFor(ctx, r, dead); err != nil {
			return n, err
		}
		n++
		s.remove(ctx, r.number)
	}
	return n, nil
}

// remove deletes a load's rows in the background. They do not count in any
// case, so that a user without the right to delete loses only their space.
func (s *Store) remove(ctx context.Context, number uint32) {
	for _, t := range []string{"events", "items", "rejects", "files"} {
		at := s.cfg.local(t)
		if err := s.everywhere(ctx, onCluster(fmt.Sprintf("ALTER TABLE %s DELETE WHERE load = %d", at, number), at)); err != nil {
			return
		}
	}
}

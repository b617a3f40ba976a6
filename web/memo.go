package web

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"midwatch/report"
)

// memo remembers what the tables of one state of a case answered: they do not
// change, and many people look at the same pages.
type memo struct {
	mu sync.Mutex
	of map[string]any
}

// mostAnswers bounds what is remembered; the largest is a lane of the time line,
// some 40 kB.
const mostAnswers = 500

// asked tells a question apart from all others.
func asked(query string, args ...any) string {
	for _, a := range args {
		text := fmt.Sprint(a)
		query += fmt.Sprintf("\x00%T %d %s", a, len(text), text)
	}
	return query
}

// remembered is the answer to a question, asked now unless it was before. m may
// be nil. What it holds is shared and not to be changed.
func remembered[T any](m *memo, question string, ask func() (T, error)) (T, error) {
	if m == nil || len(question) > 4096 {
		return ask()
	}
	m.mu.Lock()
	x, ok := m.of[question]
	m.mu.Unlock()
	if ok {
		return x.(T), nil
	}
	got, err := ask()
	if err != nil {
		return got, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.of == nil || len(m.of) >= mostAnswers {
		m.of = map[string]any{}
	}
	m.of[question] = got
	return got, nil
}

// drawnLane is what is drawn of the records of a lane.
type drawnLane struct {
	marks   []report.TimeMark
	bins    []int64
	records int64
	density bool
}

// lane draws the records of a lane.
func (v *visit) lane(ctx context.Context, ln lane, w span, cond string, args []any, p *report.TimePicture, n *laneCount) error {
	got, err := remembered(&v.sh.memo, asked("lane "+ln.Name+" "+cond, slices.Concat([]any{w.from, w.to}, args)...), func() (drawnLane, error) {
		part, count := &report.TimePicture{Density: map[string][]int64{}}, laneCount{}
		err := laneRecords(ctx, v.d.Tables, ln, w, cond, args, v.link(), part, &count)
		return drawnLane{part.Marks, part.Density[ln.Name], count.Records, count.Density}, err
	})
	if err != nil {
		return err
	}
	p.Marks = append(p.Marks, got.marks...)
	if got.density {
		p.Density[ln.Name] = slices.Clone(got.bins)
	}
	n.Records, n.Density = got.records, got.density
	return nil
}

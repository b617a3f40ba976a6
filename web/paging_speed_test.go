package web

import (
	"context"
	"database/sql/driver"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	engine "github.com/duckdb/duckdb-go/v2"

	"midwatch/event"
	"midwatch/store"
	"midwatch/store/duckdb"
)

// longTable is a table of rows of which many are alike, and some have no value.
func longTable(t *testing.T, rows int) *duckdb.Desk {
	t.Helper()
	ctx := context.Background()
	d, err := duckdb.OpenDesk(ctx, t.TempDir(), "", duckdb.DeskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	rnd := rand.New(rand.NewPCG(1, 2))
	cols := []event.Column{
		{Name: "id", Type: event.TypeUUID}, {Name: "n", Type: event.TypeBigInt}, {Name: "word", Type: event.TypeText}, {Name: "other", Type: event.TypeText},
		{Name: "moment", Type: event.TypeTimestamp}, {Name: "seldom", Type: event.TypeBigInt},
	}
	err = d.Fill(ctx, "long", cols, func(yield func([]driver.Value) bool) {
		for i := range rows {
			var word, seldom driver.Value
			if k := rnd.IntN(5); k > 0 {
				word = strings.Repeat("w", k)
			}
			if rnd.IntN(100) == 0 {
				seldom = int64(rnd.IntN(300))
			}
			id := event.ID{}
			for b := range id {
				id[b] = byte(rnd.Uint32())
			}
			if !yield([]driver.Value{engine.UUID(id), int64(i), word, fmt.Sprint(rnd.IntN(3)), time.UnixMicro(1e15 + int64(rnd.IntN(rows))*1e6 + 123).UTC(), seldom}) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Seal(ctx); err != nil {
		t.Fatal(err)
	}
	return d
}

// A page of a long list has the rows that LIMIT and OFFSET give, wherever it
// lies, whatever it is sorted by and however it is narrowed.
func TestPagesOfLongLists(t *testing.T) {
	const rows = 120_000
	d, ctx := longTable(t, rows), context.Background()
	for _, capped := range []int64{0, 100_000} {
		for _, then := range []string{"n", "id"} {
			l := &list{
				Path: "/", From: "long", Sort: "moment", Then: then, Per: 100, Noun: "row", Capped: capped, Split: true, RowID: capped > 0, Hidden: []string{"id"}, marks: &marks{},
				Columns: []column{{Key: "n"}, {Key: "word"}, {Key: "other"}, {Key: "moment"}, {Key: "seldom"}, {Key: "half", SQL: "n // 2"}},
				Filters: []filter{{Key: "both", Kind: "exact", Any: []string{"word", "other"}}, {Key: "least", Kind: "least", SQL: "n"}},
			}
			if capped > 0 {
				l.Deep = 60_000
			}
			for _, key := range []string{"word", "moment", "seldom", "half"} {
				for _, dir := range []string{"", "-"} {
					for _, filter := range []string{"", "&least=10000", "&both=ww", "&both=1&least=5"} {
						for _, page := range []int{2, 57, 252, 10_000} {
							q := fmt.Sprintf("sort=%s%s&page=%d%s", dir, key, page, filter)
							p, bad, err := l.page(ctx, d, &http.Request{URL: httptest.NewRequest("GET", "/?"+q, nil).URL})
							if err != nil || bad != nil {
								t.Fatal(q, bad, err)
							}
							if want := plainPage(t, d, l, p, q); !slices.Equal(texts(p), want) {
								t.Fatalf("capped %d, then %s, %s: page %d of %d\n got %d rows %.200q\nwant %d rows %.200q", capped, then, q, p.Page, p.Pages, len(p.Rows), texts(p), len(want), want)
							}
						}
					}
				}
			}
		}
	}
}

func texts(p *listPage) (out []string) {
	for _, r := range p.Rows {
		out = append(out, r[0].Text)
	}
	return out
}

// plainPage asks for a page in one simple question.
func plainPage(t *testing.T, d store.Querier, l *list, p *listPage, q string) (out []string) {
	t.Helper()
	key, down := l.order(p.Query)
	dir := "ASC"
	if down {
		dir = "DESC"
	}
	where := "true"
	for _, x := range [][2]string{{"least=10000", "n >= 10000"}, {"least=5", "n >= 5"}, {"both=ww", "(word = 'ww' OR other = 'ww')"}, {"both=1&", "(word = '1' OR other = '1')"}} {
		if strings.Contains(q, x[0]) && (x[0] != "least=5" || strings.HasSuffix(q, x[0])) {
			where += " AND " + x[1]
		}
	}
	var total int64
	if err := one(t.Context(), d, &total, "SELECT count(*) FROM long WHERE "+where); err != nil {
		t.Fatal(err)
	}
	if want := min(total, max(l.Capped, total*boolInt(l.Capped == 0))); p.Total != want {
		t.Errorf("%s: %d in all, want %d", q, p.Total, want)
	}
	query := fmt.Sprintf("SELECT n FROM long WHERE %s ORDER BY %s %s NULLS LAST, %s %s LIMIT 100 OFFSET %d", where, l.expr(key), dir, l.Then, dir, (p.Page-1)*100)
	err := store.Each(t.Context(), d, query, nil, func(scan func(...any) error) error {
		var n int64
		err := scan(&n)
		out = append(out, fmt.Sprint(n))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func TestNumbered(t *testing.T) {
	for _, x := range []struct {
		ids   []int64
		parts int
	}{{nil, 1}, {[]int64{5}, 1}, {[]int64{1, 2, 3}, 1}, {[]int64{1, 2, 900_000, 900_001}, 2}} {
		if got := numbered("t", x.ids); strings.Count(got, "SELECT") != x.parts {
			t.Errorf("%v: %s", x.ids, got)
		}
	}
	var far []int64
	for i := range int64(500) {
		far = append(far, i*i*100_000)
	}
	got := numbered("t", far)
	if strings.Count(got, "SELECT") != 12 {
		t.Errorf("%d parts", strings.Count(got, "SELECT"))
	}
	for _, id := range far {
		if !strings.Contains(got, fmt.Sprintf("%d", id)) {
			t.Errorf("%d is missing", id)
		}
	}
}

// A value that is in both of two columns is found once.
func TestSplitFilters(t *testing.T) {
	ctx := context.Background()
	d, err := duckdb.OpenDesk(ctx, t.TempDir(), "", duckdb.DeskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	rows := [][]driver.Value{{"a", "a", "x"}, {"a", nil, "x"}, {nil, "a", "y"}, {"b", "a", "a"}, {"b", "c", "b"}, {nil, nil, nil}}
	cols := []event.Column{{Name: "n", Type: event.TypeBigInt}, {Name: "one", Type: event.TypeText}, {Name: "two", Type: event.TypeText}, {Name: "three", Type: event.TypeText}}
	err = d.Fill(ctx, "t", cols, func(yield func([]driver.Value) bool) {
		for i, r := range rows {
			if !yield(append([]driver.Value{int64(i)}, r...)) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Seal(ctx); err != nil {
		t.Fatal(err)
	}
	l := &list{Path: "/", From: "t", Sort: "n", Then: "n", Per: 100, Split: true, Columns: []column{{Key: "n"}}, Filters: []filter{
		{Key: "q", Kind: "exact", Any: []string{"one", "two", "three"}}, {Key: "r", Kind: "exact", Any: []string{"two", "three"}}, {Key: "least", Kind: "least", SQL: "n"},
	}}
	for q, want := range map[string]string{ // with numbers of rows and without
		"": "0 1 2 3 4 5", "q=a": "0 1 2 3", "q=b": "3 4", "q=x": "0 1", "q=c": "4", "q=none": "", "q=a&r=y": "2", "q=a&r=a": "0 2 3", "r=a&q=a&least=1": "2 3", "q=b&r=b": "4", "q=none&r=a": "",
	} {
		for _, l.RowID = range []bool{false, true} {
			p, bad, err := l.page(ctx, d, &http.Request{URL: httptest.NewRequest("GET", "/?"+q, nil).URL})
			if err != nil || bad != nil {
				t.Fatal(q, bad, err)
			}
			if got := strings.Join(texts(p), " "); got != want || int(p.Total) != len(p.Rows) {
				t.Errorf("%q: %q of %d, want %q", q, got, p.Total, want)
			}
		}
	}
}

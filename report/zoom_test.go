package report

import (
	"bytes"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"midwatch/casefile"
)

func timePicture(from time.Time, length time.Duration) TimePicture {
	p := TimePicture{Title: "What happened", From: from, To: from.Add(length), Both: true, Lanes: TimeLanes(),
		Density: map[string][]int64{"guessing": make([]int64, 60)},
		Gaps:    []TimeGap{{From: from.Add(length / 3), To: from.Add(length / 2), Title: "no record"}, {Lane: "mail", From: from, To: from.Add(length / 8), Title: "reads not recorded"}},
		Flags:   []TimeFlag{{from.Add(length / 5), "inside"}, {from.Add(length / 4), "first mail read"}},
		Zoom:    func(a, b time.Time) string { return fmt.Sprintf("?from=%d&to=%d", a.Unix(), b.Unix()) }}
	for i := range 60 {
		p.Density["guessing"][i] = int64(i * i % 37)
	}
	for i := range 40 {
		at := from.Add(time.Duration(float64(length) * float64(i*i) / 1600))
		m := TimeMark{ID: fmt.Sprintf("m-%d", i), Lane: TimeLanes()[i%6], Title: fmt.Sprintf("thing %d", i), Href: fmt.Sprintf("/f/%d", i), From: at, Severity: "high"}
		if i%5 == 0 {
			m.Until = at.Add(length / 9)
		}
		m.Certainty = []string{"confirmed", "probable", "possible", ""}[i%4]
		p.Marks = append(p.Marks, m)
	}
	return p
}

func svgOf(t testing.TB, p TimePicture) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.WriteSVG(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTimePicture(t *testing.T) {
	from := time.Date(2023, 11, 20, 5, 0, 0, 0, time.UTC)
	for _, length := range []time.Duration{time.Minute, 20 * time.Minute, 7 * time.Hour, 36 * time.Hour, 9 * 24 * time.Hour, 62 * 24 * time.Hour, 800 * 24 * time.Hour} {
		p := timePicture(from, length)
		s := svgOf(t, p)
		if s != svgOf(t, p) {
			t.Errorf("%v: it differs between two runs", length)
		}
		if err := wellFormed(s); err != nil {
			t.Errorf("%v: %v", length, err)
		}
		if n := strings.Count(s, `class="tick" x=`); n < 6 || n > 40 {
			t.Errorf("%v: %d labels", length, n)
		}
		for _, narrow := range []bool{false, true} {
			for _, tick := range [][]zoomTick{p.lay(narrow).Ticks} {
				for i := 1; i < len(tick); i++ {
					if tick[i].X-tick[i-1].X < 55 {
						t.Errorf("%v: labels %s and %s are %g apart", length, tick[i-1].Label, tick[i].Label, tick[i].X-tick[i-1].X)
					}
				}
			}
			n := 0
			d := p.lay(narrow)
			for _, l := range d.Lanes {
				for _, m := range l.Marks {
					n += m.N
					if m.X < d.Left-8 || m.X > d.Right+8 {
						t.Errorf("%v: mark at %g", length, m.X)
					}
				}
			}
			if n != len(p.Marks) {
				t.Errorf("%v: %d of %d marks are counted", length, n, len(p.Marks))
			}
		}
	}
	golden(t, filepath.Join("testdata", "zoom.html"), []byte(svgOf(t, timePicture(from, 9*24*time.Hour))))
}

// Marks that are too close are one, with their number, and lead to a closer
// picture; in that one they are apart.
func TestCloseMarksAreJoined(t *testing.T) {
	from := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	p := TimePicture{From: from, To: from.AddDate(0, 2, 0), Zoom: func(a, b time.Time) string { return a.Format(time.RFC3339) + "/" + b.Format(time.RFC3339) }}
	for i := range 12 {
		p.Marks = append(p.Marks, TimeMark{Lane: "mail", Title: fmt.Sprint("read ", i), From: from.AddDate(0, 1, 0).Add(time.Duration(i) * time.Minute)})
	}
	l := p.lay(false).Lanes[0]
	if len(l.Marks) != 1 || l.Marks[0].N != 12 || !strings.Contains(l.Marks[0].Href, "2024-02-01T00:12:") {
		t.Fatalf("marks %+v", l.Marks)
	}
	p.From, p.To = from.AddDate(0, 1, 0).Add(-time.Minute), from.AddDate(0, 1, 0).Add(12*time.Minute)
	if l := p.lay(false).Lanes[0]; len(l.Marks) != 12 {
		t.Errorf("%d marks in the closer picture", len(l.Marks))
	}
}

func TestTimePictureOfNothing(t *testing.T) {
	if err := (TimePicture{}).WriteSVG(&bytes.Buffer{}); err == nil {
		t.Error("a time that is empty was drawn")
	}
	from := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	s := svgOf(t, TimePicture{From: from, To: from.Add(time.Hour)})
	if err := wellFormed(s); err != nil || !strings.Contains(s, "0 marks from") {
		t.Errorf("%v in %s", err, s)
	}
}

func TestMarksOfCampaign(t *testing.T) {
	c := readCase(t, "case")
	v := view(t, c, Options{Links: testLinks()})
	cam := c.Campaigns[0]
	marks := v.Marks(cam.ID)
	if len(marks) != len(cam.Timeline) {
		t.Fatalf("%d marks of %d steps", len(marks), len(cam.Timeline))
	}
	for _, m := range marks {
		if m.Href == "" || !slices.Contains(append(TimeLanes(), "other"), m.Lane) {
			t.Errorf("mark %+v", m)
		}
	}
	if len(v.Flags(cam.ID)) == 0 || v.Marks("none") != nil || v.Flags("none") != nil {
		t.Error("flags")
	}
	var b bytes.Buffer
	if err := v.Timeline(&b, TimePicture{From: cam.Start.Time, To: casefile.Later(cam.Start, cam.End).Add(time.Hour), Marks: marks}); err != nil {
		t.Fatal(err)
	}
}

func TestHostileTimePicture(t *testing.T) {
	from := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	p := TimePicture{Title: hostileStrings[0], From: from, To: from.Add(time.Hour), Density: map[string][]int64{}}
	for i, s := range hostileStrings {
		p.Density[s] = []int64{1, -5, 3}
		p.Lanes = append(p.Lanes, s)
		p.Gaps = append(p.Gaps, TimeGap{Lane: s, Title: s, From: from, To: from.Add(time.Minute)})
		p.Flags = append(p.Flags, TimeFlag{from.Add(time.Duration(i) * time.Minute), s})
		p.Marks = append(p.Marks, TimeMark{ID: s, Lane: s, Title: s, Href: s, From: from.Add(time.Duration(i) * time.Minute), Until: from.Add(time.Hour), Certainty: s, Severity: s, Stage: s, Campaign: s})
	}
	s := svgOf(t, p)
	if err := wellFormed(s); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"<script", "<img", "onerror=alert(1)>", `" onmouseover="`, "\x1b", "\u202e", `href="javascript:`} {
		if strings.Contains(s, bad) {
			t.Errorf("the picture holds %q", bad)
		}
	}
	for _, class := range regexp.MustCompile(`class="([^"]*)"`).FindAllStringSubmatch(s, -1) {
		if regexp.MustCompile(`[^a-z -]`).MatchString(class[1]) {
			t.Errorf("class %q", class[1])
		}
	}
}

package exposure

import "testing"

// Every pattern compiles: they are compiled when they are first needed.
func TestPatternsCompile(t *testing.T) {
	s, err := newScanner()
	if err != nil {
		t.Fatal(err)
	}
	if len(s.rules) < 200 {
		t.Errorf("%d rules were read", len(s.rules))
	}
	for i := range s.rules {
		s.rules[i].pattern()
	}
	for _, k := range personalKinds() {
		if k.pattern != nil {
			k.pattern()
		}
	}
}

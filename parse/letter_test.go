package parse

import (
	"encoding/json"
	"testing"

	"github.com/valyala/fastjson"
)

func TestByTheLetter(t *testing.T) {
	for _, v := range []string{`1`, `-0`, `0.5`, `1e5`, `1E-05`, `""`, `"a\"b"`, `"\u0041\ud83d\ude00\\"`, `"é ☃"`, `true`, `[null, false]`, `{}`, `[ ]`, `{"a":[{}]}`, "[\n1\t,\r2 ]"} {
		if !byTheLetter([]byte(`{"Id":"x", "X": `+v+`}`)) || !json.Valid([]byte(v)) {
			t.Errorf("%s is JSON", v)
		}
	}
	for _, v := range []string{`01`, `1.`, `.5`, `+1`, `-`, `1e`, `0x1f`, `NaN`, `inf`, `1 2`, `"a" "b"`, "\"a\tb\"", "\"\x01\"", "\"a\nb\"", `"\q"`, `"\u12"`, `"\ud800"`, `"\ud800\u0041"`, `"\udc00"`, `"a`, `'a'`, `True`} {
		if byTheLetter([]byte(`{"Id":"x", "X": ` + v + `}`)) {
			t.Errorf("%s is not JSON", v)
		}
	}
	for text, want := range map[string]bool{
		`{"a":[1,-0.5e3,"x\n\\ud800",true,null]}`: true,
		`{"a":"\ud83d\ude00 \u00e4"}`:             true,
		`{"a":"\\\ud83d\udE00"}`:                  true,
		`{"a":007}`:                               false,
		`{"a":NaN}`:                               false,
		`{"a":1.}`:                                false,
		`{"a":"\ud800"}`:                          false,
		`{"a":"\ud800x\udc00"}`:                   false,
		`{"a":"\uDC00"}`:                          false,
		`{"a":"\ud800\ud800"}`:                    false,
		"{\"a\":\"b\tc\"}":                        false,
		`{"a":"\q"}`:                              false,
	} {
		if got := byTheLetter([]byte(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// What the records' parser takes is JSON by the letter when it is written anew,
// and says the same.
func FuzzWrittenAnew(f *testing.F) {
	for _, s := range []string{`{"a":01,"b":"\ud800\u0000"}`, "{\"a\tb\":\"\\q\"}", `{"a":[nan,-,+1,.5,0x1f,1e]}`, `{"a":"\ud83d\ude00"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := fastjson.Parse(text)
		if err != nil {
			return
		}
		out := appendJSONValue(nil, v)
		if !byTheLetter(out) || !json.Valid(out) {
			t.Fatalf("%q became %q", text, out)
		}
	})
}

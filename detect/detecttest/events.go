package detecttest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"midwatch/event"
)

// Events reads a file of rows as events and items, for stores that are filled
// with those. tenant is put before the rows' own, so that the rows of several
// files can lie in one store.
func Events(t testing.TB, path, tenant string) *event.Batch {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b := &event.Batch{}
	for n, line := range strings.Split(string(text), "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "//") {
			continue
		}
		for i, row := range expand(t, path, n+1, line) {
			m := map[string]any{"source": "ual", "tenant": "contoso", "outcome": "success", "actor_kind": "user", "format": "test", "class": "other"}
			if err := json.Unmarshal([]byte(row), &m); err != nil {
				t.Fatalf("%s:%d: %v", path, n+1, err)
			}
			items, _ := m["items"].([]any)
			delete(m, "items")
			delete(m, "repeat")
			m["tenant"] = tenant + m["tenant"].(string)
			var e event.Event
			fill(t, reflect.ValueOf(&e).Elem(), m)
			e.ID, _ = event.MakeID(nil, filepath.Base(filepath.Dir(path)), event.Source(row), string(rune('a'+n))+string(rune('a'+i)))
			e.NativeID, e.Line = e.ID.String(), int64(n+1)
			b.Events = append(b.Events, e)
			for _, x := range items {
				it := event.Item{Event: int32(len(b.Events) - 1), Kind: event.ItemMessage, Size: -1}
				fill(t, reflect.ValueOf(&it).Elem(), x.(map[string]any))
				b.Items = append(b.Items, it)
			}
		}
	}
	return b
}

// fill sets the fields of a struct from the columns of their names.
func fill(t testing.TB, to reflect.Value, columns map[string]any) {
	t.Helper()
	for name, v := range columns {
		f := to.FieldByNameFunc(func(s string) bool { return strings.EqualFold(s, strings.ReplaceAll(name, "_", "")) })
		if name == "id" || v == nil {
			continue
		}
		if !f.IsValid() {
			t.Fatalf("no field for column %q", name)
		}
		switch x := v.(type) {
		case map[string]any:
			b, _ := json.Marshal(x)
			f.SetString(string(b))
		case bool:
			if f.Kind() == reflect.Pointer {
				f.Set(reflect.ValueOf(&x))
			} else {
				f.SetBool(x)
			}
		case float64:
			switch f.Kind() {
			case reflect.Uint32, reflect.Uint16, reflect.Uint8:
				f.SetUint(uint64(x))
			default:
				f.SetInt(int64(x))
			}
		case string:
			if name == "time" {
				at, err := time.Parse(time.RFC3339, x)
				if err != nil {
					t.Fatal(err)
				}
				f.SetInt(at.UnixMicro())
			} else {
				f.SetString(x)
			}
		}
	}
}

package casework

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"midwatch/journal"
)

// What recipients are told of what was done: steps that were carried out and not
// taken back, each once, and decisions that are not about clocks.
func TestActs(t *testing.T) {
	var es []journal.Entry
	add := func(k journal.Kind, payload string) {
		es = append(es, journal.Entry{Seq: int64(len(es) + 1), Kind: k, Payload: json.RawMessage(payload)})
	}
	add(journal.Note, `{"text":"a note"}`)
	add(journal.Decision, `{"text":"tokens go at noon"}`)
	add(journal.Decision, `{"type":"clock.start","event":"aware","text":"for the clocks"}`)
	add(journal.ContainStep, `{"what":"plan","plan":"h"}`)
	add(journal.ContainStep, `{"what":"intent","step":"1","title":"Revoke sessions"}`)
	add(journal.ContainStep, `{"what":"result","step":"1","title":"Revoke sessions","state":"failed"}`)
	add(journal.ContainStep, `{"what":"result","step":"1","title":"Revoke sessions","state":"done"}`)
	add(journal.ContainStep, `{"what":"result","step":"1","title":"Revoke sessions","state":"done"}`)
	add(journal.ContainStep, `{"what":"result","step":"2","title":"Disable the account","state":"done"}`)
	add(journal.ContainStep, `{"what":"undo_result","step":"2","title":"Disable the account","state":"done"}`)
	add(journal.ContainStep, `{"what":"result","step":"3","title":"By hand","state":"by_hand"}`)
	acts, err := Acts(es)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range acts {
		got = append(got, a.Text)
	}
	if d := cmp.Diff([]string{"tokens go at noon", "Revoke sessions"}, got); d != "" {
		t.Error(d)
	}
	es = append(es, journal.Entry{Seq: 99, Kind: journal.Decision, Payload: json.RawMessage(`[]`)})
	if _, err := Acts(es); err == nil {
		t.Error("a payload that is none was passed over")
	}
}

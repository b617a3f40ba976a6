package casework

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"midwatch/exposure"
	"midwatch/journal"
	"midwatch/report"
)

// ExposureFile is what was in the mail that was reached, in a case folder.
const ExposureFile = "exposure.json"

// SecretEntry is the payload of [journal.SecretState].
type SecretEntry struct {
	Fingerprint string         `json:"fingerprint"`
	State       exposure.State `json:"state"`
	Reason      string         `json:"reason"`
}

// SecretStateNames lists the states of secrets, what is to be done first.
func SecretStateNames() []exposure.State {
	return []exposure.State{exposure.Open, exposure.Rotated, exposure.Accepted}
}

// SecretStates are what a journal says last of each secret. States of later
// versions are passed over; the error names an entry that is none.
func SecretStates(es []journal.Entry) (states map[string]exposure.State, last map[string]*journal.Entry, err error) {
	states, last = map[string]exposure.State{}, map[string]*journal.Entry{}
	for i := range es {
		if es[i].Kind != journal.SecretState {
			continue
		}
		var s SecretEntry
		if err := es[i].Decode(&s); err != nil {
			return nil, nil, err
		}
		if !slices.Contains(SecretStateNames(), s.State) {
			continue // of a later version
		}
		states[s.Fingerprint], last[s.Fingerprint] = s.State, &es[i]
	}
	return states, last, nil
}

// ReadExposure reads the exposure of a case; nil: there is none.
func ReadExposure(dir string) (*exposure.Exposure, error) {
	path := filepath.Join(dir, ExposureFile)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	x, err := exposure.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; `midwatch exposure` makes a new one", path, err)
	}
	return x, nil
}

// Secret is a secret of the rotation list as it stands by the journal.
type Secret struct {
	exposure.Secret
	Last *journal.Entry `json:"entry"` // the last about it; nil: none is
}

// rotation is a rotation list with the states of a journal, in the order of the
// list: what is open before what is not.
func rotation(list []exposure.Secret, es []journal.Entry) ([]Secret, error) {
	states, last, err := SecretStates(es)
	if err != nil {
		return nil, err
	}
	out := make([]Secret, 0, len(list))
	for _, s := range list {
		s.State = exposure.Open
		if x, ok := states[s.Fingerprint]; ok {
			s.State = x
		}
		out = append(out, Secret{s, last[s.Fingerprint]})
	}
	slices.SortStableFunc(out, func(a, b Secret) int {
		return slices.Index(SecretStateNames(), a.State) - slices.Index(SecretStateNames(), b.State)
	})
	return out, nil
}

// Rotation lists the secrets of a case with what became of them, what is open
// first. nil: mail was not searched.
func (o *Office) Rotation(dir string) ([]Secret, error) {
	x, err := o.exposed(dir)
	if err != nil || x == nil {
		return nil, err
	}
	k, err := o.look(dir)
	if err != nil {
		return nil, err
	}
	return rotation(x.Rotation, k.entries)
}

// SecretCount counts secrets.
type SecretCount struct{ All, Open int }

// Secrets counts the secrets of a case by the journal. nil: mail was not
// searched. Files that have not changed are not read again.
func (o *Office) Secrets(dir string) (*SecretCount, error) {
	x, err := o.exposed(dir)
	if err != nil || x == nil {
		return nil, err
	}
	k, err := o.look(dir)
	if err != nil {
		return nil, err
	}
	states, _, err := SecretStates(k.sound)
	if err != nil {
		return nil, err
	}
	n := &SecretCount{All: len(x.Rotation)}
	for i := range x.Rotation {
		if s, ok := states[x.Rotation[i].Fingerprint]; !ok || s == exposure.Open {
			n.Open++
		}
	}
	return n, nil
}

// found is an exposure that was read.
type found = exposure.Exposure

// exposed is the exposure of a case, which is read again where it changed; nil:
// there is none. It is not to be changed.
func (o *Office) exposed(dir string) (*found, error) {
	dir = filepath.Clean(dir)
	s, err := stampOf(filepath.Join(dir, ExposureFile))
	if err != nil {
		return nil, err
	}
	if k := o.remembered(dir); k.exposure.same(s) {
		return k.found, nil
	}
	x, err := ReadExposure(dir)
	if err != nil {
		return nil, err
	}
	o.remember(dir, func(k *kept) { k.exposure, k.found = s, x })
	return x, nil
}

// SetSecret writes down what became of secrets, one entry each.
func (o *Office) SetSecret(ctx context.Context, dir string, by By, fingerprints []string, state exposure.State, reason string) ([]journal.Entry, error) {
	if !slices.Contains(SecretStateNames(), state) {
		return nil, fmt.Errorf("%q is no state of a secret; it is open, rotated or accepted", state)
	}
	if err := reasoned(reason, "say what was done, in a few words"); err != nil {
		return nil, err
	}
	if len(fingerprints) == 0 {
		return nil, errors.New("no secret is named; name them by their fingerprints")
	}
	x, err := o.exposed(dir)
	if err != nil {
		return nil, err
	}
	if x == nil {
		return nil, NotSearched(dir)
	}
	var drafts []journal.Draft
	for _, f := range fingerprints {
		if !slices.ContainsFunc(x.Rotation, func(s exposure.Secret) bool { return s.Fingerprint == f }) {
			return nil, fmt.Errorf("no secret of this case has the fingerprint %q; `midwatch secret list` shows them", f)
		}
		drafts = append(drafts, journal.Draft{Kind: journal.SecretState, Payload: SecretEntry{f, state, reason}})
	}
	same := func(_ []journal.Entry, e *journal.Entry) bool {
		var s SecretEntry
		return e.Kind == journal.SecretState && e.Decode(&s) == nil && slices.Contains(fingerprints, s.Fingerprint)
	}
	return o.write(ctx, dir, by, same, nil, drafts...)
}

// NotSearched says that mail was not searched, and what does.
func NotSearched(dir string) error {
	dir = report.Plain(dir)
	return fmt.Errorf("%s has no %s; `midwatch exposure %s --mail PATH...` makes it", dir, ExposureFile, dir)
}

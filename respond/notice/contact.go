package notice

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Contact is what the contact file says: who writes, whom to ask, what to tell
// of what was done. Reading is strict: a key that is misspelt is an error.
type Contact struct {
	Organization string              // who writes
	From         Address             // sender of the drafts
	AskFor       string              // whom to ask for on the telephone
	Number       string              // where recipients find a number of yours that they have already; never the number
	Hours        string              // when somebody answers
	Actions      []string            // what you did, in your words, for everybody
	Decisions    []int64             // entries of the journal to tell everybody
	Parties      map[string]*Address // whom to address at an organization outside, by domain
	Regulators   []Address           // authorities
}

// Words are the contact in one line.
func (c *Contact) Words() string {
	return c.Organization + ": " + c.AskFor + ", " + c.From.Address
}

type fileAddress struct {
	Name    string `yaml:"name"`
	Address string `yaml:"address"`
}

type contactYAML struct {
	Organization string                 `yaml:"organization"`
	From         fileAddress            `yaml:"from"`
	AskFor       string                 `yaml:"ask_for"`
	Number       string                 `yaml:"known_number"`
	Hours        string                 `yaml:"hours"`
	Actions      []string               `yaml:"actions"`
	Decisions    []int64                `yaml:"decisions"`
	Parties      map[string]fileAddress `yaml:"parties"`
	Regulators   []fileAddress          `yaml:"regulators"`
}

// ReadContact reads the file at path. Errors name it, and the line where that is
// known.
func ReadContact(path string) (*Contact, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	return ParseContact(path, f)
}

// ParseContact reads what is called name.
func ParseContact(name string, r io.Reader) (*Contact, error) {
	const most = 1 << 20
	raw, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(raw) > most {
		return nil, fmt.Errorf("%s: more than %d bytes; is it a contact file?", name, most)
	}
	var y contactYAML
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(&y); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("it is empty")
		}
		return nil, fmt.Errorf("%s: %s; `midwatch notify templates DIR` writes an example", name, strings.Join(strings.Fields(strings.TrimPrefix(err.Error(), "yaml: ")), " "))
	}
	if err := d.Decode(&contactYAML{}); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: a second document; put everything into one", name)
	}
	c := &Contact{y.Organization, Address(y.From), y.AskFor, y.Number, y.Hours, y.Actions, y.Decisions, map[string]*Address{}, nil}
	for key, s := range map[string]string{"organization": c.Organization, "from: address": c.From.Address, "ask_for": c.AskFor, "known_number": c.Number} {
		if strings.TrimSpace(s) == "" {
			return nil, fmt.Errorf("%s: %s is missing; a notice that does not say it helps nobody", name, key)
		}
	}
	check := func(key string, a Address, needed bool) error {
		if a.Address == "" && !needed {
			return nil
		}
		if !Usable(a.Address) {
			return fmt.Errorf("%s: %s: %q is no mail address, such as user@example.com", name, key, a.Address)
		}
		return nil
	}
	if err := check("from", c.From, true); err != nil {
		return nil, err
	}
	for domain, a := range y.Parties {
		if domain != strings.ToLower(domain) || !strings.Contains(domain, ".") {
			return nil, fmt.Errorf("%s: parties: %q is no domain in lower case, such as example.com", name, domain)
		}
		x := Address(a)
		if err := check("parties: "+domain, x, true); err != nil {
			return nil, err
		}
		c.Parties[domain] = &x
	}
	seen := map[string]bool{}
	for _, r := range y.Regulators {
		if strings.TrimSpace(r.Name) == "" || seen[r.Name] {
			return nil, fmt.Errorf("%s: regulators: each has a name of its own", name)
		}
		seen[r.Name] = true
		if err := check("regulators: "+r.Name, Address(r), false); err != nil {
			return nil, err
		}
		c.Regulators = append(c.Regulators, Address(r))
	}
	for _, s := range c.texts() {
		if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
			return nil, fmt.Errorf("%s: %q has control characters; each value is one line", name, s)
		}
		if l := linkIn(s); l != "" {
			return nil, fmt.Errorf("%s: %q has a link (%s); notices have none, because recipients are right to distrust them", name, s, l)
		}
	}
	return c, nil
}

func (c *Contact) texts() []string {
	out := []string{c.Organization, c.From.Name, c.AskFor, c.Number, c.Hours}
	out = append(out, c.Actions...)
	for _, p := range c.Parties {
		out = append(out, p.Name)
	}
	for _, r := range c.Regulators {
		out = append(out, r.Name)
	}
	return out
}

// linkIn returns what of s programs make a link of; empty: nothing.
func linkIn(s string) string {
	low := strings.ToLower(s)
	for _, l := range []string{"http", "www.", "://", "mailto:"} {
		if strings.Contains(low, l) {
			return l
		}
	}
	return ""
}

// Usable reports whether an address can stand in a header of mail as it is: one
// of ASCII without quotes and comments (RFC 5322 dot-atom), and no link in it.
func Usable(a string) bool {
	local, domain, ok := strings.Cut(a, "@")
	if !ok || len(local) == 0 || len(local) > 64 || len(a) > 254 || !strings.Contains(domain, ".") || linkIn(a) != "" {
		return false
	}
	for _, s := range append(strings.Split(local, "."), strings.Split(domain, ".")...) {
		if s == "" {
			return false
		}
	}
	for _, r := range local {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+/=?^_`{|}~-.", r)) {
			return false
		}
	}
	for _, r := range domain {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.') {
			return false
		}
	}
	return true
}

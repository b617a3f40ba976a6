package enrich

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Person is a row of the directory that the user gives: what no audit log says
// about the owner of a mailbox.
type Person struct {
	User          string // user principal name, lower case
	Department    string
	JobTitle      string
	Enabled       *bool // nil: the directory does not say
	MFARegistered *bool
}

// ReadDirectory reads a CSV of users with a header; columns are found by name:
// user (or userPrincipalName, upn), department, job_title (or jobTitle),
// enabled (or accountEnabled), mfa_registered (or isMfaRegistered).
func ReadDirectory(path string) ([]Person, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	people, err := readDirectory(data)
	if err != nil {
		return nil, fmt.Errorf("%s: directory: %w", path, err)
	}
	return people, nil
}

func readDirectory(data []byte) ([]Person, error) {
	cr := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	cr.FieldsPerRecord = -1
	header, err := cr.Read()
	if err != nil {
		return nil, err
	}
	col := map[string]int{}
	for i, h := range header {
		h = strings.ToLower(strings.ReplaceAll(strings.TrimSpace(h), "_", ""))
		switch h {
		case "user", "userprincipalname", "upn", "username":
			h = "user"
		case "jobtitle", "title":
			h = "jobtitle"
		case "enabled", "accountenabled":
			h = "enabled"
		case "mfaregistered", "ismfaregistered", "mfastatus":
			h = "mfa"
		}
		if _, twice := col[h]; !twice {
			col[h] = i
		}
	}
	if _, ok := col["user"]; !ok {
		return nil, errors.New("no column user, userPrincipalName or upn")
	}
	var out []Person
	seen := map[string]bool{}
	for {
		row, err := cr.Read()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		cell := func(name string) string {
			if i, ok := col[name]; ok && i < len(row) {
				return strings.TrimSpace(row[i])
			}
			return ""
		}
		p := Person{
			User: strings.ToLower(cell("user")), Department: cell("department"), JobTitle: cell("jobtitle"),
			Enabled: boolean(cell("enabled")), MFARegistered: boolean(cell("mfa")),
		}
		if p.User == "" || seen[p.User] {
			continue
		}
		seen[p.User] = true
		out = append(out, p)
	}
}

func boolean(s string) *bool {
	t, f := true, false
	switch strings.ToLower(s) {
	case "true", "1", "yes", "enabled":
		return &t
	case "false", "0", "no", "disabled":
		return &f
	}
	return nil
}

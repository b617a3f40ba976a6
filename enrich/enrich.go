// Package enrich adds to events what their lines do not say: whose network an
// address is in, and the names of well-known applications. It never overwrites
// what a record says itself, and it asks nobody: all of its knowledge is
// embedded or given as a file.
package enrich

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"midwatch/event"
)

// Network is what is known of the network of an address.
type Network struct {
	ASN     uint32
	Org     string
	Kind    string // hosting, residential, mobile, vpn, office, ...; in the words of the source
	Country string // ISO 3166-1 alpha-2
}

// Networks finds the network of an address. Implementations may be used by
// several goroutines.
type Networks interface {
	Lookup(netip.Addr) (Network, bool)
}

// Enricher enriches batches. It may be used by several goroutines.
type Enricher struct {
	networks Networks
	apps     map[string]string
}

//go:embed microsoft_apps.csv
var microsoftApps []byte

// New returns an Enricher. networks may be nil.
func New(networks Networks) (*Enricher, error) {
	apps, err := MicrosoftApps()
	if err != nil {
		return nil, err
	}
	return &Enricher{networks: networks, apps: apps}, nil
}

// MicrosoftApps returns the names of Microsoft's own applications by id.
// Source: see the head of microsoft_apps.csv.
func MicrosoftApps() (map[string]string, error) {
	cr := csv.NewReader(bytes.NewReader(microsoftApps))
	cr.Comment = '#'
	cr.FieldsPerRecord = 2
	apps := make(map[string]string, 5000)
	for {
		row, err := cr.Read()
		if err == io.EOF {
			return apps, nil
		}
		if err != nil {
			return nil, fmt.Errorf("table of Microsoft's applications: %w", err)
		}
		apps[row[0]] = row[1]
	}
}

// Batch enriches the events of b.
func (n *Enricher) Batch(b *event.Batch) {
	for i := range b.Events {
		e := &b.Events[i]
		if e.AppName == "" && e.AppID != "" {
			e.AppName = n.apps[e.AppID]
		}
		if e.ResourceName == "" && e.ResourceID != "" {
			e.ResourceName = n.apps[e.ResourceID]
		}
		if n.networks == nil || e.IP == "" {
			continue
		}
		a, err := netip.ParseAddr(e.IP)
		if err != nil {
			continue
		}
		net, ok := n.networks.Lookup(a)
		if !ok {
			continue
		}
		if e.ASN == 0 {
			e.ASN = net.ASN
		}
		if e.ASOrg == "" {
			e.ASOrg = net.Org
		}
		if e.IPKind == "" {
			e.IPKind = net.Kind
		}
		if e.Country == "" {
			e.Country = strings.ToUpper(net.Country)
		}
	}
}

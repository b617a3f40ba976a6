package enrich

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/gaissmai/bart"
	"github.com/oschwald/maxminddb-golang/v2"
)

// OpenNetworks reads a table of networks: a MaxMind database (.mmdb, such as
// GeoLite2-ASN) or a CSV with the header cidr,asn,org,kind and optionally
// country. Which of the two it is, is seen from its content.
func OpenNetworks(path string) (Networks, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 2<<30))
	if err != nil {
		return nil, err
	}
	if bytes.Contains(data[max(0, len(data)-128<<10):], []byte("\xab\xcd\xefMaxMind.com")) {
		r, err := maxminddb.OpenBytes(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return mmdb{r}, nil
	}
	n, err := readCSV(data)
	if err != nil {
		return nil, fmt.Errorf("%s: neither a MaxMind database nor a CSV cidr,asn,org,kind: %w", path, err)
	}
	return n, nil
}

// mmdb looks addresses up in a MaxMind database.
// Source: "MaxMind DB File Format Specification"; fields of GeoLite2-ASN,
// GeoLite2-Country and the layout that ipinfo uses.
type mmdb struct{ r *maxminddb.Reader }

func (m mmdb) Lookup(a netip.Addr) (Network, bool) {
	var rec struct {
		ASN     uint32 `maxminddb:"autonomous_system_number"`
		Org     string `maxminddb:"autonomous_system_organization"`
		Country struct {
			ISO string `maxminddb:"iso_code"`
		} `maxminddb:"country"`
		Traits struct {
			UserType string `maxminddb:"user_type"`
		} `maxminddb:"traits"`
	}
	res := m.r.Lookup(a)
	if !res.Found() || res.Decode(&rec) != nil {
		return Network{}, false
	}
	return Network{ASN: rec.ASN, Org: rec.Org, Kind: rec.Traits.UserType, Country: rec.Country.ISO}, true
}

type table struct{ t *bart.Table[Network] }

func (t table) Lookup(a netip.Addr) (Network, bool) { return t.t.Lookup(a) }

// readCSV reads cidr,asn,org,kind[,country], columns found by name.
func readCSV(data []byte) (Networks, error) {
	cr := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	cr.FieldsPerRecord = -1
	header, err := cr.Read()
	if err != nil {
		return nil, err
	}
	col := map[string]int{"cidr": -1, "asn": -1, "org": -1, "kind": -1, "country": -1}
	for i, h := range header {
		h = strings.ToLower(strings.TrimSpace(h))
		if _, known := col[h]; known {
			col[h] = i
		}
	}
	if col["cidr"] < 0 {
		return nil, errors.New("no column cidr")
	}
	t := new(bart.Table[Network])
	for {
		row, err := cr.Read()
		if err == io.EOF {
			return table{t}, nil
		}
		if err != nil {
			return nil, err
		}
		cell := func(name string) string {
			if i := col[name]; i >= 0 && i < len(row) {
				return strings.TrimSpace(row[i])
			}
			return ""
		}
		line, _ := cr.FieldPos(0)
		p, err := parsePrefix(cell("cidr"))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		n := Network{Org: cell("org"), Kind: cell("kind"), Country: cell("country")}
		if s := strings.TrimPrefix(strings.ToUpper(cell("asn")), "AS"); s != "" {
			asn, err := strconv.ParseUint(s, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("line %d: autonomous system %q is not a number", line, s)
			}
			n.ASN = uint32(asn)
		}
		t.Insert(p.Masked(), n)
	}
}

func parsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, err
		}
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.ParsePrefix(s)
}

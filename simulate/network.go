package simulate

import "strconv"

// ip is an address: IPv4 in lo when hi is 0.
type ip struct{ hi, lo uint64 }

func v4(x uint32) ip { return ip{lo: uint64(x)} }

func (a ip) append(b []byte) []byte {
	if a.hi == 0 {
		x := uint32(a.lo)
		b = strconv.AppendUint(b, uint64(x>>24), 10)
		b = append(b, '.')
		b = strconv.AppendUint(b, uint64(x>>16&255), 10)
		b = append(b, '.')
		b = strconv.AppendUint(b, uint64(x>>8&255), 10)
		b = append(b, '.')
		return strconv.AppendUint(b, uint64(x&255), 10)
	}
	// Ours are 2001:db8:a:b::c with a, b and c not 0, so this is canonical.
	b = append(b, "2001:db8:"...)
	b = strconv.AppendUint(b, a.hi>>16&0xffff, 16)
	b = append(b, ':')
	b = strconv.AppendUint(b, a.hi&0xffff, 16)
	b = append(b, "::"...)
	return strconv.AppendUint(b, a.lo, 16)
}

func (a ip) String() string { return string(a.append(nil)) }

// network is an autonomous system with one range.
type network struct {
	cidr    string
	asn     int
	org     string
	kind    string // office, vpn, residential, mobile, hosting, business
	country string
	city    string
	state   string
	lat     string
	lon     string
	base    uint32
	size    uint32
	v6      uint64 // third and fourth group of its IPv6 range, 0 for none
}

// networks are all that exist here; asn.csv is written from them.
func networks() []network {
	return []network{
		{"198.18.0.0/24", 64496, "Fabrikam office Portland", "office", "US", "Portland", "Oregon", "45.5", "-122.6", 0xc6120000, 1 << 8, 0},
		{"198.18.1.0/24", 64496, "Fabrikam office Dublin", "office", "IE", "Dublin", "Dublin", "53.3", "-6.3", 0xc6120100, 1 << 8, 0},
		{"198.18.2.0/24", 64496, "Fabrikam office Pune", "office", "IN", "Pune", "Maharashtra", "18.5", "73.9", 0xc6120200, 1 << 8, 0},
		{"198.18.3.0/24", 64496, "Fabrikam office Sydney", "office", "AU", "Sydney", "New South Wales", "-33.9", "151.2", 0xc6120300, 1 << 8, 0},
		{"198.18.16.0/24", 64497, "Fabrikam remote access", "business", "US", "Portland", "Oregon", "45.5", "-122.6", 0xc6121000, 1 << 8, 0},
		{"198.18.64.0/18", 64498, "Margie's Travel guest networks", "business", "DE", "Frankfurt", "Hessen", "50.1", "8.7", 0xc6124000, 1 << 14, 0},

		{"240.0.0.0/9", 64499, "Lamna Broadband", "residential", "US", "Portland", "Oregon", "45.5", "-122.6", 0xf0000000, 1 << 23, 0},
		{"240.128.0.0/9", 64500, "Northwind Cable", "residential", "US", "Tampa", "Florida", "27.9", "-82.4", 0xf0800000, 1 << 23, 0x1000},
		{"241.0.0.0/9", 64501, "Tailspin Telecom", "residential", "IE", "Dublin", "Dublin", "53.3", "-6.3", 0xf1000000, 1 << 23, 0x2000},
		{"242.0.0.0/9", 64502, "Proseware Fiber", "residential", "IN", "Pune", "Maharashtra", "18.5", "73.9", 0xf2000000, 1 << 23, 0x3000},
		{"243.0.0.0/9", 64503, "Adatum Home", "residential", "AU", "Sydney", "New South Wales", "-33.9", "151.2", 0xf3000000, 1 << 23, 0},
		{"244.0.0.0/9", 64504, "Trey Online", "residential", "BR", "Recife", "Pernambuco", "-8.1", "-34.9", 0xf4000000, 1 << 23, 0},
		{"245.0.0.0/9", 64505, "Alpine Net", "residential", "PL", "Gdynia", "Pomorskie", "54.5", "18.5", 0xf5000000, 1 << 23, 0},
		{"246.0.0.0/9", 64506, "Relecloud Access", "residential", "VN", "Hue", "Thua Thien Hue", "16.5", "107.6", 0xf6000000, 1 << 23, 0},
		{"247.0.0.0/9", 64507, "Bellows Link", "residential", "ZA", "Durban", "KwaZulu-Natal", "-29.9", "31.0", 0xf7000000, 1 << 23, 0},

		{"100.64.0.0/12", 64508, "Tailspin Mobile US", "mobile", "US", "Seattle", "Washington", "47.6", "-122.3", 0x64400000, 1 << 20, 0},
		{"100.80.0.0/12", 64509, "Tailspin Mobile IE", "mobile", "IE", "Cork", "Cork", "51.9", "-8.5", 0x64500000, 1 << 20, 0},
		{"100.96.0.0/12", 64510, "Tailspin Mobile IN", "mobile", "IN", "Mumbai", "Maharashtra", "19.1", "72.9", 0x64600000, 1 << 20, 0},
		{"100.112.0.0/12", 64511, "Tailspin Mobile AU", "mobile", "AU", "Sydney", "New South Wales", "-33.9", "151.2", 0x64700000, 1 << 20, 0},

		{"198.19.0.0/18", 65536, "Wide World Cloud", "hosting", "US", "Des Moines", "Iowa", "41.6", "-93.6", 0xc6130000, 1 << 14, 0},
		{"198.19.64.0/18", 65537, "Litware Hosting", "hosting", "NL", "Amsterdam", "Noord-Holland", "52.4", "4.9", 0xc6134000, 1 << 14, 0},
		{"198.19.128.0/18", 65538, "Fourth Coffee Servers", "hosting", "SG", "Singapore", "Singapore", "1.3", "103.8", 0xc6138000, 1 << 14, 0},
	}
}

// Indexes into networks.
const (
	netOffice  = 0 // 4 sites
	netVPN     = 4
	netHotel   = 5
	netHome    = 6 // 9 providers; the first 5 are in the organization's countries
	netHomes   = 9
	netHomeGeo = 5
	netMobile  = 15 // 4, by site
	netHosting = 19 // 3
)

// site is an office.
type site struct {
	country string
	zone    int64 // local time minus UTC; daylight saving is left out on purpose
	office  int
	homes   [2]int
	mobile  int
	share   float64
}

func sites() [4]site {
	return [4]site{
		{"US", -8 * hour, 0, [2]int{6, 7}, 15, 0.5},
		{"IE", 0, 1, [2]int{8, 8}, 16, 0.25},
		{"IN", 5*hour + 30*minute, 2, [2]int{9, 9}, 17, 0.15},
		{"AU", 10 * hour, 3, [2]int{10, 10}, 18, 0.1},
	}
}

// addr4 is the h-th IPv4 address of a network; the first ones are left to
// things that need a fixed address.
func (n *network) addr4(h uint64) ip {
	return v4(n.base + 64 + uint32(h%uint64(n.size-128)))
}

func (n *network) addr6(h uint64) ip {
	return ip{hi: 0x20010db8<<32 | (n.v6|h>>32&0xfff)<<16 | (h>>16&0xffff | 1), lo: h&0xffff | 1}
}

// where is an address with its network.
type where struct {
	ip  ip
	net *network
}

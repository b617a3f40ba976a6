package auth

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limiter says how often somebody may try, by a key. Its memory is bounded: when
// there are too many keys at once, those that are new share one allowance.
type limiter struct {
	every time.Duration // one more try each
	burst int
	max   int // keys

	mu    sync.Mutex
	of    map[string]*allowance
	rest  *allowance
	swept time.Time
}

type allowance struct {
	*rate.Limiter
	told bool // that it is used up
}

// maxKeys is how many addresses, or names, are told apart.
const maxKeys = 10_000

func newLimiter(every time.Duration, burst int) *limiter {
	l := &limiter{every: every, burst: burst, max: maxKeys, of: map[string]*allowance{}}
	l.rest = l.fresh()
	return l
}

func (l *limiter) fresh() *allowance {
	return &allowance{Limiter: rate.NewLimiter(rate.Every(l.every), l.burst)}
}

// try takes one try of a key. If there is none left it says after how long there
// will be, and whether this is the first time that it says so.
func (l *limiter) try(key string, now time.Time) (wait time.Duration, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.of[key]
	if a == nil {
		if len(l.of) >= l.max && now.Sub(l.swept) >= time.Second {
			l.swept = now
			for k, o := range l.of {
				if o.TokensAt(now) >= float64(l.burst) { // as good as new
					delete(l.of, k)
				}
			}
		}
		a = l.rest
		if len(l.of) < l.max {
			a = l.fresh()
			l.of[key] = a
		}
	}
	if a.AllowN(now, 1) {
		a.told = false
		return 0, false
	}
	first, a.told = !a.told, true
	r := a.ReserveN(now, 1)
	defer r.CancelAt(now)
	return r.DelayFrom(now), first
}

// remote is the address that a request came from.
func remote(r *http.Request) netip.Addr {
	if a, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return a.Addr().Unmap().WithZone("")
	}
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	a, _ := netip.ParseAddr(host)
	return a.Unmap().WithZone("")
}

// neighborhood is what tries are counted by: an address, and of IPv6 what one
// customer has, which is a /64 at least.
func neighborhood(a netip.Addr) string {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

package simulate

import (
	"encoding/base64"
	"math"
)

// rng is SplitMix64. Seeding it costs nothing, which matters with one stream
// for every user and day; its 64 bits are ample for choosing words and times.
type rng struct{ s uint64 }

const golden = 0x9e3779b97f4a7c15

func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// hash makes one number of several, the same for the same ones.
func hash(xs ...uint64) uint64 {
	h := uint64(golden)
	for _, x := range xs {
		h = mix(h + x*golden + 0x632be59bd9b4e019)
	}
	return h
}

// hashText is FNV-1a, mixed.
func hashText(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(s); i++ {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return mix(h)
}

func (r *rng) u64() uint64 {
	r.s += golden
	return mix(r.s)
}

// n is uniform in [0, k).
func (r *rng) n(k int) int {
	if k <= 1 {
		return 0
	}
	return int((r.u64() >> 32) * uint64(k) >> 32)
}

// span is uniform in [a, b).
func (r *rng) span(a, b int64) int64 {
	if b <= a {
		return a
	}
	return a + int64(r.f()*float64(b-a))
}

// f is uniform in [0, 1).
func (r *rng) f() float64 { return float64(r.u64()>>11) / (1 << 53) }

// p is true with probability x.
func (r *rng) p(x float64) bool { return x > 0 && r.f() < x }

// exp is exponential with mean m.
func (r *rng) exp(m float64) float64 { return -m * math.Log(1-r.f()) }

// norm is normal, by the sum of uniforms: tails do not matter here.
func (r *rng) norm(mean, sd float64) float64 {
	return mean + sd*2*(r.f()+r.f()+r.f()-1.5)
}

// poisson is Poisson for small means, normal for large ones.
func (r *rng) poisson(mean float64) int {
	if mean <= 0 {
		return 0
	}
	if mean > 60 {
		return max(0, int(math.Round(r.norm(mean, math.Sqrt(mean)))))
	}
	l, k, p := math.Exp(-mean), 0, 1.0
	for {
		if p *= r.f(); p <= l {
			return k
		}
		k++
	}
}

func (r *rng) guid() guid { return newGUID(r.u64(), r.u64()) }

// unit maps a hash to [0, 1).
func unit(h uint64) float64 { return float64(h>>11) / (1 << 53) }

func pick[T any](r *rng, list []T) T { return list[r.n(len(list))] }

// guid is an identifier, version 4 in looks.
type guid struct{ a, b uint64 }

func newGUID(a, b uint64) guid {
	return guid{a&^0xf000 | 0x4000, b&^(3<<62) | 1<<63}
}

func (g guid) zero() bool { return g == guid{} }

const hexDigits = "0123456789abcdef"

func appendHex(b []byte, x uint64, digits int) []byte {
	for s := (digits - 1) * 4; s >= 0; s -= 4 {
		b = append(b, hexDigits[x>>s&15])
	}
	return b
}

func (g guid) append(b []byte) []byte {
	var t [36]byte
	put := func(at int, x uint64, digits int) {
		for i := digits - 1; i >= 0; i-- {
			t[at+i] = hexDigits[x&15]
			x >>= 4
		}
	}
	put(0, g.a>>32, 8)
	t[8] = '-'
	put(9, g.a>>16&0xffff, 4)
	t[13] = '-'
	put(14, g.a&0xffff, 4)
	t[18] = '-'
	put(19, g.b>>48, 4)
	t[23] = '-'
	put(24, g.b&0xffffffffffff, 12)
	return append(b, t[:]...)
}

func (g guid) String() string { return string(g.append(nil)) }

// appendToken appends the unique token identifier of a sign-in: its id's bytes
// in the order of .NET, in base64url.
func (g guid) appendToken(b []byte) []byte {
	var t [16]byte
	t[0], t[1], t[2], t[3] = byte(g.a>>32), byte(g.a>>40), byte(g.a>>48), byte(g.a>>56)
	t[4], t[5] = byte(g.a>>16), byte(g.a>>24)
	t[6], t[7] = byte(g.a), byte(g.a>>8)
	for i := range 8 {
		t[8+i] = byte(g.b >> (56 - 8*i))
	}
	return base64.RawURLEncoding.AppendEncode(b, t[:])
}

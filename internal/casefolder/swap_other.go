//go:build !linux

package casefolder

// swap puts dir in the place of final.
func swap(dir, final string) error { return replace(dir, final) }

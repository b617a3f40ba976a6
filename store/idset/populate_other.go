//go:build !linux

package idset

const populate = 0

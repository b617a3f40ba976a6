package idset

import "syscall"

// populate has all pages of a table made at once, which costs a fraction of
// what as many page faults do.
const populate = syscall.MAP_POPULATE

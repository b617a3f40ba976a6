// Package engines holds no code: its tests ask the same questions of every
// engine, and want the same case to the byte.
package engines

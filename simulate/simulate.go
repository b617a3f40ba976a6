// Package simulate makes the logs of organizations that do not exist, with an
// answer key: what happened, written down by what made it happen and not by
// what reads it. It is for measuring detectors and for drills, and contains no
// attack tooling: it writes files.
//
// Benign life comes first. Every rate is a named field of [Rates] with its
// source, or the word estimate; rates of volume are scaled down so that a
// tenant of thousands fits on a disk, rates of failures are not. A campaign is
// one file, scenario_*.go, which adds records to that life.
//
// The generator is a function of its options. Every (tenant, user, day) has a
// random stream of its own, so that days are made in parallel, memory does not
// grow with the number of days, and the same options give the same bytes.
//
// The generator is frozen before detectors are tuned on it: what changes a
// byte of its output changes [Version]. Seeds below [FirstReportedSeed] are for
// development. Seeds from there on are for results that are published, and for
// nothing else.
//
// The package imports nothing of Midwatch's: an answer key must not be written
// by what it grades.
//
// Names end in .example (RFC 2606). Addresses are from ranges that are nobody's
// on the internet: 100.64.0.0/10 (RFC 6598), 198.18.0.0/15 (RFC 2544) and
// 240.0.0.0/4 (RFC 1112); documentation ranges hold too few. Numbers of
// autonomous systems are from RFC 5398.
package simulate

// Version is the version of the generator. It changes with every change of a
// benign rate, of a record's shape or of a scenario.
const Version = "2"

// FirstReportedSeed is the first seed of reported results.
const FirstReportedSeed = 1000

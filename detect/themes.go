package detect

import "midwatch/event"

// Theme is detectors of one kind of thing, under a name for people.
type Theme struct {
	Name      string
	Detectors []Detector
}

// Themes lists the detectors of [All] under their themes.
func Themes(s Settings) []Theme {
	return []Theme{
		{"passwords being tried", guessing()},
		{"accounts and sessions in other hands", identity(s)},
		{"applications, credentials and permissions", applications()},
		{"mail collected, sent on or hidden", mail()},
	}
}

// SourceName names a log for people.
func SourceName(s event.Source) string { return sourceName(s) }

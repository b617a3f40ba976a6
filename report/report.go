// Package report shows a case to people and to machines: one self-contained
// HTML page, the verdict for a terminal, a document in Markdown, case.json,
// tables as CSV, and what other programs read: a layer for the ATT&CK
// Navigator, a timeline for Timesketch, a STIX bundle.
//
// A report adds no conclusion. It arranges what package casefile holds so that
// a tired reader meets the verdict first, then what is not known, and so that
// every number leads to the log lines it stands on. Three rules are kept here
// and nowhere else:
//
//   - certainties are never added up, and shown by a shape and a word besides
//     the colour;
//   - what was looked for and not found is printed after the coverage that
//     makes it believable, never before; an answer of "no evidence" has its
//     coverage beside it wherever it stands;
//   - what is left out of a long table is counted, and the reader is told where
//     the rest is.
//
// Everything a case holds was written by somebody else, possibly by the
// intruder. Strings from it are text in every format: never markup, never a
// formula, never a terminal's control sequence.
//
// The page is put together in page.go, its first sheet in executive.go, a campaign in campaign.go, the answers
// beyond campaigns in answers.go, durations.go and interests.go, coverage by the hour in coverage.go; pictures in
// picture.go, attackgraph.go (laid out in graphlayout.go), plot.go and zoom.go; the templates of assets/ are split the same way.
// [View] shows the same in parts, to a program that puts pages together of its own.
//
// To add a format: one file, one line in [Formats], one golden file.
package report

import (
	"io"

	"midwatch/casefile"
)

// Format writes a case in one form. Implementations are stateless and may be
// used by several goroutines, with different cases.
type Format interface {
	// Name is the name of the format's file in this package, and the word for
	// it on the command line.
	Name() string
	// Doc says in a line what it is for.
	Doc() string
	// Files names the files that it makes of a case, most wanted first.
	Files() []string
	// Write writes one of those files. The same case and options give the same
	// bytes. It fails for a name that is not in Files and when w fails; w then
	// holds a part of the file.
	Write(w io.Writer, file string, c *casefile.Case, o Options) error
}

// Formats lists the formats.
func Formats() []Format {
	return []Format{
		HTML{},
		Terminal{},
		JSON{},
		CSV{},
		Navigator{},
		Timesketch{},
		Markdown{},
		STIX{},
		OCSF{},
	}
}

// Options says how to show a case. The zero value is usable.
type Options struct {
	// Color allows colour in the terminal's text. The caller knows whether it
	// writes to a terminal; other formats ignore it.
	Color bool
	// Width is the terminal's width in columns; 0 means 80.
	Width int
	// Rows is how many rows the HTML page shows of a long table, and how many
	// pieces of evidence in its appendix; 0 means [DefaultRows]. Markdown has a
	// smaller number of its own, and STIX takes it as a number of messages.
	Rows int
	// Raw returns the records behind events, by event id, as they stand in
	// their files. It may be nil; an id that it does not know is left out.
	Raw func(events []string) map[string][]byte
	// TLP is the marking of a STIX bundle, one of [TLPs]; empty means
	// [DefaultTLP]. Other formats ignore it.
	TLP string
	// Exposure is what is known of the content of the mail that was reached. Nil:
	// nothing. Only the HTML page shows it.
	Exposure *Exposure
	// Version is Midwatch's, for the page's section on method. It may be empty.
	Version string
	// Links says where the parts of a [View] lead. Nil: to anchors of one page.
	Links *Links
	// NoMessages and NoEvidence leave messages and attachments, and the account
	// of records, out of a [View]: a case may have a million. Counts stay, and
	// citations have the record's id instead of a number.
	NoMessages, NoEvidence bool
	// Cards says about detectors what a finding does not repeat. It may be nil.
	Cards map[string]Card
}

// Card is what a detector says about itself.
type Card struct {
	Title          string
	Why            string   // why it matters
	FalsePositives []string // what else it could be
}

// DefaultRows is how many rows a long table shows when Options.Rows is 0.
const DefaultRows = 1000

func (o Options) rows() int {
	if o.Rows > 0 {
		return o.Rows
	}
	return DefaultRows
}

func (o Options) width() int {
	if o.Width > 0 {
		return max(o.Width, 40)
	}
	return 80
}

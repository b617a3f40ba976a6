package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"midwatch/simulate"
)

// The marks that the issue asks of heavy questions on two shards.
const (
	heavy     = 0.01 // of all rows read: a question that reads more is looked at
	fairShare = 0.10 // a node's rows differ from an even share by no more than this part of it
	toClient  = 0.01 // of the rows read come to the client
)

// A shape is a question as it stands in the code; it is asked of many values.
type shape struct {
	at     string // line of code
	text   string // as it was asked for the first time
	asked  int
	read   []float64 // rows read by each node
	moved  float64   // rows that shards sent to the node that was asked
	client float64   // rows that came to the client
}

func (s *shape) total() (n float64) {
	for _, r := range s.read {
		n += r
	}
	return n
}

// uneven is how far the busiest or idlest node is from an even share, as a part
// of that share.
func (s *shape) uneven() (most float64) {
	even := s.total() / float64(len(s.read))
	for _, r := range s.read {
		most = max(most, math.Abs(r-even)/even)
	}
	return most
}

// shardsPart asks everything that an investigation asks of two shards, and
// reads in their own logs which of them read what.
func shardsPart(ctx context.Context, o options) (err error) {
	if !engineThere() {
		return nil
	}
	in, err := simulated(ctx, o, "organization", o.users, simulate.Options{})
	if err != nil {
		return err
	}
	s, err := launch(ctx, o, 2)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	loaded, err := s.take(ctx, o, job{Do: "ingest", In: in.path, ASN: in.asn, Store: s.url()})
	if err != nil {
		return err
	}
	// The node that is asked sends its own share to itself like the others', so
	// that each share is a query of its own in the logs.
	asked, err := s.take(ctx, o, job{Do: "ask", Store: s.url("prefer_localhost_replica=0")})
	if err != nil {
		return err
	}
	logs, err := s.readLogs(ctx)
	if err != nil {
		return err
	}
	shapes, err := account(logs)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d records on %d shards; %.1f s for all questions.\n\n", in.name, loaded.Events, len(s.Nodes), asked.Seconds)
	printShards(shapes)
	return nil
}

// logged is what a node's log has of one query.
type logged struct {
	ID      string  `json:"initial_query_id"`
	Initial int     `json:"is_initial_query"`
	Text    string  `json:"text"`
	Read    float64 `json:"read_rows"`
	Result  float64 `json:"result_rows"`
}

// readLogs is what each node did for the questions.
func (s *servers) readLogs(ctx context.Context) ([][]logged, error) {
	var out [][]logged
	for _, n := range s.Nodes {
		if _, err := n.Query(ctx, "SYSTEM FLUSH LOGS"); err != nil {
			return nil, err
		}
		text, err := n.Query(ctx, `SELECT initial_query_id, is_initial_query, is_initial_query ? query : '' AS text, toFloat64(read_rows) AS read_rows, toFloat64(result_rows) AS result_rows
			FROM system.query_log WHERE type = 'QueryFinish' AND startsWith(initial_query_id, '`+mark+`') FORMAT JSONEachRow`)
		if err != nil {
			return nil, err
		}
		var rows []logged
		for d := json.NewDecoder(strings.NewReader(text)); d.More(); {
			var l logged
			if err := d.Decode(&l); err != nil {
				return nil, fmt.Errorf("the log of %s: %w", n.Name(), err)
			}
			rows = append(rows, l)
		}
		out = append(out, rows)
	}
	return out, nil
}

// account adds up what the nodes' logs say, by the shape of the question, those
// first that read most. The first node is the one that was asked. Each shard's
// share is a query of its own; the question itself counts what they reported as
// read, now and then not all of it, so that only what is beyond it was read by
// the first node besides: to put answers together.
func account(logs [][]logged) ([]*shape, error) {
	type question struct {
		*shape
		own float64
	}
	byID, byAt := map[string]*question{}, map[string]*shape{}
	var out []*shape
	for _, l := range logs[0] {
		if l.Initial == 0 {
			continue
		}
		at := strings.TrimPrefix(l.ID[:strings.LastIndexByte(l.ID, '/')], mark)
		x := byAt[at]
		if x == nil {
			x = &shape{at: at, text: l.Text, read: make([]float64, len(logs))}
			byAt[at] = x
			out = append(out, x)
		}
		x.asked++
		x.client += l.Result
		byID[l.ID] = &question{x, l.Read}
	}
	for node, rows := range logs {
		for _, l := range rows {
			if l.Initial != 0 {
				continue
			}
			x := byID[l.ID]
			if x == nil {
				return nil, fmt.Errorf("node %d read for a question that the first does not know: %s", node+1, l.ID)
			}
			x.own -= l.Read
			x.read[node] += l.Read
			x.moved += l.Result
		}
	}
	for _, x := range byID {
		x.read[0] += max(0, x.own)
	}
	slices.SortFunc(out, func(a, b *shape) int {
		return cmp.Or(cmp.Compare(b.total(), a.total()), strings.Compare(a.at, b.at))
	})
	return out, nil
}

func printShards(shapes []*shape) {
	var all shape
	for _, s := range shapes {
		all.asked += s.asked
		all.moved += s.moved
		all.client += s.client
		if all.read == nil {
			all.read = make([]float64, len(s.read))
		}
		for i, r := range s.read {
			all.read[i] += r
		}
	}
	fmt.Println("| question | asked | rows read | of all | share of each node | rows between nodes / read | rows to the client / read |")
	fmt.Println("|---|---:|---:|---:|---|---:|---:|")
	row := func(name string, s *shape) {
		var shares []string
		for _, r := range s.read {
			shares = append(shares, fmt.Sprintf("%.1f %%", 100*r/s.total()))
		}
		fmt.Printf("| %s | %d | %.0f | %.1f %% | %s | %.2f %% | %.3f %% |\n", name, s.asked, s.total(), 100*s.total()/all.total(),
			strings.Join(shares, ", "), 100*s.moved/s.total(), 100*s.client/s.total())
	}
	var failed []string
	n := 0
	for _, s := range shapes {
		if s.total() < heavy*all.total() {
			continue
		}
		n++
		row(fmt.Sprintf("%s `%s`", s.at, firstWords(s.text)), s)
		if s.uneven() > fairShare {
			failed = append(failed, fmt.Sprintf("a node reads %.0f %% more or less than an even share: %s `%s`", 100*s.uneven(), s.at, firstWords(s.text)))
		}
		if s.client > toClient*s.total() {
			failed = append(failed, fmt.Sprintf("%.1f %% of the rows read come to the client: %s `%s`", 100*s.client/s.total(), s.at, firstWords(s.text)))
		}
	}
	row("all", &all)
	fmt.Printf("\n%d questions of %d shapes; %d shapes read %.0f %% of the rows or more each, and %d breaches of what is asked of those.\n", all.asked, len(shapes), n, 100*heavy, len(failed))
	for _, f := range failed {
		fmt.Println("- " + f)
	}
}

// firstWords are as much of a question as tells it from others.
func firstWords(q string) string {
	words := []rune(strings.ReplaceAll(strings.Join(strings.Fields(q), " "), "|", "¦"))
	if len(words) > 60 {
		words = append(words[:59], '…')
	}
	return string(words)
}

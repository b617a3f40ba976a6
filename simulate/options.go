package simulate

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Options say what to simulate. The zero value of a knob is the scenario's
// default.
type Options struct {
	Scenario string
	Users    int // people of the corporate tenant, at least [MinUsers]
	Days     int // at least [MinDays]
	Seed     uint64
	Start    time.Time // midnight UTC of the first day; zero: [DefaultStart]

	Attempts    float64       // guesses an account and day
	Accounts    int           // accounts that are guessed at
	GeoMatch    bool          // proxies in the organization's countries only
	OfficeHours bool          // the actor works when the victims do
	RotateUA    bool          // another user agent for each guess
	Blend       bool          // guesses come through the application, and with the user agents, of ordinary failures
	ROPC        bool          // guesses by the resource owner password grant
	API         string        // ews or graph
	Loss        float64       // share of records that are lost, [0, 1); above 0 the audit log also has a gap
	Latency     time.Duration // mean time from event to arrival; what arrives after the end is not in the logs
	UnderWay    bool          // the actor came in before the logs begin
	NoTest      bool          // the test tenant's logs are not handed over
	Volume      float64       // factor on benign volume, see [Rates]; 0: 1
	Mail        bool          // mailboxes are written, too: what was in the mail that was reached, and in other mail beside it
	Logs        []string      // the logs that are handed over (LogUAL and so on); none: all

	Workers int // goroutines; 0: two. The output does not depend on it
}

// The smallest organization and time: below, the teams that scenarios need do
// not exist, or a campaign has no room.
const (
	MinUsers = 100
	MinDays  = 10
)

// DefaultStart is a Monday, two weeks before the incident's first guesses.
func DefaultStart() time.Time { return time.Date(2023, 11, 13, 0, 0, 0, 0, time.UTC) }

func (o Options) check() (Options, error) {
	if o.Start.IsZero() {
		o.Start = DefaultStart()
	}
	if o.Volume == 0 {
		o.Volume = 1
	}
	if o.Workers <= 0 {
		o.Workers = 2
	}
	s, ok := scenario(o.Scenario)
	if !ok {
		return o, fmt.Errorf("no scenario %q; there are %s", o.Scenario, strings.Join(ScenarioNames(), ", "))
	}
	switch {
	case o.Users < MinUsers:
		return o, fmt.Errorf("%d users; at least %d are needed", o.Users, MinUsers)
	case o.Users > 2_000_000:
		return o, fmt.Errorf("%d users; at most 2,000,000 are possible", o.Users)
	case o.Days < MinDays || o.Days > 3650:
		return o, fmt.Errorf("%d days; between %d and 3650 are possible", o.Days, MinDays)
	case o.UnderWay && s.underWay == 0:
		return o, fmt.Errorf("scenario %s cannot be under way when the logs begin: nothing of it would be in them", o.Scenario)
	case o.Loss < 0 || o.Loss >= 1:
		return o, fmt.Errorf("loss %v; it is a share, from 0 to below 1", o.Loss)
	case o.Attempts < 0 || o.Accounts < 0 || o.Latency < 0 || o.Volume < 0:
		return o, fmt.Errorf("a negative number of attempts, accounts, latency or volume")
	case slices.ContainsFunc(o.Logs, func(l string) bool { return !slices.Contains(LogNames(), l) }):
		return o, fmt.Errorf("logs %s; there are %s", strings.Join(o.Logs, ", "), strings.Join(LogNames(), ", "))
	case o.API != "" && o.API != "ews" && o.API != "graph":
		return o, fmt.Errorf("api %q; it is ews or graph", o.API)
	case o.Start.UnixMicro()%day != 0 || o.Start.Year() < 2000 || o.Start.Year() > 2090:
		return o, fmt.Errorf("start %s; it is a midnight in UTC", o.Start.Format(time.RFC3339))
	}
	return o, nil
}

// Scenario is a story: what it adds to benign life.
type Scenario struct {
	Name string
	Doc  string // in a line
	plan func(*plan)
	// underWay is how much of the time a campaign is moved to the front when
	// it is to be under way already; 0: nothing would be left of it.
	underWay float64
}

// Scenarios are all of them, the incident first.
func Scenarios() []Scenario {
	return []Scenario{
		midnight(), narrow(), loudspray(), bruteforce(), tokentheft(), consentphish(), insiderapp(), bec(), mixed(), quiet(),
	}
}

// ScenarioNames are the names of [Scenarios].
func ScenarioNames() []string {
	var names []string
	for _, s := range Scenarios() {
		names = append(names, s.Name)
	}
	return names
}

func scenario(name string) (Scenario, bool) {
	all := Scenarios()
	i := slices.IndexFunc(all, func(s Scenario) bool { return s.Name == name })
	if i < 0 {
		return Scenario{}, false
	}
	return all[i], true
}

package sigmarules

import (
	"regexp"
	"slices"
	"strings"

	"midwatch/casefile"
)

// severity is a rule's level, as far as one rule can say it. A rule without a
// level makes no claim that would have to be heard.
func severity(level string) casefile.Severity {
	switch level {
	case "critical", "high":
		return casefile.High
	case "medium":
		return casefile.Medium
	case "low":
		return casefile.Low
	}
	return casefile.Info
}

// technique is the tag of a technique; patterns cannot be constants.
var technique = regexp.MustCompile(`^attack\.(t[0-9]{4}(?:\.[0-9]{3})?)$`)

// techniques lists the ATT&CK ids among a rule's tags.
func techniques(tags []string) (out []string) {
	for _, t := range tags {
		if m := technique.FindStringSubmatch(strings.ToLower(t)); m != nil {
			out = append(out, strings.ToUpper(m[1]))
		}
	}
	return casefile.Unique(out)
}

// stages says what the techniques and tactics of ATT&CK are in our words.
// Techniques are asked first: one that serves several tactics, such as T1078,
// is tagged with all of them. Others, such as discovery, are no stage of ours.
func stages() [][2]string {
	return [][2]string{
		{"T1110", casefile.StageGuessing}, {"T1621", casefile.StageGuessing},
		{"T1078", casefile.StageAccess}, {"T1528", casefile.StageAccess}, {"T1550", casefile.StageAccess}, {"T1566", casefile.StageAccess},
		{"T1098.003", casefile.StagePrivilege}, {"T1484", casefile.StagePrivilege}, {"T1548", casefile.StagePrivilege},
		{"T1098", casefile.StagePersistence}, {"T1136", casefile.StagePersistence}, {"T1556", casefile.StagePersistence},
		{"T1114.003", casefile.StageExfil}, {"T1114", casefile.StageCollection}, {"T1213", casefile.StageCollection}, {"T1530", casefile.StageCollection},
		{"T1562", casefile.StageEvasion}, {"T1564", casefile.StageEvasion}, {"T1685", casefile.StageEvasion}, {"T1070", casefile.StageEvasion},
		{"exfiltration", casefile.StageExfil}, {"collection", casefile.StageCollection},
		{"privilege-escalation", casefile.StagePrivilege}, {"persistence", casefile.StagePersistence},
		{"defense-evasion", casefile.StageEvasion}, {"stealth", casefile.StageEvasion}, {"defense-impairment", casefile.StageEvasion},
		{"initial-access", casefile.StageAccess}, {"credential-access", casefile.StageAccess}, {"lateral-movement", casefile.StageAccess},
	}
}

// stage is the stage of a campaign that a rule's tags speak of; empty when
// they speak of none.
func stage(tags []string) string {
	ids := techniques(tags)
	var tactics []string
	for _, t := range tags {
		if x, ok := strings.CutPrefix(strings.ToLower(t), "attack."); ok {
			tactics = append(tactics, strings.ReplaceAll(x, "_", "-"))
		}
	}
	for _, s := range stages() {
		if slices.Contains(tactics, s[0]) || slices.ContainsFunc(ids, func(id string) bool { return id == s[0] || strings.HasPrefix(id, s[0]+".") }) {
			return s[1]
		}
	}
	return ""
}

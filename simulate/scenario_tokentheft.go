package simulate

func tokentheft() Scenario { return Scenario{"tokentheft", "", func(*plan) {}} }

package simulate

func bec() Scenario { return Scenario{"bec", "", func(*plan) {}} }

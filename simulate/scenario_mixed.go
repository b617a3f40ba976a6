package simulate

func mixed() Scenario { return Scenario{"mixed", "", func(*plan) {}} }

package simulate

func loudspray() Scenario { return Scenario{"loudspray", "", func(*plan) {}} }

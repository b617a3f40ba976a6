package simulate

func narrow() Scenario { return Scenario{"narrow", "", func(*plan) {}} }

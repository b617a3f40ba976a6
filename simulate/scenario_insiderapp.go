package simulate

func insiderapp() Scenario { return Scenario{"insiderapp", "", func(*plan) {}} }

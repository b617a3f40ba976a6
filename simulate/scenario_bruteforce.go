package simulate

func bruteforce() Scenario { return Scenario{"bruteforce", "", func(*plan) {}} }

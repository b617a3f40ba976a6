package simulate

func consentphish() Scenario { return Scenario{"consentphish", "", func(*plan) {}} }

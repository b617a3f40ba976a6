package simulate

// quiet has no actor at all: what is found in it is false.
func quiet() Scenario {
	return Scenario{"quiet", "nothing at all: benign life and the weather of the internet", func(*plan) {}, 0}
}

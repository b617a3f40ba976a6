package simulate

// mixed has two actors at once who know nothing of each other.
func mixed() Scenario {
	return Scenario{"mixed", "two actors at once: midnight and bec", func(p *plan) {
		p.midnight()
		p.bec()
	}, 0.4}
}

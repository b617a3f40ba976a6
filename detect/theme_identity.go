package detect

// identity lists the detectors of accounts and sessions in somebody else's
// hands.
func identity(s Settings) []Detector {
	return []Detector{canaryAccount{s.Canaries}, dormantAccountWakes{}, legacyAuthFirst{}, mfaFatigue{}, newMethodAfterNewNetwork{}, sessionSecondNetwork{}, signInBypass{}, singleFactorNewNetwork{}}
}

package detect

// mail lists the detectors of mail being collected, sent on or hidden.
func mail() []Detector {
	return []Detector{auditTampering{}, ediscoveryExport{}, externalForwarding{}, firstSeenMailboxApp{}, inboxRuleHidesOrForwards{}, mailSearch{}, mailVolume{}, mailboxDelegation{}, throttledMailbox{}}
}

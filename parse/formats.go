package parse

// Formats lists all formats in the order in which they are asked: what cannot
// be used before what it resembles, the audit log before the tables that copy
// it, the specific records of Azure Monitor before the envelope as such.
func Formats() []Format {
	return []Format{
		Refused{},
		UAL{},
		OfficeActivity{},
		SignIn{},
		Directory{},
		GraphActivity{},
		Risk{},
		MessageTrace{},
		Google{},
		Okta{},
		Defender{},
		AzureMonitor{},
		Collected{},
	}
}

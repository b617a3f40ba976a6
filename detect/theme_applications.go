package detect

// applications lists the detectors of what is done with applications,
// credentials and permissions.
func applications() []Detector {
	return []Detector{appBreadth{}, appCredentialAdded{}, appManyNetworks{}, appOnlyMailGrant{}, mailConsent{}, servicePrincipalNewNetwork{}, youngConsenter{}}
}

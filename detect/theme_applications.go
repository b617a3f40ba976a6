package detect

// applications lists the detectors of what is done with applications,
// credentials and permissions.
func applications() []Detector {
	return []Detector{appBreadth{}, appCredentialAdded{}, appGrantsApp{}, appManyNetworks{}, appOnlyMailGrant{}, mailConsent{}, privilegedRoleGranted{}, servicePrincipalNewNetwork{}, youngConsenter{}}
}

package web

// Route is an address of the server, for tests.
type Route = route

// Routes lists all addresses.
func Routes() []Route { return routes() }

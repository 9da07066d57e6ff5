package ext

// HTTP adds nothing: the module that it stands in for is published nowhere.
type HTTP struct{}

// Router adds nothing either.
type Router struct{}

package absent

import (
	"errors"

	"github.com/traefik/traefik/v3/pkg/config/dynamic"
	"github.com/traefik/traefik/v3/pkg/safe"
)

// ProviderName is what no provider is called.
const ProviderName = "absent"

var errAbsent = errors.New("this provider is not in this build of Traefik")

// Entrypoint is what the Gateway provider is told about one.
type Entrypoint struct {
	Address        string
	HasHTTPTLSConf bool
}

// Provider has what the rest of Traefik touches of any of those that it stands in for.
type Provider struct {
	DefaultRuleSyntax      string
	WatchNamespace         string
	WatchNamespaceSelector string
	NonTLSEntryPoints      []string              `json:"-" toml:"-" yaml:"-" label:"-" file:"-"`
	EntryPoints            map[string]Entrypoint `json:"-" toml:"-" yaml:"-" label:"-" file:"-"`
}

// Init fails: nobody is to believe that it works.
func (*Provider) Init() error { return errAbsent }

// Provide fails as Init does.
func (*Provider) Provide(chan<- dynamic.Message, *safe.Pool) error { return errAbsent }

// FillExtensionBuilderRegistry has nothing to fill in.
func (*Provider) FillExtensionBuilderRegistry(any) {}

// ProviderBuilder is the form in which some are configured.
type ProviderBuilder struct{}

// BuildProviders makes one, which fails.
func (*ProviderBuilder) BuildProviders() []*Provider { return []*Provider{{}} }

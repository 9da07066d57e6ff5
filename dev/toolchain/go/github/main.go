// Command pulumi-resource-github serves the resources of the `github` plugin for machines that cannot download the
// official one: the very provider code that it wraps, behind the same bridge.
//
// Owns: tokens by the rule that the official plugin's follow. Does not own: the schema with its documentation, which
// neither the engine nor a program needs, and names that the official plugin gives by hand.
package main

import (
	"github.com/integrations/terraform-provider-github/v6/github"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/tokens"
	shim "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
)

// version is that of the Python SDK this plugin answers to: the engine looks a plugin up by it.
const version = "6.15.0"

func main() {
	info := tfbridge.ProviderInfo{
		P:       shim.NewProvider(github.NewProvider(version, "none")()),
		Name:    "github",
		Version: version,
		Resources: map[string]*tfbridge.ResourceInfo{
			"github_actions_environment_secret": {DeleteBeforeReplace: true},
			"github_repository_deploy_key":      {DeleteBeforeReplace: true},
			"github_repository_environment": { // a list before it could have only one entry
				Fields: map[string]*tfbridge.SchemaInfo{"reviewers": {MaxItemsOne: tfbridge.False()}},
			},
		},
	}
	info.MustComputeTokens(tokens.SingleModule("github_", "index", tokens.MakeStandard("github")))
	info.SetAutonaming(255, "-")
	tfbridge.Main(info.Name, version, info, []byte(`{"name": "github", "version": "`+version+`"}`))
}

// Command pulumi-resource-command serves the two resources of the `command` plugin that Slipway uses,
// command:local:Command and command:remote:Command, for machines that cannot download the official plugin.
//
// Owns: the same inputs, outputs, defaults and error texts as the official plugin of the same version.
// Does not own: the official plugin's copy resources, its `run` function and its assets; asking for one is an error.
package main

import (
	"context"
	"fmt"
	"os"

	provider "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"

	"slipway/toolchain/command/local"
	"slipway/toolchain/command/remote"
)

// version is that of the Python SDK this plugin answers to: the engine looks a plugin up by it.
const version = "1.2.1"

func main() {
	plugin, err := infer.NewProviderBuilder().
		WithDisplayName("Command").
		WithDescription("Runs commands here or over SSH as part of a resource's life.").
		WithResources(infer.Resource(&local.Command{}), infer.Resource(&remote.Command{})).
		Build()
	if err == nil {
		err = provider.RunProvider(context.Background(), "command", version, plugin)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

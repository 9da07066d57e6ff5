// Command pulumi-resource-docker serves the one function of the `docker` plugin that Slipway uses,
// docker:index/getRegistryImage:getRegistryImage, for machines that cannot download the official plugin.
//
// Owns: the same arguments, results, provider configuration and error texts as the official plugin of the same version;
// tests/engine/docker_plugin_answers.json has what that one answers.
// Does not own: its resources and other functions; asking for one is an error of the engine. It never talks to a Docker
// daemon, which the official one does before anything else: the configuration that says how to reach one is accepted and
// not used. It sends every login as Basic, also where the official one tries another form first (ghcr.io, Amazon, Azure).
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	provider "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
)

// version is that of the Python SDK this plugin answers to: the engine looks a plugin up by it.
const version = "5.2.0"

func main() {
	config := &Config{}
	plugin, err := infer.NewProviderBuilder().
		WithDisplayName("Docker").
		WithDescription("Reads an image's digest from a registry.").
		WithConfig(infer.Config(config)).
		WithFunctions(infer.Function(&GetRegistryImage{config: config})).
		Build()
	if err == nil {
		plugin = bridged(plugin)
		err = provider.RunProvider(context.Background(), "docker", version, plugin)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// moduleFormat: to the engine, in a token `docker:index/x:x` only `index` is the module.
const moduleFormat = "(.*)(?:/[^/]*)"

// bridged adds what the official plugin has from being a bridge to Terraform, and the library cannot say: tokens with
// a nested module, results with an `id`, and a configuration that changes in place.
func bridged(plugin provider.Provider) provider.Provider {
	invoke, diffConfig, getSchema := plugin.Invoke, plugin.DiffConfig, plugin.GetSchema
	plugin.Invoke = func(ctx context.Context, request provider.InvokeRequest) (provider.InvokeResponse, error) {
		response, err := invoke(ctx, request)
		if digest, ok := response.Return.GetOk("sha256Digest"); ok && err == nil {
			response.Return = response.Return.Set("id", digest)
		}
		return response, err
	}
	plugin.DiffConfig = func(ctx context.Context, request provider.DiffRequest) (provider.DiffResponse, error) {
		response, err := diffConfig(ctx, request)
		for name, each := range response.DetailedDiff {
			each.Kind = provider.DiffKind(strings.TrimSuffix(string(each.Kind), "&replace"))
			response.DetailedDiff[name] = each
		}
		response.DeleteBeforeReplace = false
		return response, err
	}
	plugin.GetSchema = func(
		ctx context.Context, request provider.GetSchemaRequest,
	) (provider.GetSchemaResponse, error) {
		response, err := getSchema(ctx, request)
		if err != nil {
			return response, err
		}
		schema := map[string]any{}
		if err := json.Unmarshal([]byte(response.Schema), &schema); err != nil {
			return response, err
		}
		schema["meta"] = map[string]any{"moduleFormat": moduleFormat}
		whole, err := json.Marshal(schema)
		response.Schema = string(whole)
		return response, err
	}
	return plugin
}

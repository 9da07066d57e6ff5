// Command pulumi-resource-hcloud serves the resources of the `hcloud` plugin for machines that cannot download the
// official one: the very provider code that it wraps, behind the same bridge.
//
// Owns: tokens by the rule that the official plugin's follow. Does not own: the schema's documentation, which neither
// the engine nor a program needs. The schema itself is made at each start (0.1 s): the bridge reads it.
package main

import (
	"context"
	"io"
	"log"

	"github.com/hetznercloud/terraform-provider-hcloud/hcloud"
	pfbridge "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfgen"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/tokens"
	shim "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/x/muxer"
	"github.com/pulumi/pulumi-terraform-bridge/v3/unstable/metadata"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag/colors"
)

// version is that of the Python SDK this plugin answers to: the engine looks a plugin up by it.
const version = "1.43.3"

// The provider is two, an older one and a newer one; who serves which resource is asked of the bridge's own mux.
type mux interface {
	ResolveDispatch(*tfbridge.ProviderInfo) (muxer.DispatchTable, error)
}

func main() {
	ctx := context.Background()
	provider := pfbridge.MuxShimWithPF(ctx, shim.NewProvider(hcloud.Provider()), hcloud.NewPluginProvider())
	info := tfbridge.ProviderInfo{
		P:            provider,
		Name:         "hcloud",
		Version:      version,
		MetadataInfo: tfbridge.NewProviderMetadata([]byte("{}")),
		Resources:    map[string]*tfbridge.ResourceInfo{},
	}
	for _, name := range []string{
		"primary_ip", "zone", "storage_box", "storage_box_snapshot", "storage_box_subaccount",
	} { // their id is a number, the engine's is text
		fields := map[string]*tfbridge.SchemaInfo{"id": {Type: "string"}}
		info.Resources["hcloud_"+name] = &tfbridge.ResourceInfo{Fields: fields}
	}
	info.MustComputeTokens(tokens.SingleModule("hcloud_", "index", tokens.MakeStandard("hcloud")))
	info.SetAutonaming(255, "-")

	dispatch, err := provider.(mux).ResolveDispatch(&info)
	check(err)
	check(metadata.Set(info.GetMetadata(), "mux", dispatch))
	quiet := diag.DefaultSink(io.Discard, io.Discard, diag.FormatOptions{Color: colors.Never})
	made, err := tfgen.GenerateSchema(ctx, tfgen.GenerateSchemaOptions{
		ProviderInfo: info, DiagnosticsSink: quiet, XInMemoryDocs: true,
	})
	check(err)
	pfbridge.MainWithMuxer(ctx, info.Name, info, made.ProviderMetadata.PackageSchema)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/pulumi/pulumi-go-provider/infer"
)

// deadline bounds a whole look-up, the library's own retries included.
const deadline = 60 * time.Second

// GetRegistryImage is the function.
type GetRegistryImage struct{ config *Config }

// GetRegistryImageArgs are its arguments.
type GetRegistryImageArgs struct {
	Name               string `pulumi:"name"`
	InsecureSkipVerify *bool  `pulumi:"insecureSkipVerify,optional"`
}

// GetRegistryImageResult is its result. The official plugin gives an `id` too; see bridged.
type GetRegistryImageResult struct {
	Name               string `pulumi:"name"`
	InsecureSkipVerify *bool  `pulumi:"insecureSkipVerify,optional"`
	Sha256Digest       string `pulumi:"sha256Digest"`
}

// Annotate names the function as the official plugin does.
func (f *GetRegistryImage) Annotate(a infer.Annotator) {
	a.Describe(&f, "Reads an image's digest from its registry.")
	a.SetToken("index/getRegistryImage", "getRegistryImage")
}

// Annotate describes the fields in the plugin's schema.
func (r *GetRegistryImageArgs) Annotate(a infer.Annotator) {
	a.Describe(&r.Name, "The image with its tag, its digest or both.")
	a.Describe(&r.InsecureSkipVerify, "Whether any TLS certificate of the registry is accepted. Defaults to false.")
}

// Annotate describes the fields in the plugin's schema.
func (r *GetRegistryImageResult) Annotate(a infer.Annotator) {
	a.Describe(&r.Name, "The image that was asked for.")
	a.Describe(&r.Sha256Digest, "The digest of its manifest, sha256: and 64 hexadecimal digits.")
}

// Invoke looks the digest up.
func (f *GetRegistryImage) Invoke(
	ctx context.Context, request infer.FunctionRequest[GetRegistryImageArgs],
) (infer.FunctionResponse[GetRegistryImageResult], error) {
	digest, err := f.digest(ctx, request.Input)
	return infer.FunctionResponse[GetRegistryImageResult]{Output: GetRegistryImageResult{
		Name:               request.Input.Name,
		InsecureSkipVerify: request.Input.InsecureSkipVerify,
		Sha256Digest:       digest,
	}}, err
}

func (f *GetRegistryImage) digest(ctx context.Context, args GetRegistryImageArgs) (string, error) {
	image, err := name.ParseReference(args.Name)
	if err != nil {
		return "", fmt.Errorf("parsing the image name %q: %w", args.Name, err)
	}
	registry := f.config.registry(image.Context().RegistryStr())
	login, err := registry.authenticator()
	if err != nil {
		return "", fmt.Errorf("Error loading registry auth config: %w", err) //nolint:staticcheck // the official text
	}
	if plainHTTP(image.Context().RegistryStr(), registry) {
		image, err = name.ParseReference(args.Name, name.Insecure)
		if err != nil {
			return "", err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	options := []remote.Option{
		remote.WithContext(ctx),
		remote.WithAuth(login),
		remote.WithTransport(roundTripper(image.Context().RegistryStr(), registry, args.InsecureSkipVerify)),
	}
	manifest, err := remote.Head(image, options...)
	if err == nil {
		return manifest.Digest.String(), nil
	}
	var answered *transport.Error
	if !errors.As(err, &answered) { // some registries answer HEAD without a digest
		if whole, getErr := remote.Get(image, options...); getErr == nil {
			return whole.Digest.String(), nil
		}
	}
	return "", fmt.Errorf("Got error when attempting to fetch image version %s:%s from registry: %w", //nolint:staticcheck
		image.Context().RepositoryStr(), image.Identifier(), reworded(err))
}

// reworded says it as the official plugin does.
func reworded(err error) error {
	var answered *transport.Error
	if !errors.As(err, &answered) || answered.StatusCode == 0 {
		return fmt.Errorf("Error during registry request: %w", err) //nolint:staticcheck // the official text
	}
	status := fmt.Sprintf("%d %s", answered.StatusCode, http.StatusText(answered.StatusCode))
	if answered.StatusCode == http.StatusUnauthorized {
		return fmt.Errorf("Bad credentials: %s", status) //nolint:staticcheck // the official text
	}
	return fmt.Errorf("Got bad response from registry: %s", status) //nolint:staticcheck // the official text
}

// plainHTTP reports whether a registry may be spoken to without TLS: when its address says so, or on this machine.
func plainHTTP(host string, registry *RegistryAuth) bool {
	if registry != nil && strings.Contains(registry.Address, "://") {
		return strings.HasPrefix(registry.Address, "http://")
	}
	bare := host
	if split, _, err := net.SplitHostPort(host); err == nil {
		bare = split
	}
	address := net.ParseIP(bare)
	return bare == "localhost" || address != nil && address.IsLoopback()
}

// roundTripper refuses to send anything to the registry without TLS unless plainHTTP allows it: the library on its own
// falls back to http for every private address, with the login.
func roundTripper(host string, registry *RegistryAuth, insecureSkipVerify *bool) http.RoundTripper {
	secure := remote.DefaultTransport.(*http.Transport).Clone()
	if insecureSkipVerify != nil && *insecureSkipVerify {
		secure.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // asked for by name
	}
	if plainHTTP(host, registry) {
		return secure
	}
	return tlsOnly{secure}
}

type tlsOnly struct{ http.RoundTripper }

// RoundTrip sends a request that is encrypted.
func (t tlsOnly) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Scheme != "https" {
		return nil, fmt.Errorf("%s is not encrypted: write its address with http:// in registryAuth to allow that", request.URL.Host)
	}
	return t.RoundTripper.RoundTrip(request)
}

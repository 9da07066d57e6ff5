package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/pulumi/pulumi-go-provider/infer"
)

// deadline bounds one request; the official plugin waits for as long as the system does.
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
	a.Describe(&r.Name, "The image with its tag, or with both tag and digest.")
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
	asked := request.Input
	image := parsed(asked.Name)
	lookup := f.config.lookup(image, asked.InsecureSkipVerify != nil && *asked.InsecureSkipVerify)
	digest, err := lookup.digest(ctx, manifests)
	if err != nil {
		digest, err = lookup.digest(ctx, signedManifest) // the error that counts is this one's
	}
	if err != nil {
		err = fmt.Errorf("Got error when attempting to fetch image version %s:%s from registry: %w", //nolint:staticcheck
			image.repository, image.version, err)
	}
	return infer.FunctionResponse[GetRegistryImageResult]{Output: GetRegistryImageResult{
		Name:               asked.Name,
		InsecureSkipVerify: asked.InsecureSkipVerify,
		Sha256Digest:       digest,
	}}, err
}

// image is an image's name in its parts; version is a tag or a digest.
type image struct{ registry, repository, version string }

// parsed takes a name apart as the official plugin does: the first colon behind the registry begins the version, so that
// a name with a digest and no tag is one of a repository that no registry has.
func parsed(name string) image {
	registry, rest, found := strings.Cut(name, "/")
	if !found || !strings.Contains(rest, "/") && !strings.ContainsAny(registry, ".:") && registry != "localhost" {
		registry, rest = dockerHub, name
		if !found {
			rest = "library/" + name
		}
	}
	repository, version, _ := strings.Cut(rest, ":")
	if _, digest, found := strings.Cut(version, "@"); found {
		version = digest
	}
	if version == "" {
		version = "latest"
	}
	return image{registry, repository, version}
}

// What is asked for: any manifest of today, and when that fails the kind of before.
var (
	manifests = []string{
		"application/vnd.docker.distribution.manifest.v2+json",
		"application/vnd.docker.distribution.manifest.list.v2+json",
		"application/vnd.oci.image.manifest.v1+json",
		"application/vnd.oci.image.index.v1+json",
	}
	signedManifest = []string{"application/vnd.docker.distribution.manifest.v1+prettyjws"}
)

// lookup is one question to a registry.
type lookup struct {
	image  image
	login  login
	client *http.Client
}

// lookup is how an image is asked for: anonymously with TLS, unless the configuration says otherwise of its registry.
func (c *Config) lookup(image image, anyCertificate bool) lookup {
	login, found := c.login(image.registry)
	if !found {
		login.address = "https://" + image.registry
	}
	client := &http.Client{Timeout: deadline}
	if anyCertificate {
		client.Transport = &http.Transport{
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // asked for by name
			Proxy:           http.ProxyFromEnvironment,
		}
	}
	return lookup{image, login, client}
}

func (l lookup) digest(ctx context.Context, accepted []string) (string, error) {
	address := fmt.Sprintf("%s/v2/%s/manifests/%s", l.login.address, l.image.repository, l.image.version)
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, address, nil)
	if err != nil {
		return "", fmt.Errorf("Error creating registry request: %w", err) //nolint:staticcheck // the official text
	}
	request.Header["Accept"] = accepted
	if l.login.username != "" {
		request.SetBasicAuth(l.login.username, l.login.password)
	}
	answer, err := l.client.Do(request)
	if err != nil {
		return "", fmt.Errorf("Error during registry request: %w", err) //nolint:staticcheck // the official text
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
		return digestOf(answer)
	case http.StatusUnauthorized:
		return l.digestWithToken(request, answer)
	}
	return "", badAnswer(answer)
}

// digestWithToken fetches the token that a registry refused for the lack of, and asks again.
func (l lookup) digestWithToken(request *http.Request, refusal *http.Response) (string, error) {
	challenge, found := strings.CutPrefix(refusal.Header.Get("www-authenticate"), "Bearer ")
	if !found {
		return "", fmt.Errorf("bad credentials: %s", refusal.Status)
	}
	token, err := l.token(request.Context(), challenge)
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	for _, method := range []string{http.MethodHead, http.MethodGet} { // some answer HEAD without a digest
		request.Method = method
		digest, failed := l.digestOnce(request)
		if err = failed; err == nil || errors.As(err, new(*refused)) {
			return digest, err
		}
	}
	return "", err
}

func (l lookup) digestOnce(request *http.Request) (string, error) {
	answer, err := l.client.Do(request)
	if err != nil {
		return "", &refused{fmt.Sprintf("error during registry request: %s", err)}
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return "", badAnswer(answer)
	}
	return digestOf(answer)
}

var parameter = regexp.MustCompile(`(\w+)="(.*?)"`)

// token is what the realm of a challenge gives; one that refuses the login may still serve everybody.
func (l lookup) token(ctx context.Context, challenge string) (string, error) {
	given := map[string]string{"scope": "repository:" + l.image.repository + ":push,pull"}
	for _, each := range parameter.FindAllStringSubmatch(challenge, -1) {
		given[each[1]] = each[2]
	}
	query := url.Values{"service": {given["service"]}, "scope": {given["scope"]}}
	answer, err := l.ask(ctx, given["realm"]+"?"+query.Encode(), l.login.username != "")
	if err == nil && l.login.username != "" &&
		(answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden) {
		answer.Body.Close()
		answer, err = l.ask(ctx, given["realm"]+"?"+query.Encode(), false)
	}
	if err != nil {
		return "", fmt.Errorf("error during registry request: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return "", badAnswer(answer)
	}
	var found struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&found); err != nil {
		return "", fmt.Errorf("error parsing OAuth token response: %w", err)
	}
	switch {
	case found.Token != "":
		return found.Token, nil
	case found.AccessToken != "":
		return found.AccessToken, nil
	}
	return "", errors.New("Error unsupported OAuth response") //nolint:staticcheck // the official text
}

func (l lookup) ask(ctx context.Context, address string, withLogin bool) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if withLogin {
		request.SetBasicAuth(l.login.username, l.login.password)
	}
	return l.client.Do(request)
}

// refused is an answer after which there is nothing more to ask.
type refused struct{ text string }

func (r *refused) Error() string { return r.text }

func badAnswer(answer *http.Response) error {
	return &refused{"got bad response from registry: " + answer.Status}
}

func digestOf(answer *http.Response) (string, error) {
	if digest := answer.Header.Get("Docker-Content-Digest"); digest != "" {
		return digest, nil
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil || len(body) == 0 {
		return "", fmt.Errorf("error reading registry response body: %s", err)
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(body)), nil
}

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/cli/cli/config/configfile"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/pulumi/pulumi-go-provider/infer"
)

// Config is the provider's configuration.
type Config struct {
	RegistryAuth []RegistryAuth `pulumi:"registryAuth,optional"`

	Host                     *string  `pulumi:"host,optional"`
	Context                  *string  `pulumi:"context,optional"`
	CaMaterial               *string  `pulumi:"caMaterial,optional"`
	CertMaterial             *string  `pulumi:"certMaterial,optional"`
	CertPath                 *string  `pulumi:"certPath,optional"`
	KeyMaterial              *string  `pulumi:"keyMaterial,optional"`
	SshOpts                  []string `pulumi:"sshOpts,optional"`
	DisableDockerDaemonCheck *bool    `pulumi:"disableDockerDaemonCheck,optional"`
}

// Annotate describes the fields in the plugin's schema.
func (c *Config) Annotate(a infer.Annotator) {
	a.Describe(&c.RegistryAuth, "How to log in to registries, one entry a registry.")
	a.Describe(&c.Host, "Accepted and not used, as all that concerns a Docker daemon.")
}

// RegistryAuth says how to log in to one registry.
type RegistryAuth struct {
	Address           string  `pulumi:"address"`
	AuthDisabled      *bool   `pulumi:"authDisabled,optional"`
	ConfigFile        *string `pulumi:"configFile,optional"`
	ConfigFileContent *string `pulumi:"configFileContent,optional"`
	Username          *string `pulumi:"username,optional"`
	Password          *string `pulumi:"password,optional" provider:"secret"`
}

// Annotate describes the fields in the plugin's schema.
func (r *RegistryAuth) Annotate(a infer.Annotator) {
	a.Describe(&r.Address, "The registry's address; a plain one means https, http:// has to be written.")
	a.Describe(&r.AuthDisabled, "Whether the registry wants no login.")
	a.Describe(&r.ConfigFile, "A Docker client's configuration file with the login. Defaults to ~/.docker/config.json.")
	a.Describe(&r.ConfigFileContent, "The text of such a file.")
	a.Describe(&r.Username, "The user. Defaults to DOCKER_REGISTRY_USER.")
	a.SetDefault(&r.Username, "", "DOCKER_REGISTRY_USER")
	a.Describe(&r.Password, "The password. Defaults to DOCKER_REGISTRY_PASS.")
	a.SetDefault(&r.Password, "", "DOCKER_REGISTRY_PASS")
}

// dockerHub is the host under which the library knows Docker Hub, and its other names.
const dockerHub = name.DefaultRegistry

var dockerHubAliases = map[string]bool{"docker.io": true, "registry-1.docker.io": true, dockerHub: true}

// host is the registry's host and port, as images name it.
func (r *RegistryAuth) host() string {
	address := strings.TrimPrefix(strings.TrimPrefix(r.Address, "http://"), "https://")
	host, _, _ := strings.Cut(address, "/")
	if dockerHubAliases[host] {
		return dockerHub
	}
	return host
}

// registry finds the configuration for a host, nil when there is none.
func (c *Config) registry(host string) *RegistryAuth {
	for i := range c.RegistryAuth {
		if c.RegistryAuth[i].host() == host {
			return &c.RegistryAuth[i]
		}
	}
	return nil
}

// authenticator gives the login: user and password before a file's text before a file, as the official plugin does.
// Without an entry for the registry there is no login, whatever the Docker client has stored.
func (r *RegistryAuth) authenticator() (authn.Authenticator, error) {
	switch {
	case r == nil, r.AuthDisabled != nil && *r.AuthDisabled:
		return authn.Anonymous, nil
	case given(r.Username) != "":
		return &authn.Basic{Username: given(r.Username), Password: given(r.Password)}, nil
	case given(r.ConfigFileContent) != "":
		return r.fromFile("the given content", given(r.ConfigFileContent))
	}
	path, err := r.configFile()
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("could not open config file from filePath: %s. Error: %w", path, err)
	}
	return r.fromFile(path, string(content))
}

// configFile is the path of the Docker client's configuration file. DOCKER_CONFIG may be the file or its folder.
func (r *RegistryAuth) configFile() (string, error) {
	path := given(r.ConfigFile)
	if path == "" {
		path = os.Getenv("DOCKER_CONFIG")
	}
	if path == "" {
		path = "~/.docker/config.json"
	}
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		path = filepath.Join(home, rest)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, "config.json")
	}
	return path, nil
}

func (r *RegistryAuth) fromFile(origin, content string) (authn.Authenticator, error) {
	file := configfile.New("")
	if err := file.LoadFromReader(strings.NewReader(content)); err != nil {
		return nil, fmt.Errorf("could not read and load config file %s: %w", origin, err)
	}
	key := r.host()
	if key == dockerHub {
		key = authn.DefaultAuthKey
	}
	login, err := file.GetAuthConfig(key)
	if err != nil {
		return nil, fmt.Errorf("could not get auth config (the credentialhelper did not work or was not found): %w", err)
	}
	return authn.FromConfig(authn.AuthConfig{
		Username:      login.Username,
		Password:      login.Password,
		Auth:          login.Auth,
		IdentityToken: login.IdentityToken,
		RegistryToken: login.RegistryToken,
	}), nil
}

func given(value *string) string {
	if value == nil {
		return ""
	}
	return *value
}

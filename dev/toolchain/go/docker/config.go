package main

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"
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

	logins map[string]login // by host
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

// dockerHub is the host that serves Docker Hub's images; dockerHubNames are all by which it goes, the likeliest first.
const dockerHub = "registry-1.docker.io"

var dockerHubNames = []string{dockerHub, "index.docker.io", "docker.io", "registry.hub.docker.com"}

// login is how a registry is reached: its address with the scheme, and a user or none.
type login struct{ address, username, password string }

// Configure finds every login, so that one that cannot be had is told before anything is asked.
func (c *Config) Configure(context.Context) error {
	c.logins = map[string]login{}
	for _, registry := range c.RegistryAuth {
		found, err := registry.login()
		if err != nil {
			return fmt.Errorf("Error loading registry auth config: %w", err) //nolint:staticcheck // the official text
		}
		c.logins[registry.host()] = found
	}
	return nil
}

// login finds what is configured for the host of an image's name. Without an entry for the registry there is none,
// whatever the Docker client has stored.
func (c *Config) login(host string) (login, bool) {
	names := []string{host}
	if slices.Contains(dockerHubNames, host) {
		names = append(names, dockerHubNames...)
	}
	for _, name := range names {
		if found, ok := c.logins[name]; ok {
			return found, true
		}
	}
	return login{}, false
}

// host is the registry's host and port, as images name it.
func (r *RegistryAuth) host() string {
	address := strings.TrimPrefix(strings.TrimPrefix(r.Address, "http://"), "https://")
	host, _, _ := strings.Cut(address, "/")
	return host
}

// login gives user and password before a file's text before a file. A registry that wants no login gets one that is
// made up, as from the official plugin.
func (r *RegistryAuth) login() (login, error) {
	found := login{address: "https://" + r.host(), username: given(r.Username), password: given(r.Password)}
	if strings.HasPrefix(r.Address, "http://") {
		found.address = "http://" + r.host()
	}
	switch {
	case r.AuthDisabled != nil && *r.AuthDisabled:
		found.username, found.password = "username", "password"
		return found, nil
	case found.username != "":
		return found, nil
	}
	stored, err := r.stored()
	found.username, found.password = stored.Username, stored.Password
	return found, err
}

// stored is the login that a Docker client has in its configuration, or that its credential helper gives.
func (r *RegistryAuth) stored() (types.AuthConfig, error) {
	if content := given(r.ConfigFileContent); content != "" {
		file := configfile.New("")
		if err := file.LoadFromReader(strings.NewReader(content)); err != nil {
			return types.AuthConfig{}, fmt.Errorf("Error parsing docker registry config json: %w", err) //nolint:staticcheck
		}
		found, err := r.from(file)
		if err != nil {
			err = fmt.Errorf("couldn't find registry config for '%s' in file content", r.host())
		}
		return found, err
	}
	path, err := r.configFile()
	if err != nil {
		return types.AuthConfig{}, err
	}
	content, err := os.Open(path)
	if err != nil {
		return types.AuthConfig{}, fmt.Errorf("could not open config file from filePath: %s. Error: %w", path, err)
	}
	defer content.Close()
	file := configfile.New("")
	if err := file.LoadFromReader(content); err != nil {
		return types.AuthConfig{}, fmt.Errorf("could not read and load config file: %w", err)
	}
	found, err := r.from(file)
	if err != nil {
		err = fmt.Errorf("could not get auth config (the credentialhelper did not work or was not found): %w", err)
	}
	return found, err
}

func (r *RegistryAuth) from(file *configfile.ConfigFile) (types.AuthConfig, error) {
	if host := r.host(); slices.Contains(dockerHubNames, host) {
		for _, key := range append([]string{"https://index.docker.io/v1/"}, dockerHubNames...) {
			if found, ok := file.AuthConfigs[key]; ok {
				return found, nil
			}
		}
	}
	return file.GetAuthConfig(r.host())
}

// configFile is the path of the Docker client's configuration file. DOCKER_CONFIG may be the file or its folder.
func (r *RegistryAuth) configFile() (string, error) {
	path := given(r.ConfigFile)
	if path == "" {
		path = os.Getenv("DOCKER_CONFIG")
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			path = filepath.Join(path, "config.json")
		}
	}
	if path == "" {
		path = "~/.docker/config.json"
	}
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		who, err := user.Current() // not HOME: the official plugin does not look at it either
		if err != nil {
			return "", err
		}
		path = filepath.Join(who.HomeDir, rest)
	}
	return path, nil
}

func given(value *string) string {
	if value == nil {
		return ""
	}
	return *value
}

package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	provider "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// The official plugin's defaults.
const (
	defaultUser           = "root"
	defaultPort           = 22
	defaultDialErrorLimit = 10
	defaultPerDialTimeout = 15 // seconds
)

// The waits between dial attempts: the first, its growth, the longest.
const (
	firstPause  = 100 * time.Millisecond
	pauseGrowth = 1.5
	maxPause    = 5 * time.Second
)

// Endpoint is one SSH server and how to log in to it.
type Endpoint struct {
	Host               *string  `pulumi:"host"`
	Port               *float64 `pulumi:"port,optional"`
	User               *string  `pulumi:"user,optional"`
	Password           *string  `pulumi:"password,optional"`
	PrivateKey         *string  `pulumi:"privateKey,optional"`
	PrivateKeyPassword *string  `pulumi:"privateKeyPassword,optional"`
	AgentSocketPath    *string  `pulumi:"agentSocketPath,optional"`
	HostKey            *string  `pulumi:"hostKey,optional"`
	DialErrorLimit     *int     `pulumi:"dialErrorLimit,optional"`
	PerDialTimeout     *int     `pulumi:"perDialTimeout,optional"`
}

// Connection is the `connection` input.
type Connection struct {
	Endpoint

	Proxy *ProxyConnection `pulumi:"proxy,optional"`
}

// ProxyConnection is the `connection.proxy` input: a bastion host through which the host is reached.
type ProxyConnection struct{ Endpoint }

// Annotate describes the fields in the plugin's schema.
func (c *Connection) Annotate(a infer.Annotator) {
	a.Describe(&c, "How to reach and log in to a host.")
	a.Describe(&c.Proxy, "The bastion host to go through.")
	c.Endpoint.annotate(a)
}

// Annotate describes the fields in the plugin's schema.
func (c *ProxyConnection) Annotate(a infer.Annotator) {
	a.Describe(&c, "How to reach and log in to a bastion host.")
	c.Endpoint.annotate(a)
}

func (e *Endpoint) annotate(a infer.Annotator) {
	a.Describe(&e.Host, "The host's name or address.")
	a.Describe(&e.Port, "The port of its SSH server. Defaults to 22.")
	a.SetDefault(&e.Port, defaultPort)
	a.Describe(&e.User, "The user to log in as. Defaults to root.")
	a.SetDefault(&e.User, defaultUser)
	a.Describe(&e.Password, "The user's password.")
	a.Describe(&e.PrivateKey, "The text of a private key, tried before the password.")
	a.Describe(&e.PrivateKeyPassword, "The password of an encrypted private key.")
	a.Describe(&e.AgentSocketPath, "The socket of an SSH agent. Defaults to SSH_AUTH_SOCK where there is neither a key nor a password.")
	a.Describe(&e.HostKey, "The server's public key (`type base64`). When absent, any key is accepted.")
	a.Describe(&e.DialErrorLimit, "How many failed attempts are followed by another one; -1 for no limit. Defaults to 10.")
	a.SetDefault(&e.DialErrorLimit, defaultDialErrorLimit)
	a.Describe(&e.PerDialTimeout, "How long one attempt may take, in seconds; 0 for no limit. Defaults to 15.")
	a.SetDefault(&e.PerDialTimeout, defaultPerDialTimeout)
}

func (e *Endpoint) address() string {
	port := defaultPort
	if e.Port != nil {
		port = int(*e.Port)
	}
	return net.JoinHostPort(*e.Host, strconv.Itoa(port))
}

func (e *Endpoint) attempts() int {
	if e.DialErrorLimit == nil {
		return defaultDialErrorLimit
	}
	return *e.DialErrorLimit
}

// closers ends everything that was opened, the latest first.
type closers []io.Closer

// Close ends all of them; an error of one does not keep the others open, and would help nobody.
func (c *closers) Close() {
	for i := len(*c) - 1; i >= 0; i-- {
		_ = (*c)[i].Close()
	}
	*c = nil
}

func (c *closers) add(closer io.Closer) { *c = append(*c, closer) }

// config prepares the login. What it opens (a connection to an SSH agent) is added to `open`.
func (e *Endpoint) config(open *closers) (*ssh.ClientConfig, error) {
	config := &ssh.ClientConfig{
		User:            defaultUser,
		HostKeyCallback: ssh.InsecureIgnoreHostKey(),
		Timeout:         defaultPerDialTimeout * time.Second,
	}
	if e.User != nil {
		config.User = *e.User
	}
	if e.PerDialTimeout != nil {
		config.Timeout = time.Duration(*e.PerDialTimeout) * time.Second
	}
	if e.HostKey != nil {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(*e.HostKey))
		if err != nil {
			return nil, fmt.Errorf("parsing the host key: %w", err)
		}
		config.HostKeyCallback = ssh.FixedHostKey(key)
		// A server with several keys shows the one the client likes best: ask for the kind that was pinned.
		config.HostKeyAlgorithms = algorithms(key)
	}
	if e.PrivateKey != nil {
		signer, err := e.signer()
		if err != nil {
			return nil, err
		}
		config.Auth = append(config.Auth, ssh.PublicKeys(signer))
	}
	if e.Password != nil {
		config.Auth = append(config.Auth, ssh.Password(*e.Password), ssh.KeyboardInteractive(e.answer))
	}
	socket := ""
	if len(config.Auth) == 0 {
		// Whoever says how to log in does not mean the keys that the user's agent happens to hold: the host would be
		// shown each, and might give up before it comes to the right one.
		socket = os.Getenv("SSH_AUTH_SOCK")
	}
	if e.AgentSocketPath != nil {
		socket = *e.AgentSocketPath
	}
	if socket != "" {
		connection, err := net.Dial("unix", socket)
		if err != nil {
			return nil, err
		}
		open.add(connection)
		config.Auth = append(config.Auth, ssh.PublicKeysCallback(agent.NewClient(connection).Signers))
	}
	return config, nil
}

func (e *Endpoint) signer() (ssh.Signer, error) {
	if e.PrivateKeyPassword != nil {
		return ssh.ParsePrivateKeyWithPassphrase([]byte(*e.PrivateKey), []byte(*e.PrivateKeyPassword))
	}
	return ssh.ParsePrivateKey([]byte(*e.PrivateKey))
}

// answer gives the password to every question that a server asks instead of taking the password directly.
func (e *Endpoint) answer(_, _ string, questions []string, _ []bool) ([]string, error) {
	answers := make([]string, len(questions))
	for i := range answers {
		answers[i] = *e.Password
	}
	return answers, nil
}

// algorithms are the signature algorithms with which a server can prove that it holds `key`.
func algorithms(key ssh.PublicKey) []string {
	if key.Type() == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA}
	}
	return []string{key.Type()}
}

// dialer opens a network connection: from this machine, or from a bastion host.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// login opens an SSH connection in one attempt, the handshake included in its time limit.
func (e *Endpoint) login(ctx context.Context, dial dialer, config *ssh.ClientConfig) (*ssh.Client, error) {
	dialing := ctx
	if config.Timeout > 0 {
		limited, cancel := context.WithTimeout(ctx, config.Timeout)
		defer cancel()
		dialing = limited
	}
	network, err := dial(dialing, "tcp", e.address())
	if err != nil {
		return nil, err
	}
	// A deadline on the connection would not do: one through a bastion host has none.
	stop := context.AfterFunc(dialing, func() { _ = network.Close() })
	connection, channels, requests, err := ssh.NewClientConn(network, e.address(), config)
	if !stop() && err == nil {
		err = errors.New("ssh: closed")
		_ = connection.Close()
	}
	if err != nil {
		_ = network.Close()
		if dialing.Err() != nil {
			err = fmt.Errorf("%w: %w", err, dialing.Err())
		}
		return nil, err
	}
	return ssh.NewClient(connection, channels, requests), nil
}

// dial connects to the host, through its bastion host where it has one. Closing `open` ends all that was opened.
func (c *Connection) dial(ctx context.Context, open *closers) (*ssh.Client, error) {
	config, err := c.config(open)
	if err != nil {
		return nil, err
	}
	direct := (&net.Dialer{}).DialContext
	if c.Proxy == nil {
		return retry(ctx, "Dial", c.attempts(), open, func() (*ssh.Client, error) { return c.login(ctx, direct, config) })
	}
	proxyConfig, err := c.Proxy.config(open)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	bastion, err := retry(ctx, "Dial proxy", c.Proxy.attempts(), open, func() (*ssh.Client, error) {
		return c.Proxy.login(ctx, direct, proxyConfig)
	})
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	client, err := retry(ctx, "Dial from proxy", c.attempts(), open, func() (*ssh.Client, error) {
		return c.login(ctx, bastion.DialContext, config)
	})
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	return client, nil
}

// retry calls `attempt` until it succeeds, it has failed more than `limit` times (-1: no limit), or `ctx` ends.
func retry(
	ctx context.Context, what string, limit int, open *closers, attempt func() (*ssh.Client, error),
) (*ssh.Client, error) {
	shown := "inf"
	if limit >= 0 {
		shown = strconv.Itoa(limit)
	}
	pause := firstPause
	for failures := 0; ; {
		client, err := attempt()
		if err == nil {
			open.add(client)
			return client, nil
		}
		failures++
		if limit >= 0 && failures > limit {
			return nil, fmt.Errorf("after %d failed attempts: %w", failures-1, err)
		}
		provider.GetLogger(ctx).InfoStatusf("%s %d/%s failed: retrying", what, failures, shown)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
		pause = min(time.Duration(float64(pause)*pauseGrowth), maxPause)
	}
}

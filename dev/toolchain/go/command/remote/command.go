// Package remote is command:remote:Command, a command run on a host over SSH.
package remote

import (
	"context"
	"fmt"
	"strings"

	provider "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"slipway/toolchain/command/capture"
	"slipway/toolchain/command/lifecycle"
)

// Logging is the `logging` input.
type Logging string

// Values lists the values of the `logging` input.
func (Logging) Values() []infer.EnumValue[Logging] {
	return []infer.EnumValue[Logging]{
		{Name: "stdout", Value: Logging(capture.Stdout), Description: "Show standard output in the log."},
		{Name: "stderr", Value: Logging(capture.Stderr), Description: "Show standard error in the log."},
		{Name: "stdoutAndStderr", Value: Logging(capture.StdoutAndStderr), Description: "Show both in the log."},
		{Name: "none", Value: Logging(capture.None), Description: "Show neither in the log."},
	}
}

// Inputs of the resource.
type Inputs struct {
	lifecycle.Inputs

	Connection  *Connection       `pulumi:"connection" provider:"secret"`
	Environment map[string]string `pulumi:"environment,optional"`
	Logging     *Logging          `pulumi:"logging,optional"`
}

// Annotate describes the fields in the plugin's schema.
func (i *Inputs) Annotate(a infer.Annotator) {
	a.Describe(&i.Connection, "The host to run on, and how to log in to it.")
	a.Describe(&i.Environment, "Variables for the command; the SSH server must accept their names (AcceptEnv).")
	a.Describe(&i.Logging, "Which streams appear in the log while the command runs. Defaults to both.")
}

// State of the resource.
type State struct {
	Inputs
	lifecycle.Outputs
}

// Command is the resource.
type Command struct{}

// Annotate describes the resource in the plugin's schema.
func (c *Command) Annotate(a infer.Annotator) {
	a.Describe(&c, "A command run on a host over SSH.")
}

// Create runs `create`.
func (*Command) Create(
	ctx context.Context, request infer.CreateRequest[Inputs],
) (infer.CreateResponse[State], error) {
	response := infer.CreateResponse[State]{Output: State{Inputs: request.Inputs}}
	id, err := resource.NewUniqueHex(request.Name, 8, 0)
	response.ID = id
	if err == nil && !request.DryRun {
		err = response.Output.run(ctx, request.Inputs.Create)
	}
	return response, err
}

// Update runs `update`, or `create` when there is none.
func (*Command) Update(
	ctx context.Context, request infer.UpdateRequest[Inputs, State],
) (infer.UpdateResponse[State], error) {
	response := infer.UpdateResponse[State]{Output: State{Inputs: request.Inputs, Outputs: request.State.Outputs}}
	if request.DryRun {
		return response, nil
	}
	return response, response.Output.run(ctx, request.Inputs.OnUpdate())
}

// Delete runs `delete`.
func (*Command) Delete(ctx context.Context, request infer.DeleteRequest[State]) (infer.DeleteResponse, error) {
	return infer.DeleteResponse{}, request.State.run(ctx, request.State.Delete)
}

// run runs one command line, and keeps what it printed when it succeeds. Without one it does nothing.
//
// A command that has started is waited for even when the operation is cancelled, as by the official plugin: nothing
// that SSH offers would end it for certain, and its outcome is worth more than the wait.
func (s *State) run(ctx context.Context, commandLine *string) error {
	if commandLine == nil {
		return nil
	}
	var open closers
	defer open.Close()
	client, err := s.Connection.dial(ctx, &open)
	if err != nil {
		return err
	}
	session, err := client.NewSession()
	if err != nil {
		return err
	}
	open.add(session)

	for name, value := range s.Environment {
		if err := session.Setenv(name, value); err != nil {
			provider.GetLogger(ctx).Error(refused(name))
			return fmt.Errorf("could not set environment variable %q: %w", name, err)
		}
	}
	for name, value := range s.PreviousOutput(s.Outputs) {
		if err := session.Setenv(name, value); err != nil {
			provider.GetLogger(ctx).Warning(refused(name))
		}
	}
	if s.Stdin != nil && *s.Stdin != "" {
		session.Stdin = strings.NewReader(*s.Stdin)
	}
	var logging capture.Logging
	if s.Logging != nil {
		logging = capture.Logging(*s.Logging)
	}
	captured := capture.New(ctx, logging)
	session.Stdout, session.Stderr = captured.Stdout, captured.Stderr

	err = session.Run(*commandLine)
	outputs := captured.Outputs()
	if err != nil {
		return lifecycle.Failed(err, *commandLine, captured.Combined())
	}
	s.Outputs = outputs
	return nil
}

// refused words what it means that the server does not take a variable.
func refused(name string) string {
	return fmt.Sprintf("Unable to set '%s'. This only works if your SSH server is configured to accept these variables "+
		"via AcceptEnv. Alternatively, if a Bash-like shell runs the command on the remote host, you could prefix the "+
		"command itself with the variables in the form 'VAR=value command'", name)
}

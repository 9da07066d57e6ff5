// Package local is command:local:Command, a command run on this machine.
package local

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"time"

	ps "github.com/mitchellh/go-ps"
	provider "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"slipway/toolchain/command/capture"
	"slipway/toolchain/command/lifecycle"
)

// grace is how long a cancelled command may take to end before it is killed.
const grace = 5 * time.Second

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

	Interpreter  *[]string          `pulumi:"interpreter,optional"`
	Dir          *string            `pulumi:"dir,optional"`
	Environment  *map[string]string `pulumi:"environment,optional"`
	Logging      *Logging           `pulumi:"logging,optional"`
	AssetPaths   *[]string          `pulumi:"assetPaths,optional"`
	ArchivePaths *[]string          `pulumi:"archivePaths,optional"`
}

// Annotate describes the fields in the plugin's schema.
func (i *Inputs) Annotate(a infer.Annotator) {
	a.Describe(&i.Interpreter, "The program and arguments that get the command line. Defaults to [\"/bin/sh\", \"-c\"].")
	a.Describe(&i.Dir, "The folder to run in.")
	a.Describe(&i.Environment, "Variables added to those of the engine.")
	a.Describe(&i.Logging, "Which streams appear in the log while the command runs. Defaults to both.")
	a.Describe(&i.AssetPaths, "Not supported by this build of the plugin: setting it is an error.")
	a.Describe(&i.ArchivePaths, "Not supported by this build of the plugin: setting it is an error.")
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
	a.Describe(&c, "A command run on the machine that runs the engine.")
}

// Check refuses what this build of the plugin would otherwise have to ignore.
func (*Command) Check(ctx context.Context, request infer.CheckRequest) (infer.CheckResponse[Inputs], error) {
	inputs, failures, err := infer.DefaultCheck[Inputs](ctx, request.NewInputs)
	for _, name := range []string{"assetPaths", "archivePaths"} {
		if given, ok := request.NewInputs.GetOk(name); ok && !given.IsNull() {
			failures = append(failures, provider.CheckFailure{
				Property: name,
				Reason: name + " is not supported by Slipway's own build of the command plugin; " +
					"install the official plugin: pulumi plugin install resource command",
			})
		}
	}
	return infer.CheckResponse[Inputs]{Inputs: inputs, Failures: failures}, err
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
func (s *State) run(ctx context.Context, commandLine *string) error {
	if commandLine == nil {
		return nil
	}
	argv := []string{"/bin/sh", "-c"}
	if s.Interpreter != nil && len(*s.Interpreter) > 0 {
		argv = append([]string{}, *s.Interpreter...)
	}
	argv = append(argv, *commandLine)

	var logging capture.Logging
	if s.Logging != nil {
		logging = capture.Logging(*s.Logging)
	}
	captured := capture.New(ctx, logging)
	command := exec.CommandContext(ctx, argv[0], argv[1:]...)
	command.Stdout, command.Stderr = captured.Stdout, captured.Stderr
	command.Env = s.environment()
	if s.Dir != nil {
		command.Dir = *s.Dir
	}
	if s.Stdin != nil {
		command.Stdin = strings.NewReader(*s.Stdin)
	}
	// The shell's own children would otherwise outlive it, and keep its pipes open.
	command.Cancel = func() error { return terminateTree(command.Process.Pid) }
	command.WaitDelay = grace

	err := command.Run()
	outputs := captured.Outputs()
	if err != nil {
		return lifecycle.Failed(err, *commandLine, captured.Combined())
	}
	s.Outputs = outputs
	return nil
}

func (s *State) environment() []string {
	all := os.Environ()
	if s.Environment != nil {
		for name, value := range *s.Environment {
			all = append(all, name+"="+value)
		}
	}
	for name, value := range s.PreviousOutput(s.Outputs) {
		all = append(all, name+"="+value)
	}
	return all
}

// terminateTree asks a process and everything that it started to end, the youngest first.
func terminateTree(root int) error {
	processes, err := ps.Processes()
	if err != nil {
		processes = nil // then at least the process itself
	}
	children := map[int][]int{}
	for _, process := range processes {
		children[process.PPid()] = append(children[process.PPid()], process.Pid())
	}
	tree := []int{root}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i]]...)
	}
	for i := len(tree) - 1; i >= 0; i-- {
		err = terminate(tree[i])
	}
	if errors.Is(err, os.ErrProcessDone) {
		return os.ErrProcessDone
	}
	return err
}

// Package lifecycle holds what local and remote commands share: which command line runs at which step of a resource's
// life, and how a failure is told.
package lifecycle

import (
	"fmt"

	"github.com/pulumi/pulumi-go-provider/infer"
)

// The variables through which a command finds what the resource's previous command printed.
const (
	PreviousStdout = "PULUMI_COMMAND_STDOUT"
	PreviousStderr = "PULUMI_COMMAND_STDERR"
)

// Inputs are the command lines of a resource and what they have in common.
type Inputs struct {
	Create   *string `pulumi:"create,optional"`
	Update   *string `pulumi:"update,optional"`
	Delete   *string `pulumi:"delete,optional"`
	Triggers *[]any  `pulumi:"triggers,optional" provider:"replaceOnChanges"`
	Stdin    *string `pulumi:"stdin,optional"`

	AddPreviousOutputInEnv *bool `pulumi:"addPreviousOutputInEnv,optional"`
}

// Annotate describes the fields in the plugin's schema.
func (i *Inputs) Annotate(a infer.Annotator) {
	a.Describe(&i.Create, "The command line run when the resource is created, and on a change when there is no `update`.")
	a.Describe(&i.Update, "The command line run when an input changes; `create` when absent.")
	a.Describe(&i.Delete, "The command line run when the resource is deleted.")
	a.Describe(&i.Triggers, "A change to any of these values replaces the resource.")
	a.Describe(&i.Stdin, "What the command reads on its standard input.")
	a.Describe(&i.AddPreviousOutputInEnv, "Whether the next command finds this one's output in "+
		PreviousStdout+" and "+PreviousStderr+". Defaults to true.")
	a.SetDefault(&i.AddPreviousOutputInEnv, true)
}

// OnUpdate is the command line that a change runs, nil for none.
func (i *Inputs) OnUpdate() *string {
	if i.Update != nil {
		return i.Update
	}
	return i.Create
}

// PreviousOutput gives the variables that carry the previous command's output.
func (i *Inputs) PreviousOutput(previous Outputs) map[string]string {
	carried := map[string]string{}
	if i.AddPreviousOutputInEnv != nil && !*i.AddPreviousOutputInEnv {
		return carried
	}
	if previous.Stdout != "" {
		carried[PreviousStdout] = previous.Stdout
	}
	if previous.Stderr != "" {
		carried[PreviousStderr] = previous.Stderr
	}
	return carried
}

// Outputs are what the latest command printed, each without its last line break.
type Outputs struct {
	Stdout string `pulumi:"stdout"`
	Stderr string `pulumi:"stderr"`
}

// Annotate describes the fields in the plugin's schema.
func (o *Outputs) Annotate(a infer.Annotator) {
	a.Describe(&o.Stdout, "What the command printed on its standard output.")
	a.Describe(&o.Stderr, "What the command printed on its standard error.")
}

// Failed words the failure of a command: why, the command line, and all that it printed. Standard input is never shown.
func Failed(why error, commandLine, printed string) error {
	return fmt.Errorf("%w: running %q:\n%s", why, commandLine, printed)
}

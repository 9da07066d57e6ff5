// Package capture collects what a command prints, and shows it in the engine's log line by line while it runs.
package capture

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"

	provider "github.com/pulumi/pulumi-go-provider"

	"slipway/toolchain/command/lifecycle"
)

// maxLine is the longest piece of a line sent to the engine at once (bytes), far below gRPC's limit of 4 MiB a message.
const maxLine = 64 << 10

// Logging says which streams of a command appear in the engine's log, by the names of the `logging` input.
type Logging string

// The values of the `logging` input; no value at all means both streams.
const (
	Stdout          Logging = "stdout"
	Stderr          Logging = "stderr"
	StdoutAndStderr Logging = "stdoutAndStderr"
	None            Logging = "none"
)

// Capture holds the output of one command. Its two writers may be used at the same time.
type Capture struct {
	Stdout, Stderr io.Writer

	streams  [2]*stream
	combined bytes.Buffer
	mutex    sync.Mutex
}

// New prepares a capture whose streams are logged as `logging` says.
func New(ctx context.Context, logging Logging) *Capture {
	both := logging == "" || logging == StdoutAndStderr
	c := &Capture{}
	c.streams = [2]*stream{
		{owner: c, log: logger(ctx, both || logging == Stdout)},
		{owner: c, log: logger(ctx, both || logging == Stderr)},
	}
	c.Stdout, c.Stderr = c.streams[0], c.streams[1]
	return c
}

func logger(ctx context.Context, wanted bool) func(string) {
	if !wanted {
		return nil
	}
	log := provider.GetLogger(ctx)
	return func(line string) {
		if ctx.Err() == nil { // the engine no longer listens to a cancelled operation
			log.InfoStatus(line)
		}
	}
}

// Outputs logs a last line without a line break and returns what was printed, each stream without its last line break.
func (c *Capture) Outputs() lifecycle.Outputs {
	for _, s := range c.streams {
		s.flush()
	}
	return lifecycle.Outputs{Stdout: c.streams[0].text(), Stderr: c.streams[1].text()}
}

// Combined is both streams in the order in which they arrived.
func (c *Capture) Combined() string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.combined.String()
}

type stream struct {
	owner *Capture
	log   func(string) // nil: not logged
	all   bytes.Buffer
	line  []byte // printed, not yet logged
}

// Write never fails, so that a command is never stopped by the wish to see its output.
func (s *stream) Write(printed []byte) (int, error) {
	s.owner.mutex.Lock()
	s.owner.combined.Write(printed)
	s.owner.mutex.Unlock()
	s.all.Write(printed)
	if s.log == nil {
		return len(printed), nil
	}
	s.line = append(s.line, printed...)
	for {
		end := bytes.IndexByte(s.line, '\n')
		switch {
		case end >= 0 && end <= maxLine:
			s.log(strings.TrimSuffix(string(s.line[:end]), "\r"))
			s.line = s.line[end+1:]
		case len(s.line) >= maxLine:
			s.log(string(s.line[:maxLine]))
			s.line = s.line[maxLine:]
		default:
			return len(printed), nil
		}
	}
}

func (s *stream) flush() {
	if s.log != nil && len(s.line) > 0 {
		s.log(string(s.line))
		s.line = nil
	}
}

func (s *stream) text() string { return strings.TrimSuffix(s.all.String(), "\n") }

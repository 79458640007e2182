package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"github.com/gesta-db/gesta/internal/errs"
)

// commands is the grammar of the command line.
type commands struct {
	Serve   serveCmd   `cmd:"" group:"server" help:"Run a server."`
	Demo    demoCmd    `cmd:"" group:"server" help:"Start a server on a fresh folder, import a real history, and ask it about its past."`
	Dev     devCmd     `cmd:"" group:"server" help:"Run a cluster of local servers in one terminal, to try what happens when one is lost."`
	Status  statusCmd  `cmd:"" group:"server" help:"Tell how a server and its shards are."`
	Cluster clusterCmd `cmd:"" group:"server" help:"Tell how the nodes of a cluster are, and change what they do."`
	Shards  shardsCmd  `cmd:"" group:"server" help:"List the shards of a cluster, and add one."`
	Recover recoverCmd `cmd:"" group:"server" help:"Make a stopped node the only one of its cluster: the last resort after most nodes were lost."`
	Check   checkCmd   `cmd:"" group:"server" help:"Verify a data folder offline: every checksum, offset, revision, and the index."`
	Bench   benchCmd   `cmd:"" group:"server" help:"Measure a running server, or the disk under it."`

	Append  appendCmd  `cmd:"" group:"events" help:"Append one event to a stream."`
	Read    readCmd    `cmd:"" group:"events" help:"Read a stream, a topic or a shard."`
	Import  importCmd  `cmd:"" group:"events" help:"Import events: CloudEvents, one JSON object a line."`
	Export  exportCmd  `cmd:"" group:"events" help:"Export a topic as CloudEvents, one JSON object a line."`
	Topics  topicsCmd  `cmd:"" group:"events" help:"List, describe, create and delete topics."`
	Streams streamsCmd `cmd:"" group:"events" help:"List the streams of a topic."`
	Cursors cursorsCmd `cmd:"" group:"events" help:"List, get, set and delete cursors: positions under names."`

	Send    sendCmd    `cmd:"" group:"entities" help:"Send a command to an entity."`
	State   stateCmd   `cmd:"" group:"entities" help:"Tell an entity's state, now or as it was."`
	Conform conformCmd `cmd:"" group:"entities" help:"Hold a handler, in any language, against recorded frames of the protocol."`

	Version    versionCmd    `cmd:"" group:"other" help:"Print the version."`
	Completion completionCmd `cmd:"" group:"other" help:"Print a completion script for a shell."`
}

const description = `Gesta, an event-sourcing database in one binary.

Start a server with "gesta serve", or see one at work with "gesta demo".`

// groups are the headings of the help.
var groups = kong.Groups{"server": "Server:", "events": "Events:", "entities": "Entities:", "other": "Other:", "limits": "Limits:"}

// app is one run of the command line.
type app struct {
	World
	ctx    context.Context
	parser *kong.Kong
}

// exited carries an exit code out of the parser, which would otherwise end the process itself.
type exited int

// Main runs one command line and returns the exit code. The first interrupt asks the command to end; a second one ends the
// process as if nothing caught it.
func Main(args []string, w World) int {
	ctx, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer release()
	context.AfterFunc(ctx, release)
	return Run(ctx, args, w)
}

// Run is Main under a context of the caller's, whose end is the interrupt.
func Run(ctx context.Context, args []string, w World) (code int) {
	a := &app{World: w, ctx: ctx}
	defer func() {
		if e, ok := recover().(exited); ok {
			code = int(e)
		}
	}()
	if err := a.run(args); err != nil {
		return a.fail(err)
	}
	return 0
}

func (a *app) run(args []string) error {
	var grammar commands
	grammar.Serve.Plugins = serveFlags()
	parser, err := kong.New(&grammar,
		kong.Name("gesta"), kong.Description(description), groups, kong.Bind(a), kong.Writers(a.Out, a.Err),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 120, NoExpandSubcommands: true}))
	if err != nil {
		return err
	}
	a.parser = parser
	if len(args) == 0 {
		return a.showHelp()
	}
	if err := checkText(args); err != nil {
		return err
	}
	parsed, err := parser.Parse(joinAgo(args))
	if err != nil {
		return usageError(err)
	}
	return parsed.Run(a)
}

// checkText refuses what is not UTF-8 before the parser mends it unasked.
func checkText(args []string) error {
	for _, arg := range args {
		if !utf8.ValidString(arg) {
			return withHint(errs.New(errs.Invalid, "the argument %s is not UTF-8", visible(arg)), "data of any bytes can be given as @FILE or -")
		}
	}
	return nil
}

// joinAgo lets --from -2h, and --at -2h, be written so: elsewhere a word with a dash after a flag is far more often a forgotten value.
func joinAgo(args []string) []string {
	var joined []string
	for i := 0; i < len(args); i++ {
		if args[i] == "--" {
			return append(joined, args[i:]...)
		}
		if (args[i] == "--from" || args[i] == "--at") && i+1 < len(args) && isAgo(args[i+1]) {
			joined = append(joined, args[i]+"="+args[i+1])
			i++
			continue
		}
		joined = append(joined, args[i])
	}
	return joined
}

func isAgo(s string) bool { return len(s) > 1 && s[0] == '-' && s[1] >= '0' && s[1] <= '9' }

// showHelp answers a command line without a command: it cannot be right, but what would be is the useful answer.
func (a *app) showHelp() error {
	var text bytes.Buffer
	a.parser.Stdout = &text
	func() {
		defer func() { _ = recover() }()
		_, _ = a.parser.Parse([]string{"--help"})
	}()
	a.note("%s", strings.TrimRight(text.String(), "\n"))
	panic(exited(2))
}

// note says something beside the data.
func (a *app) note(format string, values ...any) {
	fmt.Fprintln(a.Err, visibleLines(fmt.Sprintf(format, values...)))
}

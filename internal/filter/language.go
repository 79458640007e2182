package filter

import (
	"fmt"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"

	"github.com/gesta-db/gesta/internal/errs"
)

// The limits. They are no settings: nothing that is written by hand comes near them.
const (
	// MostBytes bounds an expression's text: it is parsed for every page of a read.
	MostBytes = 4 << 10
	// mostNodes bounds what macros may make of it, mostNesting how deep it goes: both are walked by recursion.
	mostNodes   = 4_000
	mostNesting = 64
	// mostLoops bounds how deep all, exists, map and filter may stand in one another: each is a power of the payload's length.
	mostLoops = 3
	// mostRegex bounds the instructions of a regular expression's program: each may be tried at every letter.
	mostRegex = 500
	// mostSteps bounds the evaluation for one event: some 50 ms at worst, enough to go through 20,000 elements of a list.
	mostSteps = 100_000
	// mostTime stops what the count of steps fails to see, checked within loops.
	mostTime = time.Second
)

// variables are what an expression sees of an event.
var variables = []struct {
	name string
	kind *cel.Type
}{
	{"id", cel.StringType}, {"type", cel.StringType}, {"topic", cel.StringType}, {"key", cel.StringType},
	{"source", cel.StringType}, {"content_type", cel.StringType},
	{"revision", cel.IntType}, {"offset", cel.IntType}, {"schema_version", cel.IntType},
	{"time", cel.TimestampType}, {"recorded", cel.TimestampType},
	{"tags", cel.ListType(cel.StringType)}, {"metadata", cel.MapType(cel.StringType, cel.StringType)}, {"data", cel.DynType},
}

func names() string {
	list := make([]string, len(variables))
	for i, v := range variables {
		list[i] = v.name
	}
	return strings.Join(list, ", ")
}

// Language compiles expressions. It is safe for concurrent use, and worth keeping: to make it costs milliseconds.
type Language struct{ env *cel.Env }

// New makes the language.
func New() *Language {
	options := []cel.EnvOption{
		cel.ParserExpressionSizeLimit(MostBytes), cel.ParserRecursionLimit(mostNesting), cel.ParserErrorRecoveryLimit(4),
		cel.ExpressionNodeLimit(mostNodes), cel.CrossTypeNumericComparisons(true), cel.DefaultUTCTimeZone(true),
		cel.ASTValidators(cel.ValidateComprehensionNestingLimit(mostLoops), cel.ValidateTimestampLiterals(), cel.ValidateDurationLiterals(), literalRegex{}),
	}
	for _, v := range variables {
		options = append(options, cel.Variable(v.name, v.kind))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		panic(fmt.Sprintf("the filter language does not hold together: %v", err)) // it depends on nothing that could differ
	}
	return &Language{env}
}

// Compile makes an expression ready to be matched with events. The error is invalid, or too_large for one over a limit; its detail
// "field" is "where".
func (l *Language) Compile(text string) (*Expression, error) {
	switch {
	case strings.TrimSpace(text) == "":
		return nil, refuse("the expression is empty: leave it out for all events")
	case len(text) > MostBytes:
		return nil, errs.New(errs.TooLarge, "the expression has %d bytes; it may have %d", len(text), MostBytes).With("field", "where").With("limit", "where_bytes")
	}
	checked, issues := l.check(text)
	if issues.Err() != nil {
		return nil, explain(issues)
	}
	if out := checked.OutputType(); !out.IsExactType(cel.BoolType) && !out.IsExactType(cel.DynType) {
		return nil, refuse(fmt.Sprintf("the expression gives a value of type %s; it must be true or false, for instance %s", out, `data.total > 100`))
	}
	program, err := l.env.Program(checked, planned()...)
	if err != nil {
		return nil, refuse(err.Error())
	}
	return &Expression{text: text, program: program, loops: loops(checked.NativeRep())}, nil
}

// check parses the text and finds what its parts are. Should the library fail on a text that its author did not foresee, then only
// this text is refused, not the node ended.
func (l *Language) check(text string) (checked *cel.Ast, issues *cel.Issues) {
	defer func() {
		if failure := recover(); failure != nil {
			issues = cel.ErrorAsIssues(fmt.Errorf("the expression cannot be understood (%v)", failure))
		}
	}()
	return l.env.Compile(text)
}

func refuse(why string) *errs.Error {
	return errs.New(errs.Invalid, "%s", why).With("field", "where")
}

// mostTold bounds what is told of one mistake: the parser may list everything that could have stood there.
const mostTold = 400

// explain tells of the first mistake, where it is, and what to do.
func explain(issues *cel.Issues) error {
	first := issues.Errors()[0]
	message := strings.ToValidUTF8(first.Message, "\uFFFD")
	if len(message) > mostTold {
		message = strings.ToValidUTF8(message[:mostTold], "") + "…"
	}
	line, column := max(first.Location.Line(), 1), first.Location.Column()+1
	e := refuse(fmt.Sprintf("line %d, column %d of the expression: %s; %s", line, max(column, 1), strings.TrimSuffix(message, "."), advice(message)))
	return e.With("line", fmt.Sprint(line)).With("column", fmt.Sprint(max(column, 1)))
}

func advice(message string) string {
	switch {
	case strings.Contains(message, "undeclared reference"):
		return "there are " + names() + `, and texts stand in quotes`
	case strings.Contains(message, "no matching overload"):
		return "compare values of one type: texts stand in quotes, times are timestamp(\"2026-01-01T00:00:00Z\")"
	case strings.Contains(message, "limit"), strings.Contains(message, "exceed"):
		return "make it shorter or flatter, and narrow the read by types, tags or a key's prefix instead"
	}
	return `write for instance: type == "OrderPlaced" && data.total > 100`
}

// loops tells whether there are any.
func loops(a *ast.AST) (found bool) {
	ast.PostOrderVisit(a.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		found = found || e.Kind() == ast.ComprehensionKind
	}))
	return found
}

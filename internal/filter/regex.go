package filter

import (
	"fmt"
	"regexp"
	"regexp/syntax"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// literalRegex refuses regular expressions that come from an event: they would be compiled anew for each, and be anything.
type literalRegex struct{}

// Name is what the library calls the check.
func (literalRegex) Name() string { return "gesta.where.regex" }

// Validate looks at every call of matches.
func (literalRegex) Validate(_ *cel.Env, _ cel.ValidatorConfig, a *ast.AST, issues *cel.Issues) {
	root := ast.NavigateAST(a)
	for _, call := range ast.MatchDescendants(root, ast.FunctionMatcher(overloads.Matches)) {
		args := call.AsCall().Args()
		if len(args) == 0 {
			continue
		}
		if pattern := args[len(args)-1]; pattern.Kind() != ast.LiteralKind {
			issues.ReportErrorAtID(pattern.ID(), "a regular expression must be written out in quotes, not computed")
		} else if text, ok := pattern.AsLiteral().Value().(string); ok {
			if err := checkRegex(text); err != nil {
				issues.ReportErrorAtID(pattern.ID(), "%s", err.Error())
			}
		}
	}
}

func checkRegex(pattern string) error {
	if _, err := regexp.Compile(pattern); err != nil {
		return err
	}
	if n := instructions(pattern); n > mostRegex {
		return fmt.Errorf("the regular expression exceeds the limit: its program has %d instructions, it may have %d", n, mostRegex)
	}
	return nil
}

// regexFirst replaces a call of matches by one whose expression is compiled, and which refuses a text that would cost too much.
var regexFirst = &interpreter.RegexOptimization{
	Function: overloads.Matches, RegexIndex: 1,
	Factory: func(call interpreter.InterpretableCall, pattern string) (interpreter.InterpretableCall, error) {
		compiled, err := regexp.Compile(pattern)
		if err != nil {
			return nil, err
		}
		size := instructions(pattern)
		return interpreter.NewCall(call.ID(), call.Function(), call.OverloadID(), call.Args(), func(values ...ref.Val) ref.Val {
			text, ok := values[0].(types.String)
			if !ok {
				return types.NoSuchOverloadErr()
			}
			if regexSteps(len(text), size) > mostSteps {
				panic(interpreter.EvalCancelledError{Cause: interpreter.CostLimitExceeded, Message: "a text is too long for its regular expression"})
			}
			return types.Bool(compiled.MatchString(string(text)))
		}), nil
	},
}

// lettersPerStep is how many letters a small regular expression looks at in a step.
const lettersPerStep = 16

// regexSteps is what it takes to hold a text against a program. Every ten instructions cost as much again: each may be tried at
// each letter.
func regexSteps(text, instructions int) uint64 {
	return uint64(text) * uint64(1+instructions/10) / lettersPerStep
}

// instructions is the size of the program of an expression that compiles.
func instructions(pattern string) int {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return mostRegex + 1
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return mostRegex + 1
	}
	return len(program.Inst)
}

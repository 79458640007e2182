package filter

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

func planned() []cel.ProgramOption {
	return []cel.ProgramOption{
		cel.EvalOptions(cel.OptOptimize), cel.OptimizeRegex(regexFirst), cel.CostTracking(steps{}), cel.CostLimit(mostSteps), cel.InterruptCheckFrequency(64),
	}
}

const (
	// bytesPerStep is how much of a text is gone through in a step, at about a byte a nanosecond.
	bytesPerStep = 256
	// zoneSteps is what it takes to look up a time zone, which is read from a file.
	zoneSteps = 200
)

// steps counts what the calls of functions take. It looks at the values, since the texts and lists of an event are of any length.
type steps struct{}

// small are the counts that most calls have, so that to tell them allocates nothing.
var small = func() (list [256]uint64) {
	for i := range list {
		list[i] = uint64(i)
	}
	return list
}()

// CallCost is asked after each call.
func (steps) CallCost(function, _ string, args []ref.Val, _ ref.Val) *uint64 {
	n := callSteps(function, args)
	if n < uint64(len(small)) {
		return &small[n]
	}
	return &n
}

func callSteps(function string, args []ref.Val) uint64 {
	switch function {
	case operators.Equals, operators.NotEquals:
		return 1 + min(weight(args[0]), weight(args[1]))
	case operators.In, operators.OldIn:
		return 1 + inSteps(args[0], args[1])
	case operators.Add:
		return 1 + length(args[0]) + length(args[1])
	case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		return 1 + min(length(args[0]), length(args[1]))
	case overloads.Matches:
		return 1 + length(args[0])*bytesPerStep/lettersPerStep // its program is paid for in regexFirst, against the same limit
	}
	n := uint64(1)
	for _, a := range args {
		if s, ok := textBytes(a); ok {
			n += uint64(s / bytesPerStep)
		}
	}
	if len(args) == 2 && zoned(args) {
		n += zoneSteps
	}
	return n
}

// zoned tells the accessors of a time in a zone: they are the only functions of a timestamp and a text.
func zoned(args []ref.Val) bool {
	_, isTime := args[0].(types.Timestamp)
	_, isText := args[1].(types.String)
	return isTime && isText
}

func textBytes(v ref.Val) (int, bool) {
	switch v := v.(type) {
	case types.String:
		return len(v), true
	case types.Bytes:
		return len(v), true
	}
	return 0, false
}

// length is a text's in steps, or a list's or map's own, without what is in its elements.
func length(v ref.Val) uint64 {
	if n, ok := textBytes(v); ok {
		return uint64(n / bytesPerStep)
	}
	if sized, ok := v.(traits.Sizer); ok {
		if n, ok := sized.Size().(types.Int); ok {
			return uint64(n)
		}
	}
	return 0
}

func inSteps(v, in ref.Val) uint64 {
	switch list := in.(type) {
	case traits.Mapper:
		return length(v)
	case traits.Lister:
		if _, scalar := textBytes(v); scalar {
			return length(list) * (1 + length(v))
		}
		if _, compound := v.(traits.Sizer); compound {
			return weight(in)
		}
		return length(list)
	}
	return 0
}

// weight is what it takes to go through a value with all that is in it. It stops counting at what is too much anyway.
func weight(v ref.Val) uint64 {
	left := uint64(mostSteps)
	weigh(v, &left)
	return mostSteps - left
}

func weigh(v ref.Val, left *uint64) {
	switch v := v.(type) {
	case traits.Mapper:
		weighAll(v.Iterator(), left, func(key ref.Val) {
			weigh(key, left)
			weigh(v.Get(key), left)
		})
	case traits.Lister:
		weighAll(v.Iterator(), left, func(element ref.Val) { weigh(element, left) })
	default:
		if n, ok := textBytes(v); ok {
			take(left, uint64(n/bytesPerStep))
		}
	}
}

func weighAll(it traits.Iterator, left *uint64, one func(ref.Val)) {
	for it.HasNext() == types.True && *left > 0 {
		take(left, 1)
		one(it.Next())
	}
}

func take(left *uint64, n uint64) { *left -= min(n, *left) }

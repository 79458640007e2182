// Package floors holds the plan of the house: which package stands on which floor, and which arrows (imports) there are.
//
// Its tests read every Go file of the module, for every system, and fail on an arrow that is not in the plan, on a package that
// is not in it, and on what the house rules forbid. An arrow is added here by a decision record under docs/decisions, not in
// passing: the floors are what lets one package be understood, tested and replaced without the rest.
//
// The package knows only names. It is not imported by anything.
package floors

// place is where a package stands and what it may import besides the ground, the public packages and what is outside of the
// module. Every arrow points down, or along one floor.
type place struct {
	floor int
	may   []string
}

// The floors.
const (
	ground  = 0
	words   = 1
	shelves = 2
	engine  = 3
	workers = 4
	doors   = 5
	house   = 6
)

// foundation may be imported by every package of the floors above it; each knows of the others only what is listed.
var foundation = map[string]place{
	"internal/errs":   {floor: ground},
	"internal/clock":  {floor: ground},
	"internal/limits": {floor: ground, may: []string{"internal/errs"}},
	"internal/vfs":    {floor: ground, may: []string{"internal/errs"}},
}

// public may be imported by everything; it knows nothing internal, so that other programs can use it.
var public = map[string]place{
	"api/gesta/v1":    {floor: ground},
	"api/eventwire":   {floor: ground},
	"api/position":    {floor: ground},
	"api/jsonwalk":    {floor: ground},
	"api/partition":   {floor: ground},
	"api/cloudevents": {floor: ground, may: []string{"api/eventwire", "api/jsonwalk"}},

	"api/gesta/peer/v1": {floor: ground}, // between nodes, not for clients
}

// plan is every other package. A name that ends in /... stands for all below it.
var plan = map[string]place{
	// Simulated disks are for tests and the simulator alone.
	"internal/vfs/crashfs": {floor: ground},
	"internal/vfs/faultfs": {floor: ground},

	"internal/event": {floor: words},

	// seglog knows no events, index no log: each can be read, and replaced, alone.
	"internal/seglog": {floor: shelves},
	"internal/index":  {floor: shelves},
	"internal/filter": {floor: shelves}, // says which events a reader wants; it knows no log

	"internal/replica": {floor: engine, may: []string{"internal/seglog"}},
	"internal/shard":   {floor: engine, may: []string{"internal/replica", "internal/seglog", "internal/index", "internal/event"}},
	"internal/meta":    {floor: engine, may: []string{"internal/replica", "internal/seglog", "internal/event"}},
	"internal/cluster": {floor: engine, may: []string{"internal/shard", "internal/meta", "internal/replica", "internal/event"}},
	"internal/inspect": {floor: engine, may: []string{"internal/shard", "internal/meta", "internal/replica", "internal/seglog", "internal/index", "internal/event"}},

	// The gateway declares the small interfaces that the engine fills: it never names the engine.
	"internal/gateway": {floor: workers, may: []string{"internal/entity", "internal/event", "internal/filter"}},

	// What runs entities declares the log that it needs; the gateway gives it one.
	"internal/entity": {floor: workers, may: []string{"internal/event"}},

	"internal/gateway/gatewaytest": {floor: workers, may: []string{"internal/gateway", "internal/event"}}, // contracts, for tests

	// No door knows another, nor what stands behind the gateway.
	"internal/door/grpc": {floor: doors, may: []string{"internal/gateway", "internal/entity", "internal/event"}},
	"internal/door/http": {floor: doors, may: []string{"internal/gateway", "internal/entity", "internal/event"}},

	// Between nodes. It knows Raft's messages, and not who stands behind them.
	"internal/door/peer": {floor: doors, may: []string{"internal/event"}},

	// Handlers are ways to user code; each is behind the dispatcher's small interface.
	"internal/handler/remote":  {floor: doors, may: []string{"internal/entity", "internal/event"}},
	"internal/handler/webhook": {floor: doors, may: []string{"internal/entity", "internal/event"}},

	// A way out, as the doors are ways in: it makes spans of what the gateway's Tracer is told.
	"internal/otlp": {floor: doors, may: []string{"internal/gateway"}},

	// Ways to find peers, strangers to each other; the setting chooses one.
	"internal/discovery":            {floor: doors, may: []string{"internal/discovery/static", "internal/discovery/dns", "internal/discovery/kubernetes"}},
	"internal/discovery/static":     {floor: doors},
	"internal/discovery/dns":        {floor: doors},
	"internal/discovery/kubernetes": {floor: doors},

	// The node builds, opens and closes everything, so it knows everybody below.
	"internal/node": {floor: house, may: []string{"internal/entity", "internal/handler/remote", "internal/handler/webhook", "internal/door/grpc", "internal/door/http", "internal/door/peer", "internal/cluster", "internal/otlp", "internal/discovery", "internal/gateway", "internal/shard", "internal/meta",
		"internal/inspect", "internal/replica", "internal/seglog", "internal/index", "internal/event"}},
	"internal/bench": {floor: house, may: []string{"client"}},
	"internal/demo":  {floor: house, may: []string{"client"}},
	"internal/fleet": {floor: house, may: []string{"client"}}, // processes of the binary; it knows the product as its users do
	"internal/cli":   {floor: house, may: []string{"internal/fleet", "internal/node", "internal/inspect", "internal/bench", "internal/demo", "client", "client/conformance"}},
	"internal/sim": {floor: house, may: []string{"internal/cluster", "internal/shard", "internal/meta", "internal/replica", "internal/seglog", "internal/index", "internal/event",
		"internal/vfs/crashfs", "internal/vfs/faultfs"}},
	"internal/floors": {floor: house},
	"internal/docs":   {floor: house}, // tests of the pages; it knows the product as its users do

	"internal/hostile":  {floor: house, may: []string{"client"}},                       // tests of the binary
	"internal/examples": {floor: house, may: []string{"client", "client/conformance"}}, // tests of the examples in other languages

	"cmd/gesta": {floor: house, may: []string{"internal/cli"}},

	// The client is what other programs import: api and nothing internal.
	"client": {floor: house},

	// For those who write handlers: tests of their code, and of how it speaks.
	"client/entitytest":  {floor: house, may: []string{"client"}},
	"client/conformance": {floor: house},

	"examples/...": {floor: house, may: []string{"client", "examples/bank/account"}},
}

// guests are modules from outside that only some packages may import, so that what is heavy, or decides much, stays in one place.
// A name stands for all below it. Tests may import any.
var guests = map[string][]string{
	"go.etcd.io/raft/v3":              {"internal/replica", "internal/shard", "internal/meta", "internal/cluster", "internal/inspect", "internal/sim", "internal/door/peer", "internal/node"},
	"github.com/cockroachdb/pebble":   {"internal/index", "internal/shard", "internal/sim"},
	"google.golang.org/grpc":          {"api/gesta/v1", "api/gesta/peer/v1", "client", "client/conformance", "internal/door/grpc", "internal/door/peer", "internal/node"},
	"github.com/prometheus":           {"internal/node", "internal/otlp", "internal/door/grpc", "internal/door/http"},
	"go.opentelemetry.io":             {"internal/otlp"},
	"github.com/alecthomas/kong":      {"internal/cli", "cmd/gesta"},
	"go.yaml.in/yaml/v3":              {"internal/node", "internal/cli"},
	"net/http":                        {"internal/handler/webhook", "internal/door/http", "internal/discovery/kubernetes", "internal/node", "internal/cli", "internal/bench"},
	"cel.dev":                         {"internal/filter"},
	"github.com/anishathalye":         {"internal/sim"},
	"testing":                         {"internal/gateway/gatewaytest", "client/entitytest"},
	"pgregory.net/rapid":              {},
	"github.com/rogpeppe/go-internal": {},
	"go.uber.org/goleak":              {},
	"github.com/google/go-cmp":        {},
}

// upward are the tests that may import from higher floors: those that run against the whole product, and those that run a
// contract their user declares.
var upward = map[string][]string{
	"internal/shard": {"internal/gateway/gatewaytest"}, // the contracts it fills
	"internal/meta":  {"internal/gateway/gatewaytest"},
	"client":         {"internal/node", "internal/errs", "internal/limits"},
	"internal/bench": {"internal/node"},
	"internal/node":  {"client"}, // clusters of nodes are used as programs use them
	"cmd/gesta":      {"client"}, // the binary is killed and asked again
	"internal/demo":  {"internal/node"},
	"internal/cli":   {"examples/bank/account"}, // a handler to send commands to
}

package node

import (
	"time"

	"github.com/gesta-db/gesta/internal/limits"
)

// Config is every setting of a server. DefaultConfig gives the defaults, LoadConfig reads file, environment and flags,
// Fields describes each setting; the flags, the environment's names and docs/reference/configuration.md are made from those.
type Config struct {
	Data         string        // the data folder
	GRPC         string        // HOST:PORT of the gRPC listener; port 0 takes a free one
	HTTP         string        // HOST:PORT of the HTTP listener; port 0 takes a free one
	DrainTimeout time.Duration // how long a stop waits for what is under way
	DiskFloor    int64         // bytes that must stay free on the data folder's volume
	MemoryLimit  int64         // bytes the Go runtime aims to stay below; 0: from the caches' sizes
	Insecure     bool          // allows to listen beyond loopback without TLS
	TLSCert      string        // PEM file
	TLSKey       string        // PEM file
	LogLevel     string        // debug, info, warn or error
	LogFormat    string        // auto, text or json
	Admin        string        // HOST:PORT of the listener for profiles; empty: none
	TraceEvery   int64         // the appends of one in so many frames of append streams are traced; 0: of none
	Webhooks     string        // JSON file of handlers that are asked by HTTP; empty: none
	Web          HTTPConfig
	Cluster      ClusterConfig
	Limits       limits.Limits
}

// DefaultConfig gives every setting's default.
func DefaultConfig() Config {
	c := Config{Limits: limits.Default()}
	for _, f := range Fields() {
		if err := f.Set(&c, f.Default); err != nil {
			panic("the default of " + f.Name + " does not parse: " + err.Error())
		}
	}
	return c
}

// Field describes one setting.
type Field struct {
	Name    string // in the file, with a dot where the file nests: "limits.event_bytes"
	Kind    Kind
	Default string
	Help    string // a sentence without a full stop
	Reason  string // why the default is what it is; may be empty
	Range   string // what is allowed, where the kind does not say it
	Secret  bool   // masked where settings are printed
	Get     func(*Config) string
	Set     func(*Config, string) error
}

// Kind says how a setting is written.
type Kind string

// The kinds of settings.
const (
	Text     Kind = "text"
	Address  Kind = "HOST:PORT"
	Path     Kind = "path"
	Size     Kind = "size" // 268435456, 256MiB, 1GiB
	Count    Kind = "number"
	Duration Kind = "duration" // 15s, 1m30s
	Bool     Kind = "true or false"
)

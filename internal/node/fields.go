package node

import (
	"slices"
	"strings"
	"time"

	"github.com/gesta-db/gesta/internal/limits"
)

// Fields gives every setting, in the order of the documentation: first the server's own, then the limits.
func Fields() []Field {
	return append(serverFields(), limitFields()...)
}

// FieldOf finds a setting by its name in the file.
func FieldOf(name string) (Field, bool) {
	for _, f := range Fields() {
		if f.Name == name {
			return f, true
		}
	}
	return Field{}, false
}

// Flag is the setting's name on the command line, without the dashes in front.
func (f Field) Flag() string {
	return strings.NewReplacer(".", "-", "_", "-").Replace(f.Name)
}

// Env is the setting's name in the environment.
func (f Field) Env() string {
	return "GESTA_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(f.Name))
}

// Effective is the value as it may be printed.
func (f Field) Effective(c *Config) string {
	if v := f.Get(c); !f.Secret || v == "" {
		return v
	}
	return "(hidden)"
}

func serverFields() []Field {
	return slices.Concat([]Field{
		text(Field{Name: "data", Kind: Path, Default: "./gesta-data", Help: "the data folder; made when it does not exist"},
			func(c *Config) *string { return &c.Data }),
		text(Field{Name: "grpc", Kind: Address, Default: "127.0.0.1:7070", Help: "where gRPC listens; port 0 takes a free one",
			Reason: "loopback only, so that nothing is served to strangers by accident"},
			func(c *Config) *string { return &c.GRPC }),
		text(Field{Name: "http", Kind: Address, Default: "127.0.0.1:7080", Help: "where HTTP listens (the JSON API, health, metrics); port 0 takes a free one"},
			func(c *Config) *string { return &c.HTTP }),
		duration(Field{Name: "drain_timeout", Default: "15s", Range: "0s to 1h", Help: "how long a stop waits for what is under way before it cuts it off",
			Reason: "longer than a call's own 10 s, shorter than the 30 s after which most supervisors kill"},
			func(c *Config) *time.Duration { return &c.DrainTimeout }),
		size(Field{Name: "disk_floor", Default: "256MiB", Range: "64MiB or more", Help: "appends are refused with no_space while less than this is free on the data folder's volume",
			Reason: "free space is looked at twice a second: at 200 MiB/s that leaves room for what is written in between, the next segment and a clean stop. A share of the disk would idle away gigabytes of a large one"},
			func(c *Config) *int64 { return &c.DiskFloor }),
		size(Field{Name: "memory_limit", Default: "0", Range: "0, or 64MiB or more", Help: "bytes the Go runtime aims to stay below; 0 takes the caches' sizes and 256MiB; GOMEMLIMIT in the environment wins",
			Reason: "garbage is collected rarely while memory is plenty, and more often near the limit"},
			func(c *Config) *int64 { return &c.MemoryLimit }),
		boolean(Field{Name: "insecure", Default: "false", Help: "allows to listen beyond loopback without TLS: anyone who reaches the port reads and writes everything"},
			func(c *Config) *bool { return &c.Insecure }),
		text(Field{Name: "tls.cert", Kind: Path, Help: "certificate chain (PEM) for both listeners; with tls.key"},
			func(c *Config) *string { return &c.TLSCert }),
		text(Field{Name: "tls.key", Kind: Path, Help: "private key (PEM) of tls.cert"},
			func(c *Config) *string { return &c.TLSKey }),
		text(Field{Name: "log.level", Kind: Text, Default: "info", Range: "debug, info, warn or error", Help: "the least important log lines that are written"},
			func(c *Config) *string { return &c.LogLevel }),
		text(Field{Name: "log.format", Kind: Text, Default: "auto", Range: "auto, text or json", Help: "how log lines are written; auto: text on a terminal, JSON otherwise"},
			func(c *Config) *string { return &c.LogFormat }),
	}, clusterFields(), handlerFields(), observeFields(), httpFields())
}

// limitFields makes a setting of every limit.
func limitFields() []Field {
	rows := limits.Table()
	fields := make([]Field, len(rows))
	for i, row := range rows {
		fields[i] = limitField(row)
	}
	return fields
}

func limitField(row limits.Row) Field {
	kind, parse := Count, parseCount
	switch row.Unit {
	case limits.Bytes:
		kind, parse = Size, parseSize
	case limits.Duration:
		kind, parse = Duration, parseDuration
	}
	return Field{
		Name: "limits." + row.Name, Kind: kind, Default: row.Text(row.Default),
		Help: "limit: " + row.What, Reason: row.Reason, Range: row.Text(row.Min) + " to " + row.Text(row.Max),
		Get: func(c *Config) string { return row.Text(row.Get(&c.Limits)) },
		Set: func(c *Config, s string) error {
			v, err := parse(s)
			if err == nil {
				row.Set(&c.Limits, v)
			}
			return err
		},
	}
}

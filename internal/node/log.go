package node

import (
	"io"
	"log/slog"
	"os"
	"strings"

	"golang.org/x/term"
)

// NewLogger makes the logger that the settings ask for: text when w is a terminal, JSON otherwise, unless log.format says.
func (c *Config) NewLogger(w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		level = slog.LevelInfo // Validate has refused it
	}
	options := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "text" || c.LogFormat == "auto" && isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// logSettings prints what is in force: every setting of the server, and the limits that are not at their defaults.
func (c *Config) logSettings(log *slog.Logger) {
	var attrs []any
	unchanged := 0
	for _, f := range Fields() {
		if isLimit(f) && f.Get(c) == f.Default {
			unchanged++
			continue
		}
		attrs = append(attrs, f.Name, f.Effective(c))
	}
	log.Info("settings", append(attrs, "limits_at_default", unchanged)...)
}

func isLimit(f Field) bool { return strings.HasPrefix(f.Name, "limits.") }

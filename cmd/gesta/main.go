// Command gesta is the server, its client and its tools in one binary.
package main

import (
	"os"
	"runtime/debug"

	"github.com/gesta-db/gesta/internal/cli"
)

// version is set when a release is built.
var version string

func main() {
	os.Exit(cli.Main(os.Args[1:], cli.Process(versionOf())))
}

// versionOf falls back on what the go command knows: the module's version, which for a checkout names the commit.
func versionOf() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

package cli

import (
	"fmt"
	"runtime"
)

type versionCmd struct {
	output `embed:""`
}

// versionJSON is what -o json prints.
type versionJSON struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func (c *versionCmd) Run(a *app) error {
	v := versionJSON{a.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH}
	if c.json() {
		return a.printJSON(v)
	}
	_, err := fmt.Fprintf(a.Out, "gesta %s (%s, %s/%s)\n", v.Version, v.Go, v.OS, v.Arch)
	return err
}

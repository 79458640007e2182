package deploy

import (
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

func project(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{"compose/compose.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// setting finds a setting of a service where it stands: as a flag, or in the environment.
func setting(s types.ServiceConfig, name string) string {
	for _, word := range s.Command {
		if value, found := strings.CutPrefix(word, "--"+name+"="); found {
			return value
		}
	}
	if v := s.Environment["GESTA_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))]; v != nil {
		return *v
	}
	return ""
}

// Each node is told the same members, and is one of them under its own name.
func TestComposeMembers(t *testing.T) {
	p := project(t)
	if len(p.Services) != 3 {
		t.Fatalf("%d nodes", len(p.Services))
	}
	var members []string
	for _, name := range p.ServiceNames() {
		members = append(members, name+"="+name+":7090")
	}
	for name, s := range p.Services {
		for what, want := range map[string]string{
			"node-id": name, "initial-members": strings.Join(members, ","), "peer-listen": ":7090",
			"peer-advertise": name + ":7090", "advertise": name + ":7070", "http-advertise": name + ":7080",
		} {
			if got := setting(s, what); got != want {
				t.Errorf("%s: %s is %q; want %q", name, what, got, want)
			}
		}
	}
}

// No two nodes share a port of the machine, or a volume; nothing is published beyond the machine, since nothing is encrypted.
func TestComposeApart(t *testing.T) {
	p := project(t)
	ports, volumes := map[string]string{}, map[string]string{}
	for name, s := range p.Services {
		if len(s.Ports) != 2 || len(s.Volumes) != 1 {
			t.Errorf("%s has %d ports and %d volumes", name, len(s.Ports), len(s.Volumes))
		}
		for _, port := range s.Ports {
			if other := ports[port.Published]; other != "" || port.HostIP != "127.0.0.1" || port.Target != 7070 && port.Target != 7080 {
				t.Errorf("%s publishes %d as %s, as does %q", name, port.Target, net.JoinHostPort(port.HostIP, port.Published), other)
			}
			ports[port.Published] = name
		}
		for _, v := range s.Volumes {
			if other := volumes[v.Source]; other != "" || v.Type != types.VolumeTypeVolume || v.Target != "/data" {
				t.Errorf("%s mounts %s at %s, as does %q", name, v.Source, v.Target, other)
			}
			if _, declared := p.Volumes[v.Source]; !declared {
				t.Errorf("%s mounts %s, which is not declared", name, v.Source)
			}
			volumes[v.Source] = name
		}
	}
}

// Besides its name, its ports and its volume each node is as the others: no right it does not need, and time to drain.
func TestComposeAlike(t *testing.T) {
	for name, s := range project(t).Services {
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s may do more than it needs", name)
		}
		if s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) < 20*time.Second {
			t.Errorf("%s is killed after %v, while it drains", name, s.StopGracePeriod)
		}
		if _, err := os.Stat(s.Build.Context + "/" + s.Build.Dockerfile); err != nil || s.Command[0] != "serve" {
			t.Errorf("%s runs %v of %s: %v", name, s.Command, s.Build.Dockerfile, err)
		}
	}
}

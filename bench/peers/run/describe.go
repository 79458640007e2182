package main

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/gesta-db/gesta/bench/peers/internal/peer"
	"github.com/gesta-db/gesta/bench/peers/internal/report"
)

// describe notes what is measured, and where.
func (b *bench) describe(ctx context.Context) error {
	f := &b.figures
	f.Began = time.Now().UTC().Truncate(time.Second)
	f.Settings = report.Settings{Command: b.command(), Rounds: b.rounds, Warmup: b.warmup.Seconds(), Measure: b.measure.Seconds(), Streams: b.streams, Quick: b.quick}
	f.Machine = machine(b.data)
	info, err := os.Stat(b.binary)
	if err != nil {
		return fmt.Errorf("there is no binary to measure: %w", err)
	}
	f.BinaryBytes = info.Size()
	f.Systems = []report.System{{Name: report.Gesta, Title: "Gesta", Durability: "fdatasync before the ack, group commit", Syncs: true}}
	for _, k := range b.kinds {
		f.Systems = append(f.Systems, report.System{Name: k.Name, Title: k.Title, Durability: k.Durability, Syncs: k.Syncs})
	}
	f.Versions = b.versions(ctx, strings.TrimPrefix(b.version, "gesta "))
	return nil
}

func (b *bench) command() string {
	if len(os.Args) == 1 {
		return "make bench"
	}
	return "make bench ARGS='" + strings.Join(os.Args[1:], " ") + "'"
}

func (b *bench) versions(ctx context.Context, own string) []report.Version {
	all := []report.Version{{Name: "Gesta", Version: own}}
	if info, err := buildinfo.ReadFile(b.binary); err == nil {
		all = append(all, report.Version{Name: "Go", Version: strings.TrimPrefix(info.GoVersion, "go")})
	}
	if !b.peers {
		return all
	}
	for _, p := range []struct{ name, program, module string }{
		{"etcd", "etcdserver", "go.etcd.io/etcd/server/v3"},
		{"nats-server", "natsserver", "github.com/nats-io/nats-server/v2"},
		{"clients: etcd", "run", "go.etcd.io/etcd/client/v3"},
		{"nats.go", "run", "github.com/nats-io/nats.go"},
		{"pgx", "run", "github.com/jackc/pgx/v5"},
	} {
		if v := built(filepath.Join(b.tools, p.program), p.module); v != "" {
			all = append(all, report.Version{Name: p.name, Version: v})
		}
	}
	if bin := peer.PostgresBin(); bin != "" {
		out, _ := exec.CommandContext(ctx, filepath.Join(bin, "postgres"), "--version").Output()
		_, v, _ := strings.Cut(strings.TrimSpace(string(out)), ") ")
		all = append(all, report.Version{Name: "PostgreSQL", Version: v})
	}
	return all
}

// built is the version of a module in a program.
func built(program, module string) string {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return ""
	}
	for _, d := range info.Deps {
		if d.Path == module {
			return d.Version
		}
	}
	return ""
}

// machine reads what Linux says of itself; elsewhere little is known.
func machine(dir string) report.Machine {
	m := report.Machine{CPU: after("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), Kernel: runtime.GOOS}
	if m.CPU == "" {
		m.CPU = runtime.GOARCH
	}
	kib, _ := strconv.ParseInt(strings.TrimSuffix(after("/proc/meminfo", "MemTotal"), " kB"), 10, 64)
	m.Memory = kib << 10
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(b))
	}
	m.LoadBefore = loadAverage()
	m.FileSystem = fileSystem(dir)
	return m
}

// loadAverage is of the last minute; 0 where there is none.
func loadAverage() float64 {
	b, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(b), " ")
	load, _ := strconv.ParseFloat(first, 64)
	return load
}

// after gives what follows a name and a colon in the first line that begins with the name.
func after(file, name string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// fileSystem finds the one that holds a folder: the mount with the longest path above it.
func fileSystem(dir string) string {
	b, _ := os.ReadFile("/proc/self/mounts")
	best, name := "", ""
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 4 || len(f[1]) < len(best) || !strings.HasPrefix(dir+"/", strings.TrimSuffix(f[1], "/")+"/") {
			continue
		}
		best, name = f[1], fmt.Sprintf("%s on %s (%s)", f[2], f[0], f[3])
	}
	return name
}

package deploy

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

const dockerfile = "docker/Dockerfile"

// stages are the two of the image: the one that builds and the one that is.
func stages(t *testing.T) (build, image instructions.Stage) {
	t.Helper()
	file, err := os.Open(dockerfile)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	parsed, err := parser.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range parsed.Warnings {
		t.Errorf("%s: %s", dockerfile, w.Short)
	}
	all, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil || len(all) != 2 {
		t.Fatalf("%d stages, %v", len(all), err)
	}
	return all[0], all[1]
}

// only finds the one instruction of a kind.
func only[T instructions.Command](t *testing.T, s instructions.Stage) T {
	t.Helper()
	var found []T
	for _, c := range s.Commands {
		if one, ok := c.(T); ok {
			found = append(found, one)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d instructions of the kind %T", len(found), *new(T))
	}
	return found[0]
}

// The image is the binary alone, run by nobody, with a folder to write to.
func TestImage(t *testing.T) {
	build, image := stages(t)
	if image.BaseName != "scratch" || !regexp.MustCompile(`^golang:[0-9.]+$`).MatchString(build.BaseName) {
		t.Errorf("made by %s on %s", build.BaseName, image.BaseName)
	}
	if user := only[*instructions.UserCommand](t, image).User; !regexp.MustCompile(`^[1-9][0-9]+:[1-9][0-9]+$`).MatchString(user) {
		t.Errorf("runs as %q; a number that is not 0 is needed", user)
	}
	if v := only[*instructions.VolumeCommand](t, image).Volumes; !slices.Equal(v, []string{"/data"}) {
		t.Errorf("the volumes are %v", v)
	}
	entry, start := only[*instructions.EntrypointCommand](t, image), only[*instructions.CmdCommand](t, image)
	if !slices.Equal(entry.CmdLine, []string{"/gesta"}) || entry.PrependShell || !slices.Equal(start.CmdLine, []string{"serve"}) || start.PrependShell {
		t.Errorf("runs %v %v", entry.CmdLine, start.CmdLine)
	}
	if health := only[*instructions.HealthCheckCommand](t, image).Health; !slices.Equal(health.Test[:3], []string{"CMD", "/gesta", "status"}) {
		t.Errorf("its health is asked by %v", health.Test)
	}
	env := map[string]string{}
	for _, e := range only[*instructions.EnvCommand](t, image).Env {
		env[e.Key] = e.Value
	}
	if env["GESTA_DATA"] != "/data" || env["GESTA_INSECURE"] != "" {
		t.Errorf("the environment is %v", env)
	}
}

// The chart, compose and the image mean the same by a node.
func TestSameUserAndPorts(t *testing.T) {
	_, image := stages(t)
	all, _ := renderObjects(t, valuesOf(t, "insecure"))
	set, container := node(t, all)
	if user, _, _ := strings.Cut(only[*instructions.UserCommand](t, image).User, ":"); user != number(*set.Spec.Template.Spec.SecurityContext.RunAsUser) {
		t.Errorf("the image runs as %s, the chart as %d", user, *set.Spec.Template.Spec.SecurityContext.RunAsUser)
	}
	var ports []string
	for _, p := range container.Ports {
		ports = append(ports, number(int64(p.ContainerPort)))
	}
	if exposed := only[*instructions.ExposeCommand](t, image).Ports; !slices.Equal(exposed, ports) {
		t.Errorf("the image exposes %v, the chart %v", exposed, ports)
	}
}

// The build's command works, and makes a binary that needs nothing of a system.
func TestBuildCommand(t *testing.T) {
	build, _ := stages(t)
	var command string
	for _, c := range build.Commands {
		if run, ok := c.(*instructions.RunCommand); ok && strings.Contains(run.CmdLine[0], "go build") {
			command = run.CmdLine[0]
		}
	}
	out := filepath.Join(t.TempDir(), "gesta")
	sh := exec.Command("sh", "-c", strings.Replace(command, "/out/gesta", out, 1))
	sh.Dir, sh.Env = "..", append(os.Environ(), "VERSION=v9.8.7", "TARGETOS=linux", "TARGETARCH="+runtime.GOARCH)
	if text, err := sh.CombinedOutput(); err != nil || command == "" {
		t.Fatalf("%q: %v\n%s", command, err, text)
	}
	binary, err := elf.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	for _, p := range binary.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary is not static: it has %s", p.Type)
		}
	}
	if runtime.GOOS != "linux" {
		return
	}
	if text, err := exec.Command(out, "version").Output(); err != nil || !strings.Contains(string(text), "v9.8.7") {
		t.Errorf("gesta version: %s, %v", text, err)
	}
}

// What the binary is built from is sent to the build, and nothing else.
func TestContext(t *testing.T) {
	file, err := os.Open(dockerfile + ".dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	patterns, err := ignorefile.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	ignored, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	list := exec.Command("go", "list", "-deps", "-f", `{{if not .Standard}}{{$d := .Dir}}{{range .GoFiles}}{{$d}}/{{.}}
{{end}}{{range .EmbedFiles}}{{$d}}/{{.}}
{{end}}{{end}}`, "./cmd/gesta")
	list.Dir = ".."
	text, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	sent := 0
	for name := range strings.Lines(string(text)) {
		name, inside := strings.CutPrefix(strings.TrimSpace(name), root+"/")
		if !inside {
			continue
		}
		if sent++; excluded(t, ignored, name) {
			t.Errorf("%s is needed by the build, but left out", name)
		}
	}
	if sent < 100 {
		t.Errorf("the binary is made of %d files", sent)
	}
	for _, name := range []string{"docs/README.md", ".git/HEAD", "bin/gesta", "gesta-data/node.yaml", "internal/cli/run_test.go", "deploy/go.mod"} {
		if !excluded(t, ignored, name) {
			t.Errorf("%s is sent to the build", name)
		}
	}
}

func excluded(t *testing.T, m *patternmatcher.PatternMatcher, name string) bool {
	t.Helper()
	out, err := m.MatchesOrParentMatches(name)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

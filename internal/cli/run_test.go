package cli

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// testServer starts a server for one test.
func testServer(t *testing.T) string {
	t.Helper()
	n, err := testNode(filepath.Join(t.TempDir(), "gesta-data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return n.Addr()
}

// outcome is what a command line came to.
type outcome struct {
	code     int
	out, err string
}

// command runs a command line in this process; terminal pretends that both outputs are one.
func command(t *testing.T, terminal bool, in io.Reader, args ...string) outcome {
	t.Helper()
	var out, err bytes.Buffer
	w := World{In: in, Out: &out, Err: &err, OutTerminal: terminal, ErrTerminal: false, Width: 80, Version: "v0.0.0-test"}
	code := Run(t.Context(), args, w)
	return outcome{code, out.String(), err.String()}
}

func mustRun(t *testing.T, terminal bool, in io.Reader, args ...string) outcome {
	t.Helper()
	o := command(t, terminal, in, args...)
	if o.code != 0 {
		t.Fatalf("gesta %s: exit code %d\n%s", strings.Join(args, " "), o.code, o.err)
	}
	return o
}

// numbered is n CloudEvents without ids.
func numbered(n int) io.Reader {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"specversion":"1.0","source":"s","type":"Counted","subject":"k%d","data":{"n":%d}}`+"\n", i%7, i)
	}
	return strings.NewReader(b.String())
}

func TestTerminalShowsAPage(t *testing.T) {
	addr := testServer(t)
	mustRun(t, false, numbered(250), "import", "-", "--topic", "t", "--addr", addr)

	first := mustRun(t, true, nil, "read", "t", "--addr", addr)
	if n := strings.Count(first.out, "\n"); n != page+1 {
		t.Errorf("%d lines on a terminal, want a header and %d rows", n, page)
	}
	_, token, found := strings.Cut(first.err, "--from ")
	token, _, _ = strings.Cut(token, " ")
	if !found || !strings.HasPrefix(token, "pos:") {
		t.Fatalf("no way to go on: %q", first.err)
	}
	second := mustRun(t, true, nil, "read", "t", "--addr", addr, "--from", token)
	if !strings.Contains(second.out, "{\"n\":100}") || strings.Contains(second.out, "{\"n\":99}") {
		t.Errorf("the second page does not go on where the first ended:\n%.300s", second.out)
	}
	last := mustRun(t, true, nil, "read", "t", "--addr", addr, "--limit", "250")
	if strings.Count(last.out, "\n") != 251 || last.err != "" {
		t.Errorf("a limit shows %d lines and says %q", strings.Count(last.out, "\n"), last.err)
	}
	if all := mustRun(t, false, nil, "read", "t", "--addr", addr); strings.Count(all.out, "\n") != 251 || all.err != "" {
		t.Errorf("a pipe gets %d lines and %q", strings.Count(all.out, "\n"), all.err)
	}
	if streams := mustRun(t, true, nil, "streams", "list", "t", "--addr", addr); strings.Count(streams.out, "\n") != 8 || streams.err != "" {
		t.Errorf("streams:\n%s%s", streams.out, streams.err)
	}
}

func TestImportKeepsTheOrderOfTheFile(t *testing.T) {
	addr := testServer(t)
	mustRun(t, false, numbered(6000), "import", "-", "--topic", "t", "--addr", addr)
	got := mustRun(t, false, nil, "read", "t", "-o", "json", "--addr", addr)
	n := 0
	for lines := bufio.NewScanner(strings.NewReader(got.out)); lines.Scan(); n++ {
		if !strings.Contains(lines.Text(), fmt.Sprintf(`"data":{"n":%d}`, n)) {
			t.Fatalf("event %d is %s", n+1, lines.Text())
		}
	}
	if n != 6000 {
		t.Errorf("%d events", n)
	}
}

func TestNothingOfAnEventReachesATerminalRaw(t *testing.T) {
	addr := testServer(t)
	evil := "\x1b[31m\a\r\n\u009b2J\u202e"
	mustRun(t, false, strings.NewReader(evil), "append", "t/k"+"\u202e", "Red\u0085", "-", "--addr", addr, "--meta", "m=\x1b[0m")
	for _, args := range [][]string{{"read", "t"}, {"read", "t", "-o", "json"}, {"streams", "list", "t"}, {"streams", "list", "t", "-o", "json"},
		{"append", "t/\x1b[31m", "T\u202e", "--expect", "4"}, {"read", "\x1b[31m"}, {"\x1b[31m"}} {
		o := command(t, true, nil, append(args, "--addr", addr)...)
		for _, line := range strings.Split(o.out+o.err, "\n") {
			if !isVisible(line) {
				t.Errorf("gesta %q printed %q", args, line)
			}
		}
	}
}

// following reads line after line of a command that does not end.
type following struct {
	lines *bufio.Scanner
	end   context.CancelFunc
	done  chan int
}

func follow(t *testing.T, args ...string) *following {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	f := &following{lines: bufio.NewScanner(r), end: cancel, done: make(chan int, 1)}
	go func() {
		f.done <- Run(ctx, args, World{Out: w, Err: io.Discard, Width: 80})
		w.Close()
	}()
	t.Cleanup(cancel)
	return f
}

// next waits for a line with the text.
func (f *following) next(t *testing.T, text string) {
	t.Helper()
	if !f.lines.Scan() || !strings.Contains(f.lines.Text(), text) {
		t.Fatalf("got %q, want a line with %q", f.lines.Text(), text)
	}
}

func TestFollowShowsEachEventAsItComes(t *testing.T) {
	addr := testServer(t)
	add := func(n int) {
		mustRun(t, false, nil, "append", "t/k", "Counted", fmt.Sprintf(`{"n":%d}`, n), "--addr", addr)
	}
	for n := range 5 {
		add(n)
	}
	f := follow(t, "read", "t", "--tail", "2", "--follow", "--addr", addr)
	f.next(t, "offset")
	f.next(t, `{"n":3}`)
	f.next(t, `{"n":4}`)
	for n := 5; n < 8; n++ {
		add(n)
		f.next(t, fmt.Sprintf(`{"n":%d}`, n))
	}
	f.end()
	if code := <-f.done; code != 0 {
		t.Errorf("the interrupted follower ended with %d", code)
	}
}

func TestFollowOfAnEmptyStreamWaits(t *testing.T) {
	addr := testServer(t)
	mustRun(t, false, nil, "topics", "create", "t", "--addr", addr)
	f := follow(t, "read", "t/k", "-o", "json", "--tail", "3", "-f", "--addr", addr)
	mustRun(t, false, nil, "append", "t/other", "No", "--addr", addr)
	mustRun(t, false, nil, "append", "t/k", "Yes", "--addr", addr)
	f.next(t, `"type":"Yes"`)
	f.end()
	if code := <-f.done; code != 0 {
		t.Errorf("ended with %d", code)
	}
}

func TestInterruptedImportSaysHowFarItCame(t *testing.T) {
	addr := testServer(t)
	ctx, interrupt := context.WithCancel(t.Context())
	in, feeder := io.Pipe() // stays open: the import waits for more when it is interrupted
	defer feeder.Close()
	stderr := &watched{text: "created topic", seen: make(chan struct{})}
	ended := make(chan int)
	var out bytes.Buffer
	go func() {
		ended <- Run(ctx, []string{"import", "-", "--topic", "t", "--addr", addr}, World{In: in, Out: &out, Err: stderr, Width: 80})
	}()
	if _, err := io.Copy(feeder, numbered(3)); err != nil {
		t.Fatal(err)
	}
	<-stderr.seen
	interrupt()
	if code := <-ended; code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
	if text := stderr.String(); !strings.Contains(text, "interrupted: run the same import again") || !strings.Contains(text, " new, 0 there already") {
		t.Errorf("said %q", text)
	}
}

// watched tells when a text has been written.
type watched struct {
	mu   sync.Mutex
	b    bytes.Buffer
	text string
	seen chan struct{}
	told bool
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b.Write(p)
	if !w.told && strings.Contains(w.b.String(), w.text) {
		w.told = true
		close(w.seen)
	}
	return len(p), nil
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

func TestOversizeLineStopsBeforeTheRest(t *testing.T) {
	addr := testServer(t)
	great := fmt.Sprintf(`{"specversion":"1.0","source":"s","type":"T","subject":"k","data":"%s"}`+"\n", strings.Repeat("x", 2<<20))
	lines := io.MultiReader(numbered(3), strings.NewReader(great), numbered(5))
	o := command(t, false, lines, "import", "-", "--topic", "t", "--addr", addr)
	if o.code != 2 || !strings.Contains(o.err, "too_large: line 4 of standard input") {
		t.Errorf("exit code %d, %s", o.code, o.err)
	}
	if got := mustRun(t, false, nil, "read", "t", "-o", "json", "--addr", addr); strings.Count(got.out, "\n") != 3 {
		t.Errorf("%d events are recorded, not the 3 before the bad line", strings.Count(got.out, "\n"))
	}
}

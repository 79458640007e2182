package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// progress draws one line on a terminal while something long runs: a bar, the count, the rate and the time that is left.
// Anywhere else it draws nothing; the last word is the caller's.
type progress struct {
	out   io.Writer
	width int
	verb  string // "importing"
	unit  string // "events"

	mu      sync.Mutex
	started time.Time
	done    int64   // units
	share   float64 // of the whole, 0 to 1; below 0: unknown
	drawn   bool
	stop    chan struct{}
	stopped sync.WaitGroup
}

// redraw is often enough to look alive and seldom enough to cost nothing.
const redraw = 100 * time.Millisecond

// startProgress begins to draw when w's standard error is a terminal.
func startProgress(w World, verb, unit string) *progress {
	p := &progress{out: w.Err, width: w.Width, verb: verb, unit: unit, started: time.Now(), share: -1, stop: make(chan struct{})}
	if w.ErrTerminal {
		p.stopped.Add(1)
		go p.run()
	}
	return p
}

func (p *progress) run() {
	defer p.stopped.Done()
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			p.draw(now)
		case <-p.stop:
			return
		}
	}
}

// set tells how many units are done and what share of the whole that is; a share below 0 means that nobody knows.
func (p *progress) set(done int64, share float64) {
	p.mu.Lock()
	p.done, p.share = done, share
	p.mu.Unlock()
}

// setPhase is set for work of several kinds, of which each has its verb.
func (p *progress) setPhase(verb string, done int64, share float64) {
	p.mu.Lock()
	p.verb, p.done, p.share = verb, done, share
	p.mu.Unlock()
}

func (p *progress) draw(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drawn = true
	fmt.Fprintf(p.out, "\r\x1b[K%s", cut(p.line(now), p.width-1))
}

// line is what stands on the terminal at a moment.
func (p *progress) line(now time.Time) string {
	elapsed := now.Sub(p.started)
	text := fmt.Sprintf("%s %s  %s", thousands(uint64(p.done)), p.unit, rate(p.done, elapsed))
	if p.share < 0 {
		return p.verb + "  " + text
	}
	share := min(p.share, 1)
	line := fmt.Sprintf("%s  %s %3.0f %%  %s", p.verb, bar(share, 24), 100*share, text)
	if share > 0 && share < 1 {
		left := time.Duration(float64(elapsed) * (1 - share) / share)
		line += "  " + clockTime(left) + " left"
	}
	return line
}

// finish wipes the line and gives how long it took.
func (p *progress) finish() time.Duration {
	close(p.stop)
	p.stopped.Wait()
	if p.drawn {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
	return time.Since(p.started)
}

func bar(share float64, n int) string {
	full := int(share * float64(n))
	return strings.Repeat("█", full) + strings.Repeat("░", n-full)
}

func rate(n int64, elapsed time.Duration) string {
	if elapsed < time.Millisecond {
		elapsed = time.Millisecond
	}
	return thousands(uint64(float64(n)/elapsed.Seconds())) + "/s"
}

// clockTime writes minutes and seconds, and hours when there are any.
func clockTime(d time.Duration) string {
	s := int(d.Round(time.Second) / time.Second)
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// thousands writes 1234567 as 1,234,567.
func thousands(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// count writes a number with its noun: 1 event, 2,000 events.
func count(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return thousands(n) + " " + noun + "s"
}

// bytesText writes a size with the unit that leaves it readable.
func bytesText(n uint64) string {
	units := []string{"KiB", "MiB", "GiB", "TiB"}
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/1024, 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

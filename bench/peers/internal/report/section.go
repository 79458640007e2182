package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Section is a part of the figures that is measured by itself, and kept until it is measured again.
type Section struct {
	Name       string            `json:"name"`
	Began      time.Time         `json:"began"`
	Seconds    float64           `json:"seconds"`
	LoadBefore float64           `json:"load_average_before"`
	Version    string            `json:"version"` // of Gesta
	Command    string            `json:"command"`
	Settings   string            `json:"settings"` // in words
	Quick      bool              `json:"quick,omitempty"`
	Skipped    []string          `json:"skipped,omitempty"` // what was not measured, or failed
	Values     []Value           `json:"values"`
	Raw        []json.RawMessage `json:"raw"` // what gesta bench printed
}

// Value is one figure.
type Value struct {
	Round int     `json:"round"`
	What  string  `json:"what"`
	Value float64 `json:"value"`
}

// Add books a figure.
func (s *Section) Add(round int, what string, v float64) {
	s.Values = append(s.Values, Value{round, what, v})
}

// of gives a figure of each round, the newest where there are several.
func (s *Section) of(what string) map[int]float64 {
	all := map[int]float64{}
	for _, v := range s.Values {
		if v.What == what {
			all[v.Round] = v.Value
		}
	}
	return all
}

// stat is over every value, also several of a round.
func (s *Section) stat(what string) Stat {
	var all []float64
	for _, v := range s.Values {
		if v.What == what {
			all = append(all, v.Value)
		}
	}
	return stat(all)
}

// row is a line of a section's table.
type row struct {
	what string // the value
	work string // in words
	unit string
	over string // a ratio to this value, of the same round, is what the bar is of; "": the value itself
	than string // what that is, in words
	bar  limit
}

// limit is a bar; the zero value: the figure is only told.
type limit struct {
	least, most float64
	median      float64 // at most, where most is of the worst
}

func (l limit) none() bool { return l == limit{} }

// met compares the median with least and median, and the largest with most.
func (l limit) met(s Stat) bool {
	switch {
	case l.least != 0:
		return s.Median >= l.least
	case l.median != 0:
		return s.Median <= l.median && s.Max <= l.most
	}
	return s.Median <= l.most
}

func (l limit) words(than, unit string) string {
	if than != "" {
		than = " × " + than
		unit = ""
	} else if unit != "" {
		unit = " " + unit
	}
	switch {
	case l.none():
		return ""
	case l.least != 0:
		return "≥ " + bare(l.least) + than + unit
	case l.median != 0:
		return "median ≤ " + bare(l.median) + unit + ", worst ≤ " + bare(l.most) + unit
	}
	return "≤ " + bare(l.most) + than + unit
}

// bare prints a bar as it was set.
func bare(v float64) string {
	if v >= 1000 {
		return grouped(v)
	}
	return fmt.Sprint(v)
}

// chapter is how a section is shown.
type chapter struct {
	name, title, intro string
	rows               []row
}

// Section gives the one of that name.
func (f *Figures) Section(name string) *Section {
	for _, s := range f.Sections {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Put replaces the section of that name. What a run could not measure at all does not take the place of what an earlier one did.
func (f *Figures) Put(s *Section) {
	old := f.Section(s.Name)
	switch {
	case old == nil:
		f.Sections = append(f.Sections, s)
	case len(s.Values) > 0:
		*old = *s
	default:
		old.Skipped = append(old.Skipped, s.Skipped...)
	}
	slices.SortStableFunc(f.Sections, func(a, b *Section) int { return order(a.Name) - order(b.Name) })
}

func order(name string) int {
	return slices.IndexFunc(chapters, func(c chapter) bool { return c.name == name })
}

func (f *Figures) sections(b *strings.Builder) {
	for _, c := range chapters {
		if s := f.Section(c.name); s != nil {
			c.write(b, s)
		}
	}
}

func (c chapter) write(b *strings.Builder, s *Section) {
	fmt.Fprintf(b, "## %s\n\n%s\n\n", c.title, c.intro)
	fmt.Fprintf(b, "%s; Gesta %s; load average before: %.1f; %.1f minutes; %s. Again: `%s`.\n\n",
		s.Began.UTC().Format("2 January 2006, 15:04 UTC"), s.Version, s.LoadBefore, s.Seconds/60, s.Settings, s.Command)
	if s.Quick {
		b.WriteString("**A smoke run: it shows that everything works; its figures mean nothing.**\n\n")
	}
	b.WriteString("| work | figure | min … max | bar | ratio | |\n|---|--:|--:|---|--:|---|\n")
	for _, r := range c.rows {
		r.write(b, s)
	}
	b.WriteString("\n")
	for _, why := range s.Skipped {
		fmt.Fprintf(b, "- not measured, or failed: %s\n", strings.ReplaceAll(why, "\n", " "))
	}
	if len(s.Skipped) > 0 {
		b.WriteString("\n")
	}
}

func (r row) write(b *strings.Builder, s *Section) {
	bar := Bar{Work: r.work, Unit: r.unit, Figure: s.stat(r.what), Than: r.than, Known: true, Wants: r.bar.words(r.than, r.unit)}
	judged := bar.Figure
	if r.over != "" {
		bar.Ratio = statOf(over(s.of(r.what), s.of(r.over)))
		judged = bar.Ratio
	}
	if bar.Figure.N == 0 && r.bar.none() {
		return
	}
	bar.Known = judged.N > 0
	bar.Met = bar.Known && r.bar.met(judged)
	verdict := bar.verdict()
	if r.bar.none() {
		verdict = ""
	}
	fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", r.work, strings.TrimSpace(bar.figure()), span(bar.Figure), bar.Wants, bar.ratio(), verdict)
}

// encode writes a section with one value a line.
func (s *Section) encode() ([]byte, error) {
	head := *s
	head.Values, head.Raw = nil, nil
	b, err := json.MarshalIndent(head, "    ", "  ")
	if err != nil {
		return nil, err
	}
	if b, err = fillIn(b, "values", rows(s.Values), "        "); err != nil {
		return nil, err
	}
	return fillIn(b, "raw", rows(s.Raw), "        ")
}

// fillIn puts rows in the place of a list that was left out, each on a line.
func fillIn(b []byte, name string, list []any, indent string) ([]byte, error) {
	lines := make([][]byte, len(list))
	for i, row := range list {
		var err error
		if lines[i], err = json.Marshal(row); err != nil {
			return nil, err
		}
	}
	text := "[]"
	if len(lines) > 0 {
		text = "[\n" + indent + string(bytes.Join(lines, []byte(",\n"+indent))) + "\n" + indent[2:] + "]"
	}
	return bytes.Replace(b, []byte(`"`+name+`": null`), []byte(`"`+name+`": `+text), 1), nil
}

package report

import (
	"fmt"
	"html"
	"strings"
)

// The chart's measures, in pixels.
const (
	chartWidth = 780
	labelWidth = 230
	valueWidth = 120
	barHeight  = 20
	barGap     = 8
	groupGap   = 34
	topSpace   = 48
)

// Chart draws the appends side by side: a bar for the median, a line from minimum to maximum.
func (f *Figures) Chart() string {
	c := chart{most: f.most()}
	c.y = topSpace
	for _, group := range []struct{ title, work string }{{"64 callers", Append64}, {"256 callers", Append256}} {
		c.text(0, c.y, "group", group.title)
		c.y += 12
		for _, s := range f.Systems {
			c.bar(s, statOf(f.rates(s.Name, group.work)))
		}
		c.y += groupGap
	}
	f.threeNodes(&c)
	return c.document()
}

// clusters are the systems of which three nodes were measured.
var clusters = []System{{Name: Gesta, Title: "Gesta, 3 nodes", Syncs: true}, {Name: "etcd", Title: "etcd, 3 nodes", Syncs: true}}

func (f *Figures) threeNodes(c *chart) {
	s := f.Section(Cluster)
	if s == nil {
		return
	}
	for _, callers := range []string{"64", "256"} {
		c.text(0, c.y, "group", callers+" callers, three nodes on the one machine")
		c.y += 12
		for _, of := range clusters {
			c.bar(of, s.stat(of.Name+" "+callers))
		}
		c.y += groupGap
	}
}

func (f *Figures) most() float64 {
	most := 1.0
	for _, s := range f.Systems {
		most = max(most, statOf(f.rates(s.Name, Append64)).Max, statOf(f.rates(s.Name, Append256)).Max)
	}
	if s := f.Section(Cluster); s != nil {
		for _, of := range clusters {
			most = max(most, s.stat(of.Name+" 64").Max, s.stat(of.Name+" 256").Max)
		}
	}
	return most
}

type chart struct {
	body strings.Builder
	y    int
	most float64
}

func (c *chart) text(x, y int, class, text string) {
	fmt.Fprintf(&c.body, `  <text x="%d" y="%d" class="%s">%s</text>`+"\n", x, y, class, html.EscapeString(text))
}

// bar is full where everything acknowledged is on the disk, and hollow where it is not.
func (c *chart) bar(s System, r Stat) {
	middle := c.y + barHeight/2
	fmt.Fprintf(&c.body, `  <text x="%d" y="%d" class="label">%s</text>`+"\n", labelWidth-10, middle+4, html.EscapeString(s.Title))
	if r.N == 0 {
		c.text(labelWidth, middle+4, "value", "not measured")
		c.y += barHeight + barGap
		return
	}
	class := "peer"
	switch {
	case s.Name == Gesta:
		class = "gesta"
	case !s.Syncs:
		class = "unsynced"
	}
	fmt.Fprintf(&c.body, `  <rect x="%d" y="%d" width="%.1f" height="%d" class="%s"/>`+"\n", labelWidth, c.y, c.length(r.Median), barHeight, class)
	fmt.Fprintf(&c.body, `  <path d="M%.1f %d H%.1f" class="range"/>`+"\n", labelWidth+c.length(r.Min), middle, labelWidth+c.length(r.Max))
	c.text(labelWidth+int(c.length(r.Max))+8, middle+4, "value", grouped(r.Median))
	c.y += barHeight + barGap
}

func (c *chart) length(v float64) float64 {
	return v / c.most * (chartWidth - labelWidth - valueWidth)
}

func (c *chart) document() string {
	const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="Acknowledged appends a second, side by side">
  <style>
    text { font: 13px system-ui, sans-serif; fill: #333 }
    .title { font-weight: 600; font-size: 15px } .group { font-weight: 600 } .label { text-anchor: end } .note { font-size: 11px; fill: #666 }
    .gesta { fill: #0f766e } .peer { fill: #94a3b8 } .unsynced { fill: none; stroke: #94a3b8; stroke-dasharray: 4 3 } .range { stroke: #111; stroke-width: 1.5 }
  </style>
  <rect width="100%%" height="100%%" fill="#fff"/>
  <text x="0" y="18" class="title">Acknowledged appends a second, 256-byte events</text>
`
	height := c.y + 6
	c.text(0, height-14, "note", "Bar: median; line: minimum to maximum. Dashed: acknowledged before it is on the disk.")
	return fmt.Sprintf(head, chartWidth, height, chartWidth, height) + c.body.String() + "</svg>\n"
}

package http

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gesta-db/gesta/internal/gateway"
)

// counts are the answer of /v1/topics/{topic}/counts.
type counts struct {
	From         time.Time `json:"from"`
	To           time.Time `json:"to"`
	WidthSeconds float64   `json:"width_seconds"`
	Counts       []uint64  `json:"counts"`
}

func (d *Door) countTopic(w http.ResponseWriter, c *call) error {
	q, err := parseQuery(c.Request, "from", "to", "buckets")
	if err != nil {
		return err
	}
	asked := gateway.CountsQuery{Topic: c.path[0], From: q.text("from"), To: q.text("to")}
	if q.has("buckets") {
		if asked.Buckets, err = strconv.ParseUint(q.text("buckets"), 10, 64); err != nil || asked.Buckets == 0 {
			return refuse("buckets", "buckets is %.40q; it must be a number from 1 to %d", q.text("buckets"), gateway.LargestBuckets)
		}
	}
	found, err := c.gate.Counts(c.Context(), c.who, asked)
	if err != nil {
		return err
	}
	respond(w, http.StatusOK, counts{From: found.From, To: found.To, WidthSeconds: found.Width.Seconds(), Counts: found.Counts})
	return nil
}

package http

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/gesta-db/gesta/internal/errs"
)

// shape is how events are sent.
type shape uint8

const (
	shapePage   shape = iota // a JSON object with a page of events
	shapeBatch               // a JSON list with a page of CloudEvents
	shapeLines               // one JSON object on each line
	shapeStream              // server-sent events
)

const (
	typeLines  = "application/x-ndjson"
	typeStream = "text/event-stream"
)

// shapes are what may be asked for, in the order in which one of several equally wanted is taken.
var shapes = []struct {
	media string
	shape shape
}{
	{typeJSON, shapePage}, {typeCloudBatch, shapeBatch}, {typeLines, shapeLines}, {"application/ndjson", shapeLines}, {typeStream, shapeStream},
	{"application/*", shapePage}, {"text/*", shapeStream}, {"*/*", shapePage},
}

// negotiate gives the shape that Accept wants most.
func negotiate(h http.Header) (best shape, err error) {
	accept := strings.Join(h["Accept"], ",")
	if accept == "" {
		return shapePage, nil
	}
	weight := 0.0
	for _, s := range shapes {
		if w := wanted(accept, s.media); w > weight {
			best, weight = s.shape, w
		}
	}
	if weight == 0 {
		return 0, as(http.StatusNotAcceptable, "not acceptable", errs.New(errs.Invalid, "Accept is %.200q; events come as %s, %s, %s or %s", accept, typeJSON, typeLines, typeStream, typeCloudBatch).With("field", "Accept"))
	}
	return best, nil
}

// wanted gives the weight of a media type among those accepted.
func wanted(accept, media string) float64 {
	for one := range strings.SplitSeq(accept, ",") {
		if mediaType(one) != media {
			continue
		}
		_, parameters, _ := strings.Cut(one, ";")
		for p := range strings.SplitSeq(parameters, ";") {
			if q, ok := strings.CutPrefix(strings.TrimSpace(p), "q="); ok {
				weight, err := strconv.ParseFloat(q, 64)
				if err != nil {
					return 0
				}
				return weight
			}
		}
		return 1
	}
	return 0
}

package node

import (
	"testing"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
)

func TestHTTPSettings(t *testing.T) {
	c := DefaultConfig()
	if err := c.checkHTTP(); err != nil {
		t.Fatal(err)
	}
	c.Web.CORSOrigins = "https://a.example, http://localhost:3000,*"
	if err := c.checkHTTP(); err != nil {
		t.Error(err)
	}
	if s := c.Web.settings(); len(s.CORSOrigins) != 3 || s.CORSOrigins[1] != "http://localhost:3000" || s.WriteTimeout != 30*time.Second {
		t.Errorf("%+v", s)
	}
	for _, bad := range []string{"a.example", "https://a.example/", "https://", "null"} {
		c.Web.CORSOrigins = bad
		if e := errs.As(c.checkHTTP()); e == nil || e.Details["field"] != "cors_origins" {
			t.Errorf("%q: %v", bad, e)
		}
	}
	c = DefaultConfig()
	c.Web.Heartbeat = time.Millisecond
	if e := errs.As(c.checkHTTP()); e == nil || e.Details["field"] != "http_heartbeat" {
		t.Errorf("%v", e)
	}
}

package node

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
)

func TestProfilesAreServedWhereAsked(t *testing.T) {
	c := testConfig(t, t.TempDir())
	c.Admin = "127.0.0.1:0"
	n := start(t, c)
	defer http.DefaultClient.CloseIdleConnections()
	for path, want := range map[string]string{"/debug/pprof/": "goroutine", "/debug/pprof/goroutine?debug=1": "goroutine profile", "/metrics": "404"} {
		if status, body := ask(t, "http://"+n.AdminAddr()+path, ""); !strings.Contains(body, want) {
			t.Errorf("%s: %d %.80s", path, status, body)
		}
	}
	if status, _ := ask(t, "http://"+n.AdminAddr()+"/debug/pprof/", "evil.example:80"); status != http.StatusForbidden {
		t.Errorf("a name from elsewhere gets %d", status)
	}
	for path := range map[string]bool{"/debug/pprof/": true, "/debug/pprof/heap": true} {
		if status, _ := get(t, n, path); status != http.StatusNotFound {
			t.Errorf("HTTP answers %s with %d", path, status)
		}
	}
}

func ask(t *testing.T, url, host string) (status int, body string) {
	t.Helper()
	q, err := http.NewRequestWithContext(within(t), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Host = host
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestProfilesAreOffUnlessAskedFor(t *testing.T) {
	if n := start(t, testConfig(t, t.TempDir())); n.AdminAddr() != "" {
		t.Error(n.AdminAddr())
	}
}

func TestWhereProfilesMayBeServed(t *testing.T) {
	for name, c := range map[string]struct {
		admin    string
		insecure bool
		says     string // empty: it is fine
	}{
		"loopback":        {"127.0.0.1:7090", false, ""},
		"a free port":     {"localhost:0", false, ""},
		"public":          {":7090", false, "pass --insecure"},
		"public insecure": {":7090", true, ""},
		"no port":         {"localhost", false, "write HOST:PORT"},
		"taken":           {"127.0.0.1:7070", false, "its own port"},
	} {
		t.Run(name, func(t *testing.T) {
			conf := DefaultConfig()
			conf.Admin, conf.Insecure = c.admin, c.insecure
			err := conf.Validate()
			if c.says == "" && err != nil || c.says != "" && (errs.CodeOf(err) != errs.Invalid || !strings.Contains(err.Error(), c.says)) {
				t.Error(err)
			}
		})
	}
}

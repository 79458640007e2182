package kubernetes

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
)

// api is a Kubernetes API that knows the pods of one namespace, and one token.
type api struct {
	t      *testing.T
	server *httptest.Server
	folder string
	token  string
	answer http.HandlerFunc // for those who show the token
	asked  []*url.URL
}

func newAPI(t *testing.T, answer http.HandlerFunc) *api {
	t.Helper()
	a := &api{t: t, folder: t.TempDir(), token: "first", answer: answer}
	a.server = httptest.NewUnstartedServer(http.HandlerFunc(a.serve))
	a.server.Config.ErrorLog = log.New(t.Output(), "", 0)
	a.server.StartTLS()
	t.Cleanup(a.server.Close)
	host, port, _ := net.SplitHostPort(a.server.Listener.Addr().String())
	t.Setenv("KUBERNETES_SERVICE_HOST", host)
	t.Setenv("KUBERNETES_SERVICE_PORT", port)
	a.write("token", a.token+"\n")
	a.write("namespace", "prod")
	a.write("ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.server.Certificate().Raw})))
	return a
}

func (a *api) write(name, text string) {
	a.t.Helper()
	if err := os.WriteFile(filepath.Join(a.folder, name), []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *api) serve(w http.ResponseWriter, r *http.Request) {
	a.asked = append(a.asked, r.URL)
	if r.Header.Get("Authorization") != "Bearer "+a.token {
		status(http.StatusUnauthorized, "Unauthorized")(w, r)
		return
	}
	a.answer(w, r)
}

// status answers as the API does when it refuses.
func status(code int, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code})
	}
}

// list answers with pods.
func list(pods ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":[%s]}`, strings.Join(pods, ","))
	}
}

// described is a pod as the API writes it: much of this is passed over.
func described(name, ip, phase, ready string) string {
	return fmt.Sprintf(`{"metadata":{"name":%q,"namespace":"prod","labels":{"app":"gesta"}},
		"spec":{"containers":[{"name":"sidecar"},{"name":"gesta","ports":[{"name":"grpc","containerPort":7070},{"name":"peer","containerPort":7090,"protocol":"TCP"}]}]},
		"status":{"phase":%q,"podIP":%q,"conditions":[{"type":"Ready","status":%q}]}}`, name, phase, ip, ready)
}

func (a *api) pods(text string) *Pods {
	a.t.Helper()
	p, err := Parse(text)
	if err != nil {
		a.t.Fatal(err)
	}
	p.folder = a.folder
	return p
}

// Ready or not, a pod that runs is found; one without an address, or that has ended, is not.
func TestSeeds(t *testing.T) {
	a := newAPI(t, list(
		described("gesta-1", "10.1.0.2", "Running", "False"),
		described("gesta-0", "10.1.0.1", "Running", "True"),
		described("gesta-2", "", "Pending", "False"),
		described("gesta-3", "10.1.0.4", "Pending", "False"), // it is being started
		described("gesta-x", "10.1.0.9", "Failed", "False"),
		described("gesta-y", "10.1.0.1", "Succeeded", "False"),
		described("gesta-6", "fd00::6", "Running", "True"),
	))
	got, err := a.pods("app=gesta,tier=db").Seeds(t.Context())
	if want := []string{"10.1.0.1:7090", "10.1.0.2:7090", "10.1.0.4:7090", "[fd00::6]:7090"}; err != nil || !slices.Equal(got, want) {
		t.Fatalf("%v, %v; want %v", got, err, want)
	}
	if u := a.asked[0]; u.Path != "/api/v1/namespaces/prod/pods" || u.Query().Get("labelSelector") != "app=gesta,tier=db" || u.Query().Get("limit") != "100" {
		t.Errorf("asked %s", u)
	}
}

func TestNamespaceAndPort(t *testing.T) {
	a := newAPI(t, list(described("gesta-0", "10.1.0.1", "Running", "True")))
	for setting, want := range map[string]string{"app=gesta,namespace=test,port=grpc": "10.1.0.1:7070", "app=gesta,port=9,namespace=test": "10.1.0.1:9"} {
		got, err := a.pods(setting).Seeds(t.Context())
		if err != nil || !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %v, %v", setting, got, err)
		}
	}
	if path := a.asked[0].Path; path != "/api/v1/namespaces/test/pods" {
		t.Errorf("asked %s", path)
	}
}

// Kubernetes replaces the token while the pod runs.
func TestTokenIsReadAgain(t *testing.T) {
	a := newAPI(t, list(described("gesta-0", "10.1.0.1", "Running", "True")))
	p := a.pods("app=gesta")
	if _, err := p.Seeds(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.token = "second"
	if _, err := p.Seeds(t.Context()); errs.CodeOf(err) != errs.Unauthenticated {
		t.Fatalf("with the old token: %v", err)
	}
	a.write("token", "second")
	if _, err := p.Seeds(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// What the API refuses says what to do about it.
func TestRefusals(t *testing.T) {
	crowd := slices.Repeat([]string{described("p", "10.1.0.1", "Running", "True")}, most+1)
	for _, c := range []struct {
		name    string
		setting string
		answer  http.HandlerFunc
		code    errs.Code
		says    []string
	}{
		{"no right", "", status(403, `pods is forbidden: User "system:serviceaccount:prod:default" cannot list resource "pods"`), errs.Forbidden, []string{"verb list on pods", "serviceaccount:prod:default"}},
		{"busy", "", status(429, "too many requests"), errs.Unavailable, []string{"too many requests"}},
		{"in trouble", "", status(500, "etcdserver: request timed out"), errs.Unavailable, []string{"cannot answer now", "etcdserver"}},
		{"another server", "", http.NotFound, errs.Unavailable, []string{"not the Kubernetes API", "KUBERNETES_SERVICE_HOST"}},
		{"a page", "", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, errs.Unavailable, []string{"no list of pods"}},
		{"a redirect", "", http.RedirectHandler("https://127.0.0.1:1/", http.StatusFound).ServeHTTP, errs.Unavailable, []string{"not the Kubernetes API"}},
		{"nobody", "", list(), errs.NotFound, []string{"namespace prod", "app=gesta"}},
		{"nobody yet", "", list(described("gesta-0", "", "Pending", "False")), errs.NotFound, []string{"1 pods without an address"}},
		{"no such port", ",port=raft", list(described("gesta-0", "10.1.0.1", "Running", "True")), errs.Invalid, []string{`"raft"`, "gesta-0"}},
		{"a crowd", "", list(crowd...), errs.Invalid, []string{"more than 100"}},
		{"cut short", "", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"kind":"PodList","metadata":{"continue":"abc"},"items":[]}`)
		}, errs.Invalid, []string{"more than 100"}},
		{"a flood", "", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, mostBytes+2)) }, errs.Invalid, []string{"16777216 bytes"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAPI(t, c.answer)
			refusal(t, a.pods("app=gesta"+c.setting), c.code, c.says...)
		})
	}
}

func refusal(t *testing.T, p *Pods, code errs.Code, says ...string) {
	t.Helper()
	got, err := p.Seeds(t.Context())
	if got != nil || errs.CodeOf(err) != code {
		t.Fatalf("%v, %s %v; want %s", got, errs.CodeOf(err), err, code)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q does not say %q", err, s)
		}
	}
}

// What is missing around the pod is named.
func TestSurroundings(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, a *api)
		code  errs.Code
		says  string
	}{
		{"not in a pod", func(t *testing.T, _ *api) { t.Setenv("KUBERNETES_SERVICE_HOST", "") }, errs.Invalid, "does not run in a pod"},
		{"no token", func(t *testing.T, a *api) { a.remove("token") }, errs.Invalid, "automountServiceAccountToken"},
		{"no namespace", func(t *testing.T, a *api) { a.remove("namespace") }, errs.Invalid, "namespace"},
		{"empty token", func(t *testing.T, a *api) { a.write("token", "") }, errs.Unavailable, "is empty"},
		{"no authority", func(t *testing.T, a *api) { a.write("ca.crt", "none") }, errs.Invalid, "holds no certificate"},
		{"nobody listens", func(t *testing.T, a *api) { a.server.Close() }, errs.Unavailable, "does not answer"},
		{"another authority", func(t *testing.T, a *api) { a.write("ca.crt", strangersCertificate(t)) }, errs.Unavailable, "not the Kubernetes API that the service account trusts"},
		{"no host", func(t *testing.T, _ *api) { t.Setenv("KUBERNETES_SERVICE_HOST", "a b") }, errs.Invalid, "KUBERNETES_SERVICE_HOST"},
		{"no TLS", func(t *testing.T, _ *api) { t.Setenv("KUBERNETES_SERVICE_PORT", plainServer(t)) }, errs.Unavailable, "check KUBERNETES_SERVICE_HOST"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAPI(t, list(described("gesta-0", "10.1.0.1", "Running", "True")))
			c.spoil(t, a)
			refusal(t, a.pods("app=gesta"), c.code, c.says)
		})
	}
}

func (a *api) remove(name string) {
	if err := os.Remove(filepath.Join(a.folder, name)); err != nil {
		a.t.Fatal(err)
	}
}

func plainServer(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(list())
	t.Cleanup(s.Close)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	return port
}

func TestEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	a := newAPI(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if got, err := a.pods("app=gesta").Seeds(ctx); errs.CodeOf(err) != errs.Unavailable {
		t.Errorf("%v, %v", got, err)
	}
}

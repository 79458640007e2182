package kubernetes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
)

const (
	serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount" // where Kubernetes mounts the files
	patience       = 10 * time.Second                                // the API may be busy, and the node asks again
	most           = 100                                             // more than a cluster has nodes
	mostBytes      = 16 << 20                                        // 100 pods with all that is told of them
)

// access is what one question needs.
type access struct {
	host      string // HOST:PORT of the API
	token     string
	namespace string
	roots     *x509.CertPool
}

// access reads what Kubernetes gives every pod.
func (p *Pods) access() (a access, err error) {
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return a, errs.New(errs.Invalid, "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this node does not run in a pod; find its peers by static, dns or srv")
	}
	a.host = net.JoinHostPort(host, port)
	if a.token, err = p.file("token"); err != nil {
		return a, err
	}
	authority, err := p.file("ca.crt")
	if err != nil {
		return a, err
	}
	a.roots = x509.NewCertPool()
	if !a.roots.AppendCertsFromPEM([]byte(authority)) {
		return a, errs.New(errs.Invalid, "%s holds no certificate, so the Kubernetes API cannot be verified: check what is mounted there", filepath.Join(p.folder, "ca.crt"))
	}
	if a.namespace = p.namespace; a.namespace == "" {
		a.namespace, err = p.file("namespace")
	}
	return a, err
}

func (p *Pods) file(name string) (string, error) {
	path := filepath.Join(p.folder, name)
	text, err := os.ReadFile(path)
	if err != nil {
		return "", errs.New(errs.Invalid, "the service account's %s cannot be read: let the pod mount it (automountServiceAccountToken: true), or find the peers by dns or srv: %w", name, err)
	}
	if trimmed := strings.TrimSpace(string(text)); trimmed != "" {
		return trimmed, nil
	}
	return "", errs.New(errs.Unavailable, "the service account's %s in %s is empty; Kubernetes may be replacing it", name, path)
}

// list gets the pods with these labels, as the API writes them.
func (a access) list(ctx context.Context, selector string) ([]byte, error) {
	query := url.Values{"labelSelector": {selector}, "limit": {strconv.Itoa(most)}}
	target := url.URL{Scheme: "https", Host: a.host, Path: "/api/v1/namespaces/" + a.namespace + "/pods", RawQuery: query.Encode()}
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, errs.New(errs.Invalid, "the Kubernetes API cannot be at %s: check KUBERNETES_SERVICE_HOST: %w", a.host, err)
	}
	ask.Header.Set("Authorization", "Bearer "+a.token)
	ask.Header.Set("Accept", "application/json")
	answer, err := a.client().Do(ask)
	if err != nil {
		return nil, a.unreachable(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, mostBytes+1))
	switch {
	case err != nil:
		return nil, a.unreachable(err)
	case answer.StatusCode != http.StatusOK:
		return nil, a.refused(answer, body)
	case len(body) > mostBytes:
		return nil, errs.New(errs.Invalid, "the pods in namespace %s with the labels %s are described in over %d bytes: choose labels that only the nodes of one cluster have", a.namespace, selector, mostBytes)
	}
	return body, nil
}

// client is for one question: questions are rare, and the authority may be another at the next.
func (a access) client() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: a.roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (a access) unreachable(err error) error {
	var untrusted *tls.CertificateVerificationError
	var plain tls.RecordHeaderError
	if errors.As(err, &untrusted) || errors.As(err, &plain) {
		return errs.New(errs.Unavailable, "who answers at %s is not the Kubernetes API that the service account trusts: check KUBERNETES_SERVICE_HOST and the mounted ca.crt: %w", a.host, err)
	}
	return errs.New(errs.Unavailable, "the Kubernetes API at %s does not answer: check KUBERNETES_SERVICE_HOST, and the network policies of namespace %s: %w", a.host, a.namespace, err)
}

// refused says of an answer that is no list what to do about it.
func (a access) refused(answer *http.Response, body []byte) error {
	var said struct{ Message string }
	if json.Unmarshal(body, &said) != nil || said.Message == "" {
		said.Message = answer.Status
	}
	switch code := answer.StatusCode; {
	case code == http.StatusUnauthorized:
		return errs.New(errs.Unauthenticated, "the Kubernetes API does not accept the service account's token: check that the account still exists, and that the token is this cluster's: %s", said.Message)
	case code == http.StatusForbidden:
		return errs.New(errs.Forbidden, "the service account may not list the pods of namespace %s: bind it to a role with the verb list on pods there: %s", a.namespace, said.Message)
	case code == http.StatusTooManyRequests || code >= 500:
		return errs.New(errs.Unavailable, "the Kubernetes API at %s cannot answer now: %s", a.host, said.Message)
	}
	return a.notTheAPI(said.Message)
}

func (a access) notTheAPI(why string) error {
	return errs.New(errs.Unavailable, "what answers at %s is not the Kubernetes API; check KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT: %s", a.host, why)
}

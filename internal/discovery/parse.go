package discovery

import (
	"context"
	"strings"

	"github.com/gesta-db/gesta/internal/discovery/dns"
	"github.com/gesta-db/gesta/internal/discovery/kubernetes"
	"github.com/gesta-db/gesta/internal/discovery/static"
	"github.com/gesta-db/gesta/internal/errs"
)

// Finder finds peers: the addresses, HOST:PORT, sorted, at least one where there is no error. Errors carry their code and say
// what to do; unavailable and not_found may go away by themselves.
type Finder interface {
	Seeds(ctx context.Context) ([]string, error)
}

const forms = "write static:HOST:PORT,…, dns:NAME:PORT, srv:NAME, or kubernetes:LABEL=VALUE[,namespace=NAMESPACE][,port=NAME]"

// Parse reads the setting, in one of the forms that the package names. The error is invalid. Nothing is asked of anybody yet.
func Parse(setting string) (Finder, error) {
	kind, rest, found := strings.Cut(setting, ":")
	if !found || rest == "" {
		return nil, errs.New(errs.Invalid, "%q says no way to find peers: %s", setting, forms)
	}
	switch kind {
	case "static":
		return parsed(static.Parse(rest))
	case "dns":
		return parsed(dns.ParseHost(rest))
	case "srv":
		return parsed(dns.ParseService(rest))
	case "kubernetes":
		return parsed(kubernetes.Parse(rest))
	}
	return nil, errs.New(errs.Invalid, "%q is no way to find peers: %s", kind, forms)
}

// parsed keeps a nil pointer from becoming a Finder that is not nil.
func parsed[F Finder](f F, err error) (Finder, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

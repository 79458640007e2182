package discovery

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ setting, want string }{
		{"static:a:7090,b:7090", "*static.Addresses"},
		{"static:[::1]:7090", "*static.Addresses"},
		{"dns:gesta-peers:7090", "*dns.Host"},
		{"dns:gesta-peers.prod.svc.cluster.local.:7090", "*dns.Host"},
		{"srv:gesta-peers", "*dns.Service"},
		{"kubernetes:app=gesta", "*kubernetes.Pods"},
		{"kubernetes:app.kubernetes.io/name=gesta,namespace=prod,port=7090", "*kubernetes.Pods"},
	} {
		f, err := Parse(c.setting)
		if got := fmt.Sprintf("%T", f); err != nil || got != c.want {
			t.Errorf("%s: %s, %v", c.setting, got, err)
		}
	}
}

// Each refusal names what is wrong with it.
func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ setting, says string }{
		{"", "no way to find peers"},
		{"a:7090", `"a" is no way`},
		{"static:", "no way to find peers"},
		{"consul:gesta", "write static:HOST:PORT"},
		{"static:a", `"a"`},
		{"static:a:7090,,b:7090", `""`},
		{"static:a:7090,a:7090", "twice"},
		{"static:a:0", "from 1 to 65535"},
		{"static::7090", "names no host"},
		{"dns:gesta-peers", "NAME:PORT"},
		{"dns:gesta peers:7090", "no name"},
		{"dns:gesta-peers:http", "from 1 to 65535"},
		{"srv:gesta-peers:7090", "no port"},
		{"kubernetes:namespace=prod", "label"},
		{"kubernetes:app", "LABEL=VALUE"},
		{"kubernetes:app=ge sta", `"ge sta"`},
		{"kubernetes:=gesta", `""`},
		{"kubernetes:app=gesta,namespace=A/B", `"A/B"`},
		{"kubernetes:app=gesta,port=0", "port"},
		{"kubernetes:app=gesta,app=other", "twice"},
	} {
		f, err := Parse(c.setting)
		if f != nil || errs.CodeOf(err) != errs.Invalid || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v, %v; want a refusal that says %q", c.setting, f, err, c.says)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"static:a:1,b:2", "dns:x:7090", "srv:x", "kubernetes:a=b,port=peer"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, setting string) {
		if finder, err := Parse(setting); (finder == nil) == (err == nil) {
			t.Fatalf("%q: %v, %v", setting, finder, err)
		}
	})
}

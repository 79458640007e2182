package kubernetes

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/gesta-db/gesta/internal/errs"
)

var (
	labelName  = regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
	labelValue = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
	dnsLabel   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
)

// Parse reads LABEL=VALUE[,LABEL=VALUE…][,namespace=NAMESPACE][,port=NAME]. Without a namespace it is the pod's own; without a port
// it is the one named peer; a port may also be a number. The error is invalid.
func Parse(text string) (*Pods, error) {
	p := &Pods{port: "peer", folder: serviceAccount}
	var labels []string
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(text, ",") {
		name, value, found := strings.Cut(strings.TrimSpace(pair), "=")
		if !found || value == "" {
			return nil, errs.New(errs.Invalid, "%q chooses no pods: write kubernetes:LABEL=VALUE[,namespace=NAMESPACE][,port=NAME]", pair)
		}
		if seen[name] {
			return nil, errs.New(errs.Invalid, "%s stands twice in kubernetes:%s", name, text)
		}
		seen[name] = true
		if err := p.set(name, value); err != nil {
			return nil, err
		}
		if name != "namespace" && name != "port" {
			labels = append(labels, name+"="+value)
		}
	}
	if len(labels) == 0 {
		return nil, errs.New(errs.Invalid, "kubernetes:%s names no label, and would find every pod of the namespace: add LABEL=VALUE", text)
	}
	p.selector = strings.Join(labels, ",")
	return p, nil
}

func (p *Pods) set(name, value string) error {
	switch name {
	case "namespace":
		p.namespace = value
		return checkText(value, "a namespace", dnsLabel)
	case "port":
		p.port = value
		return checkPort(value)
	}
	if err := checkText(name, "the name of a label", labelName); err != nil {
		return err
	}
	return checkText(value, "the value of a label", labelValue)
}

func checkText(text, what string, form *regexp.Regexp) error {
	if !form.MatchString(text) {
		return errs.New(errs.Invalid, "%q cannot be %s in Kubernetes", text, what)
	}
	return nil
}

func checkPort(port string) error {
	if n, err := strconv.ParseInt(port, 10, 64); err == nil && (n < 1 || n > 65535) || !dnsLabel.MatchString(port) {
		return errs.New(errs.Invalid, "port=%s is neither the name of a container's port nor a number from 1 to 65535", port)
	}
	return nil
}

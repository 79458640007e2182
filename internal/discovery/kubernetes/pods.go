// Package kubernetes finds peers by asking the Kubernetes API for the pods with some labels.
//
// It promises: every pod that runs and has an address is given, ready or not (a node that waits for its peers is not ready, and must
// be found by them); each as the pod's address and the port that its containers give the name, sorted. The service account's token,
// the API's certificate authority and the namespace are read anew at each call, since Kubernetes replaces the first two while the pod
// runs. The token goes nowhere but to the host in KUBERNETES_SERVICE_HOST, under TLS verified by that authority: no proxy is asked and
// no redirect followed.
//
// It does not know: whether a pod is a member, what the pods are called in DNS (where certificates carry names instead of addresses,
// find the peers by dns or srv), nor the API's other ways to authenticate.
//
// The service account needs one right: to list pods in the namespace.
//
// Limits: a call ends after 10 s; an answer of over 100 pods or 16 MiB is refused, since the labels then choose more than a cluster.
package kubernetes

import (
	"context"
	"encoding/json"
	"net"
	"slices"
	"strconv"

	"github.com/gesta-db/gesta/internal/errs"
)

// Pods are those with some labels, in a namespace.
type Pods struct {
	selector  string // LABEL=VALUE,…
	namespace string // "" is the one that this pod is in
	port      string // a container port's name, or a number
	folder    string // where the service account's files are
}

// Seeds asks the API.
func (p *Pods) Seeds(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	a, err := p.access()
	if err != nil {
		return nil, err
	}
	body, err := a.list(ctx, p.selector)
	if err != nil {
		return nil, err
	}
	var pods podList
	if err := json.Unmarshal(body, &pods); err != nil || pods.Kind != "PodList" {
		return nil, a.notTheAPI("its answer is no list of pods")
	}
	return p.addresses(pods, a.namespace)
}

// podList is what is read of the API's answer.
type podList struct {
	Kind     string
	Metadata struct{ Continue string }
	Items    []pod
}

type pod struct {
	Metadata struct{ Name string }
	Spec     struct {
		Containers     []container
		InitContainers []container // those that stay beside the others may listen, too
	}
	Status struct{ Phase, PodIP string }
}

type container struct {
	Ports []struct {
		Name          string
		ContainerPort uint16
	}
}

func (p *Pods) addresses(pods podList, namespace string) ([]string, error) {
	if pods.Metadata.Continue != "" || len(pods.Items) > most {
		return nil, errs.New(errs.Invalid, "more than %d pods in namespace %s have the labels %s: these are not the nodes of one cluster; choose labels that only they have", most, namespace, p.selector)
	}
	var addrs []string
	unnamed := ""
	for _, one := range pods.Items {
		if one.Status.PodIP == "" || one.Status.Phase == "Succeeded" || one.Status.Phase == "Failed" {
			continue // it has no address yet, or has given it back
		}
		port := one.port(p.port)
		if port == "" {
			unnamed = one.Metadata.Name
			continue
		}
		addrs = append(addrs, net.JoinHostPort(one.Status.PodIP, port))
	}
	switch {
	case len(addrs) == 0 && unnamed != "":
		return nil, errs.New(errs.Invalid, "no container of pod %s in namespace %s has a port named %q: name it in the pod's ports, or write its number: port=7090", unnamed, namespace, p.port)
	case len(addrs) == 0:
		return nil, errs.New(errs.NotFound, "no pod with an address in namespace %s has the labels %s: check labels and namespace (there are %d pods without an address)", namespace, p.selector, len(pods.Items))
	}
	slices.Sort(addrs)
	return slices.Compact(addrs), nil
}

// port is the number of the port with this name, or "".
func (o pod) port(name string) string {
	if _, err := strconv.ParseUint(name, 10, 16); err == nil {
		return name
	}
	for _, c := range slices.Concat(o.Spec.Containers, o.Spec.InitContainers) {
		for _, p := range c.Ports {
			if p.Name == name {
				return strconv.Itoa(int(p.ContainerPort))
			}
		}
	}
	return ""
}

package deploy

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	rbac "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

const name = "orders-gesta"

func node(t *testing.T, all objects) (*apps.StatefulSet, core.Container) {
	t.Helper()
	set := get[*apps.StatefulSet](t, all, "StatefulSet "+name)
	if len(set.Spec.Template.Spec.Containers) != 1 {
		t.Fatal("a pod has one container")
	}
	return set, set.Spec.Template.Spec.Containers[0]
}

func environment(c core.Container) map[string]string {
	env := map[string]string{}
	for _, e := range c.Env {
		env[e.Name] = e.Value
		if e.ValueFrom != nil && e.ValueFrom.FieldRef != nil {
			env[e.Name] = "{" + e.ValueFrom.FieldRef.FieldPath + "}"
		}
	}
	return env
}

// The founders are called as their pods are, and found where the headless service publishes them.
func TestMembersAreThePods(t *testing.T) {
	all, _ := renderObjects(t, valuesOf(t, "tls"))
	set, container := node(t, all)
	peers := get[*core.Service](t, all, "Service "+set.Spec.ServiceName)
	if peers.Spec.ClusterIP != core.ClusterIPNone || !peers.Spec.PublishNotReadyAddresses {
		t.Error("the service of the nodes is not headless, or hides those that are not ready")
	}
	domain := set.Spec.ServiceName + ".prod.svc.cluster.local"
	env := environment(container)
	var members []string
	for _, pod := range []string{name + "-0", name + "-1", name + "-2"} {
		members = append(members, pod+"="+pod+"."+domain+":7090")
	}
	for variable, want := range map[string]string{
		"GESTA_NODE_ID":         "{metadata.name}",
		"GESTA_PEER_ADVERTISE":  "$(GESTA_NODE_ID)." + domain + ":7090",
		"GESTA_INITIAL_MEMBERS": strings.Join(members, ","),
		"GESTA_DISCOVER":        "", // who founds does not join
		"GESTA_TLS_CERT":        "/etc/gesta-tls/tls.crt",
		"GESTA_TLS_PEER_CA":     "/etc/gesta-tls/ca.crt",
	} {
		if env[variable] != want {
			t.Errorf("%s is %q; want %q", variable, env[variable], want)
		}
	}
	if !slices.ContainsFunc(peers.Spec.Ports, func(p core.ServicePort) bool { return p.Name == "gesta-peer" && p.Port == 7090 }) {
		t.Error("the headless service has no port gesta-peer, after which its SRV records would be called")
	}
	if len(members) != 3 || int(*set.Spec.Replicas) != 3 || set.Spec.PodManagementPolicy != apps.ParallelPodManagement {
		t.Error("the founders do not start together")
	}
}

// Who comes later is named, too, as a node must be; fewer pods are no reason to forget those that are still members.
func TestEveryPodIsNamed(t *testing.T) {
	for replicas, want := range map[int]int{1: 3, 3: 3, 5: 5} {
		values := valuesOf(t, "insecure")
		values["replicas"] = replicas
		all, _ := renderObjects(t, values)
		_, container := node(t, all)
		if got := strings.Count(environment(container)["GESTA_INITIAL_MEMBERS"], "="); got != want {
			t.Errorf("%d pods: %d are named; want %d", replicas, got, want)
		}
	}
}

// Who joins does not found, and another number of pods restarts nobody.
func TestLaterPodsJoin(t *testing.T) {
	more := valuesOf(t, "insecure")
	more["discovery"] = "srv"
	three, _ := renderObjects(t, more)
	more["replicas"] = 5
	five, _ := renderObjects(t, more)
	_, before := node(t, three)
	_, after := node(t, five)
	if env := environment(before); env["GESTA_INITIAL_MEMBERS"] != "" || !maps.Equal(env, environment(after)) {
		t.Error("a pod that joins is told whom to found with, or two more pods change the environment of the others")
	}
}

func TestDiscovery(t *testing.T) {
	for kind, want := range map[string]string{
		"srv":        "srv:orders-gesta-peers.prod.svc.cluster.local",
		"dns":        "dns:orders-gesta-peers.prod.svc.cluster.local:7090",
		"kubernetes": "kubernetes:app.kubernetes.io/name=gesta,app.kubernetes.io/instance=orders,app.kubernetes.io/component=node,port=peer",
	} {
		values := valuesOf(t, "insecure")
		values["discovery"] = kind
		all, _ := renderObjects(t, values)
		set, container := node(t, all)
		if got := environment(container)["GESTA_DISCOVER"]; got != want {
			t.Errorf("%s: %s", kind, got)
		}
		asks := kind == "kubernetes"
		if _, role := all["Role "+name]; role != asks || *set.Spec.Template.Spec.AutomountServiceAccountToken != asks {
			t.Errorf("%s: a role: %v, and the token is mounted: %v", kind, role, *set.Spec.Template.Spec.AutomountServiceAccountToken)
		}
	}
}

// The role gives what discovery needs, to who needs it, and nothing more.
func TestRole(t *testing.T) {
	all, _ := renderObjects(t, valuesOf(t, "everything"))
	role, binding := get[*rbac.Role](t, all, "Role "+name), get[*rbac.RoleBinding](t, all, "RoleBinding "+name)
	set, _ := node(t, all)
	if len(role.Rules) != 1 || !slices.Equal(role.Rules[0].Resources, []string{"pods"}) || !slices.Equal(role.Rules[0].Verbs, []string{"list"}) {
		t.Errorf("the role allows %v", role.Rules)
	}
	if binding.RoleRef.Name != role.Name || binding.Subjects[0].Name != set.Spec.Template.Spec.ServiceAccountName {
		t.Errorf("the role is bound to %v", binding.Subjects)
	}
}

// Everything that chooses pods chooses the set's, and no other.
func TestSelectors(t *testing.T) {
	every(t, func(t *testing.T, values map[string]any) {
		all, _ := renderObjects(t, values)
		set, _ := node(t, all)
		pod := set.Spec.Template.Labels
		test := get[*core.Pod](t, all, "Pod "+name+"-status").Labels
		chosen := map[string]map[string]string{"StatefulSet": set.Spec.Selector.MatchLabels}
		for what, o := range all {
			switch o := o.(type) {
			case *core.Service:
				chosen[what] = o.Spec.Selector
			case *policy.PodDisruptionBudget:
				chosen[what] = o.Spec.Selector.MatchLabels
			case *networking.NetworkPolicy:
				chosen[what] = o.Spec.PodSelector.MatchLabels
			}
		}
		for i, spread := range set.Spec.Template.Spec.TopologySpreadConstraints {
			chosen["spread "+string(rune('0'+i))] = spread.LabelSelector.MatchLabels
		}
		for what, selector := range chosen {
			s := labels.SelectorFromSet(selector)
			if len(selector) == 0 || !s.Matches(labels.Set(pod)) || s.Matches(labels.Set(test)) {
				t.Errorf("%s chooses %v", what, selector)
			}
		}
	})
}

// Ports that are named exist.
func TestPorts(t *testing.T) {
	every(t, func(t *testing.T, values map[string]any) {
		all, _ := renderObjects(t, values)
		_, container := node(t, all)
		ports := map[string]bool{}
		for _, p := range container.Ports {
			ports[p.Name] = true
		}
		named := []string{}
		for _, o := range all {
			switch o := o.(type) {
			case *core.Service:
				for _, p := range o.Spec.Ports {
					named = append(named, p.TargetPort.String())
				}
			case *networking.NetworkPolicy:
				for _, rule := range o.Spec.Ingress {
					for _, p := range rule.Ports {
						named = append(named, p.Port.String())
					}
				}
			}
		}
		for _, probe := range []*core.Probe{container.StartupProbe, container.LivenessProbe, container.ReadinessProbe} {
			named = append(named, probe.HTTPGet.Port.String())
		}
		for _, n := range named {
			if !ports[n] {
				t.Errorf("the container has no port %s", n)
			}
		}
	})
}

// A pod is killed only after it has left the services, drained, and had time to close.
func TestTimeToStop(t *testing.T) {
	every(t, func(t *testing.T, values map[string]any) {
		all, _ := renderObjects(t, values)
		set, container := node(t, all)
		var leave int64
		if container.Lifecycle != nil {
			leave = container.Lifecycle.PreStop.Sleep.Seconds
		}
		drain := map[string]int64{"15s": 15, "30s": 30}[environment(container)["GESTA_DRAIN_TIMEOUT"]]
		if drain == 0 || *set.Spec.Template.Spec.TerminationGracePeriodSeconds < leave+drain+5 {
			t.Errorf("%d s to leave, %d s to drain, but killed after %d s", leave, drain, *set.Spec.Template.Spec.TerminationGracePeriodSeconds)
		}
	})
}

func TestProbes(t *testing.T) {
	for file, scheme := range map[string]core.URIScheme{"tls": core.URISchemeHTTPS, "insecure": ""} {
		all, _ := renderObjects(t, valuesOf(t, file))
		_, c := node(t, all)
		for path, probe := range map[string]*core.Probe{"/health": c.LivenessProbe, "/ready": c.ReadinessProbe} {
			if probe.HTTPGet.Path != path || probe.HTTPGet.Scheme != scheme {
				t.Errorf("%s: asks %s by %q", file, probe.HTTPGet.Path, probe.HTTPGet.Scheme)
			}
		}
	}
}

// What the restricted Pod Security Standard asks for, and a root file system that is read-only.
func TestRestricted(t *testing.T) {
	every(t, func(t *testing.T, values map[string]any) {
		all, _ := renderObjects(t, values)
		set, _ := node(t, all)
		for _, spec := range []core.PodSpec{set.Spec.Template.Spec, get[*core.Pod](t, all, "Pod "+name+"-status").Spec} {
			pod, c := spec.SecurityContext, spec.Containers[0].SecurityContext
			if !*pod.RunAsNonRoot || *pod.RunAsUser == 0 || pod.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
				t.Errorf("the pod runs as %v", pod)
			}
			if *c.AllowPrivilegeEscalation || !*c.ReadOnlyRootFilesystem || !slices.Contains(c.Capabilities.Drop, "ALL") {
				t.Errorf("the container runs as %v", c)
			}
			for _, v := range spec.Containers[0].VolumeMounts {
				if !v.ReadOnly && v.MountPath != "/data" {
					t.Errorf("%s can be written", v.MountPath)
				}
			}
		}
	})
}

func TestDisruption(t *testing.T) {
	all, _ := renderObjects(t, valuesOf(t, "insecure"))
	if b := get[*policy.PodDisruptionBudget](t, all, "PodDisruptionBudget "+name); b.Spec.MaxUnavailable.IntValue() != 1 {
		t.Errorf("%v may be missing", b.Spec.MaxUnavailable)
	}
	all, _ = renderObjects(t, valuesOf(t, "small"))
	if all["PodDisruptionBudget "+name] != nil || all["NetworkPolicy "+name] != nil || all["ServiceAccount "+name] != nil {
		t.Error("what was switched off is made")
	}
}

// Strangers reach no port, and clients not the nodes' own.
func TestNetworkPolicy(t *testing.T) {
	all, _ := renderObjects(t, valuesOf(t, "everything"))
	p := get[*networking.NetworkPolicy](t, all, "NetworkPolicy "+name)
	if len(p.Spec.Ingress) != 2 || len(p.Spec.Ingress[1].From) != 1 || p.Spec.Ingress[1].From[0].NamespaceSelector == nil {
		t.Fatalf("lets in %v", p.Spec.Ingress)
	}
	for _, rule := range p.Spec.Ingress {
		peer := slices.ContainsFunc(rule.Ports, func(p networking.NetworkPolicyPort) bool { return p.Port.String() == "peer" })
		nodes := rule.From[0].PodSelector != nil && len(rule.From[0].PodSelector.MatchLabels) > 0
		if len(rule.From) == 0 || peer != nodes {
			t.Errorf("lets in %v", rule)
		}
	}
}

// The settings' file is what was given, as YAML that the server reads.
func TestSettingsFile(t *testing.T) {
	all, _ := renderObjects(t, valuesOf(t, "everything"))
	var file map[string]map[string]any
	if err := yaml.UnmarshalStrict([]byte(get[*core.ConfigMap](t, all, "ConfigMap "+name).Data["gesta.yaml"]), &file); err != nil {
		t.Fatal(err)
	}
	if file["log"]["level"] != "debug" || file["limits"]["event_bytes"] != "2MiB" {
		t.Errorf("the file is %v", file)
	}
	before, _ := renderObjects(t, valuesOf(t, "insecure"))
	a, _ := node(t, all)
	b, _ := node(t, before)
	if a.Spec.Template.Annotations["checksum/settings"] == b.Spec.Template.Annotations["checksum/settings"] {
		t.Error("other settings do not restart the pods")
	}
}

func TestServiceMonitor(t *testing.T) {
	_, files := renderObjects(t, valuesOf(t, "everything"))
	var monitor struct {
		Metadata struct{ Labels map[string]string }
		Spec     struct {
			Selector  struct{ MatchLabels map[string]string }
			Endpoints []struct {
				Port, Path, Scheme, Interval string
				TLSConfig                    map[string]any
			}
		}
	}
	if err := yaml.Unmarshal([]byte(files["gesta/templates/servicemonitor.yaml"]), &monitor); err != nil {
		t.Fatal(err)
	}
	all, _ := renderObjects(t, valuesOf(t, "everything"))
	chosen := 0
	for _, o := range all {
		if s, ok := o.(*core.Service); ok && labels.SelectorFromSet(monitor.Spec.Selector.MatchLabels).Matches(labels.Set(s.Labels)) {
			chosen++
		}
	}
	if chosen != 1 || monitor.Metadata.Labels["release"] != "prometheus" || len(monitor.Spec.Endpoints) != 1 || monitor.Spec.Endpoints[0].Scheme != "https" {
		t.Errorf("%d services are scraped, by %v", chosen, monitor.Spec)
	}
	if _, files = renderObjects(t, valuesOf(t, "tls")); strings.Contains(files["gesta/templates/servicemonitor.yaml"], "kind") {
		t.Error("there is one without being asked for")
	}
}

// What is told after an installation names what exists.
func TestNotes(t *testing.T) {
	_, files := renderObjects(t, valuesOf(t, "insecure"))
	notes := files["gesta/templates/NOTES.txt"]
	for _, says := range []string{"statefulset/" + name, name + ".prod.svc:7070", "WARNING: there is no encryption"} {
		if !strings.Contains(notes, says) {
			t.Errorf("the notes do not say %q:\n%s", says, notes)
		}
	}
	if regexp.MustCompile(`\n\n\n`).MatchString(notes) {
		t.Errorf("the notes have holes:\n%s", notes)
	}
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

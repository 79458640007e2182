package node

import (
	"context"
	"net"
	"strconv"
	"strings"

	"github.com/gesta-db/gesta/internal/cluster"
)

// ClusterConfig is how a node comes to its cluster and what it tells the others of itself.
type ClusterConfig struct {
	NodeID        string // names the node; empty: drawn with the folder
	PeerListen    string // HOST:PORT for the other nodes; empty: the node stays alone
	PeerAdvertise string // where the others reach it; empty: peer_listen
	Advertise     string // where clients reach gRPC; empty: grpc
	HTTPAdvertise string // where clients reach HTTP; empty: http
	Initial       string // id=HOST:PORT,… of those that found a cluster together
	Join          string // HOST:PORT,… of nodes whose cluster to join
	Discover      string // where to find such nodes
	Zone          string // what fails together
	Replication   int64  // replicas of a shard
	PeerCA        string // PEM file of whom the other nodes' certificates are from
}

// clusterFields are the settings of a node that is one of many.
func clusterFields() []Field {
	return []Field{
		text(Field{Name: "node_id", Kind: Text, Range: "letters, digits, - _ and ., up to 63", Help: "names the node in its cluster; drawn when the data folder is made if it is not given, and for good"},
			func(c *Config) *string { return &c.Cluster.NodeID }),
		text(Field{Name: "peer_listen", Kind: Address, Help: "where the other nodes of the cluster are listened to; none: the node stays alone. Beyond loopback only with tls.cert, tls.key and tls.peer_ca, or insecure",
			Reason: "a node alone needs no port that others could reach"},
			func(c *Config) *string { return &c.Cluster.PeerListen }),
		text(Field{Name: "peer_advertise", Kind: Address, Help: "where the other nodes reach this one; the same as peer_listen if it is not given"},
			func(c *Config) *string { return &c.Cluster.PeerAdvertise }),
		text(Field{Name: "advertise", Kind: Address, Help: "where clients reach this node's gRPC; the same as grpc if it is not given"},
			func(c *Config) *string { return &c.Cluster.Advertise }),
		text(Field{Name: "http_advertise", Kind: Address, Help: "where clients reach this node's HTTP; the same as http if it is not given"},
			func(c *Config) *string { return &c.Cluster.HTTPAdvertise }),
		text(Field{Name: "initial_members", Kind: Text, Range: "ID=HOST:PORT with commas between, this node among them", Help: "the nodes that found a cluster together, each by its node_id and where its peers reach it; the same list for every one. A node that is not among them joins if it is told how. Looked at only while the data folder is new"},
			func(c *Config) *string { return &c.Cluster.Initial }),
		text(Field{Name: "join", Kind: Text, Range: "HOST:PORT with commas between", Help: "where nodes of a cluster listen to peers, for a node with a new data folder to join it"},
			func(c *Config) *string { return &c.Cluster.Join }),
		text(Field{Name: "discover", Kind: Text, Range: "static:…, dns:…, srv:… or kubernetes:…", Help: "how to find the nodes to join when join is not given"},
			func(c *Config) *string { return &c.Cluster.Discover }),
		text(Field{Name: "zone", Kind: Text, Help: "names what fails together with this node (a rack, a data centre): replicas are spread over zones"},
			func(c *Config) *string { return &c.Cluster.Zone }),
		count(Field{Name: "replication", Default: "3", Range: "1, 3 or 5", Help: "how many replicas a shard has once there are nodes enough; taken when the shard is made"},
			func(c *Config) *int64 { return &c.Cluster.Replication }),
		text(Field{Name: "tls.peer_ca", Kind: Path, Help: "certificates (PEM) of the authorities that the other nodes' certificates are from; peers then speak mutual TLS with tls.cert and tls.key"},
			func(c *Config) *string { return &c.Cluster.PeerCA }),
	}
}

func (c *Config) checkCluster() error {
	k := &c.Cluster
	for _, a := range []struct{ name, addr string }{
		{"peer_listen", k.PeerListen}, {"peer_advertise", k.PeerAdvertise}, {"advertise", k.Advertise}, {"http_advertise", k.HTTPAdvertise},
	} {
		if a.addr == "" {
			continue
		}
		if err := checkAddress(a.name, a.addr); err != nil {
			return err
		}
	}
	if k.Replication != 1 && k.Replication != 3 && k.Replication != 5 {
		return refuse("replication", "is %d; it must be 1, 3 or 5: an even number tolerates no more failures than the odd one below it", k.Replication)
	}
	if err := checkNodeID(k.NodeID); k.NodeID != "" && err != nil {
		return err
	}
	if k.PeerListen == "" && (k.Initial != "" || k.Join != "" || k.Discover != "") {
		return refuse("peer_listen", "is not given; a node that is to be one of many must listen to the others, for instance --peer-listen 127.0.0.1:7090")
	}
	if k.PeerCA != "" && c.TLSCert == "" {
		return refuse("tls.peer_ca", "needs tls.cert and tls.key: both ends of a connection between nodes show a certificate")
	}
	_, err := c.seeds()
	return err
}

func checkNodeID(id string) error {
	if len(id) > 63 || id == "" || strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" {
		return refuse("node_id", "is %q; use letters, digits, -, _ and ., up to 63", id)
	}
	return nil
}

// seeds are the initial members.
func (c *Config) seeds() (seeds []cluster.Seed, err error) {
	seen := map[string]bool{}
	for _, one := range splitList(c.Cluster.Initial) {
		id, addr, ok := strings.Cut(one, "=")
		if !ok {
			return nil, refuse("initial_members", "has %q; write ID=HOST:PORT, for instance n1=10.0.0.1:7090,n2=10.0.0.2:7090,n3=10.0.0.3:7090", one)
		}
		if err := checkNodeID(id); err != nil {
			return nil, refuse("initial_members", "has the node id %q; use letters, digits, -, _ and ., up to 63", id)
		}
		if err := checkAddress("initial_members", addr); err != nil {
			return nil, err
		}
		if seen[id] || seen[addr] {
			return nil, refuse("initial_members", "names %s twice", one)
		}
		seen[id], seen[addr] = true, true
		seeds = append(seeds, cluster.Seed{Node: id, Addr: addr})
	}
	switch {
	case len(seeds) == 0:
		return nil, nil
	case c.Cluster.NodeID == "":
		return nil, refuse("node_id", "is not given; with --initial-members each node needs its name from that list")
	case !seen[c.Cluster.NodeID] && (c.Cluster.Join != "" || c.Cluster.Discover != ""):
		return nil, nil // it comes later, and joins
	case !seen[c.Cluster.NodeID]:
		return nil, refuse("initial_members", "does not name this node, %s: give every node the same list of all", c.Cluster.NodeID)
	}
	return seeds, nil
}

// forming is how this node comes to its cluster while its folder is new.
func (c *Config) forming(discover func(string) (func(context.Context) ([]string, error), error)) (f cluster.Forming, err error) {
	if f.Initial, err = c.seeds(); err != nil {
		return f, err
	}
	switch list := splitList(c.Cluster.Join); {
	case len(list) > 0:
		for _, addr := range list {
			if err := checkAddress("join", addr); err != nil {
				return f, err
			}
		}
		f.Join = func(context.Context) ([]string, error) { return list, nil }
	case c.Cluster.Discover != "":
		f.Join, err = discover(c.Cluster.Discover)
	}
	return f, err
}

// advertised is what the others are told: what was set, or where this node listens, which must then mean something to them.
func advertised(set string, listens net.Listener) string {
	if set != "" || listens == nil {
		return set
	}
	return listens.Addr().String()
}

// checkAdvertised refuses to tell others an address that means any of this machine's own.
func checkAdvertised(name, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return refuse(name, "is %q; write HOST:PORT", addr)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return refuse(name, "is not given and the node listens on every interface: name the address at which the other nodes reach this one, HOST:%s", port)
	}
	if n, err := strconv.Atoi(port); err != nil || n == 0 {
		return refuse(name, "is %q; the others need the port", addr)
	}
	return nil
}

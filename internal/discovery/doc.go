// Package discovery makes, of one setting, the way in which a node finds the addresses of its peers:
//
//	static:a:7090,b:7090                                  these addresses
//	dns:gesta-peers:7090                                  the A and AAAA records of a name, each with this port
//	srv:gesta-peers                                       the SRV records of _gesta-peer._tcp.gesta-peers, which bring their ports
//	kubernetes:app=gesta[,namespace=prod][,port=peer]     the pods with these labels, asked of the Kubernetes API
//
// It promises: an answer is never empty (where nothing is found, that is an error which says where it was looked for), each
// address is HOST:PORT and stands there once, they are sorted, and there are at most 100. An answer is of the moment; who uses it
// asks again.
//
// It does not know: who is a member (that is Raft's to say: these are only doors to knock at), which of the addresses is the
// asking node's own, whether anybody listens there, and what was answered before. Nothing is asked before Seeds is called.
//
// Limits: 100 addresses, since a cluster has fewer nodes by far, and a name or a selector that gives more is a mistake. A call
// ends after 5 s (dns, srv) or 10 s (kubernetes) at the latest, or when its context does.
package discovery

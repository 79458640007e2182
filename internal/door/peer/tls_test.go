package peer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/gesta-db/gesta/internal/errs"
)

// authority signs certificates of one test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	key, der := sign(t, template, nil)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{cert: cert, key: key, pool: x509.NewCertPool()}
	a.pool.AddCert(cert)
	return a
}

func sign(t *testing.T, template *x509.Certificate, by *authority) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

func (a *authority) config(t *testing.T, name string) *tls.Config {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	key, der := sign(t, template, a)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, RootCAs: a.pool}
}

func with(c *tls.Config) func(*Options) { return func(o *Options) { o.TLS = c } }

func TestCertificatesAreAskedForAtBothEnds(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t), newAuthority(t)
	known := newBook()
	a := start(t, known, 1, "", with(ca.config(t, "node-1")))
	b := start(t, known, 2, "", with(ca.config(t, "node-2")))
	a.connectTo(t, 2)
	a.Send(1, []*raftpb.Message{beat(1, 2, 1)})
	eventually(t, "the message", func() bool { return b.count(1) == 1 })
	names := make(chan string, 1)
	b.h.call = nameOf(names)
	if _, err := a.Call(within(t), 2, "x", nil); err != nil {
		t.Fatal(err)
	}
	if name := receive(t, names); name != "node-1" {
		t.Errorf("the certificate says %q", name)
	}
	for id, change := range map[uint64]func(*Options){
		3: func(*Options) {},                    // none
		4: with(other.config(t, "node-4")),      // of another authority
		5: with(&tls.Config{RootCAs: ca.pool}),  // trusts, and has none
		6: with(expired(t, ca.config(t, "n6"))), // trusts another's
	} {
		n := start(t, known, id, "", change)
		_, err := n.Call(within(t), 2, "x", nil)
		if errs.CodeOf(err) != errs.Unavailable && errs.CodeOf(err) != errs.UnknownOutcome {
			t.Errorf("node %d: %v", id, err)
		}
	}
	if b.count(1) != 1 || len(names) != 0 {
		t.Error("a node without a certificate was heard")
	}
}

// expired trusts nobody that is here.
func expired(t *testing.T, c *tls.Config) *tls.Config {
	c = c.Clone()
	c.RootCAs = newAuthority(t).pool
	return c
}

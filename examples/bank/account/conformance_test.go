package account

import (
	"context"
	"testing"

	"github.com/gesta-db/gesta/client"
	"github.com/gesta-db/gesta/client/conformance"
)

// The handler does what any handler of this kind must do, in whatever language it is written.
func TestConformance(t *testing.T) {
	server, err := conformance.New()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	c, err := client.New(client.Options{Addrs: []string{server.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- c.Serve(ctx, client.Service{Name: "bank", Kinds: []client.Kind{Entity}}) }()
	scripts, err := conformance.Scripts()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scripts {
		if err := server.Play(t.Context(), s); err != nil {
			t.Error(err)
		}
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

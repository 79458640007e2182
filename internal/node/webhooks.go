package node

import (
	"context"
	"os"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/internal/entity"
	"github.com/gesta-db/gesta/internal/gateway"
	"github.com/gesta-db/gesta/internal/handler/webhook"
)

// handlerFields are the settings of handlers that do not attach themselves.
func handlerFields() []Field {
	return []Field{
		text(Field{Name: "webhooks", Kind: Path, Help: "a JSON file of handlers that are asked by HTTP: their URLs, and the kinds they serve",
			Reason: "a URL that decides about entities is the operator's to name, with its credentials, not a client's"},
			func(c *Config) *string { return &c.Webhooks }),
	}
}

// readWebhooks reads the file of handlers; none when there is no file.
func (c *Config) readWebhooks() ([]webhook.Config, error) {
	if c.Webhooks == "" {
		return nil, nil
	}
	text, err := os.ReadFile(c.Webhooks)
	if err != nil {
		return nil, refuse("webhooks", "cannot be read: %v", err)
	}
	return webhook.Parse(text)
}

// startWebhooks keeps the configured handlers attached until stopWebhooks.
func (n *Node) startWebhooks(all []webhook.Config) {
	ctx, stop := context.WithCancel(context.Background())
	n.stopWebhooks = stop
	for _, c := range all {
		n.serving.Go(func() {
			webhook.Serve(ctx, c, func(ctx context.Context, hello *gestav1.Hello, h entity.Handler) (*entity.Attached, *gestav1.Welcome, error) {
				return n.gate.Attach(ctx, gateway.Caller{Name: "webhook", Addr: c.URL}, hello, h)
			}, n.log)
		})
	}
}

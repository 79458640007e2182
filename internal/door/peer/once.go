package peer

import (
	"log/slog"
	"sync"
)

// mostRemembered bounds what is remembered of what was said.
const mostRemembered = 1024

// once logs what would else be logged with every attempt.
type once struct {
	log  *slog.Logger
	mu   sync.Mutex
	said map[string]bool
}

func (o *once) warn(key, text string, args ...any) {
	o.mu.Lock()
	known := o.said[key]
	if !known {
		if len(o.said) >= mostRemembered || o.said == nil {
			o.said = map[string]bool{}
		}
		o.said[key] = true
	}
	o.mu.Unlock()
	if !known {
		o.log.Warn(text, args...)
	}
}

// forget lets what begins with key be said again.
func (o *once) forget(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.said, key)
}

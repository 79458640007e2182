package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/internal/entity"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/limits"
)

// Attach lets a handler serve; the gateway does.
type Attach func(ctx context.Context, hello *gestav1.Hello, h entity.Handler) (*entity.Attached, *gestav1.Welcome, error)

const (
	// again is the pause before a handler that was refused, or ended, attaches once more.
	again = time.Second
	// mostAnswer bounds what an answer may have, in bytes: a commit, its state and reply, in base64.
	mostAnswer = 32 * limits.MiB
	// mostLoad bounds what a request may have of events, in bytes; an entity with more needs snapshots.
	mostLoad = 32 * limits.MiB
)

// Serve keeps a handler attached until ctx ends.
func Serve(ctx context.Context, c Config, attach Attach, log *slog.Logger) {
	log = log.With("webhook", c.URL)
	client := &http.Client{Timeout: c.Timeout}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		h := &hook{config: c, client: client, log: log, ended: make(chan error, 1), loads: map[uint64]*load{}, attached: make(chan struct{})}
		if err := h.serve(ctx, attach); err != nil && ctx.Err() == nil {
			log.Warn("the webhook attaches again", "reason", err)
		}
		pause := time.NewTimer(again)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
}

// hook is one attachment.
type hook struct {
	config   Config
	client   *http.Client
	log      *slog.Logger
	ctx      context.Context // of the attachment: the handler's side has no other way to learn of its end
	out      *entity.Attached
	attached chan struct{} // closed when out is set
	ended    chan error
	running  sync.WaitGroup

	mu    sync.Mutex
	over  bool // nothing is begun any more
	loads map[uint64]*load
}

// load is a task that comes in parts.
type load struct {
	first  *entity.Task
	events [][]byte
	bytes  int
}

func (h *hook) serve(ctx context.Context, attach Attach) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h.ctx = ctx
	out, _, err := attach(ctx, h.config.Hello, h)
	if err != nil {
		return err
	}
	h.out = out
	close(h.attached)
	select {
	case err = <-h.ended:
	case <-ctx.Done():
		err = ctx.Err()
	}
	cancel()
	h.mu.Lock()
	h.over = true
	h.mu.Unlock()
	h.running.Wait()
	out.Detach("its attachment ends")
	return err
}

// Send takes a frame; its tasks are done beside each other.
func (h *hook) Send(f entity.Frame) {
	for _, fault := range f.Faults {
		h.log.Error("the answer was refused", "kind", fault.Kind, "key", fault.Key, "error", fault.Err)
	}
	pieces := false
	for _, t := range f.Tasks {
		pieces = pieces || t.More
		first, events, size := h.gather(t)
		if t.More {
			continue
		}
		h.begin(func() { h.do(first, t, events, size) })
	}
	if pieces {
		h.begin(h.sent)
	}
	if f.Drain != "" {
		h.End(errors.New(f.Drain))
	}
}

func (h *hook) begin(work func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.over {
		h.running.Go(work)
	}
}

// sent asks for the next parts.
func (h *hook) sent() {
	select {
	case <-h.attached:
		h.out.Sent()
	case <-h.ctx.Done():
	}
}

// gather keeps the parts of a task until the last one.
func (h *hook) gather(t *entity.Task) (first *entity.Task, events [][]byte, size int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.loads[t.ID]
	if l == nil {
		l = &load{first: t}
	}
	for _, e := range t.Events {
		if l.bytes += len(e); l.bytes <= mostLoad {
			l.events = append(l.events, e)
		}
	}
	if t.More {
		h.loads[t.ID] = l
	} else {
		delete(h.loads, t.ID)
	}
	return l.first, l.events, l.bytes
}

// End ends the attachment.
func (h *hook) End(err error) {
	select {
	case h.ended <- err:
	default:
	}
}

// do asks about one task and gives its result.
func (h *hook) do(first, last *entity.Task, events [][]byte, size int) {
	var r *entity.Result
	if size > mostLoad {
		r = failed(last.ID, fmt.Errorf("the entity has more than %d bytes of events to fold: let its kind carry states more often", int(mostLoad)))
	} else if q, err := requestOf(first, last, events); err != nil {
		r = failed(last.ID, err)
	} else {
		r = h.ask(last, q)
	}
	select {
	case <-h.attached:
		h.out.Results([]*entity.Result{r}, max(1, len(last.Commands)))
	case <-h.ctx.Done():
	}
}

func failed(id uint64, err error) *entity.Result {
	return &entity.Result{TaskID: id, Failed: true, Failure: err.Error()}
}

// ask posts a task.
func (h *hook) ask(t *entity.Task, q *request) *entity.Result {
	body, err := json.Marshal(q)
	if err != nil {
		return failed(t.ID, err)
	}
	post, err := http.NewRequestWithContext(h.ctx, http.MethodPost, h.config.URL, bytes.NewReader(body))
	if err != nil {
		return failed(t.ID, err)
	}
	post.Header.Set("Content-Type", typeJSON)
	post.Header.Set("User-Agent", "gesta")
	if h.config.Authorization != "" {
		post.Header.Set("Authorization", h.config.Authorization)
	}
	response, err := h.client.Do(post)
	if err != nil {
		return failed(t.ID, fmt.Errorf("the webhook cannot be asked: %w", err))
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, mostAnswer+1))
	switch {
	case err != nil:
		return failed(t.ID, fmt.Errorf("the webhook's answer broke off: %w", err))
	case len(text) > mostAnswer:
		return failed(t.ID, errs.New(errs.TooLarge, "the webhook's answer has more than %d bytes", int(mostAnswer)))
	}
	return understand(t, response, text)
}

// understand maps a response: 200 is decisions, 422 one rejection for every command, 429 and 503 ask for all of them later, anything
// else is a failure.
func understand(t *entity.Task, response *http.Response, text []byte) *entity.Result {
	var a answer
	switch response.StatusCode {
	case http.StatusOK:
		if err := json.Unmarshal(text, &a); err != nil {
			return failed(t.ID, fmt.Errorf("the webhook's answer cannot be read: %w", err))
		}
		return a.result(t.ID)
	case http.StatusUnprocessableEntity:
		no := &rejection{}
		if err := json.Unmarshal(text, no); err != nil || no.Code == "" {
			return failed(t.ID, errors.New("the webhook answers 422 without a code in JSON"))
		}
		return same(t, decision{Reject: no})
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return same(t, decision{Retry: &retry{AfterMillis: retryAfter(response).Milliseconds(), Message: "the webhook answers " + response.Status}})
	}
	return failed(t.ID, fmt.Errorf("the webhook answers %s: %.200q", response.Status, text))
}

// same decides all commands of a task in one way. A question for a state has none, and fails.
func same(t *entity.Task, d decision) *entity.Result {
	if len(t.Commands) == 0 {
		return failed(t.ID, errors.New("the webhook does not make the state"))
	}
	a := answer{}
	for range t.Commands {
		a.Decisions = append(a.Decisions, d)
	}
	return a.result(t.ID)
}

// retryAfter reads the header's seconds; a second when there is none.
func retryAfter(response *http.Response) time.Duration {
	if n, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && n >= 0 {
		return time.Duration(n) * time.Second
	}
	return time.Second
}

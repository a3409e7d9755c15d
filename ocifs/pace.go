package ocifs

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// Pace says how fast a registry may be asked, and for how long it may want to be asked later.
type Pace struct {
	RPS      float64       // requests in a second at most, at each host; zero: as many as come
	Patience time.Duration // for how long a request that is no push is repeated while the answer is 429; zero: a minute
}

// Dial gives a client of the registry at host, without sending anything. transport makes the connections; credential
// may be nil. Requests that can be repeated are, see policy.
func (p Pace) Dial(host string, plainHTTP bool, transport http.RoundTripper, credential auth.CredentialFunc) (*remote.Registry, error) {
	return p.Dialer(host, plainHTTP, transport).Dial(credential)
}

// A Dialer gives clients of one registry for several users. They keep the pace together; what one of them has been told,
// tokens among it, the others do not have.
type Dialer struct {
	host      string
	plainHTTP bool
	client    *http.Client
}

// Dialer gives the Dialer of the registry at host.
func (p Pace) Dialer(host string, plainHTTP bool, transport http.RoundTripper) *Dialer {
	if p.Patience <= 0 {
		p.Patience = defaultWriting
	}
	return &Dialer{host, plainHTTP, &http.Client{Transport: repeating{
		next:     &paced{next: impatient{fence{transport, registry.Reference{Registry: host}.Host(), plainHTTP}}, rps: p.RPS, hosts: newRecent[string, *pausing](keptHosts)},
		patience: p.Patience,
	}}}
}

// Dial gives a client for who has that credential, without sending anything; nil is nobody.
func (d *Dialer) Dial(credential auth.CredentialFunc) (*remote.Registry, error) {
	reg, err := remote.NewRegistry(d.host)
	if err != nil {
		return nil, fmt.Errorf("registry %s: %w", d.host, err)
	}
	reg.PlainHTTP = d.plainHTTP
	reg.RepositoryListPageSize = catalogPage
	reg.Client = newClient(d.client, credential)
	return reg, nil
}

// paced is the one way by which requests leave. A host gets no more of them than it may (rps), and one that has answered
// 429 gets none until it wants to be asked again, whoever asks: they are answered here in its words, a 429 with the rest of
// Retry-After, and whoever repeats requests waits for both in the same way. Then one goes ahead, and the others follow
// when it was not refused, or a storm of refusals would meet a storm of questions each time.
type paced struct {
	next http.RoundTripper
	rps  float64

	mu    sync.Mutex
	hosts *recent[string, *pausing] // redirects lead to others than the registry
}

// Bounds of a pause.
const (
	keptHosts    = 100
	shortPause   = time.Second      // after a 429 that names no time, doubled with each
	pauseDoubled = 3                // so often
	longestPause = 24 * time.Hour   // no registry's window is longer
	scoutTime    = 10 * time.Second // for the one that goes ahead, as it may be a long upload
)

func (t *paced) RoundTrip(req *http.Request) (*http.Response, error) {
	h := t.host(req.URL.Host)
	leave, err := h.traffic.enter(req.Context())
	if err != nil {
		closeBody(req)
		return nil, err
	}
	defer leave()
	scout, left := h.enter(time.Now())
	if left == 0 && t.rps > 0 {
		if err := h.turn(req.Context(), t.rps); err != nil {
			h.leave(scout, nil, time.Now())
			closeBody(req)
			return nil, err
		}
		if !scout { // it may have been refused meanwhile
			scout, left = h.enter(time.Now())
		}
	}
	if left > 0 {
		closeBody(req)
		return leftAlone(req, left), nil
	}
	resp, err := t.next.RoundTrip(req)
	h.leave(scout, resp, time.Now())
	return resp, err
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

func (t *paced) host(name string) *pausing {
	t.mu.Lock()
	defer t.mu.Unlock()
	h, ok := t.hosts.get(name)
	if !ok {
		h = &pausing{}
		t.hosts.put(name, h, 1)
	}
	return h
}

// pausing is what is known of one host.
type pausing struct {
	traffic traffic

	mu       sync.Mutex
	until    time.Time // it wants to be left alone
	limited  bool      // it has said so, and nothing else since
	nameless int       // how often in a row without a time
	scout    time.Time // when somebody went ahead; zero: nobody is on the way
	slot     time.Time // of the next request, by rps
}

// enter says for how long the host is to be left alone; zero: not. A scout has to leave.
func (h *pausing) enter(now time.Time) (scout bool, left time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case now.Before(h.until):
		return false, h.until.Sub(now)
	case !h.limited:
		return false, 0
	case now.Sub(h.scout) < scoutTime:
		return false, shortPause
	}
	h.scout = now
	return true, 0
}

// leave takes over what the host has answered; nil for nothing.
func (h *pausing) leave(scout bool, resp *http.Response, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if scout {
		h.scout = time.Time{}
	}
	switch {
	case resp == nil:
	case resp.StatusCode == http.StatusTooManyRequests:
		after := min(retryAfter(resp), longestPause)
		if after == 0 {
			after = shortPause << min(h.nameless, pauseDoubled)
			h.nameless++
		}
		h.limited = true
		if until := now.Add(after); until.After(h.until) {
			h.until = until
		}
	case scout:
		h.limited, h.nameless = false, 0
	}
}

// turn waits for one of rps turns in a second. Those of one second may be taken at once.
func (h *pausing) turn(ctx context.Context, rps float64) error {
	each := time.Duration(float64(time.Second) / rps)
	h.mu.Lock()
	now := time.Now()
	if earliest := now.Add(each - max(time.Second, each)); h.slot.Before(earliest) {
		h.slot = earliest
	}
	wait := h.slot.Sub(now)
	h.slot = h.slot.Add(each)
	h.mu.Unlock()
	if wait <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// leftAlone is the answer to a request that is not sent.
func leftAlone(req *http.Request, left time.Duration) *http.Response {
	const text = `{"errors":[{"code":"TOOMANYREQUESTS","message":"the host wants to be left alone, so it was not asked"}]}`
	return &http.Response{
		StatusCode: http.StatusTooManyRequests, Status: "429 " + http.StatusText(http.StatusTooManyRequests),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header:        http.Header{"Content-Type": {"application/json"}, "Retry-After": {strconv.Itoa(int(math.Ceil(left.Seconds())))}},
		ContentLength: int64(len(text)), Body: io.NopCloser(strings.NewReader(text)),
	}
}

package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"oras.land/oras-go/v2/registry/remote/auth"
)

// askTimeout is how long one question may take.
const askTimeout = 30 * time.Second

// answerBytes of an answer are read.
const answerBytes = 1 << 20

// request is one question at the wire.
type request struct {
	method, path string // of the registry; or a whole URL
	repo         string // that it is about, for the scope of the token
	from         string // another one
	header       http.Header
	body         []byte
}

// answer is what came.
type answer struct {
	status int
	header http.Header
	body   []byte
	url    *url.URL // after redirects
}

// String is the answer in a line: its status and the first error in its body.
func (a answer) String() string {
	text := fmt.Sprintf("%d %s", a.status, http.StatusText(a.status))
	var refusal struct {
		Errors []struct{ Code, Message string }
	}
	if json.Unmarshal(a.body, &refusal) == nil && len(refusal.Errors) > 0 {
		e := refusal.Errors[0]
		text += strings.TrimRight(fmt.Sprintf(" (%s: %s)", e.Code, oneLine(e.Message)), ": ")
	}
	return text
}

// oneLine makes a registry's words fit into a table.
func oneLine(text string) string {
	const longest = 100
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > longest {
		return string(r[:longest]) + "..."
	}
	return text
}

// do asks. An error: there was no answer.
func (p *probe) do(ctx context.Context, q request) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	for _, repo := range []string{q.repo, q.from} {
		if repo != "" {
			reference := p.registry.Reference
			reference.Repository = repo
			ctx = auth.AppendRepositoryScope(ctx, reference, auth.ActionPull, auth.ActionPush, auth.ActionDelete)
		}
	}
	target := q.path
	if strings.HasPrefix(target, "/") {
		target = p.origin() + target
	}
	req, err := http.NewRequestWithContext(ctx, q.method, target, bytes.NewReader(q.body))
	if err != nil {
		return answer{}, err
	}
	for key, values := range q.header {
		req.Header[key] = values
	}
	if len(q.body) > 0 && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/octet-stream")
	}
	resp, err := p.registry.Client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerBytes))
	if err != nil {
		return answer{}, fmt.Errorf("%s %s: read answer: %w", q.method, req.URL.Path, err)
	}
	for _, key := range []string{"RateLimit-Limit", "RateLimit-Remaining", "X-Ratelimit-Limit", "X-Ratelimit-Remaining"} {
		if value := resp.Header.Get(key); value != "" && !strings.Contains(p.limit, key) {
			p.limit = strings.TrimLeft(p.limit+", "+key+": "+oneLine(value), ", ")
		}
	}
	return answer{resp.StatusCode, resp.Header, body, resp.Request.URL}, nil
}

func (p *probe) origin() string {
	scheme := "https"
	if p.registry.PlainHTTP {
		scheme = "http"
	}
	return scheme + "://" + p.registry.Reference.Host()
}

// location is where an answer says that an upload goes on, with query added to it. Empty: nowhere, or at another host,
// where a client must not send what is in its hands.
func (p *probe) location(a answer, query string) string {
	base, err := url.Parse(p.origin())
	if err != nil {
		return ""
	}
	to, err := base.Parse(a.header.Get("Location"))
	if err != nil || a.header.Get("Location") == "" || to.Host != base.Host || base.Scheme == "https" && to.Scheme != "https" {
		return ""
	}
	if query != "" {
		if to.RawQuery != "" {
			query = "&" + query
		}
		to.RawQuery += query
	}
	return to.String()
}

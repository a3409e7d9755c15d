package ocifs

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"oras.land/oras-go/v2/registry/remote/auth"
)

// client is oras-go's, which fetches tokens and sends a request again with one, and knows a refusal when it sees one.
//
// Registries say 401 both to who is nobody and to who may not do this: distribution does when a token that is good lacks
// the action, which its challenge names (insufficient_scope). To whoever has logged in to us a 401 would be the request for
// another password, again and again. So a 401 that comes after the credentials were taken is made the 403 that it is.
type client struct{ *auth.Client }

func newClient(c *http.Client, credential auth.CredentialFunc) client {
	a := &auth.Client{Client: c, Cache: &tokens{Cache: auth.NewCache()}, Credential: credential}
	a.SetUserAgent("ocidav")
	return client{a}
}

// Do sends the request, with a token where one is wanted.
func (c client) Do(req *http.Request) (*http.Response, error) {
	resp, err := c.Client.Do(req)
	if err == nil && resp.StatusCode == http.StatusUnauthorized && c.isRefusal(req, resp) {
		resp.StatusCode, resp.Status = http.StatusForbidden, "403 "+http.StatusText(http.StatusForbidden)
	}
	return resp, err
}

// isRefusal says whether a 401 is the refusal of somebody who is known.
func (c client) isRefusal(req *http.Request, resp *http.Response) bool {
	challenge := resp.Header.Get("WWW-Authenticate")
	scheme, _, _ := strings.Cut(resp.Request.Header.Get("Authorization"), " ")
	switch {
	case scheme == "" || c.isNobody(req.Context(), req.URL.Host): // he can still become somebody
		return false
	case strings.Contains(challenge, `error="insufficient_scope"`):
		return true
	case strings.EqualFold(scheme, "Bearer"):
		// When it gives a challenge back oras-go has fetched a token for this very request, and for it the credentials were
		// taken. A token that came with the request may have run out.
		asks, _, _ := strings.Cut(challenge, " ")
		return strings.EqualFold(asks, "Bearer") && req.Header.Get("Authorization") == "" &&
			!strings.Contains(challenge, `error="invalid_token"`)
	}
	return req.URL.Path != "/v2/" && c.isTaken(req, resp)
}

// isNobody says whether there are no credentials for a host.
func (c client) isNobody(ctx context.Context, host string) bool {
	if c.Credential == nil {
		return true
	}
	credential, err := c.Credential(ctx, host)
	return err != nil || credential == auth.EmptyCredential
}

// isTaken asks whether the registry takes the password that it has just answered with 401. A failure is no refusal.
func (c client) isTaken(req *http.Request, resp *http.Response) bool {
	base, err := http.NewRequestWithContext(req.Context(), http.MethodGet, req.URL.Scheme+"://"+req.URL.Host+"/v2/", nil)
	if err != nil {
		return false
	}
	base.Header.Set("Authorization", resp.Request.Header.Get("Authorization"))
	answer, err := c.Client.Do(base)
	if err != nil {
		return false
	}
	defer finish(answer)
	return answer.StatusCode == http.StatusOK
}

// keptTokens is how many are kept of one user, one for each repository. They are some kilobytes each.
const keptTokens = 500

// tokens is oras-go's cache, which grows with every repository, begun anew when it has become large.
type tokens struct {
	mu sync.Mutex
	auth.Cache
	n int
}

func (t *tokens) now() auth.Cache {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.Cache
}

func (t *tokens) GetScheme(ctx context.Context, registry string) (auth.Scheme, error) {
	return t.now().GetScheme(ctx, registry)
}

func (t *tokens) GetToken(ctx context.Context, registry string, scheme auth.Scheme, key string) (string, error) {
	return t.now().GetToken(ctx, registry, scheme, key)
}

func (t *tokens) Set(ctx context.Context, registry string, scheme auth.Scheme, key string, fetch func(context.Context) (string, error)) (string, error) {
	t.mu.Lock()
	if t.n++; t.n > keptTokens {
		t.Cache, t.n = auth.NewCache(), 1
	}
	cache := t.Cache
	t.mu.Unlock()
	return cache.Set(ctx, registry, scheme, key, fetch)
}

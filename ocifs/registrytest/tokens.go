package registrytest

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Tokens is a registry behind distribution's token authentication, with the token server at /token of the same host: a user
// gets a token for what he may do of what he asks for, and a token that lacks what a request needs is answered with 401 and
// the error insufficient_scope, as distribution does.
type Tokens struct {
	// Lifetime is for how long a token is good; zero: an hour.
	Lifetime time.Duration

	// Anonymous gives tokens to who has no credentials.
	Anonymous bool

	// Basic has the registry take name and password itself, by HTTP Basic, and say 401 to who may not do something.
	Basic bool

	next http.Handler

	mu        sync.Mutex
	passwords map[string]string
	rules     map[string]map[string][]string // by user and repository, actions
	tokens    map[string]token
	issued    map[string]int // by user
	down      int
}

type token struct {
	user   string
	until  time.Time
	access map[string][]string // actions by "repository:NAME" or "registry:catalog"
}

// NewTokens puts token authentication before a registry.
func NewTokens(next http.Handler) *Tokens {
	return &Tokens{next: next, passwords: map[string]string{}, rules: map[string]map[string][]string{},
		tokens: map[string]token{}, issued: map[string]int{}}
}

// User makes a user, or gives him another password; the empty one removes him.
func (t *Tokens) User(name, password string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.passwords[name] = password; password == "" {
		delete(t.passwords, name)
	}
}

// Allow says what the user, "" for nobody, may do in a repository from now on, by the words of scopes ("pull push delete"),
// or in all that are in it ("a/*"). The repository "catalog" is the list of them. Tokens that he has go on as they are.
func (t *Tokens) Allow(user, repo, actions string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rules[user] == nil {
		t.rules[user] = map[string][]string{}
	}
	t.rules[user][repo] = strings.Fields(actions)
}

// Down has the token server answer with a status; zero heals it.
func (t *Tokens) Down(status int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.down = status
}

// Expire ends all tokens.
func (t *Tokens) Expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, k := range t.tokens {
		k.until = time.Time{}
		t.tokens[key] = k
	}
}

// Issued is how many tokens a user has got.
func (t *Tokens) Issued(user string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.issued[user]
}

func (t *Tokens) mayLocked(user, repo, action string) bool {
	rules := t.rules[user]
	actions, ok := rules[repo]
	for up := repo; !ok && strings.Contains(up, "/"); {
		up = up[:strings.LastIndexByte(up, '/')]
		actions, ok = rules[up+"/*"]
	}
	return slices.Contains(actions, action) || slices.Contains(actions, "*")
}

// ServeHTTP implements http.Handler.
func (t *Tokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/token":
		t.issue(w, r)
	case t.Basic:
		t.serveBasic(w, r)
	default:
		t.serveBearer(w, r)
	}
}

// known says who the request is from; false: it has a wrong password.
func (t *Tokens) known(r *http.Request) (user string, ok bool) {
	name, password, given := r.BasicAuth()
	if !given {
		return "", t.Anonymous
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return name, password != "" && t.passwords[name] == password
}

func (t *Tokens) issue(w http.ResponseWriter, r *http.Request) {
	user, ok := t.known(r)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.down != 0:
		w.WriteHeader(t.down)
		return
	case !ok:
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "incorrect username or password")
		return
	}
	k := token{user: user, until: time.Now().Add(time.Hour), access: map[string][]string{}}
	if t.Lifetime > 0 {
		k.until = time.Now().Add(t.Lifetime)
	}
	for _, scope := range r.URL.Query()["scope"] {
		parts := strings.Split(scope, ":")
		if len(parts) != 3 {
			continue
		}
		about := parts[1]
		if parts[0] == "repository" && about == "catalog" {
			continue // the name of the rule
		}
		for _, action := range strings.Split(parts[2], ",") {
			if t.mayLocked(user, about, action) {
				k.access[parts[0]+":"+about] = append(k.access[parts[0]+":"+about], action)
			}
		}
	}
	key := rand.Text()
	t.tokens[key] = k
	t.issued[user]++
	answerJSON(w, map[string]any{"token": key, "expires_in": 3600})
}

// need is an action that a request needs.
type need struct{ about, action string }

// needs gives them as distribution does.
func needs(r *http.Request) (all []need) {
	q := route(r)
	if q.kind == "catalog" {
		return []need{{"registry:catalog", "*"}}
	}
	if q.repo == "" {
		return nil
	}
	about := "repository:" + q.repo
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		all = []need{{about, "pull"}}
	case http.MethodDelete:
		all = []need{{about, "delete"}}
	default:
		all = []need{{about, "pull"}, {about, "push"}}
	}
	if from := r.URL.Query().Get("from"); from != "" {
		all = append(all, need{"repository:" + from, "pull"})
	}
	return all
}

func (t *Tokens) serveBearer(w http.ResponseWriter, r *http.Request) {
	key, given := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	t.mu.Lock()
	k, known := t.tokens[key]
	t.mu.Unlock()
	problem := ""
	wants := needs(r)
	switch {
	case !given:
		problem = " "
	case !known || time.Now().After(k.until):
		problem = `,error="invalid_token"`
	case slices.ContainsFunc(wants, func(n need) bool { return !slices.Contains(k.access[n.about], n.action) }):
		problem = `,error="insufficient_scope"`
	default:
		t.next.ServeHTTP(w, r)
		return
	}
	challenge := fmt.Sprintf(`Bearer realm="http://%s/token",service="test"`, r.Host)
	var scopes []string
	for _, n := range wants {
		scopes = append(scopes, n.about+":"+n.action)
	}
	if len(scopes) > 0 {
		challenge += `,scope="` + strings.Join(scopes, " ") + `"`
	}
	w.Header().Set("WWW-Authenticate", strings.TrimSpace(challenge+problem))
	refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
}

func (t *Tokens) serveBasic(w http.ResponseWriter, r *http.Request) {
	user, ok := t.known(r)
	t.mu.Lock()
	for _, n := range needs(r) {
		_, about, _ := strings.Cut(n.about, ":")
		ok = ok && t.mayLocked(user, about, n.action)
	}
	t.mu.Unlock()
	if ok {
		t.next.ServeHTTP(w, r)
		return
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
	refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
}

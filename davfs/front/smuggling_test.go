package front

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// seen are the requests that a server takes from a connection.
type seen struct {
	mu       sync.Mutex
	requests []string
}

func (s *seen) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.requests = append(s.requests, r.Method+" "+r.URL.Path+" broken")
		http.Error(w, "broken", http.StatusBadRequest)
		return
	}
	s.requests = append(s.requests, fmt.Sprintf("%s %s at %s %q", r.Method, r.URL.Path, r.Host, body))
}

// TestSmuggling: where a proxy in front may see other requests in the same bytes than the server does, the server refuses
// them and ends the connection, or reads them in the one way of RFC 9112. Each case is followed by a GET of /next; "next"
// says whether that is served, and what was hidden in a body never is. Most of it is what net/http does: this pins it.
func TestSmuggling(t *testing.T) {
	var s seen
	servers := Servers{Log: slog.New(slog.DiscardHandler)}
	address, err := servers.Start("127.0.0.1:0", &s, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer servers.list[0].Close()
	hidden := "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
	chunked := func(body string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body) }
	const next = `GET /next at x ""`
	for what, c := range map[string]struct {
		request string
		code    int
		want    string // of what is seen, joined by commas
	}{
		"two lengths":             {"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: " + fmt.Sprint(len(hidden)) + "\r\n\r\n" + hidden, 400, ""},
		"one length twice":        {"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nb", 200, `PUT /a at x "b",` + next},
		"a list of lengths":       {"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\nb", 400, ""},
		"a signed length":         {"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\nb", 400, ""},
		"a negative length":       {"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\nb", 400, ""},
		"a length in hexadecimal": {"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0x1\r\n\r\nb", 400, ""},
		"a length too large":      {"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\nb", 400, ""},
		"a length and chunks": {"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(hidden), 200,
			fmt.Sprintf("PUT /a at x %q,", hidden) + next}, // RFC 9112 section 6.3: the chunks
		"other codings":        {"PUT /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + chunked("b"), 501, ""},
		"chunked at first":     {"PUT /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n" + chunked("b"), 501, ""},
		"chunked twice":        {"PUT /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked("b"), 501, ""},
		"a misspelt coding":    {"PUT /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n" + chunked("b"), 501, ""},
		"a coding of a byte":   {"PUT /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n" + chunked("b"), 400, ""},
		"a space before colon": {"PUT /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n" + chunked("b"), 400, ""},
		"a folded header":      {"PUT /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n\r\n" + chunked("b"), 200, `PUT /a at x "b",` + next}, // RFC 9112 section 5.2 allows it
		"a fold at first":      {"PUT /a HTTP/1.1\r\n Host: x\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 400, ""},
		"NUL in a value":       {"GET /a HTTP/1.1\r\nHost: x\r\nX-A: a\x00b\r\n\r\n", 400, ""},
		"NUL in a name":        {"GET /a HTTP/1.1\r\nHost: x\r\nX\x00A: a\r\n\r\n", 400, ""},
		"NUL in the target":    {"GET /a\x00b HTTP/1.1\r\nHost: x\r\n\r\n", 400, ""},
		"CR in a value":        {"GET /a HTTP/1.1\r\nHost: x\r\nX-A: a\rX-B: b\r\n\r\n", 400, ""},
		"a bad chunk size":     {"PUT /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nb\r\n0\r\n\r\n", 400, "PUT /a broken"},
		"a negative chunk":     {"PUT /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nb\r\n0\r\n\r\n", 400, "PUT /a broken"},
		"a chunk too large":    {"PUT /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000001\r\nb\r\n0\r\n\r\n", 400, "PUT /a broken"},
		"a chunk's wrong end":  {"PUT /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nbXX0\r\n\r\n", 400, "PUT /a broken"},
		"LF in an extension":   {"PUT /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\n0\r\n\r\n", 400, "PUT /a broken"},
		"chunks in HTTP/1.0": {"PUT /a HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\nb", 200,
			`PUT /a at x "b",` + next},
		"another host":         {"GET http://evil.example/a HTTP/1.1\r\nHost: x\r\n\r\n", 200, `GET /a at evil.example "",` + next}, // RFC 9112 section 3.2.2
		"two hosts":            {"GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400, ""},
		"no host":              {"GET /a HTTP/1.1\r\n\r\n", 400, ""},
		"a host with a path":   {"GET /a HTTP/1.1\r\nHost: x/y\r\n\r\n", 400, ""},
		"a target as no URL":   {"GET a HTTP/1.1\r\nHost: x\r\n\r\n", 400, ""},
		"another version":      {"GET /a HTTP/3.0\r\nHost: x\r\n\r\n", 505, ""},
		"a version of before":  {"GET /a\r\n\r\n", 400, ""},
		"HTTP/2 without TLS":   {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 200, `PRI * at  ""`}, // a method that the drive does not know
		"a method of brackets": {"G(T /a HTTP/1.1\r\nHost: x\r\n\r\n", 400, ""},
	} {
		s.requests = nil
		c2, err := net.Dial("tcp", address.String())
		if err != nil {
			t.Fatal(err)
		}
		c2.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(c2, c.request+"GET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		answer, _ := io.ReadAll(bufio.NewReader(c2))
		c2.Close()
		s.mu.Lock()
		if got := strings.Join(s.requests, ","); got != c.want || !strings.HasPrefix(string(answer), fmt.Sprintf("HTTP/1.1 %d ", c.code)) && !strings.HasPrefix(string(answer), fmt.Sprintf("HTTP/1.0 %d ", c.code)) {
			t.Errorf("%s: seen %s, want %s %d; the answer is %.60q", what, got, c.want, c.code, answer)
		}
		s.mu.Unlock()
	}
}

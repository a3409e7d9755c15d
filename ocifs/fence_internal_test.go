package ocifs

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"testing"
)

// TestCheckAddress: where a registry may lead to.
func TestCheckAddress(t *testing.T) {
	for _, c := range []struct {
		address string
		far     bool // from a public address
		near    bool
	}{
		{"93.184.216.34", true, true},
		{"2606:2800:220:1::1", true, true},
		{"10.1.2.3", true, true}, // an object store in the cloud's private network
		{"192.168.1.1", true, true},
		{"fd12::1", true, true},
		{"127.0.0.1", false, true},
		{"127.9.9.9", false, true},
		{"::1", false, true},
		{"::ffff:127.0.0.1", false, true},
		{"0.0.0.0", false, true},
		{"::", false, true},
		{"169.254.169.254", false, false},
		{"::ffff:169.254.169.254", false, false},
		{"169.254.0.1", false, false},
		{"fe80::1%eth0", false, false},
		{"fd00:ec2::254", false, false},
		{"100.100.100.200", false, false},
		{"224.0.0.1", false, false},
	} {
		a := netip.MustParseAddr(c.address)
		if far, near := checkAddress(a, false) == nil, checkAddress(a, true) == nil; far != c.far || near != c.near {
			t.Errorf("%s: %t from far and %t from near, want %t and %t", c.address, far, near, c.far, c.near)
		}
	}
}

// TestHomes: what a registry at an address may lead to, by what the dialer sees.
func TestHomes(t *testing.T) {
	to := func(w *way) context.Context { return context.WithValue(t.Context(), wayKey{}, w) }
	for home, want := range map[string]bool{"127.0.0.1:5000": true, "10.0.0.1:443": true, "[::1]:5000": true, "93.184.216.34:443": false, "": false} {
		var h homes
		if home != "" {
			if err := h.control(to(&way{from: "r.example", own: true}), "tcp", home, nil); err != nil {
				t.Errorf("%s itself: %v", home, err)
			}
		}
		err := h.control(to(&way{from: "r.example"}), "tcp", "127.0.0.1:9000", nil)
		if (err == nil) != want || err != nil && !errors.As(err, new(*Error)) {
			t.Errorf("from %q to this machine: %v", home, err)
		}
		if err := h.control(to(&way{from: "other.example"}), "tcp", "127.0.0.1:9000", nil); err == nil {
			t.Error("another registry's address counts")
		}
		if err := h.control(to(&way{from: "r.example", proxied: true}), "tcp", "127.0.0.1:3128", nil); err != nil {
			t.Errorf("a proxy on this machine: %v", err)
		}
		if err := h.control(t.Context(), "tcp", "127.0.0.1:9000", nil); err != nil {
			t.Errorf("a dialer that nobody has told anything: %v", err)
		}
	}
}

// TestThroughProxy: of what a proxy connects to, an address in the URL is known, and the proxy may be on this machine.
func TestThroughProxy(t *testing.T) {
	proxy, _ := url.Parse("http://127.0.0.1:3128")
	for _, c := range []struct {
		url     string
		own     bool
		proxied bool
		ok      bool
	}{
		{"http://169.254.169.254/latest/meta-data/", false, true, false},
		{"http://[::1]/", false, true, false},
		{"http://store.example/", false, true, true},
		{"http://127.0.0.1:5000/", true, true, true},
		{"http://store.example/", false, false, true},
	} {
		w := &way{from: "r.example", own: c.own}
		req, err := http.NewRequestWithContext(context.WithValue(t.Context(), wayKey{}, w), "GET", c.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = throughProxy(func(*http.Request) (*url.URL, error) {
			if !c.proxied {
				return nil, nil
			}
			return proxy, nil
		})(req)
		if (err == nil) != c.ok || w.proxied != c.proxied {
			t.Errorf("%+v: %v, and it is noted: %t", c, err, w.proxied)
		}
	}
}

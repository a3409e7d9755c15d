package ocifs

import (
	"net/http"
	"testing"
	"time"
)

// TestRetryAfter: a registry that wants to be left alone for very long is not taken for one that says nothing.
func TestRetryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "-1": 0, "soon": 0, "1.5": 0, "2": 2 * time.Second,
		"9223372037":                    longestRetryAfter, // seconds that are no time.Duration
		"9223372036854775807":           longestRetryAfter,
		"99999999999999999999999":       longestRetryAfter,
		"-99999999999999999999999":      0,
		"Fri, 31 Dec 9999 23:59:59 GMT": longestRetryAfter,
		"Thu, 01 Jan 1970 00:00:00 GMT": 0,
	} {
		if got := retryAfter(&http.Response{Header: http.Header{"Retry-After": {value}}}); got != want {
			t.Errorf("Retry-After: %s is %v, want %v", value, got, want)
		}
	}
}

package ocifs

import (
	"encoding/xml"
	"net/http"
	"reflect"
	"testing"
	"time"
)

// FuzzRetryAfter: whatever a registry answers, the wait is a time that somebody can wait for, and can be added to now.
func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "0", "5", "-5", "1.5", "99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		wait := retryAfter(&http.Response{Header: http.Header{"Retry-After": {s}}})
		if now := time.Now(); wait < 0 || wait > longestRetryAfter || now.Add(wait).Before(now) {
			t.Errorf("%q is %s", s, wait)
		}
	})
}

// FuzzProperties: what is read from anybody's blob is written so that it reads the same, or is too much.
func FuzzProperties(f *testing.F) {
	good, data, err := encodeProperties([]property{{xml.Name{Space: "urn:x", Local: "p"}, "en", []byte("<a/>")}})
	if err != nil || good.Size == 0 {
		f.Fatal(err)
	}
	f.Add(data)
	for _, s := range []string{"", "[]", "null", "{}", `[{"space":1}]`, `[{}]`, `[{"local":"p","xml":"\ud800"}]`, "[[[["} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		props, err := decodeProperties(data)
		if err != nil {
			if props != nil {
				t.Errorf("%v with the error %v", props, err)
			}
			return
		}
		_, again, err := encodeProperties(props)
		if err != nil { // too large
			return
		}
		if got, err := decodeProperties(again); err != nil || !reflect.DeepEqual(got, props) {
			t.Errorf("%q is %v, and again %v, %v", data, props, got, err)
		}
	})
}

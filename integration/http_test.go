package integration

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// client does not follow redirects, as most WebDAV clients do not. Its limit is for a server that hangs.
var client = &http.Client{
	Timeout:       90 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     &http.Transport{MaxIdleConnsPerHost: 16, DisableCompression: true},
}

// answer is a response, read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error // the connection broke, before or in the body
}

func (a answer) String() string {
	if a.err != nil {
		return fmt.Sprintf("%d and then %v", a.status, a.err)
	}
	return fmt.Sprintf("%d %.200q", a.status, a.body)
}

// href is the URL of a name of the drive, which is not escaped yet.
func (d *drive) href(name string) string { return d.url + (&url.URL{Path: name}).EscapedPath() }

// try sends a request for a name of the drive; header is pairs of key and value.
func (d *drive) try(method, name string, content []byte, header ...string) answer {
	return send(client, method, d.href(name), bytes.NewReader(content), header...)
}

func send(c *http.Client, method, url string, content io.Reader, header ...string) answer {
	req, err := http.NewRequest(method, url, content)
	if err != nil {
		return answer{err: err}
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	a.body, a.err = io.ReadAll(resp.Body)
	return a
}

// do sends a request that must be answered with one of the wanted codes.
func (d *drive) do(method, name string, content []byte, want []int, header ...string) answer {
	d.t.Helper()
	a := d.try(method, name, content, header...)
	if a.err != nil || !slices.Contains(want, a.status) {
		d.t.Fatalf("%s %s %q: %v, want %v", method, name, header, a, want)
	}
	return a
}

var (
	made = []int{http.StatusCreated, http.StatusNoContent}
	okay = []int{http.StatusOK}
)

func (d *drive) put(name string, content []byte) {
	d.t.Helper()
	d.do(http.MethodPut, name, content, made)
}

func (d *drive) mkcol(name string) {
	d.t.Helper()
	d.do("MKCOL", name, nil, []int{http.StatusCreated})
}

// want checks that a name holds just this content, with the same length and entity tag wherever they are told.
func (d *drive) want(name string, content []byte) {
	d.t.Helper()
	a := d.try(http.MethodGet, name, nil)
	if a.err != nil || a.status != http.StatusOK || !bytes.Equal(a.body, content) {
		d.t.Errorf("GET %s: %s, want %d bytes: %s", name, summary(a), len(content), firstDifference(a.body, content))
		return
	}
	head := d.try(http.MethodHead, name, nil)
	if head.status != http.StatusOK || head.header.Get("Content-Length") != strconv.Itoa(len(content)) {
		d.t.Errorf("HEAD %s: %v, Content-Length %q, want %d", name, head, head.header.Get("Content-Length"), len(content))
	}
	if tag := a.header.Get("ETag"); tag == "" || tag != head.header.Get("ETag") {
		d.t.Errorf("ETag of %s: %q by GET, %q by HEAD", name, tag, head.header.Get("ETag"))
	}
}

// wantAbsent checks that there is nothing at name.
func (d *drive) wantAbsent(names ...string) {
	d.t.Helper()
	for _, name := range names {
		for _, method := range []string{http.MethodGet, http.MethodHead, "PROPFIND"} {
			if a := d.try(method, name, nil, "Depth", "0"); a.err != nil || a.status != http.StatusNotFound {
				d.t.Errorf("%s %s: %v, want 404", method, name, a)
			}
		}
	}
}

func summary(a answer) string {
	return fmt.Sprintf("status %d, %d bytes, err %v", a.status, len(a.body), a.err)
}

func firstDifference(got, want []byte) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("they differ from byte %d", i)
		}
	}
	return "one is the beginning of the other"
}

// member is a member of a listing.
type member struct {
	dir  bool
	size int64
	etag string
}

const propfindBody = `<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop><D:resourcetype/>` +
	`<D:getcontentlength/><D:getetag/></D:prop></D:propfind>`

// list gives the members of a directory by their names.
func (d *drive) list(name string) map[string]member {
	d.t.Helper()
	a := d.do("PROPFIND", name, []byte(propfindBody), []int{http.StatusMultiStatus}, "Depth", "1")
	members, err := parseMultistatus(a.body)
	if err != nil {
		d.t.Fatalf("PROPFIND %s: %v", name, err)
	}
	return members
}

// names gives the names in a directory, sorted.
func (d *drive) names(name string) []string {
	d.t.Helper()
	return slices.Sorted(maps.Keys(d.list(name)))
}

// parseMultistatus reads a whole listing of depth 1; the directory itself, which comes first, is left out.
func parseMultistatus(body []byte) (map[string]member, error) {
	var m struct {
		XMLName  xml.Name `xml:"DAV: multistatus"`
		Response []struct {
			Href     string `xml:"DAV: href"`
			Propstat []struct {
				Status string `xml:"DAV: status"`
				Prop   struct {
					Collection *struct{} `xml:"DAV: resourcetype>collection"`
					Length     int64     `xml:"DAV: getcontentlength"`
					ETag       string    `xml:"DAV: getetag"`
				} `xml:"DAV: prop"`
			} `xml:"DAV: propstat"`
		} `xml:"DAV: response"`
	}
	if err := xml.Unmarshal(body, &m); err != nil {
		return nil, err
	}
	if len(m.Response) == 0 {
		return nil, fmt.Errorf("no response in %.100q", body)
	}
	members := map[string]member{}
	for _, r := range m.Response[1:] {
		p, err := url.PathUnescape(r.Href)
		if err != nil {
			return nil, err
		}
		var x member
		for _, s := range r.Propstat {
			if strings.Contains(s.Status, " 200 ") {
				x = member{s.Prop.Collection != nil, s.Prop.Length, s.Prop.ETag}
			}
		}
		members[path.Base(p)] = x
	}
	return members, nil
}

// tree is the whole drive below a directory: a digest of each file's content by its path, "directory" for a directory.
func (d *drive) tree(root string) map[string]string {
	d.t.Helper()
	all := map[string]string{}
	for name, m := range d.list(root + "/") {
		p := strings.TrimSuffix(root, "/") + "/" + name
		if m.dir {
			all[p] = "directory"
			maps.Copy(all, d.tree(p))
			continue
		}
		a := d.do(http.MethodGet, p, nil, okay)
		if int64(len(a.body)) != m.size || a.header.Get("ETag") != m.etag {
			d.t.Errorf("%s: listed with %d bytes and %s, read %d and %s", p, m.size, m.etag, len(a.body), a.header.Get("ETag"))
		}
		all[p] = fmt.Sprintf("%x", sha256.Sum256(a.body))
	}
	return all
}

// wantTree checks that the drive below root is as it was.
func (d *drive) wantTree(root string, want map[string]string) {
	d.t.Helper()
	got := d.tree(root)
	for name, sum := range want {
		if got[name] != sum {
			d.t.Errorf("%s is now %q, was %q", name, got[name], sum)
		}
	}
	for name, sum := range got {
		if want[name] == "" {
			d.t.Errorf("%s, %q, was not there", name, sum)
		}
	}
}

// random gives n bytes that no registry has seen.
func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

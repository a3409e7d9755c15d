//go:build !noembed && unix

package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// platter is what a power loss would leave under a directory: contents of files and entries of directories as they were when
// they were last synced, by their inodes, and nothing else.
type platter struct {
	*testing.T
	root     string
	registry *Registry

	mu      sync.Mutex
	entries map[uint64]map[string]uint64
	content map[uint64]string
	asked   []string       // what has been synced or renamed, so far
	running int            // syncs
	open    int            // uploads
	rounds  int            // how often one has begun while none was running
	twice   map[string]int // how often a directory has been synced
	before  func(what, name string) error
}

// openPlatter opens a registry in a new directory whose disk is under observation. before is called before something is synced
// (what is "content" or "directory") or renamed ("name"), and can have it fail.
func openPlatter(t *testing.T, before func(what, name string) error) *platter {
	p := &platter{T: t, root: t.TempDir(), entries: map[uint64]map[string]uint64{}, content: map[uint64]string{}, twice: map[string]int{}}
	p.before = before
	syncedDir, synced, renamed, driverOf := syncDir, syncFile, rename, newDriver
	t.Cleanup(func() { syncDir, syncFile, rename, newDriver = syncedDir, synced, renamed, driverOf })
	syncDir, syncFile, rename = p.syncDir, func(name string, _ uploadFile) error { return p.syncFile(name) }, p.rename
	newDriver = func(root string) storagedriver.StorageDriver { return platterDriver{&driver{root: root}, p} }
	p.registry = open(t, p.root, Options{})
	return p
}

// platterDriver is the driver on a platter: uploads are synced there, too.
type platterDriver struct {
	*driver
	platter *platter
}

func (d platterDriver) Writer(ctx context.Context, sub string, appending bool) (storagedriver.FileWriter, error) {
	w, err := d.driver.Writer(ctx, sub, appending)
	if err == nil {
		w.(*writer).file = platterFile{w.(*writer).file, d.platter}
		d.platter.opened(1)
	}
	return w, err
}

type platterFile struct {
	uploadFile
	platter *platter
}

func (f platterFile) Sync() error { return f.platter.syncFile(f.Name()) }

func (f platterFile) Close() error {
	err := f.uploadFile.Close()
	if err == nil { // else it was closed before
		f.platter.opened(-1)
	}
	return err
}

func (p *platter) opened(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open += n
}

// keep gives the inode of a file or directory, which nothing else gets as long as the test runs.
func (p *platter) keep(name string) uint64 {
	at := inode(name)
	_, dir := p.entries[at]
	if _, file := p.content[at]; dir || file {
		return at
	}
	if f, err := os.Open(name); err == nil {
		p.Cleanup(func() { f.Close() })
	}
	return at
}

func inode(name string) uint64 {
	fi, err := os.Lstat(name)
	if err != nil {
		return 0
	}
	return fi.Sys().(*syscall.Stat_t).Ino
}

// ask counts what is asked for. done is to be called when it is done.
func (p *platter) ask(what, name string) (done func(), err error) {
	p.mu.Lock()
	p.asked = append(p.asked, what+" "+strings.TrimPrefix(name, p.root))
	if what != "name" {
		if p.running++; p.running == 1 {
			p.rounds++
		}
	}
	if what == "directory" {
		p.twice[name]++
	}
	p.mu.Unlock()
	if p.before != nil {
		err = p.before(what, name)
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if what != "name" {
			p.running--
		}
	}, err
}

func (p *platter) syncFile(name string) error {
	done, err := p.ask("content", name)
	defer done()
	if err != nil {
		return err
	}
	b, err := os.ReadFile(name)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.content[p.keep(name)] = string(b)
	return err
}

func (p *platter) syncDir(dir string) error {
	done, err := p.ask("directory", dir)
	defer done()
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	names, err := list(dir)
	now := map[string]uint64{}
	for _, name := range names {
		now[name] = inode(filepath.Join(dir, name))
	}
	p.entries[p.keep(dir)] = now
	return err
}

// rename may be on the disk at once, whether anybody syncs it or not: all that a tag names has to be there before.
func (p *platter) rename(from, to string) error {
	done, err := p.ask("name", to)
	defer done()
	if err != nil {
		return err
	}
	if repository, _, ok := strings.Cut(to, tagsDir); ok {
		d, err := readLink(from)
		if errors.Is(err, fs.ErrNotExist) { // the tag has been deleted
			return err
		}
		if err := p.named(strings.TrimPrefix(repository, p.registry.tree.repositories()+"/"), d); err != nil {
			p.Errorf("%s: it would be on the disk before %v", to, err)
		}
		p.mu.Lock()
		content := p.content[inode(from)]
		p.mu.Unlock()
		if content != string(d) {
			p.Errorf("%s has the content %q on the disk", to, content)
		}
	}
	return os.Rename(from, to)
}

// lasting is the content of a file after a power loss.
func (p *platter) lasting(name string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := inode(p.root)
	for part := range strings.SplitSeq(strings.TrimPrefix(name, p.root+"/"), "/") {
		next, ok := p.entries[at][part]
		if !ok {
			return "", fmt.Errorf("%s in the directory of %s", part, name)
		}
		at = next
	}
	return p.content[at], nil
}

func (p *platter) link(name string, d digest.Digest) error {
	got, err := p.lasting(name)
	if err == nil && got != string(d) {
		err = fmt.Errorf("the content %q of %s, not %q", d, name, got)
	}
	return err
}

func (p *platter) blob(d digest.Digest) (string, error) {
	got, err := p.lasting(filepath.Join(p.registry.tree.blob(d), "data"))
	if err == nil && digest.FromString(got) != d {
		err = fmt.Errorf("the content of %s, not %q", d, got)
	}
	return got, err
}

// layer says what is missing of a blob of a repository.
func (p *platter) layer(repository string, d digest.Digest) error {
	_, err := p.blob(d)
	return errors.Join(err, p.link(layerLink(p.registry.tree.repository(repository), d), d))
}

// named says what is missing of a manifest with all that it names.
func (p *platter) named(repository string, d digest.Digest) error {
	text, err := p.blob(d)
	if err := errors.Join(err, p.link(revisionLink(p.registry.tree.repository(repository), d), d)); err != nil {
		return err
	}
	m, err := parseManifest([]byte(text))
	for _, name := range m.names {
		if strings.Contains(text, ocispec.MediaTypeImageIndex) {
			err = errors.Join(err, p.named(repository, name))
		} else {
			err = errors.Join(err, p.layer(repository, name))
		}
	}
	return err
}

// answered has to be on the disk when the answer leaves.
func (p *platter) answered(req *http.Request, header http.Header) error {
	d := digest.Digest(header.Get("Docker-Content-Digest"))
	if repository, reference, ok := changedManifest(req); ok {
		err := p.named(repository, d)
		if reference != string(d) {
			err = errors.Join(err, p.link(tagLink(p.registry.tree.repository(repository), reference), d))
		}
		return err
	}
	repository, _, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/v2/"), "/blobs/uploads/")
	if d == "" { // an upload, whose repository what comes later finds made
		_, err := p.lasting(filepath.Join(p.registry.tree.repository(repository), "_uploads"))
		return err
	}
	return p.layer(repository, d)
}

// observed is the answer to one request.
type observed struct {
	*httptest.ResponseRecorder
	leaves func(status int)
}

func (o *observed) WriteHeader(status int) {
	o.leaves(status)
	o.ResponseRecorder.WriteHeader(status)
}

// send sends a request and looks at the disk at the moment when the answer leaves.
func (p *platter) send(method, target, mediaType, body string) *http.Response {
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	req.Header.Set("Content-Type", mediaType)
	o := &observed{ResponseRecorder: httptest.NewRecorder()}
	o.leaves = func(status int) {
		if method == http.MethodDelete || status >= 300 {
			return
		}
		if err := p.answered(req, o.Header()); err != nil {
			p.Errorf("%s %s is answered %d before these are on the disk: %v", method, req.URL.Path, status, err)
		}
	}
	p.registry.ServeHTTP(o, req)
	return o.Result()
}

// upload pushes a blob, and gives the answer that ended it.
func (p *platter) upload(repository, data string) int {
	resp := p.send(http.MethodPost, "/v2/"+repository+"/blobs/uploads/", "", "")
	if resp.StatusCode != http.StatusAccepted {
		return resp.StatusCode
	}
	target := resp.Header.Get("Location") + "&digest=" + digest.FromString(data).String()
	return p.send(http.MethodPut, target, "application/octet-stream", data).StatusCode
}

// tag pushes the manifest of a file.
func (p *platter) tag(repository, tag, data string) int {
	target := "/v2/" + repository + "/manifests/" + tag
	return p.send(http.MethodPut, target, ocispec.MediaTypeImageManifest, string(manifest("f", blob([]byte(data))))).StatusCode
}

// push pushes a file, and gives the last answer.
func (p *platter) push(repository, tag, data string) int {
	for _, b := range []string{"{}", data} {
		if status := p.upload(repository, b); status != http.StatusCreated {
			return status
		}
	}
	return p.tag(repository, tag, data)
}

func (p *platter) want(what string, status int) {
	p.Helper()
	if status != http.StatusCreated {
		p.Errorf("%s: %d", what, status)
	}
}

// unsynced are the directories that somebody has still to sync.
func (p *platter) unsynced() (dirs []string) {
	unsynced.mu.Lock()
	defer unsynced.mu.Unlock()
	for dir := range unsynced.of {
		if strings.HasPrefix(dir, p.root) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// restored is a registry on what a power loss leaves now.
func (p *platter) restored() *Registry {
	p.Helper()
	dir := p.TempDir()
	p.mu.Lock()
	defer p.mu.Unlock()
	var restore func(at uint64, to string)
	restore = func(at uint64, to string) {
		if content, ok := p.content[at]; ok {
			if err := os.WriteFile(to, []byte(content), 0o666); err != nil {
				p.Error(err)
			}
			return
		}
		os.Mkdir(to, 0o777)
		for name, next := range p.entries[at] {
			restore(next, filepath.Join(to, name))
		}
	}
	for name, next := range maps.All(p.entries[inode(p.root)]) {
		if !strings.HasPrefix(name, "ocidav.") {
			restore(next, filepath.Join(dir, name))
		}
	}
	return open(p.T, dir, Options{})
}

// slowly has all that is synced take a while, so that what runs at once is seen to.
func slowly(what, _ string) error {
	if what != "name" {
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

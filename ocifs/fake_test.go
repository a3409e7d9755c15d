package ocifs_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"ocidav/davfs"
	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// fake is a registry in memory and what tests do with trees on it.
type fake struct {
	*testing.T
	*registrytest.Registry
	server     *registrytest.Server
	transports []*http.Transport
	trees      []*ocifs.FS
	dir        string // for spools
	down       atomic.Bool
	change     func(*ocifs.Options)
	pace       ocifs.Pace
}

// newFake serves a registry until the test ends. change may adjust the options of every tree on it.
func newFake(t *testing.T, d registrytest.Defects, change func(*ocifs.Options)) *fake {
	t.Helper()
	return serve(t, registrytest.New(d), change)
}

func serve(t *testing.T, g *registrytest.Registry, change func(*ocifs.Options)) *fake {
	t.Helper()
	f := &fake{T: t, Registry: g, server: registrytest.Listen(g), change: change}
	t.Cleanup(f.close)
	return f
}

// inBubble runs test in a bubble of testing/synctest: the pauses between two tries take no time there, and a wait that
// does not end with its context is seen as the deadlock that it is.
func inBubble(t *testing.T, d registrytest.Defects, test func(f *fake)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(newFake(t, d, nil)) })
}

// close ends all connections; a test with many forks closes each itself.
func (f *fake) close() {
	f.settle()
	for _, transport := range f.transports {
		transport.CloseIdleConnections()
	}
	f.server.Close()
	f.transports = nil
}

// settle waits for what goes on behind the answers.
func (f *fake) settle() {
	for _, tree := range f.trees {
		if err := tree.Close(context.Background()); err != nil {
			f.Error(err)
		}
	}
	f.trees = nil
}

// fork gives another registry that holds the same.
func (f *fake) fork(d registrytest.Defects) *fake {
	f.Helper()
	g := serve(f.T, f.Clone(d), f.change)
	g.dir = f.dir
	return g
}

// tree gives a new tree on the registry: a process that knows nothing yet.
func (f *fake) tree() *ocifs.FS {
	f.Helper()
	transport := ocifs.NewTransport()
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if f.down.Load() {
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
		}
		return f.server.DialContext(ctx, network, address)
	}
	f.transports = append(f.transports, transport)
	client, err := f.pace.Dial("registry.localhost", true, transport, nil)
	if err != nil {
		f.Fatal(err)
	}
	if f.dir == "" {
		f.dir = f.TempDir()
	}
	o := ocifs.Options{Registry: client, Blobs: noBlobs{}, Freshness: time.Hour, SpoolDir: f.dir}
	if f.change != nil {
		f.change(&o)
	}
	tree, err := ocifs.New(o)
	if err != nil {
		f.Fatal(err)
	}
	f.trees = append(f.trees, tree)
	return tree
}

// isFlat says whether trees on the registry have the flat layout.
func (f *fake) isFlat() bool {
	var o ocifs.Options
	if f.change != nil {
		f.change(&o)
	}
	return o.Layout == ocifs.LayoutFlat
}

// tagOf says where the file name of the directory dir is, both of them as plain as can be.
func (f *fake) tagOf(dir, name string) (repo, tag string) {
	if f.isFlat() {
		return "x.root", flatKey(dir) + name
	}
	return dir[1:], name
}

// flatKey is what the tags of a directory's members begin with, by the documentation.
func flatKey(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return fmt.Sprintf("_f.%x.", sum[:12])
}

// refuse ends all connections, and says whether new ones are refused.
func (f *fake) refuse(down bool) {
	f.down.Store(down)
	for _, transport := range f.transports {
		transport.CloseIdleConnections()
	}
}

// must ends the test if a call that prepares it fails.
func (f *fake) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func put(ctx context.Context, tree *ocifs.FS, name, content string) error {
	_, err := tree.Put(ctx, name, strings.NewReader(content), davfs.PutOptions{})
	return err
}

// names gives the members of a directory.
func (f *fake) names(tree *ocifs.FS, dir string) []string {
	f.Helper()
	list, err := tree.ReadDir(f.Context(), dir)
	f.must(err)
	names := []string{}
	for _, fi := range list {
		names = append(names, fi.Name())
	}
	return names
}

// classOf gives the class of a failure of the storage, empty for any other error.
func classOf(err error) string {
	var failure interface{ FailureClass() string }
	if errors.As(err, &failure) {
		return failure.FailureClass()
	}
	return ""
}

// saysNothing checks that a failure is no answer about a name.
func (f *fake) saysNothing(what string, err error) {
	f.Helper()
	for _, answer := range []error{fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, fs.ErrInvalid} {
		if errors.Is(err, answer) {
			f.Errorf("%s: a failure is told as an answer: %v", what, err)
		}
	}
}

// pushForeign pushes an image manifest with layers of these titles, none for an empty title, as somebody else would.
func (f *fake) pushForeign(repo, tag string, titles ...string) {
	f.Helper()
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		ArtifactType: "application/vnd.example", Config: ocispec.DescriptorEmptyJSON,
	}
	f.PutBlob(repo, m.Config.Data)
	for _, title := range titles {
		content := []byte("content of " + title)
		l := ocispec.Descriptor{MediaType: "text/plain", Digest: f.PutBlob(repo, content), Size: int64(len(content))}
		if title != "" {
			l.Annotations = map[string]string{ocispec.AnnotationTitle: title}
		}
		m.Layers = append(m.Layers, l)
	}
	data, err := json.Marshal(m)
	f.must(err)
	f.PutManifest(repo, tag, "", data)
}

// state gives every tag of the registry with its manifest: what there is, without asking a tree.
func (f *fake) state() map[string]string {
	all := map[string]string{}
	for _, repo := range f.Repositories() {
		for _, tag := range f.Tags(repo) {
			all[repo+":"+tag] = string(f.Manifest(repo, tag))
		}
	}
	return all
}

// tagsOf gives the tags of a repository that are no tombstones.
func (f *fake) tagsOf(repo string) []string {
	live := []string{}
	for _, tag := range f.Tags(repo) {
		if !strings.Contains(string(f.Manifest(repo, tag)), "vnd.ocidav.tombstone") {
			live = append(live, tag)
		}
	}
	slices.Sort(live)
	return live
}

func digestOf(content string) digest.Digest { return digest.FromString(content) }

package ocifs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/auth"

	"ocidav/cache"
	"ocidav/davfs"
	"ocidav/davfs/treetest"
	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// A house is a drive at team/ of a registry with token authentication: alice has team/alice, bob has team/bob, both have the
// root and team/shared, and a guest may read that. A user's password is his name.
type house struct {
	*testing.T
	*registrytest.Registry
	tokens *registrytest.Tokens
	dialer *ocifs.Dialer
	drive  *ocifs.Drive
}

const freshness = 2 * time.Second

// inHouse runs test in a bubble.
func inHouse(t *testing.T, d registrytest.Defects, test func(h *house)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(newHouse(t, d)) })
}

// newHouse gives a drive that has a cache.
func newHouse(t *testing.T, d registrytest.Defects) *house {
	t.Helper()
	g := registrytest.New(d)
	h := &house{T: t, Registry: g, tokens: registrytest.NewTokens(g)}
	server := registrytest.Listen(h.tokens)
	transport := ocifs.NewTransport()
	transport.DialContext = server.DialContext
	t.Cleanup(func() { transport.CloseIdleConnections(); server.Close() })
	h.dialer = ocifs.Pace{}.Dialer("registry.localhost", true, transport)
	blobs, err := cache.New(cache.Options{Dir: t.TempDir(), MaxBytes: 1 << 30})
	h.must(err)
	t.Cleanup(func() { blobs.Close() })
	h.drive, err = ocifs.NewDrive(ocifs.Options{Prefix: "team", Blobs: blobs, Freshness: freshness, SpoolDir: t.TempDir(),
		IndexDir: t.TempDir(), Discover: true})
	h.must(err)
	for _, user := range []string{"alice", "bob"} {
		h.tokens.User(user, user)
		for _, repo := range []string{"team", "team/shared", "team/shared/*", "team/" + user, "team/" + user + "/*"} {
			h.tokens.Allow(user, repo, "pull push delete")
		}
	}
	h.tokens.User("guest", "guest")
	h.tokens.Allow("guest", "team", "pull")
	h.tokens.Allow("guest", "team/shared", "pull")
	return h
}

// TestTreeOfUser: a tree of one user is a tree as any other.
func TestTreeOfUser(t *testing.T) {
	treetest.Run(t, func(t *testing.T) davfs.Tree {
		h := newHouse(t, registrytest.Defects{})
		h.tokens.Allow("alice", "team/*", "pull push delete")
		return h.tree("alice")
	}, treetest.Options{Short: true})
}

func (h *house) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// tree logs a user in; the empty name is nobody.
func (h *house) tree(user string) *ocifs.FS {
	h.Helper()
	f := h.open(user, user)
	if user != "" {
		h.must(f.LogIn(h.Context()))
	}
	h.must(f.Settle(h.Context(), user != ""))
	return f
}

func (h *house) open(user, password string) *ocifs.FS {
	h.Helper()
	var credential auth.CredentialFunc
	if user != "" {
		credential = auth.StaticCredential("registry.localhost", auth.Credential{Username: user, Password: password})
	}
	reg, err := h.dialer.Dial(credential)
	h.must(err)
	f, err := h.drive.Tree(user, reg)
	h.must(err)
	h.Cleanup(func() { f.Close(context.Background()) })
	return f
}

// later lets answers become old and tokens run out.
func (h *house) later() {
	time.Sleep(2 * freshness)
	h.tokens.Expire()
}

func (h *house) want(class, what string, err error) {
	h.Helper()
	switch class {
	case "":
		if err != nil {
			h.Errorf("%s: %v", what, err)
		}
	case "absent":
		if !errors.Is(err, fs.ErrNotExist) || classOf(err) != "" {
			h.Errorf("%s: %v, want absent", what, err)
		}
	default:
		if classOf(err) != class || errors.Is(err, fs.ErrNotExist) {
			h.Errorf("%s: %v, want %s", what, err, class)
		}
	}
}

// secrets are small and large content of alice.
var secrets = map[string]string{"/alice/small": "alice's own", "/alice/large": "alice's " + large}

// furnish has alice make the directories and her files, and read them, so that they are in the cache.
func (h *house) furnish(alice *ocifs.FS) {
	h.Helper()
	ctx := h.Context()
	for _, dir := range []string{"/alice", "/bob", "/shared"} {
		h.must(alice.Mkdir(ctx, dir, nil))
	}
	for name, content := range secrets {
		h.must(put(ctx, alice, name, content))
		if got, err := read(ctx, alice, name); got != content || err != nil {
			h.Fatal(name, err)
		}
	}
	h.must(alice.PatchProps(ctx, "/alice/small", davfs.PropPatch{Set: property("alice's property")}))
	synctest.Wait() // what is behind the answers
}

// TestUsers: what is one user's the others neither see, read nor change, whatever he has just done; and what is denied is
// neither absent nor wants another password.
func TestUsers(t *testing.T) {
	inHouse(t, registrytest.Defects{}, func(h *house) {
		h.tokens.Allow("alice", "team/bob", "pull push delete") // to make it
		alice, bob, guest := h.tree("alice"), h.tree("bob"), h.tree("guest")
		h.furnish(alice)
		ctx := h.Context()
		if got := h.listed(bob, "/"); !slices.Equal(got, []string{"alice", "bob", "shared"}) {
			h.Errorf("bob sees %v", got)
		}
		before := h.Tags("team/alice")
		for _, name := range []string{"/alice/small", "/alice/large", "/alice/absent", "/alice/deep/absent"} {
			if !strings.Contains(name, "deep") {
				_, err := bob.Stat(ctx, name)
				h.want("denied", "Stat "+name, err)
				h.want("denied", "Put "+name, put(ctx, bob, name, "bob's"))
				h.want("denied", "Mkdir "+name, bob.Mkdir(ctx, name, nil))
				h.want("denied", "RemoveAll "+name, bob.RemoveAll(ctx, name, nil))
				h.want("denied", "PatchProps "+name, bob.PatchProps(ctx, name, davfs.PropPatch{Set: property("x")}))
				h.want("denied", "Copy "+name, copyTo(ctx, bob, name, "/bob/copy"))
				h.want("denied", "Rename "+name, bob.Rename(ctx, name, "/bob/copy", nil))
				h.must(put(ctx, bob, "/shared/mine", "bob's"))
				h.want("denied", "Copy to "+name, copyTo(ctx, bob, "/shared/mine", name))
				h.want("denied", "Rename to "+name, bob.Rename(ctx, "/shared/mine", name, nil))
			}
			_, err := bob.ReadDir(ctx, name)
			h.want("denied", "ReadDir "+name, err)
		}
		_, err := bob.ReadDir(ctx, "/alice")
		h.want("denied", "ReadDir", err)
		h.want("denied", "Copy of a directory", copyTo(ctx, bob, "/alice", "/bob/all"))
		h.want("denied", "Rename of a directory", bob.Rename(ctx, "/alice", "/bob/all", nil))
		if after := h.Tags("team/alice"); !slices.Equal(before, after) {
			h.Errorf("alice had %v, and has %v", before, after)
		}

		// Who may only read reads, and is denied the rest.
		if got, err := read(ctx, guest, "/shared/mine"); got != "bob's" || err != nil {
			h.Errorf("the guest reads %q, %v", got, err)
		}
		h.want("denied", "Put of a guest", put(ctx, guest, "/shared/mine", "guest's"))
		h.want("denied", "RemoveAll of a guest", guest.RemoveAll(ctx, "/shared/mine", nil))
		h.want("denied", "Mkdir of a guest", guest.Mkdir(ctx, "/shared/dir", nil))
		_, err = guest.Stat(ctx, "/alice/small")
		h.want("denied", "Stat of a guest", err)
		_, err = guest.Stat(ctx, "/absent")
		h.want("absent", "Stat of a guest", err)
	})
}

func (h *house) listed(tree *ocifs.FS, dir string) (names []string) {
	h.Helper()
	list, err := tree.ReadDir(h.Context(), dir)
	h.must(err)
	for _, fi := range list {
		names = append(names, fi.Name())
	}
	return names
}

// TestAnothersDigest: a manifest that names what its author may not read is no way to it, where the registry takes it.
func TestAnothersDigest(t *testing.T) {
	inHouse(t, registrytest.Defects{AcceptMissingBlobs: true}, func(h *house) {
		h.tokens.Allow("alice", "team/bob", "pull push delete")
		alice, bob := h.tree("alice"), h.tree("bob")
		h.furnish(alice)
		ctx := h.Context()
		h.must(put(ctx, bob, "/bob/own", "bob's"))

		var of ocispec.Manifest
		hers := h.Manifest("team/alice", "small")
		h.must(json.Unmarshal(hers, &of))
		for name, content := range secrets {
			l := ocispec.Descriptor{MediaType: "application/octet-stream", Digest: digestOf(content), Size: int64(len(content))}
			for form, title := range map[string]string{"file": "", "exhibit": "other"} {
				m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
					ArtifactType: of.ArtifactType, Config: of.Config, Layers: []ocispec.Descriptor{l}}
				tag := form + name[len("/alice/"):]
				if title == "" {
					title = tag
				} else {
					m.ArtifactType, m.Config = "application/vnd.example", l
				}
				m.Layers[0].Annotations = map[string]string{ocispec.AnnotationTitle: title}
				m.Annotations = map[string]string{"vnd.ocidav.name": tag}
				data, err := json.Marshal(m)
				h.must(err)
				h.PutManifest("team/bob", tag, "", data)
			}
		}
		index, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
			Manifests: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageManifest, Digest: digestOf(string(hers)), Size: int64(len(hers)),
				Platform: &ocispec.Platform{OS: "linux", Architecture: "amd64"}}}})
		h.must(err)
		h.PutManifest("team/bob", "many", ocispec.MediaTypeImageIndex, index)
		time.Sleep(2 * freshness)

		opened := 0
		var walk func(dir string)
		walk = func(dir string) {
			list, err := bob.ReadDir(ctx, dir)
			if err != nil {
				h.Logf("%s: %v", dir, err)
			}
			for _, fi := range list {
				name := dir + "/" + fi.Name()
				if fi.IsDir() {
					walk(name)
					continue
				}
				opened++
				content, err := read(ctx, bob, name)
				if strings.Contains(content, "alice") && !strings.Contains(content, `"digest"`) {
					h.Errorf("bob reads %.20q in %s", content, name)
				}
				props, perr := bob.Props(ctx, name, fi)
				if fmt.Sprintf("%s", props) != "[]" || name == "/bob/filesmall" && perr == nil {
					h.Errorf("bob reads the property %s of %s, %v", props, name, perr)
				}
				if strings.HasPrefix(fi.Name(), "file") && err == nil {
					h.Errorf("%s is read without an error", name)
				}
				if copyTo(ctx, bob, name, "/shared/copy") == nil {
					got, err := read(ctx, bob, "/shared/copy")
					if strings.Contains(got, "alice's") || h.HasBlob("team/shared", digestOf(secrets["/alice/small"])) {
						h.Errorf("bob reads %.20q in a copy of %s, %v", got, name, err)
					}
				}
			}
		}
		walk("/bob")
		if opened < 5 {
			h.Errorf("only %d files were tried", opened)
		}
		if _, err := bob.Stat(ctx, "/bob/many/linux-amd64/small"); err == nil {
			h.Error("a member of an index is shown whose manifest is alice's")
		}
		if got, err := read(ctx, alice, "/alice/large"); got != secrets["/alice/large"] || err != nil {
			h.Error("alice cannot read her own", err)
		}
	})
}

// TestWithdrawn: what may be read no more is not, from the end of freshness and of the token on, also not what is open, in
// memory or in the cache.
func TestWithdrawn(t *testing.T) {
	inHouse(t, registrytest.Defects{}, func(h *house) {
		alice, bob := h.tree("alice"), h.tree("bob")
		ctx := h.Context()
		h.must(alice.Mkdir(ctx, "/shared", nil))
		for name, content := range map[string]string{"/shared/small": "small", "/shared/large": large} {
			h.must(put(ctx, alice, name, content))
			if got, err := read(ctx, bob, name); got != content || err != nil {
				h.Fatal(name, err)
			}
		}
		h.listed(bob, "/shared")
		small, err := bob.Stat(ctx, "/shared/small")
		h.must(err)
		h.tokens.Allow("bob", "team/shared", "")
		h.later()
		for name := range map[string]bool{"/shared/small": true, "/shared/large": true, "/shared/absent": true} {
			_, err := read(ctx, bob, name)
			h.want("denied", name, err)
		}
		_, err = bob.ReadDir(ctx, "/shared")
		h.want("denied", "/shared", err)
		file, err := bob.Open(ctx, "/shared/small", small)
		h.must(err)
		defer file.Close()
		_, err = io.ReadAll(file)
		h.want("denied", "a file that was described before", err)
		h.must(put(ctx, alice, "/shared/small", "new"))
		_, err = read(ctx, bob, "/shared/small")
		h.want("denied", "what alice has just written", err)
	})
}

// TestUsersSeeChanges: what one user changes the others see at once, however fresh their answers are.
func TestUsersSeeChanges(t *testing.T) {
	inHouse(t, registrytest.Defects{}, func(h *house) {
		alice, bob := h.tree("alice"), h.tree("bob")
		ctx := h.Context()
		see := func(name, content string) {
			h.Helper()
			got, err := read(ctx, bob, name)
			if content == "" {
				h.want("absent", name, err)
			} else if got != content || err != nil {
				h.Errorf("bob reads %q in %s, %v", got, name, err)
			}
			dir := name[:strings.LastIndexByte(name, '/')]
			if is := slices.Contains(h.listed(bob, dir), name[len(dir)+1:]); is != (content != "") {
				h.Errorf("%s is listed: %v", name, is)
			}
		}
		_, err := bob.Stat(ctx, "/shared")
		h.want("absent", "/shared", err)
		h.must(alice.Mkdir(ctx, "/shared", nil))
		see("/shared/f", "")
		h.must(put(ctx, alice, "/shared/f", "one"))
		see("/shared/f", "one")
		h.must(put(ctx, alice, "/shared/f", "two"))
		see("/shared/f", "two")
		h.must(alice.Rename(ctx, "/shared/f", "/shared/g", nil))
		see("/shared/f", "")
		see("/shared/g", "two")
		h.must(bob.RemoveAll(ctx, "/shared/g", nil))
		_, err = alice.Stat(ctx, "/shared/g")
		h.want("absent", "for alice", err)
		h.must(alice.RemoveAll(ctx, "/shared", nil))
		_, err = bob.Stat(ctx, "/shared")
		h.want("absent", "for bob", err)
	})
}

// TestUsersOnOneName: of several users who write one name under the condition that it is as it was, one wins.
func TestUsersOnOneName(t *testing.T) {
	inHouse(t, registrytest.Defects{Latency: 10 * time.Millisecond}, func(h *house) {
		trees := []*ocifs.FS{h.tree("alice"), h.tree("bob")}
		ctx := h.Context()
		h.must(trees[0].Mkdir(ctx, "/shared", nil))
		lost := errors.New("lost")
		for round := range 5 {
			won := make([]bool, 6)
			var wg sync.WaitGroup
			for n := range won {
				tree := trees[n%2]
				wg.Go(func() {
					_, err := tree.Put(ctx, "/shared/f", strings.NewReader(fmt.Sprint(round, n)), davfs.PutOptions{Check: func(old fs.FileInfo) error {
						if old == nil && round == 0 || old != nil && old.Size() == 3 && strings.HasPrefix(contentOf(h, "f"), fmt.Sprint(round-1)) {
							return nil
						}
						return lost
					}})
					if won[n] = err == nil; !won[n] && !errors.Is(err, lost) {
						h.Error(err)
					}
				})
			}
			wg.Wait()
			if n := strings.Count(fmt.Sprint(won), "true"); n != 1 {
				h.Errorf("round %d: %d have won", round, n)
			}
		}
	})
}

// contentOf is what the registry has under a tag of team/shared.
func contentOf(h *house, tag string) string {
	var m ocispec.Manifest
	h.must(json.Unmarshal(h.Manifest("team/shared", tag), &m))
	return string(h.Blob(m.Layers[0].Digest))
}

// TestUsersClear: a directory that one user removes and another makes again loses nothing to the
// clearing of the first.
func TestUsersClear(t *testing.T) {
	inHouse(t, registrytest.Defects{Latency: 10 * time.Millisecond}, func(h *house) {
		alice, bob := h.tree("alice"), h.tree("bob")
		ctx := h.Context()
		h.must(alice.Mkdir(ctx, "/shared", nil))
		h.must(alice.Mkdir(ctx, "/shared/d", nil))
		for n := range 40 {
			h.must(put(ctx, alice, fmt.Sprintf("/shared/d/%d", n), "old"))
		}
		late := h.Fail(registrytest.Match{Method: "DELETE", Path: "/team/shared/d/"}, takesEffectLate, 8)
		h.must(alice.RemoveAll(ctx, "/shared/d", nil))
		time.Sleep(500 * time.Millisecond) // it has begun
		h.must(bob.Mkdir(ctx, "/shared/d", nil))
		if late.Hits() == 0 {
			h.Error("nothing was being cleared")
		}
		for n := range 40 {
			h.must(put(ctx, bob, fmt.Sprintf("/shared/d/%d", n), "new"))
		}
		time.Sleep(time.Minute)
		if got := h.listed(bob, "/shared/d"); len(got) != 40 {
			h.Errorf("bob has left %v", got)
		}
	})
}

// takesEffectLate is a request that has its effect late.
func takesEffectLate(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	time.Sleep(5 * time.Second)
	serve(w, r)
}

// TestUsersBury: nobody writes to a tag whose tombstone another user is just taking away.
func TestUsersBury(t *testing.T) {
	inHouse(t, registrytest.Defects{NoTagDelete: 400}, func(h *house) {
		alice, bob := h.tree("alice"), h.tree("bob")
		h.furnishShared(alice)
		h.Fail(registrytest.Match{Method: "DELETE", Path: "/team/shared/manifests/sha256:"}, takesEffectLate, 0)
		h.must(alice.RemoveAll(h.Context(), "/shared/f", nil))
		began := time.Now()
		h.must(put(h.Context(), bob, "/shared/f", "new"))
		if time.Since(began) < 4*time.Second {
			h.Error("bob has not waited")
		}
		if got, err := read(h.Context(), alice, "/shared/f"); got != "new" || err != nil {
			h.Errorf("alice reads %q, %v", got, err)
		}
	})
}

// TestUsersBundles: what one user's tree has kept of a directory on the disk is for his next one, and for nobody else.
func TestUsersBundles(t *testing.T) {
	inHouse(t, registrytest.Defects{}, func(h *house) {
		alice := h.tree("alice")
		h.furnishShared(alice)
		for n := range 100 {
			h.must(put(h.Context(), alice, fmt.Sprintf("/shared/%d", n), "x"))
		}
		h.must(alice.Close(h.Context()))
		asked := func(user string) int {
			tree := h.tree(user)
			h.ResetCounts()
			if got := h.listed(tree, "/shared"); len(got) != 101 {
				h.Errorf("%s sees %d", user, len(got))
			}
			return h.Count("GET manifest", "HEAD manifest")
		}
		if n := asked("alice"); n > 10 {
			h.Errorf("alice asks for %d manifests", n)
		}
		if n := asked("bob"); n < 100 {
			h.Errorf("bob asks for %d manifests", n)
		}
	})
}

// TestLogIn: whom the registry takes, whom it refuses, and when nobody can say.
func TestLogIn(t *testing.T) {
	for _, basic := range []bool{false, true} {
		inHouse(t, registrytest.Defects{}, func(h *house) {
			h.tokens.Basic = basic
			ctx := h.Context()
			h.must(h.dialer.Ping(ctx))
			h.must(h.dialer.TellsUsersApart(ctx))
			alice := h.tree("alice")
			h.furnishShared(alice)
			h.want("unauthorized", "a wrong password", h.open("alice", "wrong").LogIn(ctx))
			h.want("unauthorized", "an unknown user", h.open("mallory", "alice").LogIn(ctx))
			_, err := h.open("mallory", "alice").Stat(ctx, "/shared")
			h.want("unauthorized", "Stat of an unknown user", err)
			_, err = h.open("", "").Stat(ctx, "/shared")
			h.want("unauthorized", "Stat of nobody", err)
			_, err = alice.Stat(ctx, "/bob/x")
			h.want("absent", "what is not there", err)
			h.tokens.Allow("alice", "team/bob", "pull push delete")
			h.must(alice.Mkdir(ctx, "/bob", nil))
			h.tokens.Allow("alice", "team/bob", "")
			h.later()
			_, err = alice.Stat(ctx, "/bob/x")
			h.want("denied", "what is bob's", err)

			// His token goes on, but a log-in looks at the password itself.
			h.must(alice.LogIn(ctx))
			h.tokens.User("alice", "another")
			h.want("unauthorized", "the old password", alice.LogIn(ctx))
			h.later()
			_, err = alice.Stat(ctx, "/shared/f")
			h.want("unauthorized", "Stat by the old password", err)
			_, err = alice.ReadDir(ctx, "/shared")
			h.want("unauthorized", "ReadDir by the old password", err)
			h.want("unauthorized", "Put by the old password", put(ctx, alice, "/shared/f", "x"))
			h.tokens.User("alice", "")
			h.want("unauthorized", "a user who is gone", h.open("alice", "another").LogIn(ctx))
		})
	}
}

func (h *house) furnishShared(tree *ocifs.FS) {
	h.Helper()
	h.must(tree.Mkdir(h.Context(), "/shared", nil))
	h.must(put(h.Context(), tree, "/shared/f", "f"))
}

// TestTokenServerDown: who cannot be told from others is neither refused nor told that there is nothing.
func TestTokenServerDown(t *testing.T) {
	inHouse(t, registrytest.Defects{}, func(h *house) {
		alice := h.tree("alice")
		h.furnishShared(alice)
		h.later()
		for _, code := range []int{500, 502, 503} {
			h.tokens.Down(code)
			ctx := h.Context()
			h.want("unavailable", "LogIn", alice.LogIn(ctx))
			h.want("unavailable", "LogIn by a wrong password", h.open("alice", "wrong").LogIn(ctx))
			h.want("unavailable", "at start", h.dialer.TellsUsersApart(ctx))
			for _, name := range []string{"/shared", "/shared/f", "/shared/absent"} {
				_, err := alice.Stat(ctx, name)
				h.want("unavailable", "Stat "+name, err)
			}
			_, err := alice.ReadDir(ctx, "/shared")
			h.want("unavailable", "ReadDir", err)
		}
		h.tokens.Down(0)
		if got, err := read(h.Context(), alice, "/shared/f"); got != "f" || err != nil {
			h.Errorf("afterwards: %q, %v", got, err)
		}
	})
}

// TestTellsUsersApart: a registry that takes any name and password, or asks for none, is no judge of users.
func TestTellsUsersApart(t *testing.T) {
	for what, handler := range map[string]http.Handler{
		"open": registrytest.New(registrytest.Defects{}),
		"takes any": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, _, ok := r.BasicAuth(); !ok {
				w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
				w.WriteHeader(http.StatusUnauthorized)
			}
		}),
	} {
		server := registrytest.Listen(handler)
		transport := ocifs.NewTransport()
		transport.DialContext = server.DialContext
		dialer := ocifs.Pace{}.Dialer("registry.localhost", true, transport)
		if err := dialer.TellsUsersApart(t.Context()); err == nil || classOf(err) != "" {
			t.Errorf("%s: %v", what, err)
		}
		if err := dialer.Ping(t.Context()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		transport.CloseIdleConnections()
		server.Close()
	}
}

// TestTokenRunsOut: tokens that end in the middle of an upload are the client's to renew, not the user's.
func TestTokenRunsOut(t *testing.T) {
	inHouse(t, registrytest.Defects{}, func(h *house) {
		alice := h.tree("alice")
		h.furnishShared(alice)
		for _, size := range []int{10, 5 << 20} {
			content := strings.Repeat("x", size)
			half := iotestFunc(func() { h.later() })
			h.ResetCounts()
			_, err := alice.Put(h.Context(), "/shared/new", io.MultiReader(strings.NewReader(content[:size/2]), half, strings.NewReader(content[size/2:])),
				davfs.PutOptions{})
			h.want("", fmt.Sprint(size, " bytes"), err)
			if n := h.Count("POST upload"); n > 1 {
				h.Errorf("%d bytes: %d uploads: %v", size, n, h.Requests())
			}
			if got, err := read(h.Context(), alice, "/shared/new"); got != content || err != nil {
				h.Errorf("%d bytes: %v", size, err)
			}
		}
	})
}

// iotestFunc reads as nothing, and calls itself then.
type iotestFunc func()

func (f iotestFunc) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}

// TestTrim: a tree that forgets asks again, and says the same.
func TestTrim(t *testing.T) {
	inHouse(t, registrytest.Defects{}, func(h *house) {
		h.tokens.Allow("alice", "catalog", "*")
		alice := h.tree("alice")
		h.furnishShared(alice)
		for n := range 100 {
			h.must(put(h.Context(), alice, fmt.Sprintf("/shared/%d", n), "x"))
		}
		before := h.listed(alice, "/shared")
		_, err := alice.Stat(h.Context(), "/absent")
		h.want("absent", "/absent", err)
		if n := alice.Kept(); n < 100 || n > 300 {
			h.Errorf("of 100 files it keeps %d", n)
		}
		alice.Trim()
		if n := alice.Kept(); n != 0 {
			h.Errorf("then it keeps %d", n)
		}
		h.ResetCounts()
		if after := h.listed(alice, "/shared"); !slices.Equal(before, after) {
			h.Errorf("then it lists %v", after)
		}
		_, err = alice.Stat(h.Context(), "/absent")
		h.want("absent", "/absent", err)
		if h.Count("GET manifest", "HEAD manifest") < 100 || h.Count("GET tags") == 0 || h.Count("GET catalog") == 0 {
			h.Error("it has not asked again")
		}
	})
}

// TestProofs: a file in the cache costs one question at most within Freshness, and who has just written it none.
func TestProofs(t *testing.T) {
	inHouse(t, registrytest.Defects{}, func(h *house) {
		alice, bob := h.tree("alice"), h.tree("bob")
		h.furnishShared(alice)
		count := func(tree *ocifs.FS, want int) {
			h.Helper()
			h.ResetCounts()
			for range 3 {
				if got, err := read(h.Context(), tree, "/shared/f"); got != "f" || err != nil {
					h.Errorf("%q, %v", got, err)
				}
			}
			if n := h.Count("HEAD blob", "GET blob"); n != want {
				h.Errorf("%d questions about the blob, want %d: %v", n, want, h.Requests())
			}
		}
		count(alice, 0)
		count(bob, 1)
		time.Sleep(2 * freshness)
		count(alice, 1)
		count(bob, 1)
	})
}

// TestOthersFailure: who waits for what another user fetches does not fail with him.
func TestOthersFailure(t *testing.T) {
	for _, content := range []string{"small", large} {
		inHouse(t, registrytest.Defects{}, func(h *house) {
			alice, bob := h.tree("alice"), h.tree("bob")
			h.furnishShared(alice)
			data, err := json.Marshal(ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
				ArtifactType: "application/vnd.example", Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{{
					MediaType: "text/plain", Digest: h.PutBlob("team/shared", []byte(content)), Size: int64(len(content)),
					Annotations: map[string]string{ocispec.AnnotationTitle: "theirs"}}}})
			h.must(err)
			h.PutManifest("team/shared", "theirs", "", data) // nobody has it in the cache
			time.Sleep(2 * freshness)
			late := h.Fail(registrytest.Match{Method: "GET", Path: "/team/shared/blobs/"}, func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
				time.Sleep(5 * time.Second)
				registrytest.Status(http.StatusForbidden, "DENIED")(w, r, serve)
			}, 1)
			var wg sync.WaitGroup
			for n, tree := range []*ocifs.FS{bob, alice} {
				wg.Go(func() {
					time.Sleep(time.Duration(n) * time.Second)
					if got, err := read(h.Context(), tree, "/shared/theirs"); got != content || err != nil {
						h.Errorf("%d reads %d bytes, %v", n, len(got), err)
					}
				})
			}
			wg.Wait()
			if late.Hits() != 1 {
				h.Error("nobody was denied")
			}
		})
	}
}

// TestMayWrite: the question changes nothing at the registry, and leaves nothing there.
func TestMayWrite(t *testing.T) {
	for _, d := range []registrytest.Defects{{}, {NoMount: true}, {MountDenied: 405}, {MountDenied: 401}} {
		inHouse(t, d, func(h *house) {
			alice, guest := h.tree("alice"), h.tree("guest")
			h.furnishShared(alice)
			before := fmt.Sprint(h.Repositories(), h.Tags("team/shared"))
			ctx := h.Context()
			h.want("", "alice in /shared", alice.MayWrite(ctx, "/shared", true))
			h.want("", "alice on a file", alice.MayWrite(ctx, "/shared/f", false))
			h.want("", "alice in the root", alice.MayWrite(ctx, "/", true))
			h.want("denied", "guest in /shared", guest.MayWrite(ctx, "/shared", true))
			h.want("denied", "guest on a file", guest.MayWrite(ctx, "/shared/f", false))
			h.want("denied", "alice at bob's", alice.MayWrite(ctx, "/bob/f", false))
			synctest.Wait()
			if after := fmt.Sprint(h.Repositories(), h.Tags("team/shared")); after != before || h.Uploads() != 0 {
				h.Errorf("%+v: %s, and before %s, %d uploads", d, after, before, h.Uploads())
			}
		})
	}
}

// TestUsersDiscover: what others have pushed is seen by who may list and read it, and is absent for all others.
func TestUsersDiscover(t *testing.T) {
	for _, catalog := range []string{"", "*"} { // bob's
		inHouse(t, registrytest.Defects{}, func(h *house) {
			h.tokens.Allow("alice", "catalog", "*")
			h.tokens.Allow("alice", "team/theirs", "pull")
			h.tokens.Allow("bob", "catalog", catalog)
			data, err := json.Marshal(ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
				ArtifactType: "application/vnd.example", Config: ocispec.DescriptorEmptyJSON})
			h.must(err)
			h.PutManifest("team/theirs", "v1", "", data)
			alice, bob := h.tree("alice"), h.tree("bob")
			ctx := h.Context()
			if got := h.listed(alice, "/"); !slices.Equal(got, []string{"theirs"}) {
				h.Errorf("alice sees %v", got)
			}
			if got := h.listed(bob, "/"); len(got) != 0 {
				h.Errorf("bob sees %v", got)
			}
			for _, name := range []string{"/theirs", "/theirs/v1", "/nothing", "/nothing/v1"} {
				_, err := bob.Stat(ctx, name)
				h.want("absent", name, err)
			}
			h.tokens.Anonymous = true
			h.tokens.Allow("", "team", "pull")
			nobody := h.tree("")
			for _, name := range []string{"/theirs", "/nothing/v1"} {
				_, err := nobody.Stat(ctx, name)
				h.want("absent", name, err)
			}
			if got := h.listed(nobody, "/"); len(got) != 0 {
				h.Errorf("nobody sees %v", got)
			}

			// Withdrawn, the list is none.
			h.tokens.Allow("alice", "catalog", "")
			h.tokens.Allow("alice", "team/theirs", "")
			h.later()
			if got := h.listed(alice, "/"); len(got) != 0 {
				h.Errorf("alice still sees %v", got)
			}
			_, err = alice.Stat(ctx, "/theirs")
			h.want("absent", "/theirs", err)
		})
	}
}

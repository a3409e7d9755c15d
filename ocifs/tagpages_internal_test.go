package ocifs

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"ocidav/ocifs/registrytest"
)

// withTags gives a tree on a registry with n tags in the repository "d", and the tags.
func withTags(t *testing.T, d registrytest.Defects, p Profile, n int) (*registrytest.Registry, *FS, []string) {
	t.Helper()
	g := registrytest.New(d)
	server, transport := registrytest.Listen(g), NewTransport()
	transport.DialContext = server.DialContext
	client, err := Dial("registry.localhost", true, transport, nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := New(Options{Registry: client, Profile: p, SpoolDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(t.Context()); err != nil {
			t.Error(err)
		}
		transport.CloseIdleConnections()
		server.Close()
	})
	names := []string{}
	for i := range n {
		names = append(names, fmt.Sprintf("f%05d", i))
		g.PutManifest("d", names[i], "", []byte("{}"))
	}
	return g, f, names
}

// TestTagPages: whatever a registry makes of the number of names that it is asked for, all of them are listed, in few requests
// where it can be.
func TestTagPages(t *testing.T) {
	for name, c := range map[string]struct {
		defects     registrytest.Defects
		profile     Profile
		n           int
		first, then int // requests for the list, and for the list once more
	}{
		"none":                         {n: 0, first: 1, then: 1},
		"a page":                       {n: 999, first: 1, then: 1},
		"just a page":                  {n: 1000, first: 2, then: 2},
		"two":                          {n: 1999, first: 2, then: 2},
		"a long one":                   {n: 2500, first: 3, then: 3},
		"as the profile says":          {profile: Profile{Page: 500}, n: 2400, first: 5, then: 5},
		"no paging":                    {defects: registrytest.Defects{IgnorePaging: true}, n: 2500, first: 1, then: 1},
		"no paging, just a page":       {defects: registrytest.Defects{IgnorePaging: true}, n: 1000, first: 2, then: 2},
		"pages of its own":             {defects: registrytest.Defects{PageSize: 700}, n: 2500, first: 4, then: 4},
		"refused":                      {defects: registrytest.Defects{PageRefused: 1000}, n: 2500, first: 2 + 3, then: 3},
		"cut in silence":               {defects: registrytest.Defects{PageCut: 1000}, n: 2500, first: 3, then: 3},
		"cut in silence, just so long": {defects: registrytest.Defects{PageCut: 1000}, n: 2000, first: 3, then: 3},
		"cut in silence, to more":      {defects: registrytest.Defects{PageCut: 1300}, n: 4000, first: 4, then: 4},
		"in another order":             {defects: registrytest.Defects{TagOrder: registrytest.OrderAny, PageCut: 1000}, n: 2500, first: 3, then: 3},
	} {
		t.Run(strings.ReplaceAll(name, " ", ""), func(t *testing.T) {
			t.Parallel()
			g, f, want := withTags(t, c.defects, c.profile, c.n)
			for _, budget := range []int{c.first, c.then} {
				g.ResetCounts()
				got, err := f.allTags(t.Context(), "d")
				if err != nil || !slices.Equal(got, want) {
					t.Errorf("%d names, want %d; error %v", len(got), len(want), err)
				}
				if asked := g.Requests(); len(asked) != budget {
					t.Errorf("%d requests, want %d: %q", len(asked), budget, asked)
				}
			}
		})
	}
}

// TestTagPagesFail: a page that fails is no end of the list, and only for a refusal all is asked for again.
func TestTagPagesFail(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		skip   int
		asked  int // each request is tried four times
	}{
		"first":        {http.StatusInternalServerError, 0, 4},
		"long":         {http.StatusInternalServerError, 1, 8}, // and once more from the beginning
		"long, denied": {http.StatusForbidden, 1, 1},
		"behind":       {http.StatusInternalServerError, 2, 4},
	} {
		t.Run(strings.ReplaceAll(name, " ", ""), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g, f, _ := withTags(t, registrytest.Defects{}, Profile{}, 2500)
				rule := g.Fail(registrytest.Match{Path: "/d/tags/list$", Skip: c.skip}, registrytest.Status(c.status, "UNKNOWN"), 0)
				if got, err := f.allTags(t.Context(), "d"); err == nil || got != nil {
					t.Errorf("%d of 2,500 names are given, error %v", len(got), err)
				} else if status(err) != c.status {
					t.Errorf("error %v", err)
				}
				if rule.Hits() != c.asked {
					t.Errorf("%d requests have met the fault, want %d", rule.Hits(), c.asked)
				}
				g.Heal()
				if got, err := f.allTags(t.Context(), "d"); err != nil || len(got) != 2500 {
					t.Errorf("then %d of 2,500 names are given, error %v", len(got), err)
				}
			})
		})
	}
}

// TestTagPagesLast: who refuses to go on behind a name, or says that there is nothing, has given all.
func TestTagPagesLast(t *testing.T) {
	for _, fault := range []registrytest.Fault{
		registrytest.Status(http.StatusBadRequest, "UNSUPPORTED"), registrytest.Status(http.StatusNotFound, "NAME_UNKNOWN"),
	} {
		g, f, want := withTags(t, registrytest.Defects{}, Profile{}, tagPageSize)
		rule := g.Fail(registrytest.Match{Path: "/d/tags/list$", Skip: 1}, fault, 1)
		if got, err := f.allTags(t.Context(), "d"); err != nil || !slices.Equal(got, want) || rule.Hits() != 1 {
			t.Errorf("%d names, want %d; error %v", len(got), len(want), err)
		}
	}
}

// TestEachPage: the pages of a flat layout's list hold all tags, whatever the registry makes of a full one.
func TestEachPage(t *testing.T) {
	for name, d := range map[string]registrytest.Defects{
		"pages": {}, "cut in silence": {PageCut: tagPageSize}, "no paging": {IgnorePaging: true}, "pages of its own": {PageSize: 700},
	} {
		for _, n := range []int{0, 999, 1000, 1001, 2000, 2500} {
			t.Run(fmt.Sprint(strings.ReplaceAll(name, " ", ""), n), func(t *testing.T) {
				t.Parallel()
				g, f, want := withTags(t, d, Profile{}, n)
				got := []string{}
				err := f.eachPage(t.Context(), "d", "", false, func(page []string) error {
					got = append(got, page...)
					return nil
				})
				if n == 0 && !errors.Is(err, errAbsent) || n > 0 && err != nil {
					t.Errorf("error %v", err)
				}
				if got = sorted(got); !slices.Equal(got, want) {
					t.Errorf("%d names, want %d", len(got), n)
				}
				if asked := len(g.Requests()); asked > n/700+1 && asked > 2 {
					t.Errorf("%d requests", asked)
				}
			})
		}
	}
}

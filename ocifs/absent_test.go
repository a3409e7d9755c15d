package ocifs_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"ocidav/davfs"
	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// TestAbsentByList: where a list of tags answers for absent names and another server makes one of them meanwhile, a condition
// hears of it, nothing that was there is taken for nothing by what hides or replaces it unseen, and a write without a condition
// is the last one, whole.
func TestAbsentByList(t *testing.T) {
	must := errors.New("it must not be there")
	absent := func(old fs.FileInfo) error {
		if old != nil {
			return must
		}
		return nil
	}
	for name, c := range map[string]struct {
		do   func(ctx context.Context, t *ocifs.FS) error
		err  error
		want string // of the other server's "theirs"
	}{
		"If-None-Match": {func(ctx context.Context, t *ocifs.FS) error {
			_, err := t.Put(ctx, "/d/x", strings.NewReader("mine"), davfs.PutOptions{Check: absent})
			return err
		}, must, "theirs"},
		"If-None-Match, large": {func(ctx context.Context, t *ocifs.FS) error {
			_, err := t.Put(ctx, "/d/x", strings.NewReader(large), davfs.PutOptions{Check: absent})
			return err
		}, must, "theirs"},
		"no condition": {func(ctx context.Context, t *ocifs.FS) error {
			_, err := t.Put(ctx, "/d/x", strings.NewReader("mine"), davfs.PutOptions{Recent: true, Check: func(fs.FileInfo) error { return nil }})
			return err
		}, nil, "mine"},
		"Copy":   {func(ctx context.Context, t *ocifs.FS) error { _, err := t.Copy(ctx, "/f", "/d/x", absent); return err }, must, "theirs"},
		"Rename": {func(ctx context.Context, t *ocifs.FS) error { return t.Rename(ctx, "/f", "/d/x", absent) }, must, "theirs"},
		"Mkdir":  {making("/d/x"), fs.ErrExist, "theirs"},
		"PatchAbs": {func(ctx context.Context, t *ocifs.FS) error {
			return t.PatchProps(ctx, "/d/x", davfs.PropPatch{Set: property("p")})
		}, nil, "theirs"},
		"RemoveAll": {func(ctx context.Context, t *ocifs.FS) error {
			return t.RemoveAll(ctx, "/d/x", func(fs.FileInfo) error { return must })
		}, must, "theirs"},
	} {
		t.Run(strings.ReplaceAll(name, " ", ""), func(t *testing.T) {
			inBubble(t, registrytest.Defects{}, func(f *fake) {
				f.change = func(o *ocifs.Options) { o.Freshness = 2 * time.Second }
				ctx, a, b := f.Context(), f.tree(), f.tree()
				f.must(b.Mkdir(ctx, "/d", nil))
				f.must(put(ctx, b, "/f", "mine"))
				for i := range 12 { // after these the list answers
					_, _ = b.Stat(ctx, fmt.Sprint("/d/", i))
				}
				f.ResetCounts()
				if _, err := b.Stat(ctx, "/d/y"); !errors.Is(err, fs.ErrNotExist) || len(f.Requests()) > 0 {
					f.Fatalf("it asks %q, %v", f.Requests(), err)
				}
				f.must(put(ctx, a, "/d/x", "theirs"))
				time.Sleep(time.Millisecond)
				if err := c.do(ctx, b); !errors.Is(err, c.err) {
					f.Errorf("error %v, want %v", err, c.err)
				}
				for _, tree := range []*ocifs.FS{f.tree(), b} {
					time.Sleep(3 * time.Second)
					if got, err := read(ctx, tree, "/d/x"); err != nil || got != c.want {
						f.Errorf("/d/x is %.20q, %v, want %q", got, err, c.want)
					}
				}
			})
		})
	}
}

// TestAbsentByListIsTold: what is written here, or is told to have been written elsewhere, is younger than the list.
func TestAbsentByListIsTold(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		ctx, a, b := f.Context(), f.tree(), f.tree()
		f.must(b.Mkdir(ctx, "/d", nil))
		for i := range 12 {
			_, _ = b.Stat(ctx, fmt.Sprint("/d/", i))
		}
		f.must(put(ctx, b, "/d/x", "x"))
		f.must(put(ctx, a, "/d/z", "z"))
		b.Changed("d", "z")
		for name, want := range map[string]string{"/d/x": "x", "/d/z": "z"} {
			if got, err := read(ctx, b, name); err != nil || got != want {
				f.Errorf("%s is %q, %v", name, got, err)
			}
		}
		f.must(b.RemoveAll(ctx, "/d/x", nil))
		if _, err := b.Stat(ctx, "/d/x"); !errors.Is(err, fs.ErrNotExist) {
			f.Errorf("what is removed is there: %v", err)
		}
	})
}

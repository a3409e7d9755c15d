//go:build !noembed

package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"maps"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"ocidav/ocifs"
)

type diskOperation struct {
	name string
	do   func(ctx context.Context, t *ocifs.FS) error
	half func(ctx context.Context, t *ocifs.FS) error // what a Rename does first
}

// diskOperations change a drive on the registry of this process.
var diskOperations = []diskOperation{
	{"Put new", diskPut("/d/new", 3000), nil},
	{"Put over", diskPut("/f", 3000), nil},
	{"Put large over", diskPut("/f", 1<<20+17), nil},
	{"Put parts", diskPut("/f", 2_500_000), nil},
	{"Mkdir", func(ctx context.Context, t *ocifs.FS) error { return t.Mkdir(ctx, "/d/new", nil) }, nil},
	{"RemoveAll file", func(ctx context.Context, t *ocifs.FS) error { return t.RemoveAll(ctx, "/f", nil) }, nil},
	{"RemoveAll directory", func(ctx context.Context, t *ocifs.FS) error { return t.RemoveAll(ctx, "/d", nil) }, nil},
	{"Copy directory", diskCopy("/d", "/new"), nil},
	{"Rename file", func(ctx context.Context, t *ocifs.FS) error { return t.Rename(ctx, "/f", "/d/a", nil) }, diskCopy("/f", "/d/a")},
	{"Rename directory", func(ctx context.Context, t *ocifs.FS) error { return t.Rename(ctx, "/d", "/new", nil) }, diskCopy("/d", "/new")},
}

func diskPut(name string, size int) func(context.Context, *ocifs.FS) error {
	return func(ctx context.Context, t *ocifs.FS) error {
		_, err := t.Put(ctx, name, bytes.NewReader(pattern(size)), struct {
			Size        int64
			ModTime     time.Time
			ContentType string
			Check       func(old fs.FileInfo) error
			Recent      bool
			Checksums   func() []string
		}{Size: int64(size)})
		return err
	}
}

func diskCopy(src, dst string) func(context.Context, *ocifs.FS) error {
	return func(ctx context.Context, t *ocifs.FS) error { _, err := t.Copy(ctx, src, dst, nil); return err }
}

// pattern is content, the same for the same length.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*i>>8 + n)
	}
	return b
}

// diskDrive is a tree on a registry on a disk.
type diskDrive struct {
	*ocifs.FS
	t   *testing.T
	reg *Registry
}

// where blobs lie is where they are read.
type inPlace struct{}

func (inPlace) Hold(ocispec.Descriptor, []byte) {}

func (inPlace) Add(context.Context, ocispec.Descriptor, io.Reader) error { return nil }

func (inPlace) Open(ctx context.Context, desc ocispec.Descriptor, src ocifs.Source) (ocifs.Blob, error) {
	if f, err := src.Local(ctx); f != nil || err != nil {
		return f, err
	}
	return nil, errors.New("it is not there")
}

// disks are those under the directories that are open.
var disks sync.Map

func openDisk(t *testing.T, dir string, d *disk) diskDrive {
	t.Helper()
	disks.Store(dir, d)
	drive := diskDrive{t: t}
	reg, err := Open(dir, Options{Changed: func(repo, ref string) { drive.Changed(repo, ref) }})
	if err != nil {
		t.Fatal(err)
	}
	client, err := ocifs.Dial(Host, true, reg.Transport(), nil)
	if err != nil {
		t.Fatal(err)
	}
	drive.reg = reg
	drive.FS, err = ocifs.New(ocifs.Options{
		Registry: client, Blobs: inPlace{}, Freshness: ocifs.Told, Local: reg.OpenBlob, Upload: ocifs.UploadDirect,
		PartSize: 2 << 20, Parallel: 1, WriteTimeout: 300 * time.Millisecond, SpoolDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return drive
}

func (d diskDrive) close() {
	d.t.Helper()
	if err := errors.Join(d.Close(context.Background()), d.reg.Close()); err != nil {
		d.t.Error(err)
	}
}

// snapshot is what the drive shows.
func (d diskDrive) snapshot() map[string]string {
	d.t.Helper()
	all := map[string]string{}
	var walk func(dir string)
	walk = func(dir string) {
		list, err := d.ReadDir(context.Background(), dir)
		if err != nil {
			d.t.Errorf("list %s: %v", dir, err)
		}
		for _, fi := range list {
			name := strings.TrimSuffix(dir, "/") + "/" + fi.Name()
			if fi.IsDir() {
				all[name+"/"] = ""
				walk(name)
				continue
			}
			f, err := d.Open(context.Background(), name, fi)
			if err != nil {
				d.t.Errorf("open %s: %v", name, err)
				continue
			}
			b, err := io.ReadAll(f)
			if err != nil || int64(len(b)) != fi.Size() || !bytes.Equal(b, pattern(len(b))) {
				d.t.Errorf("%s has %d bytes of %d, %v", name, len(b), fi.Size(), err)
			}
			f.Close()
			all[name] = fmt.Sprint(len(b))
		}
	}
	walk("/")
	return all
}

// TestDiskSweep has the disk under the registry fail at every single thing that an operation asks it for, in several ways,
// once and for ever: it is full, it is broken, it has done what it was asked for and could not sync it. The drive then shows
// the old state or the new one, the failure has the right class, a process that is started again sees the same, and the
// repeated operation succeeds. One of 24 points is swept; OCIDAV_SWEEP=all sweeps all of them.
func TestDiskSweep(t *testing.T) {
	defer func(old func(string) storagedriver.StorageDriver) { newDriver = old }(newDriver)
	newDriver = func(root string) storagedriver.StorageDriver {
		d, _ := disks.Load(root)
		return faultyDriver{&driver{root: root}, d.(*disk)}
	}
	share := uint32(24)
	if os.Getenv("OCIDAV_SWEEP") == "all" {
		share = 1
	}
	ctx, points := t.Context(), 0
	if dir, err := os.MkdirTemp("/dev/shm", "ocidav-"); err == nil { // where nothing waits for a disk
		t.Setenv("TMPDIR", dir)
		t.Cleanup(func() { os.RemoveAll(dir) })
	}
	base := t.TempDir()
	d := openDisk(t, base, &disk{})
	for _, dir := range []string{"/d", "/d/sub"} {
		if err := d.Mkdir(ctx, dir, nil); err != nil {
			t.Fatal(err)
		}
	}
	for i, name := range []string{"/f", "/d/a", "/d/sub/c"} {
		if err := diskPut(name, 100+i)(ctx, d.FS); err != nil {
			t.Fatal(err)
		}
	}
	before := d.snapshot()
	d.close()
	var wg sync.WaitGroup
	turns := make(chan struct{}, 16) // most of the time is pauses between two tries
	for _, op := range diskOperations {
		undisturbed := &disk{}
		s := diskSweep{diskOperation: op, T: t, base: base, before: before, after: diskAfter(t, base, undisturbed, op.do)}
		if op.half != nil {
			s.copied = diskAfter(t, base, &disk{}, op.half)
		}
		for point, what := range undisturbed.asked {
			for _, fault := range diskFaults {
				for _, ever := range []bool{false, true} {
					h := fnv.New32a()
					fmt.Fprint(h, op.name, point, fault.name, ever)
					if h.Sum32()%share != 0 {
						continue
					}
					points++
					turns <- struct{}{}
					wg.Go(func() {
						defer func() { <-turns }()
						s.at(&disk{fails: fault, at: point, ever: ever}, what)
					})
				}
			}
		}
	}
	wg.Wait()
	t.Logf("%d fault points", points)
}

// diskSweep is one operation, and what there is before and after it, and in the middle of a Rename.
type diskSweep struct {
	diskOperation
	*testing.T
	base                  string
	before, after, copied map[string]string
}

// at is one fault point.
func (s diskSweep) at(broken *disk, what string) {
	fault := broken.fails
	errorf := func(format string, args ...any) {
		s.Helper()
		s.Errorf("%s, request %d (%s) meets %s, for ever %t: %s",
			s.name, broken.at, what, fault.name, broken.ever, fmt.Sprintf(format, args...))
	}
	ctx, dir := s.Context(), copyDir(s.T, s.base)
	defer os.RemoveAll(dir)
	d := openDisk(s.T, dir, broken)
	err := s.do(ctx, d.FS)
	if e := d.Close(ctx); e != nil {
		errorf("%v", e)
	}
	broken.heal()
	got := d.snapshot()
	switch {
	case err == nil && !maps.Equal(got, s.after):
		errorf("no error, but there is %v", got)
	case err != nil && maps.Equal(got, s.after) && !(fault.done && broken.ever):
		errorf("an error when all was done: %v", err)
	case !maps.Equal(got, s.before) && !maps.Equal(got, s.after) && (s.copied == nil || !maps.Equal(got, s.copied)):
		errorf("there is %v, neither the old nor the new", got)
	}
	var failure *ocifs.Error
	want := "unavailable"
	if fault.err == syscall.ENOSPC {
		want = "quota"
	}
	if err != nil && (!errors.As(err, &failure) || failure.Class != want) {
		errorf("the failure is not %q: %v", want, err)
	}
	d.close()

	again := openDisk(s.T, dir, &disk{})
	defer again.close()
	if now := again.snapshot(); !maps.Equal(now, got) {
		errorf("another process sees %v, there was %v", now, got)
	}
	if err != nil {
		err := s.do(ctx, again.FS)
		done := errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist)
		if now := again.snapshot(); err != nil && !(done && maps.Equal(got, s.after)) || !maps.Equal(now, s.after) {
			errorf("repeated it gives %v and leaves %v", err, now)
		}
	}
}

// diskAfter is what there is after an operation on a copy of base.
func diskAfter(t *testing.T, base string, on *disk, do func(context.Context, *ocifs.FS) error) map[string]string {
	t.Helper()
	d := openDisk(t, copyDir(t, base), on)
	defer d.close()
	on.mu.Lock()
	on.asked = nil
	on.mu.Unlock()
	if err := do(t.Context(), d.FS); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	on.mu.Lock()
	asked := on.asked
	on.mu.Unlock()
	after := d.snapshot()
	on.asked = asked
	return after
}

func copyDir(t *testing.T, from string) string {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "")
	if err == nil {
		err = os.CopyFS(dir, os.DirFS(from))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

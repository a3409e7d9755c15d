package ocifs

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// members are n of a bundle, as a directory of small files has them.
func members(n int) []bundled {
	list := make([]bundled, n)
	for i := range list {
		a := artifact{kind: kindFile, name: fmt.Sprintf("file-%d.txt", i), modTime: time.Unix(int64(i), 0)}
		_, data, err := a.marshalAs(fmt.Sprint(i), false)
		if err != nil {
			panic(err)
		}
		list[i] = bundled{tag: in.file(a.name), asked: time.Unix(1_790_000_000+int64(i), 0), manifest: data}
	}
	return list
}

func pack(t testing.TB, repo string, list []bundled) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := writeBundle(&out, repo, slices.Values(list)); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func unpack(data []byte, repo string) (list []bundled, err error) {
	err = readBundle(bytes.NewReader(data), repo, func(m bundled) error {
		list = append(list, m)
		return nil
	})
	return list, err
}

func TestBundle(t *testing.T) {
	for _, n := range []int{0, 1, 2, 1000} {
		want := members(n)
		if n > 1 {
			want[1].asked = time.Time{}
		}
		data := pack(t, "a/b", want)
		got, err := unpack(data, "a/b")
		same := func(a, b bundled) bool {
			return a.tag == b.tag && a.asked.Equal(b.asked) && bytes.Equal(a.manifest, b.manifest)
		}
		if err != nil || !slices.EqualFunc(got, want, same) {
			t.Errorf("%d members: %d, %v", n, len(got), err)
		}
		if _, err := unpack(data, "a/c"); !errors.Is(err, errBundle) {
			t.Errorf("of another repository: %v", err)
		}
	}
	stop := errors.New("enough")
	err := readBundle(bytes.NewReader(pack(t, "a", members(3))), "a", func(bundled) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("stopped: %v", err)
	}
}

// TestBundleDamaged: whatever is cut or changed is noticed.
func TestBundleDamaged(t *testing.T) {
	data := pack(t, "a", members(20))
	for n := range len(data) {
		if _, err := unpack(data[:n], "a"); err == nil {
			t.Fatalf("cut after %d bytes it is whole", n)
		}
	}
	for i := range data {
		if i >= 3 && i <= 9 { // gzip's header: time, flags, system
			continue
		}
		damaged := bytes.Clone(data)
		damaged[i] ^= 0x10
		if _, err := unpack(damaged, "a"); err == nil {
			t.Fatalf("changed at byte %d of %d it is good", i, len(data))
		}
	}
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	io.WriteString(z, bundleMagic)
	z.Write([]byte{1, 'a', 0xff, 0xff, 0xff, 0xff, 0x7f})
	z.Close()
	if _, err := unpack(bomb.Bytes(), "a"); !errors.Is(err, errBundle) {
		t.Errorf("a tag of 32 GiB: %v", err)
	}
	if _, err := unpack(append(bytes.Clone(data), pack(t, "a", nil)...), "a"); !errors.Is(err, errBundle) {
		t.Errorf("with something behind it: %v", err)
	}
}

func FuzzBundle(f *testing.F) {
	unzipped := func(data []byte) []byte {
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			f.Fatal(err)
		}
		plain, err := io.ReadAll(z)
		if err != nil {
			f.Fatal(err)
		}
		return plain
	}
	f.Add(unzipped(pack(f, "a", members(3))))
	f.Add([]byte(bundleMagic + "\x01a\x00\x00"))
	f.Add([]byte(strings.Repeat("\xff", 40)))
	f.Fuzz(func(t *testing.T, plain []byte) { // gzip is somebody else's
		var zipped bytes.Buffer
		z := gzip.NewWriter(&zipped)
		z.Write(plain)
		z.Close()
		list, err := unpack(zipped.Bytes(), "a")
		if err != nil {
			if !errors.Is(err, errBundle) {
				t.Fatalf("not %v: %v", errBundle, err)
			}
			return
		}
		again, err := unpack(pack(t, "a", list), "a")
		if err != nil || len(again) != len(list) {
			t.Fatalf("%d members become %d, %v", len(list), len(again), err)
		}
	})
}

func BenchmarkBundle(b *testing.B) {
	list := members(10_000)
	data := pack(b, "a", list)
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			pack(b, "a", list)
		}
		b.ReportMetric(float64(len(data))/float64(len(list)), "B/member")
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			if _, err := unpack(data, "a"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

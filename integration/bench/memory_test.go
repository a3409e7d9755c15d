package bench

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
)

// stretch is a content of any length, made as it is read: the same block of noise with its number in front.
type stretch struct {
	size, at int64
	block    []byte
}

const stretchBlock = 1 << 20

func newStretch(size int64) *stretch {
	s := &stretch{size: size, block: make([]byte, stretchBlock)}
	rand.NewChaCha8(sha256.Sum256([]byte("stretch"))).Read(s.block)
	return s
}

func (s *stretch) Read(p []byte) (int, error) {
	if s.at == s.size {
		return 0, io.EOF
	}
	inside := s.at % stretchBlock
	p = p[:min(int64(len(p)), stretchBlock-inside, s.size-s.at)]
	copy(s.block, fmt.Sprintf("%016d", s.at/stretchBlock))
	copy(p, s.block[inside:])
	s.at += int64(len(p))
	return len(p), nil
}

// peak is VmHWM of a process, in MiB.
func peak(pid int) (float64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kb := 0.0
			_, err := fmt.Sscanf(rest, "%g", &kb)
			return kb / 1024, err
		}
	}
	return 0, fmt.Errorf("no VmHWM of process %d", pid)
}

// readersPeak is the peak memory of an ocidav on its embedded registry under 64 readers of a file of some bytes: half of
// them read ranges at random offsets, half long pieces in sequence.
func readersPeak(tb testing.TB, size int64, pieces int) float64 {
	tb.Helper()
	name := fmt.Sprintf("memory%d", size)
	t, err := startOcidav(name, "")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() {
		stop(t.cmd())
		os.RemoveAll(scratch + "/" + name)
	}()
	req, err := http.NewRequest(http.MethodPut, t.base+"long", newStretch(size))
	if err != nil {
		tb.Fatal(err)
	}
	req.ContentLength = size
	resp, err := client.Do(req)
	if err != nil || resp.StatusCode != http.StatusCreated {
		tb.Fatal(resp, err)
	}
	resp.Body.Close()
	before, err := peak(t.cmd().Process.Pid)
	if err != nil {
		tb.Skip(err)
	}
	var readers sync.WaitGroup
	for i := range 64 {
		readers.Go(func() {
			for range pieces {
				n := int64(64 << 10)
				if i%2 == 0 {
					n = min(size, 64<<20)
				}
				from := rand.Int64N(size - n + 1)
				req, _ := http.NewRequest(http.MethodGet, t.base+"long", nil)
				req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, from+n-1))
				resp, err := client.Do(req)
				if err != nil {
					tb.Error(err)
					return
				}
				want := newStretch(size)
				want.at = from
				got, err := io.Copy(&streamComparer{want: want}, resp.Body)
				resp.Body.Close()
				if err != nil || got != n {
					tb.Errorf("%d of %d bytes at %d: %v", got, n, from, err)
					return
				}
			}
		})
	}
	readers.Wait()
	after, err := peak(t.cmd().Process.Pid)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Logf("%d MiB: %.0f MiB after the PUT, %.0f MiB after 64 readers", size>>20, before, after)
	return after
}

// streamComparer compares what comes with what want reads.
type streamComparer struct {
	want io.Reader
	buf  [32 << 10]byte
}

func (c *streamComparer) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		part := rest[:min(len(rest), len(c.buf))]
		if _, err := io.ReadFull(c.want, c.buf[:len(part)]); err != nil {
			return 0, err
		}
		if string(part) != string(c.buf[:len(part)]) {
			return 0, fmt.Errorf("other bytes")
		}
		rest = rest[len(part):]
	}
	return len(p), nil
}

// BenchmarkMemory is the peak memory of the process with its PUT, which must not grow with the file. 16 GiB must find
// their place in the directory for temporary files.
func BenchmarkMemory(b *testing.B) {
	for _, size := range []int64{4 << 30, 16 << 30} {
		b.Run(fmt.Sprintf("%dGiB", size>>30), func(b *testing.B) {
			most := 0.0
			for b.Loop() {
				most = max(most, readersPeak(b, size, 8))
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(most, "peak-MiB")
		})
	}
}

func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server")
	}
	readersPeak(t, 5<<20+7, 2)
}

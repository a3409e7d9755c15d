package bench

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// comparer takes what a server sends, and knows what it should be.
type comparer struct{ want []byte }

func (c *comparer) Write(p []byte) (int, error) {
	if len(p) > len(c.want) || !bytes.Equal(p, c.want[:len(p)]) {
		return 0, fmt.Errorf("other bytes, %d before the end", len(c.want))
	}
	c.want = c.want[len(p):]
	return len(p), nil
}

// read gets the bytes [from, to) of a content at url, all of it without a Range, and gives the time to the first byte.
func read(url string, content []byte, from, to int) (first time.Duration, err error) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	if to-from < len(content) {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, to-1))
	}
	begun := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return 0, fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	c := &comparer{content[from:to]}
	var one [1]byte
	if _, err := io.ReadFull(resp.Body, one[:]); err != nil {
		return 0, err
	}
	first = time.Since(begun)
	if _, err := c.Write(one[:]); err != nil {
		return 0, err
	}
	buf := buffers.Get().(*[256 << 10]byte)
	defer buffers.Put(buf)
	if _, err := io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{resp.Body}, buf[:]); err != nil {
		return 0, err
	}
	if len(c.want) > 0 {
		return 0, fmt.Errorf("GET %s: %d bytes are missing", url, len(c.want))
	}
	return first, nil
}

var buffers = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// readWhole is MiB/s of one GET.
func readWhole(url string, content []byte) ([]float64, error) {
	begun := time.Now()
	_, err := read(url, content, 0, len(content))
	return []float64{float64(len(content)) / (1 << 20) / time.Since(begun).Seconds()}, err
}

// readRanges is the rate of reads of 64 KiB at random offsets, and the 99th percentile of their times in ms.
func readRanges(url string, content []byte, readers int, long time.Duration) ([]float64, error) {
	const size = 64 << 10
	var mu sync.Mutex
	var times []time.Duration
	var failed error
	end := time.Now().Add(long)
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			var mine []time.Duration
			for now := time.Now(); now.Before(end); {
				from := rand.IntN(len(content) - size)
				_, err := read(url, content, from, from+size)
				took := time.Since(now)
				now = now.Add(took)
				if mine = append(mine, took); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
					return
				}
			}
			mu.Lock()
			times = append(times, mine...)
			mu.Unlock()
		})
	}
	all.Wait()
	if failed != nil {
		return nil, failed
	}
	slices.Sort(times)
	p99 := times[len(times)*99/100]
	return []float64{float64(len(times)) / long.Seconds(), float64(p99) / float64(time.Millisecond)}, nil
}

// readMany is the rate of GETs of many files by some readers.
func readMany(t *target, files map[string][]byte, readers int) ([]float64, error) {
	names := make(chan string, len(files))
	for name := range files {
		names <- name
	}
	close(names)
	errs := make([]error, readers)
	begun := time.Now()
	var all sync.WaitGroup
	for i := range readers {
		all.Go(func() {
			for name := range names {
				if _, err := read(t.address(name), files[name], 0, len(files[name])); err != nil {
					errs[i] = err
					return
				}
			}
		})
	}
	all.Wait()
	took := time.Since(begun)
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return []float64{float64(len(files)) / took.Seconds()}, nil
}

package integration

import (
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"
)

// eachBackendB is eachBackend for benchmarks.
func eachBackendB(b *testing.B, bench func(b *testing.B, on backend)) {
	b.Run(onEmbedded, func(b *testing.B) { bench(b, backend{name: onEmbedded}) })
	b.Run(onDeleting, func(b *testing.B) { bench(b, backend{name: onDeleting, registry: startRegistry(b, true)}) })
}

// upload puts n files of 4 KiB to a new directory over some connections.
func upload(b *testing.B, d *drive, dir string, n, connections int) {
	b.Helper()
	d.mkcol(dir)
	names := make(chan int)
	var wg sync.WaitGroup
	for range connections {
		wg.Go(func() {
			for i := range names {
				if a := d.try(http.MethodPut, fmt.Sprintf("%s/file%04d", dir, i), random(4<<10)); a.status != http.StatusCreated {
					b.Errorf("PUT: %v", a)
				}
			}
		})
	}
	for i := range n {
		names <- i
	}
	close(names)
	wg.Wait()
}

// BenchmarkUpload is the time of 500 files of 4 KiB.
func BenchmarkUpload(b *testing.B) {
	const files = 500
	eachBackendB(b, func(b *testing.B, on backend) {
		d := on.start(b)
		for _, connections := range []int{1, 8} {
			b.Run(fmt.Sprintf("connections=%d", connections), func(b *testing.B) {
				start := time.Now()
				n := 0
				for b.Loop() {
					upload(b, d, fmt.Sprintf("/%d-%d", connections, start.UnixNano()+int64(n)), files, connections)
					n++
				}
				b.ReportMetric(float64(files*n)/time.Since(start).Seconds(), "files/s")
			})
		}
	})
}

// BenchmarkListing is the time of a PROPFIND of Depth 1 on 1,000 files: cold is the first one of a server whose cache
// is empty, warm is a later one.
func BenchmarkListing(b *testing.B) {
	const files = 1000
	eachBackendB(b, func(b *testing.B, on backend) {
		d := on.start(b)
		upload(b, d, "/dir", files, 8)
		list := func(b *testing.B) {
			b.Helper()
			if got := len(d.list("/dir/")); got != files {
				b.Fatalf("%d members, want %d", got, files)
			}
		}
		b.Run("cold", func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				d.stop()
				if err := os.RemoveAll(d.cache); err != nil {
					b.Fatal(err)
				}
				d.start()
				b.StartTimer()
				list(b)
			}
		})
		b.Run("warm", func(b *testing.B) {
			list(b)
			for b.Loop() {
				list(b)
			}
		})
	})
}

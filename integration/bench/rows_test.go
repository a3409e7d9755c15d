package bench

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// scale is how much work a row does.
type scale struct {
	big, huge int // bytes of a file
	files     int // small ones
	long      time.Duration
	turns     int
}

var (
	full = scale{big: 256 << 20, huge: 1 << 30, files: 500, long: 2 * time.Second, turns: 5}
	tiny = scale{big: 2<<20 + 5, huge: 3 << 20, files: 4, long: 20 * time.Millisecond, turns: 1}
)

// measure is a number that a row gives.
type measure struct {
	unit  string
	lower bool // is better
}

// row is some work, measured on all servers in turns.
type row struct {
	name         string
	measures     []measure
	ours, theirs []string
	// prepare makes ready what one server needs, and gives the work of a turn.
	prepare func(t *target, s scale) (turn func() ([]float64, error), err error)
}

var (
	warm  = []string{"embedded", "over28"}
	peers = []string{"stock", "apache", "rclone", "registry"}
	rate  = []measure{{unit: "MiB/s"}}
)

// rows is the table. Rows of writing have their place here too.
var rows = []row{
	{"GET_big_warm", rate, warm, peers, func(t *target, s scale) (func() ([]float64, error), error) {
		content, err := written(t, "big", s.big)
		if err != nil {
			return nil, err
		}
		if _, err := readWhole(t.address("big"), content); err != nil {
			return nil, err
		}
		return func() ([]float64, error) { return readWhole(t.address("big"), content) }, nil
	}},
	{"GET_big_cold", rate, []string{"cold28"}, []string{"registry"}, func(t *target, s scale) (func() ([]float64, error), error) {
		content, err := written(t, "big", s.big)
		if err != nil {
			return nil, err
		}
		return cold(t, "big", func() ([]float64, error) { return readWhole(t.address("big"), content) }), nil
	}},
	{"range_64KiB_x16_warm", []measure{{unit: "op/s"}, {unit: "p99-ms", lower: true}}, warm, peers,
		func(t *target, s scale) (func() ([]float64, error), error) {
			content, err := written(t, "big", s.big)
			if err != nil {
				return nil, err
			}
			if _, err := readWhole(t.address("big"), content); err != nil {
				return nil, err
			}
			return func() ([]float64, error) { return readRanges(t.address("big"), content, 16, s.long) }, nil
		}},
	{"last_4KiB_cold", []measure{{unit: "ms", lower: true}}, []string{"cold28"}, []string{"registry"},
		func(t *target, s scale) (func() ([]float64, error), error) {
			content, err := written(t, "huge", s.huge)
			if err != nil {
				return nil, err
			}
			return cold(t, "huge", func() ([]float64, error) {
				first, err := read(t.address("huge"), content, len(content)-4<<10, len(content))
				return []float64{float64(first) / float64(time.Millisecond)}, err
			}), nil
		}},
	{"GET_4KiB_x16_warm", []measure{{unit: "file/s"}}, warm, peers, func(t *target, s scale) (func() ([]float64, error), error) {
		files := map[string][]byte{}
		for i := range s.files {
			name := fmt.Sprintf("small%d", i)
			content, err := written(t, name, 4<<10)
			if err != nil {
				return nil, err
			}
			files[name] = content
		}
		if _, err := readMany(t, files, 16); err != nil {
			return nil, err
		}
		return func() ([]float64, error) { return readMany(t, files, 16) }, nil
	}},
}

// contents are the same for all servers, and where they were written.
var (
	contents = map[string][]byte{}
	there    = map[string]bool{}
)

// written sees to it that a server has a file of some bytes.
func written(t *target, name string, size int) ([]byte, error) {
	key := fmt.Sprint(name, size)
	if contents[key] == nil {
		contents[key] = make([]byte, size)
		rand.Read(contents[key])
	}
	if at := key + " " + t.name; !there[at] {
		if err := t.write(name, contents[key]); err != nil {
			return nil, err
		}
		there[at] = true
	}
	return contents[key], nil
}

// cold begins each turn with an empty cache, for a server that has one, and without the kernel's cache of files where
// this process may empty it. What the client has asked for is the name: who reads has seen the file before.
func cold(t *target, name string, turn func() ([]float64, error)) func() ([]float64, error) {
	return func() ([]float64, error) {
		if t.cool != nil {
			if err := t.cool(); err != nil {
				return nil, err
			}
		}
		if err := expect(http.MethodHead, t.address(name), nil, http.StatusOK); err != nil {
			return nil, err
		}
		dropFiles()
		return turn()
	}
}

// dropFiles empties the kernel's cache of files, on Linux, for root.
func dropFiles() {
	if f, err := os.OpenFile("/proc/sys/vm/drop_caches", os.O_WRONLY, 0); err == nil {
		exec.Command("sync").Run()
		f.WriteString("1")
		f.Close()
	}
}

// run measures a row, and gives the values by server, in their turns.
func (r row) run(tb testing.TB, s scale) map[string][][]float64 {
	tb.Helper()
	all, err := targets()
	if err != nil {
		tb.Fatal(err)
	}
	turns := map[string]func() ([]float64, error){}
	values := map[string][][]float64{}
	names := slices.DeleteFunc(slices.Concat(r.ours, r.theirs), func(name string) bool { return all[name] == nil })
	for _, name := range names {
		if turns[name], err = r.prepare(all[name], s); err != nil {
			tb.Fatalf("%s: %v", name, err)
		}
	}
	for range s.turns {
		for _, name := range names {
			v, err := turns[name]()
			if err != nil {
				tb.Fatalf("%s: %v", name, err)
			}
			values[name] = append(values[name], v)
		}
	}
	return values
}

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	return values[len(values)/2]
}

// report gives the medians, and those of the ratios.
func (r row) report(b *testing.B, values map[string][][]float64) {
	b.ReportMetric(0, "ns/op")
	for i, m := range r.measures {
		one := func(name string) (v []float64) {
			for _, turn := range values[name] {
				v = append(v, turn[i])
			}
			return v
		}
		for name := range values {
			b.ReportMetric(median(one(name)), name+"-"+m.unit)
		}
		for _, ours := range r.ours {
			for _, theirs := range r.theirs {
				a, o := one(ours), one(theirs)
				if len(a) == 0 || len(o) == 0 {
					continue
				}
				for i := range a {
					if a[i] /= o[i]; m.lower {
						a[i] = 1 / a[i]
					}
				}
				suffix := ""
				if m != r.measures[0] {
					suffix = "-" + m.unit
				}
				b.ReportMetric(median(a), ours+"/"+theirs+suffix)
			}
		}
	}
}

func BenchmarkRows(b *testing.B) {
	for _, r := range rows {
		b.Run(r.name, func(b *testing.B) {
			all := map[string][][]float64{}
			for b.Loop() {
				for name, v := range r.run(b, full) {
					all[name] = append(all[name], v...)
				}
			}
			r.report(b, all)
		})
	}
}

// TestRows runs every row with little work.
func TestRows(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts all servers")
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			for name, turns := range r.run(t, tiny) {
				for _, v := range turns {
					if len(v) != len(r.measures) || slices.Min(v) <= 0 {
						t.Errorf("%s: %v", name, v)
					}
				}
			}
		})
	}
}

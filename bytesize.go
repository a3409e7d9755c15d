package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// byteSize is a flag's number of bytes: 1048576, 1MiB, 1.5GiB, 10GB.
type byteSize int64

var sizeUnits = []struct {
	name  string
	bytes float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"B", 1},
}

// Set implements flag.Value.
func (b *byteSize) Set(s string) error {
	number, factor := strings.TrimSpace(s), 1.0
	for _, u := range sizeUnits {
		if n := len(number) - len(u.name); n > 0 && strings.EqualFold(number[n:], u.name) {
			number, factor = strings.TrimSpace(number[:n]), u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !(n >= 0) || n*factor > math.MaxInt64/2 {
		return fmt.Errorf("%q is no size: want a number of bytes, or one with KiB, MiB, GiB or TiB", s)
	}
	*b = byteSize(n * factor)
	return nil
}

// String writes the largest unit that fits without a fraction.
func (b byteSize) String() string {
	for i := 3; i >= 0; i-- {
		if unit := int64(sizeUnits[i].bytes); b > 0 && int64(b)%unit == 0 {
			return strconv.FormatInt(int64(b)/unit, 10) + sizeUnits[i].name
		}
	}
	return strconv.FormatInt(int64(b), 10) + "B"
}

func (b *byteSize) bytes() int64 { return int64(*b) }

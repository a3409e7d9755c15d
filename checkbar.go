package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"ocidav/ocifs"
)

const (
	checkFreshness = time.Hour        // a list of tags is asked for once in a check
	checkPatience  = 10 * time.Minute // nobody waits for an answer, so a registry may ask for time
	barEvery       = 30 * time.Second // a line, where there is no terminal
	barWidth       = 20
	barRate        = 10 * time.Second // that the rate is of
)

// bar tells how far a check is: on a terminal in one line that changes, elsewhere in lines now and then.
type bar struct {
	w        io.Writer
	terminal bool
	now      func() time.Time
	told     time.Time
	drawn    bool
	samples  []sample // of the last barRate
}

type sample struct {
	at    time.Time
	bytes int64
}

func newBar(w io.Writer) *bar {
	return &bar{w: w, terminal: isTerminal(w), now: time.Now, told: time.Now()}
}

// isTerminal says whether w is one, as far as that can be known without asking the system for more.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	fi, err := f.Stat()
	return err == nil && fi.Mode()&os.ModeCharDevice != 0
}

// show is called now and then.
func (b *bar) show(p ocifs.CheckProgress) {
	now := b.now()
	b.samples = append(b.samples, sample{now, p.Bytes})
	for len(b.samples) > 2 && now.Sub(b.samples[0].at) > barRate {
		b.samples = b.samples[1:]
	}
	if !b.terminal {
		if now.Sub(b.told) >= barEvery {
			b.told = now
			fmt.Fprintf(b.w, "checked %s\n", b.line(p))
		}
		return
	}
	b.drawn = true
	fmt.Fprintf(b.w, "\r%s\x1b[K", b.line(p))
}

// end takes the bar away.
func (b *bar) end() {
	if b.drawn {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
}

// line is at most 79 characters long, so that it does not wrap.
func (b *bar) line(p ocifs.CheckProgress) string {
	rate := b.rate()
	parts := []string{fmt.Sprintf("%d files", p.Files), fmt.Sprintf("%s of %s", readable(p.Bytes), readable(p.FoundBytes)), readable(rate) + "/s"}
	if !p.Walked {
		parts[1] += " and more"
	} else if left := p.FoundBytes - p.Bytes; rate > 0 && left > 0 {
		parts = append(parts, (time.Duration(left/rate)*time.Second).String()+" left")
	}
	if p.Damage > 0 {
		parts = append(parts, fmt.Sprintf("%d damaged", p.Damage))
	}
	if p.Failure > 0 {
		parts = append(parts, fmt.Sprintf("%d not seen", p.Failure))
	}
	line := strings.Join(parts, ", ")
	if b.terminal && p.FoundBytes > 0 {
		done := max(0, min(barWidth, int(barWidth*float64(p.Bytes)/float64(p.FoundBytes)))) // what others say of sizes can be anything
		line = "[" + strings.Repeat("#", done) + strings.Repeat(".", barWidth-done) + "] " + line
	}
	return line[:min(len(line), 79)]
}

// rate is in bytes a second, of late.
func (b *bar) rate() int64 {
	first, last := b.samples[0], b.samples[len(b.samples)-1]
	seconds := last.at.Sub(first.at).Seconds()
	if seconds <= 0 {
		return 0
	}
	return int64(float64(last.bytes-first.bytes) / seconds)
}

// readable is a size for people.
func readable(n int64) string {
	for i := 3; i >= 0; i-- {
		if unit := sizeUnits[i]; float64(n) >= unit.bytes {
			return fmt.Sprintf("%.1f %s", float64(n)/unit.bytes, unit.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}

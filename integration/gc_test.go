package integration

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// stored says whether the embedded registry has a blob of that content.
func (d *drive) stored(content []byte) bool {
	sum := sha256.Sum256(content)
	name := hex.EncodeToString(sum[:])
	_, err := os.Stat(filepath.Join(d.data, "docker/registry/v2/blobs/sha256", name[:2], name, "data"))
	return err == nil
}

// TestGC kills collections of a stopped drive in the middle, lets one come to its end, and looks whether all files are
// there and all that was overwritten or removed is not.
func TestGC(t *testing.T) {
	t.Parallel()
	d := startDrive(t)
	fillDrive(d)
	var gone [][]byte
	for i := range 60 {
		old := random(20_000 + i)
		gone = append(gone, old)
		d.put(fmt.Sprintf("/docs/file %d", i%20), old)
	}
	for i := range 20 {
		d.put(fmt.Sprintf("/docs/file %d", i), random(1000+i))
	}
	for _, dir := range []string{"/removed", "/removed/below"} {
		d.mkcol(dir)
		content := random(30_000)
		gone = append(gone, content)
		d.put(dir+"/f", content)
	}
	d.do("COPY", "/removed/f", nil, []int{201}, "Destination", d.href("/copy"))
	d.do("DELETE", "/removed", nil, []int{204})
	kept := gone[60]
	gone = append(gone[:60:60], gone[61])
	before := d.tree("/")
	if code, _, errs := runOcidav(t, d.program, nil, "gc", "--data", d.data); code != 1 || !strings.Contains(errs, "running drive") {
		t.Errorf("gc of a running drive: exit %d: %s", code, errs)
	}
	d.stop()
	if code, out, errs := runOcidav(t, d.program, nil, "gc", "--dry-run", "--data", d.data); code != 0 || !strings.HasPrefix(out, "would free ") {
		t.Errorf("dry run: exit %d: %s%s", code, out, errs)
	}
	for _, content := range gone {
		if !d.stored(content) {
			t.Fatal("a dry run has removed something")
		}
	}
	left := len(gone)
	for after := time.Millisecond; after < 2*time.Second && left > 0; after = after * 5 / 4 {
		cmd := exec.Command(d.program, "gc", "--data", d.data)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(after)
		cmd.Process.Kill()
		cmd.Wait()
		n := 0
		for _, content := range gone {
			if d.stored(content) {
				n++
			}
		}
		if n != left {
			t.Logf("killed after %v: %d of %d are left", after, n, len(gone))
			d.start()
			d.wantTree("/", before)
			d.stop()
		}
		left = n
	}
	code, out, errs := runOcidav(t, d.program, nil, "gc", "--data", d.data)
	if code != 0 || !strings.HasPrefix(out, "freed ") {
		t.Errorf("gc: exit %d: %s%s", code, out, errs)
	}
	for _, content := range gone {
		if d.stored(content) {
			t.Error("content that nobody names is left")
			break
		}
	}
	if !d.stored(kept) {
		t.Error("the content of a copy is gone")
	}
	if _, err := os.Stat(filepath.Join(d.data, "docker/registry/v2/repositories/removed")); err == nil {
		t.Error("an empty repository is left")
	}
	d.start()
	d.wantTree("/", before)
	d.want("/copy", kept)
	for _, content := range gone[:5] { // what the drive may remember to be there
		d.put("/again", content)
		d.want("/again", content)
	}
}

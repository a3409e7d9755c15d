package integration

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// checkReport is what the test reads of the report of ocidav check.
type checkReport struct {
	Complete                        bool
	Files, Damage, Litter, Repaired int
	Findings                        []struct{ Kind, Path, Repair string }
}

// TestCheck damages what lies on the disk of a registry, and has it found, repaired as far as that can be, and told from a
// registry that is down.
func TestCheck(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(t *testing.T, b backend) {
		d := b.start(t)
		d.mkcol("/d")
		lost, flipped, whole := random(300_000), random(200_000), random(5_000)
		d.put("/d/lost file.bin", lost)
		d.put("/d/flipped.bin", flipped)
		d.put("/d/link.txt", whole)
		d.put("/empty", nil)
		d.do("COPY", "/d/link.txt", nil, []int{201}, "Destination", d.href("/copy.txt"))
		source, storage := []string{"--data", d.data}, d.data
		if !b.embedded() {
			source, storage = []string{"--registry", b.registry.ref()}, filepath.Join(b.registry.dir, "storage")
		}
		d.stop()
		check := func(code int, args ...string) (r checkReport, said []string) {
			t.Helper()
			args = append(append([]string{"check", "--json", "-", "--cache-dir", d.cache}, source...), args...)
			got, out, errs := runOcidav(t, d.program, nil, args...)
			if err := json.Unmarshal([]byte(out), &r); err != nil || got != code {
				t.Errorf("%q: exit %d, want %d, %v: %s%s", args, got, code, err, out, errs)
			}
			for _, n := range r.Findings {
				said = append(said, n.Kind+" "+n.Path+" "+n.Repair)
			}
			return r, said
		}
		if r, said := check(0); !r.Complete || r.Files != 5 || len(said) > 0 {
			t.Errorf("a drive that is well: %+v", r)
		}
		blob := func(content []byte) string {
			sum := fmt.Sprintf("%x", sha256.Sum256(content))
			return filepath.Join(storage, "docker/registry/v2/blobs/sha256", sum[:2], sum, "data")
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		content, err := os.ReadFile(blob(flipped))
		must(err)
		if !bytes.Equal(content, flipped) {
			t.Fatal("another blob")
		}
		content[100] ^= 1
		must(os.WriteFile(blob(flipped), content, 0o600))
		must(os.Remove(blob(lost)))
		links, err := filepath.Glob(filepath.Join(storage, "docker/registry/v2/repositories", b.root(), "d/_layers/sha256", fmt.Sprintf("%x", sha256.Sum256(whole)), "link"))
		if len(links) != 1 || err != nil {
			t.Fatalf("links %q, %v", links, err)
		}
		must(os.Remove(links[0]))

		damage := map[bool][]string{ // a drive on the registry inside has nothing in its cache
			true:  {"blob-damaged /d/flipped.bin ", "blob-missing /d/link.txt possible", "blob-missing /d/lost file.bin "},
			false: {"blob-damaged /d/flipped.bin possible", "blob-missing /d/link.txt possible", "blob-missing /d/lost file.bin possible"},
		}[b.embedded()]
		r, said := check(1)
		if !r.Complete || r.Damage != 3 || !slices.Equal(said, damage) {
			t.Errorf("found are %q: %+v", said, r)
		}
		if _, said := check(1, "--quick"); len(said) != 2 {
			t.Errorf("quickly found are %q", said)
		}
		r, said = check(1, "--repair")
		repaired := map[bool]int{true: 1, false: 2}[b.embedded()] // docker-registry keeps the damaged file
		if r.Repaired != repaired || r.Damage != 3-repaired {
			t.Errorf("repaired are %q: %+v", said, r)
		}
		if r, said := check(1); r.Damage != 3-repaired || r.Litter > 0 {
			t.Errorf("left are %q: %+v", said, r)
		}
		must(os.WriteFile(blob(flipped), flipped, 0o600))
		must(os.MkdirAll(filepath.Dir(blob(lost)), 0o700))
		must(os.WriteFile(blob(lost), lost, 0o600))
		if r, said := check(0); !r.Complete || len(said) > 0 {
			t.Errorf("after all was put right: %q, %+v", said, r)
		}
		if b.embedded() {
			d.start()
			if code, _, errs := runOcidav(t, d.program, nil, append([]string{"check"}, source...)...); code != 1 {
				t.Errorf("of a running drive: exit %d: %s", code, errs)
			}
			return
		}
		b.registry.kill()
		if code, _, errs := runOcidav(t, d.program, nil, append([]string{"check"}, source...)...); code != 1 || bytes.Contains([]byte(errs), []byte("damage was found")) {
			t.Errorf("of a registry that is down: exit %d: %s", code, errs)
		}
	})
}

// root is the repository of the drive's root.
func (b backend) root() string {
	if b.embedded() {
		return ""
	}
	return testPrefix
}

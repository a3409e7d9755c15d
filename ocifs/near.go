package ocifs

import (
	"bytes"
	"io"

	"github.com/opencontainers/go-digest"
)

// near gives what stands under a tag of a registry that is on this machine, without asking it: a directory of 100,000 files
// that nobody has listed yet costs three small files for each in place of a request. It has no word for what is not there, not
// as it should be, or named by a digest that is not ours to compute: false, and the registry is asked.
func (f *FS) near(ref reference, asked stamp) (i *info, ok bool) {
	if f.localTag == nil || f.local == nil {
		return nil, false
	}
	d := f.localTag(ref.repo, ref.tag)
	if d == "" || d.Algorithm() != digest.Canonical {
		return nil, false
	}
	if t, known, _ := f.tags.get(ref); known && t.digest == d {
		if a, ok := f.artifacts.get(artifactKey{d, ref.tag}); ok {
			f.tags.learn(ref, t, asked, 1)
			return a.in(ref.repo), true
		}
	}
	data, ok := f.nearManifest(d)
	if !ok {
		return nil, false
	}
	f.tags.learn(ref, tagged{d, int64(len(data))}, asked, 1)
	return f.decode(ref.repo, ref.tag, d, data), true
}

// nearManifest gives the verified manifest d.
func (f *FS) nearManifest(d digest.Digest) ([]byte, bool) {
	file, err := f.local(d)
	if err != nil || file == nil {
		return nil, false
	}
	defer file.Close()
	data := bytes.NewBuffer(make([]byte, 0, 2*artifactBytes))
	if _, err := data.ReadFrom(io.LimitReader(file, maxManifestBytes+1)); err != nil || data.Len() > maxManifestBytes {
		return nil, false
	}
	return data.Bytes(), sumOf(data.Bytes()) == d
}

package ocifs

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
)

// A bundle is what is known of one directory in one stream: its tags, and the manifest that stands under each. A
// manifest proves itself by its digest, so a bundle can only be out of date, not wrong: it says that a tag once stood
// for a manifest, and when the registry last said so.
//
//	bundle  = gzip(magic, text directory, *member, end)
//	member  = text tag, varint asked, text manifest      asked: Unix time in seconds, 0 for unknown
//	end     = text "", uvarint number of members
//	text    = uvarint length, bytes
//
// What is cut short or damaged is an error, not a shorter bundle: gzip has a checksum, and the end has a count.
const bundleMagic = "ocidav bundle 1\n"

// maxBundleBytes is where a bundle ends that is not packed: a million members. What says more in few bytes is no bundle.
const maxBundleBytes = 1 << 30

// bundled is one member of a bundle.
type bundled struct {
	tag      string
	asked    time.Time // when the registry last said so; zero: unknown
	manifest []byte
}

// writeBundle writes a bundle of repo.
func writeBundle(w io.Writer, repo string, members iter.Seq[bundled]) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	buf := append([]byte(bundleMagic), appendText(nil, repo)...)
	n := uint64(0)
	for m := range members {
		asked := int64(0)
		if !m.asked.IsZero() {
			asked = m.asked.Unix()
		}
		buf = appendText(buf, m.tag)
		buf = binary.AppendVarint(buf, asked)
		buf = appendText(buf, m.manifest)
		if len(buf) > 32<<10 {
			if _, err := z.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
		n++
	}
	buf = appendText(buf, "")
	if _, err := z.Write(binary.AppendUvarint(buf, n)); err != nil {
		return err
	}
	return z.Close()
}

func appendText[T ~string | ~[]byte](b []byte, text T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// errBundle: it is none, or damaged, or of another repository.
var errBundle = errors.New("no bundle of this repository, or a damaged one")

// readBundle gives the members of a bundle of repo to each, whose error ends it. Members that were given before an error
// are good all the same. The manifest is each's own.
func readBundle(r io.Reader, repo string, each func(bundled) error) error {
	z, err := gzip.NewReader(r)
	if err != nil {
		return fmt.Errorf("%w: %w", errBundle, err)
	}
	in := bundleReader{bufio.NewReaderSize(io.LimitReader(z, maxBundleBytes), 64<<10)}
	magic := make([]byte, len(bundleMagic))
	if _, err := io.ReadFull(in, magic); err != nil || string(magic) != bundleMagic {
		return errBundle
	}
	if of, err := in.text(maxRepositoryBytes + maxTagBytes); err != nil || string(of) != repo {
		return errBundle
	}
	for n := uint64(0); ; n++ {
		tag, err := in.text(maxTagBytes)
		if err != nil {
			return err
		}
		if len(tag) == 0 {
			return in.end(n)
		}
		asked, err := binary.ReadVarint(in)
		if err != nil {
			return fmt.Errorf("%w: %w", errBundle, err)
		}
		m := bundled{tag: string(tag)}
		if asked != 0 {
			m.asked = time.Unix(asked, 0)
		}
		if m.manifest, err = in.text(maxManifestBytes); err != nil {
			return err
		}
		if err := each(m); err != nil {
			return err
		}
	}
}

type bundleReader struct{ *bufio.Reader }

func (r bundleReader) text(limit uint64) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBundle, err)
	}
	if n > limit {
		return nil, errBundle
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, fmt.Errorf("%w: %w", errBundle, err)
	}
	return text, nil
}

// end checks that the bundle had n members and ends here; with it gzip's checksum is read.
func (r bundleReader) end(n uint64) error {
	if want, err := binary.ReadUvarint(r); err != nil || want != n {
		return errBundle
	}
	if _, err := r.ReadByte(); err != io.EOF {
		return errBundle
	}
	return nil
}

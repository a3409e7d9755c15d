package foreign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// isImage says whether a container can be made of it: signatures and attestations have the config of an image
// too, and other layers.
func (d document) isImage() bool {
	c := d.Config
	switch {
	case c == nil || d.ArtifactType != "":
		return false
	case c.MediaType == ocispec.MediaTypeImageConfig || c.MediaType == typeDockerConfig:
	case c.MediaType == typeBytes && d.MediaType == typeDockerManifest: // Docker before 1.10
	default:
		return false
	}
	for _, l := range d.Layers {
		if !strings.HasPrefix(l.MediaType, "application/vnd.oci.image.layer.") &&
			!strings.HasPrefix(l.MediaType, "application/vnd.docker.image.rootfs.") {
			return false
		}
	}
	return true
}

// date sets the time that the config of an image gives.
func (a *artifact) date(ctx context.Context, e *Entry) error {
	c, err := a.lookInto(ctx)
	e.ModTime = parseTime(c.Created)
	return err
}

// maxConfigBytes is the longest config that is looked into.
const maxConfigBytes = 4 << 20

// A config is what is wanted to be known of one, of an image or of a chart.
type config struct {
	Created string `json:"created"`
	Name    string `json:"name"`
	Version string `json:"version"`
}

// lookInto reads the config, and keeps what is wanted of it. One that is too long, cannot be understood, or is not in the
// registry says nothing.
func (a *artifact) lookInto(ctx context.Context) (config, error) {
	if c := a.config.Load(); c != nil {
		return *c, nil
	}
	var c config
	if d := a.doc.Config; d != nil && d.valid() && d.Size <= maxConfigBytes {
		data, err := readBlob(ctx, a.src, d.blob())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return config{}, fmt.Errorf("read config %s of %s: %w", d.Digest, a.tag, err)
		}
		_ = json.Unmarshal(data, &c) // what it has understood before an error is good
	}
	a.config.Store(&c)
	return c, nil
}

// readBlob reads all of a short blob, and believes only its digest.
func readBlob(ctx context.Context, src Source, desc ocispec.Descriptor) ([]byte, error) {
	c, err := src.Blob(ctx, desc)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	data := make([]byte, desc.Size)
	if _, err := io.ReadFull(c, data); err != nil {
		return nil, endsEarly(err)
	}
	if desc.Digest.Algorithm().FromBytes(data) != desc.Digest {
		return nil, errors.New("it has another digest")
	}
	return data, nil
}

// endsEarly says that content which ends before its descriptor says is damaged, and not at its end.
func endsEarly(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it is shorter than its descriptor says")
	}
	return err
}

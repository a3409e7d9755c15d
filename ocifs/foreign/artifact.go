package foreign

import (
	"context"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Names of what is shown beside the layers.
const (
	nameManifest     = "manifest.json"
	nameConfig       = "config.json"
	nameArchive      = "image.tar"
	nameReferrers    = ".referrers"
	nameAttestations = ".attestations"
)

// An artifact is one manifest or index, to be shown as a folder.
type artifact struct {
	src  Source
	tag  string
	desc ocispec.Descriptor // with the size that the manifest has, and a digest
	doc  document

	image bool // a container can be made of it
	depth int  // how many indexes it lies in
	refer bool // it is a referrer, or lies in one: who refers to it is not shown

	config atomic.Pointer[config] // what has been found in it
}

func newArtifact(src Source, tag string, desc ocispec.Descriptor, manifest []byte) *artifact {
	desc.Size = int64(len(manifest))
	if desc.Digest.Validate() != nil {
		desc.Digest = digest.FromBytes(manifest)
	}
	doc := parse(manifest)
	return &artifact{src: src, tag: tag, desc: desc, doc: doc, image: doc.isImage()}
}

// folder makes the folder. It asks for nothing but a chart's config.
func (a *artifact) folder(ctx context.Context) (*folder, error) {
	named := func(descriptor) string { return "" }
	var sure []item
	if !a.refer {
		sure = append(sure, a.referrersItem())
	}
	switch {
	case a.doc.isIndex() && a.depth < maxDepth:
		return place(append(sure, a.manifestItem(), a.archiveItem()), a.children(), a.item()), nil
	case a.image:
		sure = append(sure, a.manifestItem(), a.archiveItem())
		if a.doc.Config.valid() {
			sure = append(sure, a.configItem())
		}
		layers, _ := a.layers(named)
		return place(sure, layers, a.item()), nil
	}
	if a.isChart() {
		chart, err := a.chart(ctx)
		if err != nil {
			return nil, err
		}
		named = chart.file
	}
	layers, whole := a.layers(named)
	if !whole {
		sure = append(sure, a.manifestItem())
		if c := a.doc.Config; c != nil && c.valid() && !c.isEmpty() {
			sure = append(sure, a.configItem())
		}
	}
	return place(sure, layers, a.item()), nil
}

// item is what all members have in common: the artifact's time, for which an image may have to be looked into.
func (a *artifact) item() item {
	i := item{Entry: Entry{ModTime: createdIn(a.doc.Annotations)}}
	if i.ModTime.Equal(epoch) && a.image {
		i.ask = a.date
	}
	return i
}

func (a *artifact) manifestItem() item {
	i := a.item()
	i.Name, i.Size, i.MediaType, i.Digest, i.manifest = nameManifest, a.desc.Size, a.mediaType(), a.desc.Digest, &a.desc
	return i
}

// mediaType is the type of the manifest itself.
func (a *artifact) mediaType() string {
	switch {
	case a.doc.MediaType != "":
		return safeType(a.doc.MediaType)
	case a.desc.MediaType != "":
		return safeType(a.desc.MediaType)
	case a.doc.isIndex():
		return ocispec.MediaTypeImageIndex
	}
	return ocispec.MediaTypeImageManifest
}

func (a *artifact) configItem() item {
	i := a.item()
	i.Name = nameConfig
	i.holds(*a.doc.Config, safeType(a.doc.Config.MediaType))
	return i
}

// holds makes i the file that the blob d is.
func (i *item) holds(d descriptor, mediaType string) {
	i.Size, i.MediaType, i.Digest, i.Blob = d.Size, mediaType, d.Digest, d.blob()
	if t := createdIn(d.Annotations); !t.Equal(epoch) {
		i.ModTime, i.ask = t, nil
	}
}

// below gives the folder of a manifest that a names or that refers to it.
func (a *artifact) below(d descriptor, refer bool) func(context.Context) (*folder, error) {
	return func(ctx context.Context) (*folder, error) {
		data, err := a.src.Manifest(ctx, d.blob())
		if err != nil {
			return nil, failed(err, "read manifest %s of %s", d.Digest, a.tag)
		}
		b := newArtifact(a.src, a.tag, d.blob(), data)
		b.depth, b.refer = a.depth+1, a.refer || refer
		return b.folder(ctx)
	}
}

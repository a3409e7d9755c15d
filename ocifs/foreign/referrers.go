package foreign

import (
	"context"
	"slices"
	"strings"
)

// referrersItem is the directory of what refers to the artifact, if anything does: signatures, SBOMs and attestations, each
// a directory.
func (a *artifact) referrersItem() item {
	i := item{Entry: Entry{Name: nameReferrers, Dir: true, ModTime: createdIn(a.doc.Annotations)}}
	i.ask = func(ctx context.Context, _ *Entry) error {
		_, err := a.referrers(ctx)
		return err
	}
	i.enter = func(ctx context.Context) (*folder, error) {
		all, err := a.referrers(ctx)
		if err != nil {
			return nil, err
		}
		var wanted []placed
		for _, d := range all {
			i := item{Entry: Entry{Dir: true, ModTime: createdIn(d.Annotations)}, enter: a.below(d, true)}
			wanted = append(wanted, placed{[]string{d.kindName()}, i})
		}
		return place(nil, wanted, item{}), nil
	}
	return i
}

// referrers asks who refers to the artifact; errNone if nobody does. They are sorted by digest, so that their names do
// not depend on the order in which a registry lists them.
func (a *artifact) referrers(ctx context.Context) ([]descriptor, error) {
	listed, err := a.src.Referrers(ctx, a.desc)
	if err != nil {
		return nil, failed(err, "list referrers of %s in %s", a.desc.Digest, a.tag)
	}
	var all []descriptor
	for _, r := range listed {
		d := descriptor{MediaType: r.MediaType, ArtifactType: r.ArtifactType, Digest: r.Digest, Size: r.Size, Annotations: r.Annotations}
		if d.isManifest() {
			all = append(all, d)
		}
	}
	if len(all) == 0 {
		return nil, errNone
	}
	slices.SortFunc(all, func(a, b descriptor) int { return strings.Compare(string(a.Digest), string(b.Digest)) })
	return slices.CompactFunc(all, func(a, b descriptor) bool { return a.Digest == b.Digest }), nil
}

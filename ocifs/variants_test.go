package ocifs_test

import (
	"net/http"
	"testing"
	"time"

	"ocidav/davfs"
	"ocidav/davfs/treetest"
	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// TestTreeOnRegistries runs the suite over registries that differ as real ones do.
func TestTreeOnRegistries(t *testing.T) {
	ask := func(o *ocifs.Options) { o.Freshness = 0 }
	flat := func(o *ocifs.Options) { o.Layout = ocifs.LayoutFlat }
	flatAsk := func(o *ocifs.Options) { o.Layout, o.Freshness, o.Prefix = ocifs.LayoutFlat, 0, "team/files" }
	for name, c := range map[string]struct {
		defects registrytest.Defects
		change  func(*ocifs.Options)
	}{
		"Plain": {},
		"Prefix": {change: func(o *ocifs.Options) {
			o.Prefix, o.PartSize, o.Parallel = "team/files", 300_000, 2
		}},
		"Distribution28": {change: ask, defects: registrytest.Defects{
			NoTagDelete: http.StatusBadRequest, TagsNull: true, IgnorePaging: true,
		}},
		"TagDeleteUnknown": {change: ask, defects: registrytest.Defects{TagDeleteUnknown: true}},
		"NoDelete":         {change: ask, defects: registrytest.Defects{NoDelete: true}},
		"DeleteByTagRemovesManifest": {change: ask, defects: registrytest.Defects{
			DeleteByTagRemovesManifest: true, MissingBlobIsInvalid: true, PageSize: 3,
		}},
		"KnownTypesOnly": {defects: registrytest.Defects{KnownTypesOnly: true, MountDenied: http.StatusUnauthorized}},
		"NoMount":        {defects: registrytest.Defects{NoMount: true, NoRange: true, Latency: time.Millisecond}},
		"EmptyAndDigest": {change: ask, defects: registrytest.Defects{
			RefuseEmptyBlob: http.StatusBadRequest, OmitDigestHeader: true, AcceptMissingBlobs: true,
		}},
		"Flat": {change: flat},
		"FlatDistribution28": {change: flatAsk, defects: registrytest.Defects{
			NoTagDelete: http.StatusBadRequest, TagsNull: true, IgnorePaging: true,
		}},
		"FlatNoDelete": {change: flatAsk, defects: registrytest.Defects{NoDelete: true, PageSize: 3}},
		"FlatKnownTypesOnly": {change: flat, defects: registrytest.Defects{
			KnownTypesOnly: true, DeleteByTagRemovesManifest: true, MissingBlobIsInvalid: true, PageSize: 2,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newTree := func(t *testing.T) davfs.Tree { return newFake(t, c.defects, c.change).tree() }
			treetest.Run(t, newTree, treetest.Options{Short: true, Parallel: true})
		})
	}
}

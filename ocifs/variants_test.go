package ocifs_test

import (
	"net/http"
	"reflect"
	"testing"
	"time"

	"ocidav/davfs"
	"ocidav/davfs/treetest"
	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// variants are registries that differ as real ones do, each in one way, and then some that differ in several.
var variants = map[string]struct {
	defects registrytest.Defects
	change  func(*ocifs.Options)
}{
	"Plain": {},
	"Prefix": {change: func(o *ocifs.Options) {
		o.Prefix, o.PartSize, o.Parallel = "team/files", 300_000, 2
	}},
	"NoTagDelete":                {defects: registrytest.Defects{NoTagDelete: http.StatusBadRequest}},
	"NoDelete":                   {defects: registrytest.Defects{NoDelete: true}, change: ask},
	"KeepTagged":                 {defects: registrytest.Defects{KeepTagged: http.StatusBadRequest}},
	"TagDeleteUnknown":           {defects: registrytest.Defects{TagDeleteUnknown: true}, change: ask},
	"DeleteByTagRemovesManifest": {defects: registrytest.Defects{DeleteByTagRemovesManifest: true}, change: ask},
	"NoRange":                    {defects: registrytest.Defects{NoRange: true}},
	"IgnorePaging":               {defects: registrytest.Defects{IgnorePaging: true}, change: ask},
	"PageSize":                   {defects: registrytest.Defects{PageSize: 3}, change: ask},
	"TagsNull":                   {defects: registrytest.Defects{TagsNull: true}, change: ask},
	"TagOrder":                   {defects: registrytest.Defects{TagOrder: registrytest.OrderFolded}},
	"LastUnknown":                {defects: registrytest.Defects{LastUnknown: registrytest.LastNothing}},
	"NoCatalog":                  {defects: registrytest.Defects{NoCatalog: true}},
	"NoMount":                    {defects: registrytest.Defects{NoMount: true}},
	"MountDenied":                {defects: registrytest.Defects{MountDenied: http.StatusUnauthorized}},
	"PatchRefused":               {defects: registrytest.Defects{PatchRefused: http.StatusRequestedRangeNotSatisfiable}},
	"PatchCreated":               {defects: registrytest.Defects{PatchCreated: true}},
	"PatchShort":                 {defects: registrytest.Defects{PatchShort: true}},
	"PatchDrops":                 {defects: registrytest.Defects{PatchDrops: true}},
	"KnownTypesOnly":             {defects: registrytest.Defects{KnownTypesOnly: true}},
	"UnknownType":                {defects: registrytest.Defects{KnownTypesOnly: true, UnknownType: http.StatusUnsupportedMediaType}},
	"RefuseEmptyBlob":            {defects: registrytest.Defects{RefuseEmptyBlob: http.StatusBadRequest}},
	"AcceptMissingBlobs":         {defects: registrytest.Defects{AcceptMissingBlobs: true}},
	"MissingBlobIsInvalid":       {defects: registrytest.Defects{MissingBlobIsInvalid: true}},
	"PlainNames":                 {defects: registrytest.Defects{PlainNames: true}},
	"OmitDigestHeader":           {defects: registrytest.Defects{OmitDigestHeader: true}, change: ask},
	"Rate":                       {defects: registrytest.Defects{Rate: 300}},
	"Latency":                    {defects: registrytest.Defects{Latency: time.Millisecond}},

	"Distribution28": {change: ask, defects: registrytest.Defects{
		NoTagDelete: http.StatusBadRequest, TagsNull: true, IgnorePaging: true,
	}},
	"GHCR": {change: preset("ghcr.io"), defects: registrytest.Defects{
		NoTagDelete: http.StatusMethodNotAllowed, NoDelete: true, PageSize: 100, NoCatalog: true, PatchDrops: true,
	}},
	"ECR": {change: preset("1.dkr.ecr.eu-west-1.amazonaws.com"), defects: registrytest.Defects{
		TagDeleteUnknown: true, NoMount: true, PatchCreated: true, OmitDigestHeader: true, PlainNames: true, NoCatalog: true,
	}},
	"Google": {change: preset("europe-docker.pkg.dev"), defects: registrytest.Defects{
		KeepTagged: http.StatusBadRequest, RefuseEmptyBlob: http.StatusBadRequest, PatchRefused: http.StatusMethodNotAllowed, NoCatalog: true,
	}},
	"GitLab": {change: preset("registry.gitlab.com"), defects: registrytest.Defects{
		KnownTypesOnly: true, MountDenied: http.StatusUnauthorized, PlainNames: true, NoCatalog: true,
	}},
	"Quay": {change: preset("quay.io"), defects: registrytest.Defects{
		PageSize: 100, RefuseEmptyBlob: http.StatusInternalServerError, NoRange: true, NoCatalog: true,
	}},
	"Harbor": {change: func(o *ocifs.Options) { o.Profile, _ = ocifs.ParseProfile("harbor", "") }, defects: registrytest.Defects{
		NoTagDelete: http.StatusMethodNotAllowed, MountDenied: http.StatusMethodNotAllowed,
	}},
	"Flat": {change: func(o *ocifs.Options) { o.Layout = ocifs.LayoutFlat }},
	"FlatDistribution28": {change: flatAsk, defects: registrytest.Defects{
		NoTagDelete: http.StatusBadRequest, TagsNull: true, IgnorePaging: true,
	}},
	"FlatNoDelete": {change: flatAsk, defects: registrytest.Defects{NoDelete: true, PageSize: 3}},
	"FlatGitLab": {change: func(o *ocifs.Options) { o.Layout, o.Profile = ocifs.LayoutFlat, ocifs.PresetOf("registry.gitlab.com") },
		defects: registrytest.Defects{KnownTypesOnly: true, MountDenied: http.StatusUnauthorized, PlainNames: true, NoCatalog: true, Depth: 2}},
	"SoleWriter": {change: sole, defects: registrytest.Defects{
		NoTagDelete: http.StatusBadRequest, TagsNull: true, IgnorePaging: true,
	}},
	"FlatSoleWriter": {change: func(o *ocifs.Options) { sole(o); o.Layout = ocifs.LayoutFlat }},
	"WrongProfile": {change: func(o *ocifs.Options) {
		o.Profile, _ = ocifs.ParseProfile("none,delete=digest,upload=stream,page=2", "")
	},
		defects: registrytest.Defects{NoDelete: true, KnownTypesOnly: true, UnknownType: http.StatusNotAcceptable, PatchDrops: true, IgnorePaging: true}},
}

func ask(o *ocifs.Options) { o.Freshness = 0 }

func flatAsk(o *ocifs.Options) { o.Layout, o.Freshness, o.Prefix = ocifs.LayoutFlat, 0, "team/files" }

func preset(host string) func(*ocifs.Options) {
	return func(o *ocifs.Options) { o.Profile = ocifs.PresetOf(host) }
}

// TestTreeOnRegistries runs the suite over all of them.
func TestTreeOnRegistries(t *testing.T) {
	for name, c := range variants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newTree := func(t *testing.T) davfs.Tree { return newFake(t, c.defects, c.change).tree() }
			treetest.Run(t, newTree, treetest.Options{Short: true, Parallel: true})
		})
	}
}

// TestAllDefects: every defect that a tree can live with has a variant of its own.
func TestAllDefects(t *testing.T) {
	elsewhere := map[string]string{
		"Depth": "TestDepth", "NoCreate": "TestRepositoryHasToExist", "UploadElsewhere": "TestUploadElsewhere",
		"UnknownType": "it is a part of KnownTypesOnly",
		"PageRefused": "TestTagPages", "PageCut": "TestTagPages and TestEachPage", // only of long lists
	}
	alone := map[string]bool{}
	for _, c := range variants {
		fields, last := 0, ""
		for i, v := 0, reflect.ValueOf(c.defects); i < v.NumField(); i++ {
			if !v.Field(i).IsZero() {
				fields, last = fields+1, v.Type().Field(i).Name
			}
		}
		if fields == 1 {
			alone[last] = true
		}
	}
	for i, defects := 0, reflect.TypeFor[registrytest.Defects](); i < defects.NumField(); i++ {
		if name := defects.Field(i).Name; !alone[name] && elsewhere[name] == "" {
			t.Errorf("no variant has %s alone", name)
		}
	}
}

package registrytest

import "time"

// Defects are the ways in which real registries differ from distribution 3, which the zero value behaves like. Those
// that hold a status refuse with it and are off at zero.
type Defects struct {
	// NoTagDelete refuses DELETE by tag, with 400 as distribution 2.8, or with 405 as GHCR and Docker Hub. DELETE by
	// digest goes on working. The specification allows both.
	NoTagDelete int

	// NoDelete refuses every DELETE of a manifest or blob with 405, as a distribution without storage.delete.enabled
	// and as GHCR.
	NoDelete bool

	// KeepTagged refuses DELETE by digest while a tag has it: 400 from Google Artifact Registry, 403 from Docker Hub.
	KeepTagged int

	// TagDeleteUnknown answers DELETE by tag with 404 MANIFEST_UNKNOWN and leaves the tag: ECR before 2024.
	TagDeleteUnknown bool

	// DeleteByTagRemovesManifest takes DELETE by tag for DELETE of the digest that the tag has, and with it of all other
	// tags that have it: artifact-keeper, the command line of Azure, Harbor by its own API.
	DeleteByTagRemovesManifest bool

	// NoRange ignores Range and answers 200 with the whole blob: Gitea before 1.24, Quay's direct streams, Artifactory.
	NoRange bool

	// IgnorePaging answers tags/list with all tags, whatever n and last say: distribution 2.8.
	IgnorePaging bool

	// PageSize bounds a page of tags/list, with a Link to the next, whatever n says: Quay (100), GHCR, ECR.
	PageSize int

	// PageRefused refuses a page of tags/list of more than so many names with 400.
	PageRefused int

	// PageCut cuts a page of so many names and more to so many, and then leaves the Link out.
	PageCut int

	// TagOrder sorts tags/list otherwise than by bytes, which the specification wants; one of the Order constants.
	TagOrder string

	// LastUnknown is what tags/list makes of a last that is no tag, one of the Last constants. The specification has it
	// begin where the tag would be.
	LastUnknown string

	// TagsNull answers tags/list of a repository without tags with null for the list: distribution 2.8.
	TagsNull bool

	// NoCatalog answers 404 to _catalog, which is no part of the specification: olareg, and most hosted registries.
	NoCatalog bool

	// NoMount answers a mount with an upload session (202): Artifactory, ECR unless it is switched on.
	NoMount bool

	// MountDenied refuses a mount: 401 from Harbor if the other project is unknown, 403, 404 and 405 elsewhere.
	MountDenied int

	// PatchRefused refuses PATCH of an upload: 416 from GHCR for more than 4 MiB, 405 elsewhere.
	PatchRefused int

	// PatchCreated answers PATCH with 201 and drops what it sent: ECR.
	PatchCreated bool

	// PatchShort keeps a half of what PATCH sends, and says so.
	PatchShort bool

	// PatchDrops keeps a half of what PATCH sends, and does not say so, so that the end of the upload fails: GHCR.
	PatchDrops bool

	// UploadElsewhere sends uploads to another host: a registry behind a proxy that does not know its own address.
	UploadElsewhere bool

	// KnownTypesOnly refuses manifests whose artifactType or config type is not in a short list, with 400
	// MANIFEST_INVALID: GitLab.
	KnownTypesOnly bool

	// UnknownType is the status of that, where it is another: 415, or 406 from Artifactory.
	UnknownType int

	// RefuseEmptyBlob refuses blobs of no bytes: 400 from Google Artifact Registry, 500 from Quay.
	RefuseEmptyBlob int

	// AcceptMissingBlobs takes manifests whose blobs are not in the repository, which others refuse with 400
	// MANIFEST_BLOB_UNKNOWN. The specification leaves it to the registry.
	AcceptMissingBlobs bool

	// MissingBlobIsInvalid refuses them with the code MANIFEST_INVALID instead: zot.
	MissingBlobIsInvalid bool

	// PlainNames refuses names of repositories with separators of more than one character, which the specification
	// allows: ECR, Docker Hub, Gitea, GitLab.
	PlainNames bool

	// Depth refuses, with 403 DENIED, pushes to repositories whose names have more components: Docker Hub (2), GitLab.
	Depth int

	// NoCreate refuses pushes to repositories that Make has not made, with 404 NAME_UNKNOWN: ECR, and Harbor and GitLab
	// for projects.
	NoCreate bool

	// Rate is how many requests are taken in each second. The rest are answered 429 with Retry-After, which is to the
	// next one: every hosted registry.
	Rate int

	// OmitDigestHeader leaves Docker-Content-Digest out of all answers: ECR and older ones.
	OmitDigestHeader bool

	// Latency is how long every request waits before anything happens.
	Latency time.Duration
}

// knownTypes is the list of KnownTypesOnly: what of GitLab's matters here.
var knownTypes = map[string]bool{
	"application/vnd.oci.image.config.v1+json":       true,
	"application/vnd.oci.empty.v1+json":              true,
	"application/vnd.unknown.config.v1+json":         true,
	"application/vnd.unknown.artifact.v1":            true,
	"application/vnd.docker.container.image.v1+json": true,
	"application/vnd.cncf.helm.config.v1+json":       true,
}

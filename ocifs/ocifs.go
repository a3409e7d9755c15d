// Package ocifs keeps a tree of directories and files in an OCI registry. A directory is a repository, a file is a tag
// in it (in the layout path, see below), and the content is the layers of the manifest under the tag, so that
//
//	oras pull HOST/PREFIX/a/b:report.pdf
//
// gives the file /a/b/report.pdf of the drive HOST/PREFIX. Nothing but the registry holds state that matters. [FS] is
// the tree; its methods are those of davfs.Tree, which this package does not import.
//
// # Invariants
//
//   - A failure is never an absence. A name is absent if the registry says so in its own words (a 404 with an error
//     body); every other trouble is an [Error] with a class. errors.go, remote.go
//   - Nothing is visible before it is whole: blobs, then the manifest, then nothing more. The manifest is pushed by its
//     tag in one request, and that request is the change. push.go
//   - No error after a successful commit: what is tidied up afterwards may fail in silence. put.go
//   - Names are asked, digests are kept. What the registry says about a name is good for Options.Freshness; what is
//     named by its digest is good for ever. answers.go
//   - What was described is what is read: a FileInfo carries its manifest, and Open goes by it. What the registry has on
//     this machine (Options.Local) is read where it lies. info.go, read.go
//   - One mutation, one tag: a registry has no compare-and-swap, so nothing that two writers share is read, modified and
//     written back. Within a process names are locked; between processes the last one wins, whole. locks.go
//   - Every wait ends with its context, and memory is bounded by constants and options, never by a size of the tree;
//     only a listing needs memory for its own members. fs.go, hands.go, recent.go, spool.go
//
// # Names
//
// The prefix is the repository of the root, or x.root where there is none. Names are compared in Unicode NFC; the first
// spelling is kept in the manifest and shown.
//
// A file's tag is its name, if that is a tag by the specification and neither begins with "_." or "_X." (X a letter)
// nor looks like a digest (sha256-HEX, the referrers tags of older registries). Any other name is escaped: "_." and then
// [A-Za-z0-9.-] as they are, every other byte as _hh. What is then longer than 128 characters is "_h." and the SHA-256
// of the name in lower-case base32; the name itself is in the manifest.
//
// A directory's path component is its name, if that has at most 128 characters, is a component by the strictest
// registries ([a-z0-9]+ joined by single . _ -), does not begin with "x." and is none of the words in registries' own
// routes (blobs, manifests, tags, uploads, referrers, index.json, oci-layout). Any other is x.SLUG.HASH: a readable slug
// of at most 32 characters, left out with its dot if nothing is left of the name, and the first 10 characters of the
// SHA-256 of the name in lower-case base32. A repository name with the registry's host has 255 characters at most;
// what does not fit is refused.
//
// A directory exists because of its marker, the tag "_d." and the escaped name in its parent's repository ("_e." and the
// hash if that is too long). Tags "_X." with any other letter are reserved and not shown, and so are components "x."
// that are no hashes. names.go, layout.go
//
// # The flat layout
//
// Some registries have no or few levels of repositories. There (Options.Layout) the whole tree is in the root's repository,
// and a directory is what the tags of its members begin with, its key: "_f.", the first 24 hexadecimal digits of the SHA-256
// of its path (absolute, NFC), and ".". The root's key is empty. What follows the key is the member's tag as above, escaped or
// hashed where it does not fit in 128 characters with the key; only markers are "_b." and "_c." here, so that a directory of
// one layout is none in the other. So
//
//	report.pdf                                the file /report.pdf
//	_b.reports                                the directory /reports
//	_f.e713e3a1461f4729dcea1513.summary.pdf   the file /reports/2026/summary.pdf
//
// A key is made of the path and not an identity that a marker holds, though that would make the MOVE of a directory one tag: who
// has a path can ask for all that is above it at once, what two servers make of one name is one directory, and all that is
// said below of markers, orphans and clearings is the same for both layouts. flat.go
//
// In a list in the order of bytes the tags of a directory are one after the other, behind the key. A short list is asked for
// whole and answers for all directories; a directory of a long one is asked for alone, where the registry has been seen to list
// in that order and to take any tag for "last"; what gives reason to doubt that is not believed, and all is listed. scan.go
//
// The layout is recorded in the root as the tag "_l.path" or "_l.flat" (artifact type application/vnd.ocidav.layout.v1) by
// the first server that may write there. Settle reads it, and so that of two layouts one at most is ever written, each server
// puts its own record before it looks for the other's; this holds for registries that show a tag to everybody once it is
// acknowledged. Records are never taken back. Without a record, or with both, the markers say what the layout is. settle.go
//
// # Artifacts
//
// All that is written is an OCI image manifest with the empty config "{}":
//
//	artifactType   application/vnd.ocidav.file.v1, …directory.v1 (a marker) or …tombstone.v1 (reads as absent)
//	config         the empty descriptor, or the dead properties (application/vnd.ocidav.properties.v1+json, 64 KiB at
//	               most): a sorted list of {space, name, lang, xml}
//	layers         the content as application/octet-stream with its name as org.opencontainers.image.title. Content
//	               longer than Options.PartSize is several layers in order, titled NAME.part0001 and so on. Nothing to
//	               hold is the empty descriptor without a title, since some registries refuse blobs of no bytes
//	annotations    org.opencontainers.image.created = modification time (RFC 3339, nanoseconds), vnd.ocidav.birthtime,
//	               vnd.ocidav.name, vnd.ocidav.content-type, vnd.ocidav.size = 0 for an empty file,
//	               vnd.ocidav.digest = digest of the whole content if it has several layers,
//	               vnd.ocidav.checksums = further digests of it that a client wants to see again (SHA1:HEX MD5:HEX),
//	               vnd.ocidav.write-id = random, so that no two writes share a manifest while blobs are shared
//
// A registry that only takes listed types (GitLab) gets the compatible form: no artifactType, the config type
// application/vnd.unknown.config.v1+json, and the own type in the annotation vnd.ocidav.type. It is tried when the first
// form is refused, or a [Profile] says so. Both are read everywhere, and any later version reads what an earlier one wrote (testdata holds one
// of each).
//
// Others' artifacts: a tag whose single layer's title is the name that the tag spells is shown as a file, and written
// to as one. All else is an exhibit, a directory that can be read and as a whole removed, which takes the tag away and
// nothing else; what is in it, package foreign says. A name whose tag is somebody's artifact cannot be taken, and a
// directory that holds one can be removed, which leaves the artifact, but not moved. Files of an exhibit that are one blob are
// read and copied as all others. exhibit.go, exhibitinfo.go. What refers to a manifest by its
// digest (the tag sha256-HEX, or with .sig and the like) is about a version of a file and no hindrance: a move makes new
// manifests, and leaves it with the old one. artifact.go
//
// With Options.Discover a repository without a marker is a directory too, a bare one, while somebody's artifact stands in it
// or in one below: found in the registry's list of repositories, which is asked for within the root's range, at most every half
// minute and behind an answer if it is but a little too old, or where there is none by its name alone. Of what is ours nothing is shown there: it is what a removed
// directory has left. Whoever writes there has the markers put first, as Mkdir would, but not in the root of another drive,
// whose files are no orphans. A bare directory itself is not removed, copied or moved, nor is a directory with one below it moved,
// and no file takes its name. A Put, which does not wait for the list of repositories, knows that of those that were seen.
// catalog.go, alive.go, bare.go
//
// # Directories
//
// A name is reachable only through the markers of all its ancestors. RemoveAll takes the marker away, and all is gone;
// the members' tags follow behind the answer, from the bottom up and in parallel, and Close gives them time at the end. What
// a crash leaves is an orphan that nobody sees. Mkdir and Copy clear the place where a directory is about to be, before
// its marker is put: an orphan does not come back to life, nor one below it, whose own directory is cleared in its turn.
// They wait for a clearing that is under way there (one that has not begun they do themselves), and a clearing asks for
// the marker before each few tags, since another server may have made the directory again: a window of one round of
// requests is left, because a registry removes a tag whatever it points to. What nobody waits for leaves the registry to
// users while there are any, and is never fast: distribution goes through all tags of a repository for each manifest that is
// deleted. clearing.go, giveway.go
//
// Copy and Rename bring all members to the new place before they put its marker, and Rename then takes the old marker
// away. So a directory is there with all its members or not there, at every moment and after every crash. Nobody sees
// the members before, so they come in any order, all of a tree in parallel whatever directories they lie in; what a Copy
// has brought that fails is cleared behind. A marker outranks a file of the same name, which lets one take the other's
// place in one step. copytree.go
//
// Where a directory takes another directory's place both live in one repository: its members come one by one, then the
// marker, and then goes what was there besides. What ends that in the middle leaves members of both, each whole, the
// source as it was, and nothing gone that was not replaced; the error is a [PartialError] that names what failed. merge.go
//
// # Listings
//
// ReadDir asks for the list of tags, and for each tag of which nothing is known. What is known of a tag is asked again when
// it is older than Options.Freshness: before the answer if that is one round of parallel questions, else behind it, the
// oldest first and at a bounded rate, for a listing of 10,000 names must not ask 10,000 questions. So in a large directory
// what others made or removed shows at once, and what they have overwritten when it has been asked for. Only ReadDir
// goes by older answers: whoever looks at one name, or copies or moves a directory, has it asked for. A Freshness of zero
// turns this off, and a registry that tells of its changes needs none of it. revalidate.go
// A registry on this machine (LocalTag) is not asked at all for what stands under a tag: its files are read, and whatever is not
// plainly there it is asked. near.go
//
// Before a write all that it hangs on is asked for, however fresh the last answer is: a directory that another server has just
// removed would swallow what is put into it. Options.SoleWriter says that there is no other, and then what is fresh is enough.
// What is on the disk from the process before is not fresh for it either. reachable.go, put.go
//
// Tags that we write, or are told of, are put to the list that is known: one too many costs a question, one too few would hide
// a file. So it is asked for again only when it is too old, after very many changes, or where it is not known which tag has
// changed. taglist.go
//
// A list of 10,000 names is three round trips, where the registry gives long pages. tagpages.go
//
// Several who list a directory at the same time ask for its names once. What is kept of a file is one description, some 700
// bytes with all that leads to it, and listings share it; so 100,000 files are some 70 MB for as long as they are kept.
//
// A registry that tells of some of its changes, as by a webhook, has Forget called for them, which makes them seen at once and is
// never relied on. forget.go
//
// What is known of a directory of 64 tags and more is kept in Options.IndexDir as a bundle of its manifests, for the next
// process; from 256 on the same bundle is pushed for the next machine, as the one layer of an artifact
// (application/vnd.ocidav.index.v1) under the reserved tag "_i.index": a while after the last change, at Close, and not with
// Options.NoIndex. A bundle is a hint. A name is a member if the list of tags has it, a manifest proves itself by its
// digest, and the answers that come from a bundle are never fresh, whatever time it says they were given at: a listing goes by
// them and has them asked again, and nothing else does. A bundle that is gone, damaged, another's, or
// written by two servers at a time costs requests and changes no listing. bundle.go, bundles.go, bundling.go
//
// # Removal
//
// A tag is deleted by DELETE if the registry has that; else a tombstone is put on it and deleted by its digest; else
// the tombstone stays. The first way that works is remembered; whether a tag is really gone after DELETE is looked at
// once. The manifest's own digest is never deleted, and blobs never: somebody's tag may share them. A tag that the registry
// lists and cannot read, its own crash having damaged it, keeps its directory from being listed; it can be removed by its
// name, which the log tells. ladder.go, remove.go
//
// # Uploads
//
// Content of at most 1 MiB waits in memory. Longer content is hashed while it arrives, and goes to the registry meanwhile
// where Options.Upload and the registry allow it: POST, one streaming PATCH for each part, PUT with the digest. A spool
// keeps it until the manifest is acknowledged, so that a stream that fails in any way is made good by pushing all of it
// again in one piece; a registry that refuses streams, or loses what they sent, gets no more of them, and one that is
// known for it gets none at all. Into a registry in this process (UploadDirect) content goes without a spool: what that
// registry fails with is the end of the Put. Between who receives and who sends lies a ring of buffers, so memory does not
// grow with content. receive.go, intake.go, stream.go, upload.go
//
// All Puts together have Options.Memory for their content: each takes half a MiB before it reads, or as much as its content
// has if that is less, and up to 2 MiB in all while less than half of the memory is taken. Who finds none waits for it, with
// its context, in the order of arrival. The garbage collector's share comes on top. memory.go
//
// The spool is a file without a name, gone after a crash; all spools together have Options.SpoolSize, and what does not fit
// is refused as over quota. When the manifest stands, the file is offered to the blobs at hand, which can take it as it is.
// spool.go
//
// A push is tried again as a whole, without the client, until Options.WriteTimeout after the last byte: 401 in the middle,
// 429 (Retry-After is obeyed in full), 5xx, a connection that is refused or breaks, an upload session that is gone, and
// MANIFEST_BLOB_UNKNOWN, the registry having collected a blob that we knew to be there, or linking it at that moment for
// somebody else. What is refused for good is asked for once, and a stream that is refused so ends the Put before the rest of its
// content has come: denied, over quota, immutable, too large, or 401 to a request before which a token was fetched. When the answer to a
// manifest is lost the tag is asked for, and tells by its digest, which no other write shares, whether it stands. retry.go, push.go
//
// A Put asks about its name before the content and at the commit, and by a fresh answer where no condition hangs on it. So
// with several servers the last one wins, whole; and where one writes a file while another makes a directory of that very
// name, within Options.Freshness, the directory is shown and the file under it is not.
//
// In a far registry the round trips are what a small file costs. A Put of one has three: the upload's POST beside all that is
// asked for, where its directory was known, the upload's PUT, and the manifest; the first of a directory has one more for "{}".
// In a row of short files the POST is made beside the manifest before, and each has two: spares.go. A Copy has two, the mounts
// beside all that is asked for and the manifest, and a Rename the tombstone besides. put.go, copy.go
//
// Whether the directory is still there into which something is written, copied or moved is not left to a fresh answer: it
// is asked for beside the upload, once for all who have begun before and want to know, and 409 or 404 is the end of
// what would be acknowledged and never seen. reachable.go
//
// Names that are not there are the most of what is asked when many files are written, so after a few of them in one
// repository its list of tags answers for all, no longer than Options.Freshness. absent.go
//
// # Checks
//
// Check looks at all of this in the registry itself: it asks for every tag, parses what stands there as the tree does, and
// reads every blob to its end, in bounded memory, past whatever is known or kept. The walk goes ahead of those who read, by as
// many blobs as its queue has. A blob is read once in a repository, and once at all, where it lies, if the registry is on this machine.
//
// What has no answer is a failure, makes the report incomplete, and is nothing more. What has a bad one is asked for
// again; then the last manifest and the last small blob that were well, for a registry that has gone mad since is not
// believed; and of a blob its tag, which must stand for the same manifest still. Only then it is damage. checkverdict.go
//
// Repairs add what proves itself by its digest: from another repository, from what the caller has at hand, or through what
// can mend the registry's own storage, since the API does not replace what is there. A manifest is pushed by its digest, so that no
// tag is touched, but for a marker that the registry says it does not have: it is made anew. What is taken away is ours and stands for
// nothing: an index of no use, and, if nobody else writes and all of the tree was seen, orphans and tombstones. Another
// drive's root below is left alone with all in it. What is lost is named and stays. checkrepair.go
//
// # Users
//
// Where each user comes with credentials of his own, which the registry judges, each has a tree of his own ([Drive]): all
// that the registry has answered belongs to it, names, lists, manifests, which repository has which blob, tokens, and what is
// kept of directories on the disk. So what one user sees is what the registry has told him, no longer ago than Freshness and
// for as long as it takes his token. The trees share the blobs at hand, the locks of names, clearings and tombstones, and the
// bounds of memory and spool; and what one of them writes the others forget at once and ask for by themselves. drive.go
//
// A blob at hand is opened for who has been told by the registry, that recently, that it is in this repository: with a HEAD
// before, unless this tree has just fetched or pushed it there. Who can push a manifest can name in it what he may not read,
// so that a manifest's word is not enough, nor is another's for a manifest. isolation.go
//
// A repository without a marker that a user may not list is absent for him: its name alone would be told. One that has a marker
// is named by its parent, and denied. That a user may do less than others, delete nothing or list no repositories, is learnt
// for his tree alone.
//
// A registry says 401 for a password that is wrong and, most of them, for what a good one does not allow too. The second is
// made 403 where a token has just been given for the request, or the challenge says so, or the password is taken elsewhere:
// client.go. Whether a password is good is asked past all tokens, and whether somebody may write by a request that would begin
// to: login.go.
//
// # What registries differ in
//
// What the specification leaves open and what registries get wrong is learned from their answers: the rung of removal, the
// form of manifests, whether streams are taken. A [Profile] says it beforehand, by presets for hosts that are known or by
// hand, and is only where a tree begins, since a registry changes and so does what stands before it. A repository that the
// registry does not make by itself is told of by its name, as a refusal. profile.go
//
// All requests leave by one way, which keeps the [Pace]: so many a second at each host, and none to one that has answered
// 429 until it wants to be asked again, whoever it was that it answered. Meanwhile they wait: pushes as above, all else for
// Pace.Patience, so that a storm of 429 that is shorter than that costs time only; a longer one is told of with when to
// come back. When the time is over one request goes ahead, and the others follow if it is taken. pace.go, dial.go
//
// What a registry leads to elsewhere, by redirects, realms of tokens or the next page of a list, is asked only where it has
// some business: fence.go
package ocifs

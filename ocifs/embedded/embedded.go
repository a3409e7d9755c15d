// Package embedded is the registry that ocidav brings along: CNCF distribution v3 in this process, on a data directory.
//
// # Why this one
//
// It is the one embeddable registry whose state is on the disk when it has answered (fsync before every rename that
// publishes something), where a tag is written in constant time however many its repository has, and which has all
// that a drive asks for: deletion by tag, ranges, pages, mounts, chunked uploads. Layouts that keep one index per
// repository rewrite it with every push, and the others keep manifests in memory only. The price is some 16 MB in the
// binary; the build tag noembed leaves it out, and Open then says so.
//
// # How it is reached
//
// A [Registry] is an http.Handler, for a listener that shows the drive's content to other OCI clients, and
// [Registry.Transport] is an http.RoundTripper that calls the same handler in this process: no socket, no port, no
// copy of the content on the way. An OCI client addresses it as the registry [Host] over plain HTTP. Locations of
// uploads are relative, so each client comes back by the way that it came.
//
// Its content and its tags can also be read where they lie ([Registry.OpenBlob], [Registry.Tagged]), which asks nobody: a list of
// 100,000 files is a matter of seconds. They are for what is plainly there. What is absent, or has failed, the registry says.
//
// Whoever pushes or deletes, on either way, [Options.Changed] hears of it before the answer is out: what a cache
// knows about names is never older than what a client was told.
//
// # The directory
//
//	docker/registry/v2/   the registry's tree, as any stock distribution registry writes and reads it: serve it with
//	                      `registry:3` on the same directory, or put the tree of such a registry here
//	ocidav.lock           held (flock) while a process has the directory open
//	ocidav.secret         signs the state of uploads, so that one begun before a restart can go on after it
//
// One process at a time: [Open] refuses a directory that another one has, in one line. Other registries do not know of the
// lock, and a collection does not see what passes through them: they have the directory before or after, never at the
// same time. File systems that ignore the case of names are refused too: tags are directories there, and the files A and
// a must not become one. (Make a case-sensitive volume, or name an external registry.) Every file costs some ten inodes,
// most of them directories of one 4 KiB block, so a large drive needs a file system that makes inodes as it needs them
// (XFS, btrfs, ZFS) or was made with many.
//
// # What survives
//
// The directory is written by a storage driver of our own (driver.go), since the library's syncs too much and too
// little. Blobs, manifests and links are written or moved beside their places, synced and renamed, so that nothing is
// torn under its name. The directory is synced then, and so are all in which a directory was made on the way. One after
// the other these syncs would take most of the time that a small file takes, so those of a request come together
// (pending.go): all contents; all directories; and a tag after that, so that it never stands on the disk before all
// that it names. The same goes for the directories of what the request has found and another one has made, which may
// be about to sync them or have failed to (unsynced.go). All that has happened before the answer goes out.
//
// If a sync fails, so does the request, with 500 or 507. What had no name then gets none. What had one keeps it, for
// others may count on it; whoever comes upon it later syncs its directories again, and fails while that fails. A tag
// names what it named before, unless it is its own directory that failed: then it names the new manifest, and after a
// power loss perhaps the old one, both whole. That a sync does not succeed where the one before has lost something is up
// to the file system. Those with a journal keep what they could not write, or write nothing more at all.
//
// A kill of the process at any moment loses nothing that was acknowledged and leaves nothing torn. It can leave uploads,
// *.tmp files, and a tag whose link was not yet written, which is listed but absent when asked for; collections remove
// them. A power loss can cost, besides:
//
//   - deletions of the last seconds, which are not synced: what was deleted may be there again, whole;
//   - uploads that have not come to their end. The client begins again;
//   - what a request relied on that another process had made and not yet synced when it was killed: the directory of a
//     blob, say. On file systems with one journal (ext4, XFS) the one's sync is the other's.
//
// What is not on the disk although the disk said so cannot be known here; a manifest whose content is missing reads as a
// failure and never as an empty file.
//
// # What is freed
//
// Overwriting a file leaves its old manifest, deleting it leaves all of it, and nothing in the API finds that again. A
// collection ([Registry.Collect], [Registry.CollectEvery]) removes
//
//   - manifests of ours (types application/vnd.ocidav.*, in both forms) that no tag of their repository names, unless
//     another manifest that stays does (an index, a signature by its subject), or a tag sha256-HEX;
//   - links to layers that no manifest of the repository names, and blobs that nobody names or links;
//   - histories of tags, which other programs on the directory have written; this one does not;
//   - uploads that nobody went on with for a day, files that killed processes left, tags that never were;
//   - the directories of repositories in which nothing is, but never one in which something is.
//
// Manifests of others are never removed, named or not. Where a tag or manifest cannot be read or understood, its repository
// is left as it is, and the log tells; what a tag names stays also if the link of its manifest is lost. A directory that
// should be there and is not (blobs without repositories, a symbolic link to nothing) ends the collection before it removes
// a blob. Files of others in the tree, and hidden directories, are passed by.
//
// What is removed must be unused for [Running].Grace: the modification time of a link is when its blob or manifest was
// last pushed, mounted, asked for (HEAD), or lost a tag. So a client between its blobs and its manifest is safe, and so is
// a reader of a version that has just been overwritten; and whoever has a blob open reads on.
//
// Repositories are looked at while everybody reads and writes. What is pushed, linked or named meanwhile is noted, by the
// gate that every change passes between the end of its request's body and its answer (gate.go). Things are removed a few
// at a time, some milliseconds with the gate held, after a last look at the notes; if somebody is inside for long, all
// others go on after a quarter of a second and it is tried again later. Readers never wait. The order is names, links,
// blobs, so a collection that ends anywhere leaves a good registry and the next one goes on. It needs some 150 bytes for
// each blob, and for each manifest of the repository that it looks at.
//
// A client that remembers that a blob is there may find it gone after the grace: the push of its manifest is refused
// with MANIFEST_BLOB_UNKNOWN, and it pushes the blob again. A blob that a manifest in the registry names is never gone. So
// it is also where the clock has jumped: the grace goes by it and may be shorter or longer then, and nothing else does.
//
// # A full disk
//
// A push that meets a full disk is answered 507 and gives back what it has taken. Reading, listing, deleting and
// collecting need no room. The next collection comes within seconds then, with a grace of one minute, so that who has
// deleted something can write.
package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Host is the host name under which [Registry.Transport] is addressed, over plain HTTP. It is in no DNS.
const Host = "embedded"

// Options are what Open can be told. The zero value is useful.
type Options struct {
	// Log gets what the registry has to say: failures at Warn, all else at Debug. Nil: nothing is logged.
	//
	// The registry's library logs through one logger for the whole process, the standard logger of logrus. The first
	// Open takes it over, for good; nothing else in a process that uses this package should log with it.
	Log *slog.Logger

	// Changed is called after every push or deletion of a manifest, from whichever side it came, with the repository
	// and the reference, tag or digest, that the request had. It has returned before the answer goes out. A deletion
	// by digest also removes every tag of the repository on that digest, and the call does not say which.
	//
	// It is also called where it is not known whether something changed (5xx, panic), and not where the registry
	// refused (4xx). It is called on many goroutines at once, possibly after the context of the request that caused
	// it has ended, and must return soon.
	Changed func(repository, reference string)
}

// Rules are what a collection goes by.
type Rules struct {
	Grace   time.Duration // what was pushed, mounted, asked for or named by a tag within that time stays
	Uploads time.Duration // and so does an upload that was begun or gone on with
	DryRun  bool          // remove nothing, only count
}

// Running are the rules while others read and write.
var Running = Rules{Grace: time.Hour, Uploads: 24 * time.Hour}

// Collected is what a collection has removed.
type Collected struct {
	Manifests    int   // of ours that no tag named
	Blobs        int   // manifests among them
	Uploads      int   // that nobody went on with
	Repositories int   // in which nothing was
	Bytes        int64 // of blobs, uploads and what killed processes left
}

func (c Collected) String() string {
	return fmt.Sprintf("%d bytes: %d superseded manifests, %d blobs, %d uploads, %d empty repositories",
		c.Bytes, c.Manifests, c.Blobs, c.Uploads, c.Repositories)
}

// ErrInUse is what Open says of a directory that another process has open.
var ErrInUse = errors.New("in use by another process")

// errClosed is the end of every request that Close found running, and of those that come after it.
var errClosed = errors.New("embedded registry is closed")

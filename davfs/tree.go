package davfs

import (
	"context"
	"encoding/xml"
	"io"
	"io/fs"
	"time"
)

// A Tree holds directories and files under names that are clean, absolute slash paths of valid UTF-8 ("/a/b.txt");
// the root "/" always exists. It speaks the standard library's vocabulary only, so that a tree need not import this
// package; the aliases below name unnamed types for the same reason.
//
// Errors. A method reports an absent name by an error that matches [fs.ErrNotExist], a taken one by [fs.ErrExist], a
// denied one by [fs.ErrPermission] and an unusable one by [fs.ErrInvalid]; the text of these is written for the user.
// Any other error is a failure of the storage and never an answer about the name (invariant 1). Such an error may say
// its class by the method
//
//	FailureClass() string // one of the Class constants
//
// and how long to wait by RetryAfter() time.Duration, zero for unknown; without them it is [ClassUnavailable].
//
// Every FileInfo that a Tree hands out may have the methods ETag(context.Context) (string, error) and
// ContentType(context.Context) (string, error) that x/net/webdav looks for, BirthTime() time.Time, and Checksums()
// []string, which are digests of the content as ALGORITHM:HEX. The ETag is quoted, strong, and made of the content's
// digest, so it changes with the content and with nothing else. None of the four does I/O.
//
// All methods are safe for concurrent use and return soon after ctx is done.
type Tree interface {
	// Key gives what names are compared by: the spellings of one name (Unicode NFC and NFD, where the tree takes them for
	// one) have one key. It is a clean name too, of the same depth, and the key of a key is itself. It does no I/O.
	Key(name string) string

	// Stat describes name.
	Stat(ctx context.Context, name string) (fs.FileInfo, error)

	// ReadDir describes all members of the directory name, sorted by name, each as Stat would: all of them or an
	// error, never a part.
	ReadDir(ctx context.Context, name string) ([]fs.FileInfo, error)

	// Open opens the content that fi, an answer of this tree about name, describes, even if name has another content
	// by now (invariant 5). It does no I/O; the first Read does. The file is also an io.Seeker and an io.ReaderAt,
	// and its reads end with ctx. It may have a method Sequential(n int64), which is told how much will be read from
	// where it stands. A file of a directory is not opened: fs.ErrInvalid.
	Open(ctx context.Context, name string, fi fs.FileInfo) (fs.File, error)

	// Put makes name a file with the bytes of r, up to io.EOF, in one step: until it returns nil whatever was there
	// stands, and if r or the storage fails nothing has changed. It keeps the dead properties and the birth time of a
	// file that it replaces. fs.ErrNotExist: the parent is no directory. fs.ErrExist: name is a directory.
	Put(ctx context.Context, name string, r io.Reader, o PutOptions) (fs.FileInfo, error)

	// Copy makes dst a copy of src, a file or a directory with all its members, by reference where the storage can.
	// A file at dst is replaced in one step; a directory at dst becomes the copy, after everything that can fail
	// beforehand has been tried, and none of its members goes before all that comes is there. Dead properties and times go
	// with it. An error that has the method Members() map[string]error, by name, is that of a copy onto a directory which
	// has changed some members and failed at these; any other leaves everything as it was.
	// fs.ErrNotExist: no src, or dst's parent is no directory. fs.ErrInvalid: one is the other or lies within it.
	Copy(ctx context.Context, src, dst string, check Check) (fs.FileInfo, error)

	// Mkdir makes an empty directory. fs.ErrNotExist: the parent is no directory. fs.ErrExist: name is taken.
	Mkdir(ctx context.Context, name string, check Check) error

	// RemoveAll removes a file, or a directory with its members, which disappear together. Unlike os.RemoveAll it
	// says fs.ErrNotExist. The root is not removed: fs.ErrPermission.
	RemoveAll(ctx context.Context, name string, check Check) error

	// Rename is Copy, whole, and then RemoveAll of oldName. If it fails oldName is still whole.
	Rename(ctx context.Context, oldName, newName string, check Check) error

	// Props gives the dead properties (RFC 4918 section 4) of what fi describes.
	Props(ctx context.Context, name string, fi fs.FileInfo) ([]Property, error)

	// PatchProps sets and removes dead properties and sets times of a file or directory, all or none. A name in both is
	// set. It changes no ETag, and no time that it is not told to. A tree whose root has no place for properties refuses
	// them for "/" with fs.ErrPermission.
	PatchProps(ctx context.Context, name string, p PropPatch) error
}

// A Preparer is a Tree that can do some of a Copy or Rename while it is asked about the names. PrepareCopy changes nothing that
// anybody sees, does not wait, and ends with its context.
type Preparer interface {
	PrepareCopy(ctx context.Context, src, dst string)
}

func prepareCopy(ctx context.Context, t Tree, src, dst string) {
	if p, ok := t.(Preparer); ok {
		p.PrepareCopy(ctx, src, dst)
	}
}

// RequestBegan is the key of the time.Time, in the context of every call, at which the client's request began. What a Tree
// has asked its storage since then, it has asked for this request.
type RequestBegan = struct{ RequestBegan struct{} }

// A Check is asked by a Tree, under the lock that the change is then made under, whether the change may be made. old
// is what stands at the name that is about to change (for Copy and Rename the destination), nil for nothing, as always
// for Mkdir. Its
// error ends the operation, comes back as it is, and nothing has changed. It calls no method of the Tree, whose lock it
// is under. A nil Check agrees.
type Check = func(old fs.FileInfo) error

// PutOptions go with a Put; all of them may be zero.
type PutOptions = struct {
	Size        int64     // expected length in bytes if above zero, a hint where to keep the content meanwhile
	ModTime     time.Time // modification time; zero: now
	ContentType string    // media type to keep; empty: keep none, it follows from the name
	Check       Check
	Recent      bool // Check hangs on no state of the file: a recent answer about it will do, as for any question

	// Checksums gives digests of the content to keep beside it, as ALGORITHM:HEX. It is called when r has ended.
	Checksums func() []string
}

// A PropPatch says what PatchProps shall change.
type PropPatch = struct {
	Set       []Property
	Remove    []xml.Name
	ModTime   time.Time // zero: as it is
	BirthTime time.Time // zero: as it is
	Check     Check
}

// A Property is a dead property: the inner XML is kept byte for byte, and xml:lang beside it.
type Property = struct {
	XMLName  xml.Name
	Lang     string
	InnerXML []byte
}

// Classes of storage failure; see [Tree].
const (
	ClassUnavailable  = "unavailable"  // down, broken, or it answers nonsense
	ClassTimeout      = "timeout"      // no answer in time
	ClassUnauthorized = "unauthorized" // it wants other credentials
	ClassDenied       = "denied"       // it refuses this to these credentials
	ClassRateLimited  = "rate limited" // it wants to be asked later
	ClassQuota        = "quota"        // no space left, here or there
	ClassTooLarge     = "too large"    // it will not hold anything of this size
	ClassConflict     = "conflict"     // what stands there is not to be changed
)

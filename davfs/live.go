package davfs

import (
	"context"
	"encoding/xml"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/webdav"
)

// A resource is what a PROPFIND describes: a member of its snapshot.
type resource struct {
	name string
	fi   fs.FileInfo
	dead []Property
}

// A liveProperty is one whose value the server knows (RFC 4918 section 15 and some more).
type liveProperty struct {
	name xml.Name
	all  bool // it is part of allprop
	// value appends the inner XML, or says that r has no such property.
	value func(p *propfind, r *resource, b []byte) (_ []byte, ok bool)
}

// Names outside of RFC 4918.
var (
	checksums         = xml.Name{Space: "http://owncloud.org/ns", Local: "checksums"}
	lastModified      = davName("lastmodified") // rclone's
	cyberduckModified = xml.Name{Space: "SAR:", Local: "lastmodified"}
	win32Modified     = xml.Name{Space: "urn:schemas-microsoft-com:", Local: "Win32LastModifiedTime"}
	win32Created      = xml.Name{Space: "urn:schemas-microsoft-com:", Local: "Win32CreationTime"}
)

// liveProperties are in the order in which allprop has them. Locks, quota and what other programs have invented come by
// name only: every byte of an entry in allprop costs Windows, which takes no more than 1,000,000 of them for one
// directory, and for quota RFC 4331 section 3 wants it so.
var liveProperties = []liveProperty{
	{davName("resourcetype"), true, func(_ *propfind, r *resource, b []byte) ([]byte, bool) {
		if r.fi.IsDir() {
			b = append(b, `<D:collection/>`...)
		}
		return b, true
	}},
	{davName("displayname"), true, func(p *propfind, r *resource, b []byte) ([]byte, bool) {
		if p.all && p.compact {
			return b, false // the last element of the href says the same
		}
		return appendText(b, strings.TrimPrefix(r.fi.Name(), "/")), true
	}},
	{davName("creationdate"), true, func(_ *propfind, r *resource, b []byte) ([]byte, bool) {
		t := birthTime(r.fi)
		return t.UTC().AppendFormat(b, time.RFC3339), !t.IsZero()
	}},
	{davName("getlastmodified"), true, modified(http.TimeFormat)},
	{davName("getcontentlength"), true, func(_ *propfind, r *resource, b []byte) ([]byte, bool) {
		return strconv.AppendInt(b, r.fi.Size(), 10), !r.fi.IsDir()
	}},
	{davName("getcontenttype"), true, func(p *propfind, r *resource, b []byte) ([]byte, bool) {
		if r.fi.IsDir() {
			return b, false
		}
		t, err := describe(r.fi).ContentType(p.ctx)
		return appendText(b, t), err == nil
	}},
	{davName("getetag"), true, func(p *propfind, r *resource, b []byte) ([]byte, bool) {
		if r.fi.IsDir() {
			return b, false // it would not change with the members, and tell a sync client that nothing has
		}
		etag, err := describe(r.fi).ETag(p.ctx)
		return appendText(b, etag), err == nil && etag != ""
	}},
	{davName("lockdiscovery"), false, func(p *propfind, r *resource, b []byte) ([]byte, bool) {
		for _, l := range p.locks.on(p.rq.tree.Key(r.name)) {
			b = append(b, p.rq.activeLock(l, time.Until(l.until))...)
		}
		return b, true
	}},
	{davName("supportedlock"), false, func(p *propfind, _ *resource, b []byte) ([]byte, bool) {
		const entry = `</D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>`
		if p.rq.readOnly() {
			return b, true // LibreOffice opens for reading where no lock is supported
		}
		return append(b, `<D:lockentry><D:lockscope><D:exclusive/>`+entry+`<D:lockentry><D:lockscope><D:shared/>`+entry...), true
	}},
	{davName("quota-available-bytes"), false, func(p *propfind, r *resource, b []byte) ([]byte, bool) {
		return strconv.AppendInt(b, p.available, 10), r.fi.IsDir() && p.available >= 0
	}},
	{davName("quota-used-bytes"), false, func(p *propfind, r *resource, b []byte) ([]byte, bool) {
		return strconv.AppendInt(b, p.used, 10), r.fi.IsDir() && p.used >= 0
	}},
	{checksums, false, func(_ *propfind, r *resource, b []byte) ([]byte, bool) {
		c, ok := r.fi.(interface{ Checksums() []string })
		if !ok || r.fi.IsDir() || len(c.Checksums()) == 0 {
			return b, false
		}
		b = append(b, `<x:checksum xmlns:x="http://owncloud.org/ns">`...)
		return append(appendText(b, strings.Join(c.Checksums(), " ")), `</x:checksum>`...), true
	}},
	{lastModified, false, func(_ *propfind, r *resource, b []byte) ([]byte, bool) {
		return strconv.AppendInt(b, r.fi.ModTime().Unix(), 10), !r.fi.ModTime().IsZero()
	}},
	{cyberduckModified, false, modified(http.TimeFormat)},
	{win32Modified, false, modified(http.TimeFormat)},
	{win32Created, false, func(_ *propfind, r *resource, b []byte) ([]byte, bool) {
		t := birthTime(r.fi)
		return t.UTC().AppendFormat(b, http.TimeFormat), !t.IsZero()
	}},
}

// liveByName is the place of a property in liveProperties.
var liveByName = map[xml.Name]int{}

func init() {
	for i, l := range liveProperties {
		liveByName[l.name] = i
	}
}

// settable are the live properties that PROPPATCH may set beside the dead ones. A display name that is set is a dead
// property and outranks the name; the others are times.
var settable = map[xml.Name]func(p *PropPatch, t time.Time){
	davName("getlastmodified"): setModTime,
	lastModified:               setModTime,
	cyberduckModified:          setModTime,
	win32Modified:              setModTime,
	win32Created:               func(p *PropPatch, t time.Time) { p.BirthTime = t },
	davName("creationdate"):    func(p *PropPatch, t time.Time) { p.BirthTime = t },
}

func setModTime(p *PropPatch, t time.Time) { p.ModTime = t }

func modified(format string) func(*propfind, *resource, []byte) ([]byte, bool) {
	return func(_ *propfind, r *resource, b []byte) ([]byte, bool) {
		t := r.fi.ModTime()
		return t.UTC().AppendFormat(b, format), !t.IsZero()
	}
}

// idle are dead properties that cost Windows more in a listing than it gains by them.
var idle = map[xml.Name]bool{
	{Space: "urn:schemas-microsoft-com:", Local: "Win32LastAccessTime"}: true,
}

// birthTime is zero where the tree does not know.
func birthTime(fi fs.FileInfo) time.Time {
	if b, ok := fi.(interface{ BirthTime() time.Time }); ok {
		return b.BirthTime()
	}
	return time.Time{}
}

// describe makes a tree's FileInfo one that always has a media type, which the engine would otherwise read the content
// for (golang/go#22577).
func describe(fi fs.FileInfo) described { return described{fi} }

type described struct{ fs.FileInfo }

func (d described) ETag(ctx context.Context) (string, error) {
	if t, ok := d.FileInfo.(webdav.ETager); ok {
		return t.ETag(ctx)
	}
	return "", webdav.ErrNotImplemented
}

func (d described) ContentType(ctx context.Context) (string, error) {
	if t, ok := d.FileInfo.(webdav.ContentTyper); ok {
		ctype, err := t.ContentType(ctx)
		if err != webdav.ErrNotImplemented && (err != nil || ctype != "") {
			return ctype, err
		}
	}
	if ctype := mime.TypeByExtension(path.Ext(d.Name())); ctype != "" {
		return ctype, nil
	}
	return "application/octet-stream", nil
}

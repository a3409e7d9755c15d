// Package davfs serves any [Tree] of directories and files as WebDAV (RFC 4918, class 1 and 2).
//
// # Shape
//
//	request -> Handler -> golang.org/x/net/webdav.Handler (the engine) -> fileSystem -> Tree
//
// The engine does GET, PUT, DELETE, MKCOL, COPY and MOVE. What it does wrong is cured from outside: [Handler] repairs or
// refuses the request before the engine sees it, conditions and locks among the reasons, the file system under the
// engine remembers what the tree truly said, and the ResponseWriter around its answer replaces a status that says
// something else. All three look at one value, the request, that lives as long as the HTTP request does. PROPFIND,
// PROPPATCH, LOCK and UNLOCK are answered here.
//
// # Invariants
//
// The package keeps these, and has a test for each that fails without it:
//
//   - A failure is never an absence. The engine takes any error for "not found" or "method not allowed" and leaves
//     members out of a listing that it could not read to the end; clients that synchronise then delete what they do
//     not see. Here the first failure of the tree decides the status (status.go), and one that comes after the first
//     byte of the answer cuts the connection (writer.go).
//   - A listing is whole before its first byte: Stat, ReadDir and the dead properties of a PROPFIND are asked before,
//     once (propfind.go).
//   - Nothing is visible before it is whole. The bytes of a PUT go to Tree.Put as a stream that ends in an error if the
//     request did (body.go); no handle publishes anything in Close (file.go). LOCK makes an empty file only where the
//     tree, under its own lock, finds nothing.
//   - A target of COPY and MOVE is replaced by Tree.Copy and Tree.Rename themselves, and never removed first
//     (filesystem.go, copymove.go).
//   - Conditions and locks hold when the change is made: they are asked before the body is read, and again in the
//     tree's Check (request.go), so that of several writers with one ETag one wins, and a lock that comes in the middle
//     of an upload is kept.
//   - What was described is what is read: the ETag and the length of an answer and its bytes come from one FileInfo.
//   - Where each user has a tree of his own (Accounts) nothing of one is in an answer to another: names, sizes, contents and
//     junk are those of his tree, and of locks, which are everybody's, he hears as far as his tree lets him see their names:
//     it is asked before a 423 is given, and names that it does not show are left out (session.go).
//   - No success before the tree agrees and no failure after: the status is made of the tree's last word. A change that
//     came to a part of it names the members that failed (partial.go).
//
// # Files
//
// names.go, origin.go, headers.go and body.go repair and refuse; request.go is what one request knows; filesystem.go,
// file.go and copymove.go are the file system under the engine; status.go and writer.go make the answer. What the engine
// lacks or does badly is taken from it by a case in Handler.serve: options.go, listing.go, conditions.go, locking.go on
// locks.go and lockfile.go, propfind.go and proppatch.go on xml.go, live.go and multistatus.go, checksum.go. log.go
// writes the line of each request, auth.go on htpasswd.go, throttle.go and proxyuser.go says who may make it, accounts.go,
// accountsweep.go and session.go where each user has a tree of his own, cors.go and local.go which pages in a browser, places.go
// how many at a time, and trace.go is what those hear of it who count. junk*.go put a policy for other systems' files between the
// handler and any tree, and turns.go its changes in order.
//
// # Properties
//
// A live property is a line in live.go. allprop has those of RFC 4918 but for locks; quota (RFC 4331), oc:checksums and
// the times under the names of other programs come when they are named. All names of the modification time can be set by
// PROPPATCH and say the same afterwards: a copy of it that is kept as a dead property would be wrong after the next PUT.
// A directory has no ETag: one that does not change with the members would tell a sync client that nothing has changed.
// An entry of allprop has some 440 bytes, of which Windows takes 1,000,000 for one directory: 2,200 files, or 1,850 of
// those that it has written itself.
//
// # Clients
//
// What each client needs of the answers beside RFC 4918, and the test that replays it (client_*_test.go). The
// names of the tests begin with Test.
//
//	client      what it needs                                                   test
//	Finder      class 2, else it mounts for reading; no quota, or it waits 90 s FinderMounts
//	            an empty directory that lists itself alone                      FinderLists
//	            304 and If-Range by date; ETag and Last-Modified of a PUT       FinderWrites
//	            chunked PUT, its lock refreshed meanwhile                       FinderUploads
//	            MOVE without Overwrite; one If line for each token              FinderMoves
//	            NFD and NFC one name, its bytes kept; : ; ? escaped             FinderNames
//	            404 and 409 for absence, and never for a failure                FinderErrors
//	Explorer    MS-Author-Via, no redirects, 404, the prefix D                  WindowsMounts
//	            PUT, LOCK, PUT, PROPPATCH, UNLOCK with and without <>           WindowsUploads
//	            DELETE ends the lock                                            WindowsGivesUp
//	            PROPPATCH of a new directory; Overwrite: F                      WindowsMakesAndMoves
//	            1,800 files in a listing of 1,000,000 bytes                     WindowsListsManyFiles
//	            Win32 times set the times                                       WindowsSetsTimes
//	            one that is no time sets nothing                                WindowsSetsNoTime
//	Office      Lock-Token without If; 304                                      OfficeEdits
//	            locks that outlive a restart                                    OfficeOutlivesRestart
//	            MOVE of a locked file over one that is not                      OfficeSavesThroughMount
//	            ~$ files, byte for byte                                         OfficeOwnerFiles
//	LibreOffice supportedlock; the owner of a lock; If without a tag            LibreOfficeEdits
//	            LOCK of a new name                                              LibreOfficeCreates
//	            never Second-0                                                  LibreOfficeLocksWithoutEnd
//	            no supportedlock on a read-only drive                           LibreOfficeReadsOnly
//	            .~lock.x# files                                                 LibreOfficeLockFiles
//	GNOME       ISO 8601, displayname, quota by name                            GnomeMounts
//	            If-Match on HEAD and PUT; X-OC-Mtime; Overwrite                 GnomeWrites
//	KDE         locks and quota of each entry; 201 alone for MKCOL              KDE
//	davfs2      LOCK with If-None-Match: *; PUT with If-Match and tagged If     Davfs2Writes
//	            its own lock known by the owner                                 Davfs2FindsItsLock
//	            executable, over PUT and MOVE                                   Davfs2SetsExecutable
//	            507, 504 and 503 told apart                                     Davfs2Errors
//	cadaver     a file named with a slash is no directory                       CadaverLists
//	            dead properties, propname                                       CadaverProperties
//	            discover and steal                                              CadaverSteals
//	rclone      hrefs below the request; Destination with a slash               RcloneCopies
//	            exact Content-Range                                             RcloneReads
//	            X-OC-Mtime accepted; OC-Checksum verified and kept              RcloneKeepsTimesAndChecksums
//	            PUT without length                                              RcloneStreams
//	            PROPPATCH of lastmodified; 200 the first propstat               RcloneSetsTimes
//	            the same with the checksum beside it                            RcloneSetsTimesAndChecksums
//	            nothing stored by a PUT that fails                              RcloneFailedUpload
//	            a listing whole or an error                                     RcloneFailedListing
//	            quota of the root                                               RcloneAbout
//	restic      404 exactly; a PUT seen whole, at once; Range                   Restic
//	Cyberduck   {SAR:}lastmodified sets the time                                CyberduckKeepsTimes
//	            refusals before 100 Continue                                    ExpectContinue
//	            an answer after it                                              ExpectContinueAndFail
//	curl        PUT without length, the rest of a GET                           CurlUploads
//	            400 for a PUT with Content-Range (Cyberduck too)                ResumedUploads
//	WinSCP      allprop with dead properties, without locks and quota           WinSCP
//	KeePass 2   DELETE, MOVE without Overwrite; a GET given up                  KeePass
//	Joplin      If-None-Match with what is no tag; 405 and 409                  Joplin
//	Zotero      404 exactly, read after write, 507                              Zotero
//	by a proxy  hrefs, Destination and If of the public address                 ClientsBehindProxy
package davfs

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/webdav"
)

// A Handler serves a Tree as WebDAV. Its fields must not change after the first request. It must not be mounted on an
// http.ServeMux, which answers unclean paths by redirects that WebDAV clients do not follow.
type Handler struct {
	Tree Tree // nil where Auth.Accounts has one for each user

	// Prefix is the URL path of the tree's root: "/dav" serves /dav and all below, and not /davfoo. Empty is "/".
	Prefix string

	// Auth says who may use the tree; nil: everybody.
	Auth *Auth

	// ReadOnly refuses every method that writes, locks among them.
	ReadOnly bool

	// PublicURL is the URL by which clients know the root of the tree, where a reverse proxy stands in between. Nil: they
	// use the address that they reach.
	PublicURL *url.URL

	// TrustedProxies are the addresses whose X-Forwarded-For is believed, and Auth.UserHeader, and whose X-Forwarded-Host
	// and X-Forwarded-Prefix are, where there is no PublicURL.
	TrustedProxies []netip.Prefix

	// OnlyLocal refuses requests to a name, other than localhost, that a page of a browser may have made lead here. It is for
	// a tree without Auth that only this machine reaches.
	OnlyLocal bool

	// Origins are those whose pages may use the tree in a browser; nil: none.
	Origins *Origins

	// LockFile keeps the locks over a restart; it belongs to one tree. Empty: they end with the process.
	LockFile string

	// Quota gives the bytes that there is room for and those that are taken (RFC 4331), negative for unknown. Nil: no
	// directory has the two properties.
	Quota func(ctx context.Context) (available, used int64)

	// MaxRequests is how many requests one client, a user or an address, has running at the same time; zero: as many as come.
	MaxRequests int

	// Log gets one line for each request; nil discards them. It has the request's id if its handler is a LogHandler.
	Log *slog.Logger

	once   sync.Once
	prefix string // "" or "/a/b"
	locks  lockTable
	places places
	log    *slog.Logger
}

func (h *Handler) init() {
	h.prefix = cleanBase(h.Prefix)
	h.places.max = h.MaxRequests
	h.log = h.Log
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.LockFile != "" && !h.ReadOnly {
		h.locks.file, h.locks.locks = openLockFile(h.LockFile, h.key(), h.log)
	}
}

// key is Tree.Key.
func (h *Handler) key() func(string) string {
	if h.Auth != nil && h.Auth.Accounts != nil {
		return h.Auth.Accounts.Key
	}
	return h.Tree.Key
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.once.Do(h.init)
	trace := TraceOf(r.Context())
	if trace == nil {
		trace = new(Trace)
		r = r.WithContext(trace.Context(r.Context()))
	}
	trace.ID, trace.Remote = requestID(r.Header.Get("X-Request-Id")), h.remote(r)
	w.Header().Set("X-Request-Id", trace.ID)
	rq := newRequest(r, h.Tree)
	rq.h, rq.trace = h, trace
	g := &guard{w: w, rq: rq}
	defer rq.leave()
	defer h.logRequest(r, rq, g, time.Now())
	if err := h.serve(g, r, rq); err != nil {
		rq.fail(err)
	}
	g.finish()
	rq.drain(g)
}

// Locks gives the number of locks that are held.
func (h *Handler) Locks() int {
	h.once.Do(h.init)
	return h.locks.count()
}

// serve repairs the request, answers it or gives it to the engine. Its error is the answer.
func (h *Handler) serve(w *guard, r *http.Request, rq *request) error {
	if h.OnlyLocal && !goesBy(r.Host) {
		return errOtherName
	}
	if h.Origins.admit(w.Header(), r) {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if err := h.authenticate(r, rq); err != nil {
		return err
	}
	leave, err := h.places.enter(r.Context(), rq.client())
	if err != nil {
		return err
	}
	defer leave()
	if r.Method == http.MethodOptions && r.URL.Path == "*" {
		h.options(w, rq, allMethods)
		return nil
	}
	h.origin(r, rq)
	name, err := nameUnder(h.prefix, r.URL)
	if err != nil {
		return err
	}
	rq.name = name
	if err := h.admit(r.Method); err != nil {
		return err
	}

	slash := name != "/" && strings.HasSuffix(r.URL.Path, "/")
	r = own(rq.ctx, r)
	r.URL.Path, r.URL.RawPath = h.prefix+name, ""
	if slash {
		r.URL.Path += "/"
	}
	r.Body = rq.body
	h.repairHeaders(r)

	switch r.Method {
	case http.MethodOptions:
		return h.serveOptions(w, rq)
	case http.MethodGet, http.MethodHead:
		fi, err := rq.stat(name)
		if err != nil {
			return err
		}
		if fi.IsDir() {
			return h.serveListing(w, r, rq)
		}
		// RFC 9110 section 8.3: the kept type, so that the engine does not read the content to guess one, which
		// would fetch it for HEAD and 304 too.
		ctype, err := describe(fi).ContentType(r.Context())
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", ctype)
		// The engine takes 1970 for no time at all.
		w.Header().Set("Last-Modified", fi.ModTime().UTC().Format(http.TimeFormat))
		w.Header().Set("X-Content-Type-Options", "nosniff")
		// What lies on a drive runs no script in its origin, with its visitors' credentials. PDF has viewers that do not
		// start in a sandbox, and have one of their own.
		if ctype != "application/pdf" {
			w.Header().Set("Content-Security-Policy", "sandbox")
		}
	case http.MethodPut:
		err = preparePut(r, slash || name == "/")
		if t, ok := unixTime(r.Header.Get("X-OC-Mtime")); ok && t.Unix() > 0 { // 0 is what clients say that do not know
			rq.mtime = t
			w.Header().Set("X-OC-Mtime", "accepted")
		}
		rq.body.checksum = newChecksum(r.Header.Get("OC-Checksum"))
	case "MKCOL":
		err = prepareMkcol(r)
	case http.MethodDelete:
		err = rq.prepareDelete(r)
	case "COPY", "MOVE":
		err = h.prepareCopyMove(r, rq)
	}
	if err != nil {
		return err
	}
	if err := h.readConditions(r, rq); err != nil {
		return err
	}
	if r.Header.Get("If") != "" {
		r.Header.Del("If")
	}
	switch r.Method {
	case "LOCK":
		return h.serveLock(w, r, rq, slash)
	case "UNLOCK":
		return h.serveUnlock(w, r, rq)
	case "PROPFIND":
		return h.servePropfind(w, r, rq)
	}
	if err := rq.checkConditions(); err != nil {
		return err
	}
	if err := h.checkLocks(rq, true); err != nil {
		return err
	}
	if r.Method == "PROPPATCH" {
		return h.serveProppatch(w, r, rq)
	}

	ending := h.ending(rq)
	engine := webdav.Handler{Prefix: h.prefix, FileSystem: fileSystem{rq}, LockSystem: noLocks{}}
	engine.ServeHTTP(w, r)
	if w.success() {
		h.locks.remove(ending...)
	}
	return nil
}

// preparePut refuses what would replace the whole content by something else than the client means.
func preparePut(r *http.Request, slash bool) error {
	if len(r.Header.Values("Content-Range")) > 0 {
		// RFC 9110 section 14.5. curl -C and Cyberduck resume uploads so; the engine would keep the fragment alone.
		return refuse(http.StatusBadRequest, "PUT with Content-Range is not supported: send the whole file.")
	}
	if slash {
		return refuse(http.StatusMethodNotAllowed, "A name that ends in a slash is a directory: make it with MKCOL.")
	}
	return nil
}

// prepareMkcol refuses any body, a chunked one too, which the engine does not see (RFC 4918 section 9.3).
func prepareMkcol(r *http.Request) error {
	n := r.ContentLength
	if n < 0 {
		var b [1]byte
		m, err := io.ReadFull(r.Body, b[:])
		if err != nil && err != io.EOF {
			return err
		}
		n = int64(m)
	}
	if n > 0 {
		return refuse(http.StatusUnsupportedMediaType, "MKCOL takes no request body.")
	}
	return nil
}

// prepareDelete refuses a DELETE of a directory alone, which there is not (RFC 4918 section 9.6.1).
func (rq *request) prepareDelete(r *http.Request) error {
	if d := r.Header.Get("Depth"); d == "" || d == "infinity" {
		return nil
	}
	fi, err := rq.stat(rq.name)
	if err != nil {
		return err
	}
	if fi.IsDir() {
		return refuse(http.StatusBadRequest, "DELETE of a directory takes no Depth but infinity.")
	}
	return nil
}

package ocifs

import (
	"context"
	"sync"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// While short contents come to a repository one soon after the other, as they do when a directory is copied to the drive,
// the upload session of the next is opened while the manifest of the last is pushed: a round trip less for each. The
// last session of such a row is opened for nothing, and given up when nobody has come for it.
const (
	spareAfter = 8               // pushes in a row
	spareGap   = 2 * time.Second // between two of a row, at most
	spareTime  = 5 * time.Second // that a session waits; registries keep them for minutes at least
	spareRows  = 256             // repositories that are looked at
)

// spares are the sessions, one for each repository at most.
type spares struct {
	mu   sync.Mutex
	rows map[string]*spareRow
}

// spareRow is what comes to one repository.
type spareRow struct {
	pushes int
	last   time.Time
	spare  *spare // nil: none waits
}

// spare is a session that is being opened, or waits. Who has taken it has it alone.
type spare struct {
	taken   chan struct{}
	done    chan struct{}
	session *upload // when done is closed; nil: it has failed
}

// end gives the session up, also one that is not open yet.
func (s *spare) end(ctx context.Context) {
	select {
	case <-s.done:
		if s.session != nil {
			_ = s.session.cancelOnce(ctx)
		}
	case <-ctx.Done():
	}
}

// take gives what waits for repo; nil: nothing does.
func (s *spares) take(repo string) *spare {
	s.mu.Lock()
	defer s.mu.Unlock()
	row := s.rows[repo]
	if row == nil || row.spare == nil {
		return nil
	}
	waits := row.spare
	row.spare = nil
	close(waits.taken)
	return waits
}

// count notes a push to repo, and gives what is to be opened then for the next; nil: nothing is.
func (s *spares) count(repo string) *spare {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	row := s.rows[repo]
	if row == nil {
		if s.rows == nil || len(s.rows) >= spareRows {
			s.rows = s.waitingLocked()
		}
		row = new(spareRow)
		s.rows[repo] = row
	}
	if now.Sub(row.last) > spareGap {
		row.pushes = 0
	}
	row.pushes++
	row.last = now
	if row.pushes < spareAfter || row.spare != nil {
		return nil
	}
	row.spare = &spare{taken: make(chan struct{}), done: make(chan struct{})}
	return row.spare
}

// waitingLocked gives the rows that have something waiting.
func (s *spares) waitingLocked() map[string]*spareRow {
	rows := map[string]*spareRow{}
	for repo, row := range s.rows {
		if row.spare != nil {
			rows[repo] = row
		}
	}
	return rows
}

// expire says whether nobody has taken what waits for repo, and takes it then. If it has failed, the row begins anew.
func (s *spares) expire(repo string, waits *spare, failed bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	row := s.rows[repo]
	if row != nil && failed {
		row.pushes = 0
	}
	if row == nil || row.spare != waits {
		return false
	}
	row.spare = nil
	return true
}

// pushTo uploads a blob whole, by the session that waits for it if there is one. Where that fails, whyever, it is tried by
// one that was just opened, whose answer is worth more.
func (f *FS) pushTo(ctx context.Context, r repository, desc ocispec.Descriptor, open opener) error {
	if s := f.spares.take(r.Reference.Repository); s != nil {
		select {
		case <-s.done:
		case <-ctx.Done():
			go s.end(context.WithoutCancel(ctx))
			return ctx.Err()
		}
		if s.session != nil {
			if err := s.session.put(ctx, desc.Digest, desc.Size, open); err == nil || ctx.Err() != nil {
				return err
			}
		}
	}
	return r.pushOnce(ctx, desc.Digest, desc.Size, open)
}

// openSpare opens a session for what will come next, if something will.
func (f *FS) openSpare(r repository, desc ocispec.Descriptor) {
	if f.local != nil || desc.Size > aheadBytes || desc.Digest == emptyBlob.Digest {
		return
	}
	repo := r.Reference.Repository
	s := f.spares.count(repo)
	if s == nil {
		return
	}
	begun := f.behind(func(ctx context.Context) {
		s.session = r.startSpare(ctx)
		close(s.done)
		if s.session != nil {
			select {
			case <-s.taken:
			case <-time.After(spareTime):
			case <-ctx.Done():
			}
		}
		if f.spares.expire(repo, s, s.session == nil) {
			s.end(context.WithoutCancel(ctx))
		}
	})
	if !begun { // the tree is closed
		close(s.done)
		f.spares.expire(repo, s, true)
	}
}

// startSpare is not cut short by the end of ctx, for a session that has just been opened would be left; nil: it has failed.
func (r repository) startSpare(ctx context.Context) *upload {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), spareTime)
	defer cancel()
	u, err := r.startUpload(ctx)
	if err != nil {
		return nil
	}
	return u
}

package ocifs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// intake takes in content that does not fit in memory: to the spool, and to the registry at the same time where that
// takes streams. A stream that fails is the spool's to make good; straight into the registry there is none.
type intake struct {
	fs      *FS
	ctx     context.Context
	repo    string
	content io.Reader
	spool   *spool
	sums    *sums

	stream *stream // of the part that is going on; nil: it is not uploaded yet
	failed bool    // the stream of this part
	before *stream // of the part before, ended
	buf    []byte  // where there is no stream
}

// run reads all of the content. expected is how long it may be.
func (in *intake) run(expected int64) (err error) {
	defer func() {
		if err != nil && in.stream != nil {
			in.stream.giveUp()
		}
		if err != nil && in.before != nil {
			in.before.stop()
		}
	}()
	if in.direct() {
		in.spool.gone = true
	} else if err := in.spool.reserve(expected); err != nil {
		return err
	} else if err := in.spool.create(in.fs.spoolDir); err != nil {
		return err
	}
	for end := false; !end; {
		buf, err := in.buffer()
		if err != nil {
			return err
		}
		n, err := in.fill(buf[:min(int64(len(buf)), in.sums.left())])
		switch {
		case err == io.EOF: // the end, and nothing that merely wraps it
			end = true
		case err != nil:
			return fmt.Errorf("receive content: %w", err)
		}
		if err := in.take(buf[:n]); err != nil {
			return err
		}
	}
	if err := in.endPart(); err != nil {
		return err
	}
	return in.settle()
}

func (in *intake) direct() bool { return in.fs.upload == UploadDirect }

// buffer gives one to fill: the stream's, if this part has one.
func (in *intake) buffer() ([]byte, error) {
	if err := in.ctx.Err(); err != nil {
		return nil, failure(err, "receive content")
	}
	if in.stream == nil && !in.failed && in.fs.takesStreams() {
		r, err := in.fs.repository(in.repo)
		if err != nil {
			return nil, err
		}
		in.stream = newStream(in.ctx, r, &in.fs.memory)
	}
	if in.stream != nil {
		buf, err := in.stream.buffer(in.ctx)
		if err == nil {
			return buf, nil
		}
		if in.ctx.Err() != nil { // the stream goes on, so that run has to give it up
			return nil, failure(err, "receive content")
		}
		in.stream, in.failed = nil, true
		if err := in.fails(err); err != nil {
			return nil, err
		}
	}
	if in.buf == nil {
		in.buf = make([]byte, ringBytes)
	}
	return in.buf, nil
}

// fill reads until half of buf is full, for a slow client's bytes are to go on too.
func (in *intake) fill(buf []byte) (n int, err error) {
	for n < (len(buf)+1)/2 && err == nil {
		if err = in.ctx.Err(); err == nil {
			var m int
			m, err = in.content.Read(buf[n:])
			n += m
		}
	}
	return n, err
}

// take takes in what was read.
func (in *intake) take(p []byte) error {
	if in.spool.gone {
		in.spool.size += int64(len(p))
	} else if err := in.spool.write(p); err != nil {
		return err
	}
	ended := in.sums.write(p)
	if in.stream != nil && len(p) > 0 {
		in.stream.send(p)
	}
	if ended {
		return in.endPart()
	}
	return nil
}

// endPart ends the part that is going on, if there is one. Its upload has time until the next one ends.
func (in *intake) endPart() error {
	if err := in.settle(); err != nil {
		return err
	}
	part, ok := in.sums.endPart()
	stream := in.stream
	in.stream, in.failed = nil, false
	switch {
	case stream == nil:
	case !ok || in.fs.has(in.repo, part) && !in.direct(): // a registry in this process may have collected it, and there is no spool
		stream.giveUp()
	default:
		stream.end(part)
		in.before = stream
	}
	return nil
}

// settle waits for the upload of the part before.
func (in *intake) settle() error {
	s := in.before
	if s == nil {
		return nil
	}
	if err := s.wait(in.ctx); err != nil {
		return in.fails(err)
	}
	in.before = nil
	in.fs.hold(in.repo, s.part.Digest)
	return nil
}

// fails says what a failed stream means: nothing, if the spool has it all and may be asked for.
func (in *intake) fails(err error) error {
	in.before = nil
	if err := in.ctx.Err(); err != nil {
		return failure(err, "receive content")
	}
	if in.direct() || errors.As(err, new(last)) {
		return failure(in.fs.unmade(in.repo, err), "push content to %s", in.repo)
	}
	in.fs.streamFailed(err)
	if after := afterOf(err); after > 0 {
		in.spool.notBefore = time.Now().Add(after)
	}
	return nil
}

// Ways to upload large content, see [Options.Upload].
const (
	UploadAuto       = "auto"       // stream, unless the registry is known to take no streams
	UploadStream     = "stream"     // to the spool and, while it arrives, to the registry
	UploadMonolithic = "monolithic" // to the spool, and when it has all come to the registry
	UploadDirect     = "direct"     // to the registry alone, which is in this process: what it fails with is final
)

// takesStreams says whether large content is uploaded while it arrives.
func (f *FS) takesStreams() bool {
	return f.upload == UploadDirect || f.upload != UploadMonolithic && !f.noStreams.Load()
}

// streamFailed notes that a stream has failed that the spool makes good.
func (f *FS) streamFailed(err error) {
	if errors.As(err, new(noStreams)) && f.noStreams.CompareAndSwap(false, true) {
		f.log.Info("the registry takes no streams: from now on content is sent when it has all come", "error", err)
		return
	}
	f.log.Debug("a streamed upload has failed, it is begun anew from the spool", "error", err)
}

// has says whether a blob is known to be in repo.
func (f *FS) has(repo string, desc ocispec.Descriptor) bool {
	_, ok := f.present.get(presence{repo, desc.Digest})
	return ok
}

package ocifs

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// A ring of buffers lies between who receives content and who sends it on: neither waits for the other while there is
// room, and memory does not grow with the content. One of them there always is; more are made as FS.memory has it.
const (
	ringBuffers = 8
	ringBytes   = 256 << 10 // of each
)

// giveUpTime is for the registry to take the end of an upload that is given up.
const giveUpTime = 5 * time.Second

// stream uploads a part of the content while it arrives. Its sender runs in a goroutine of its own, under a context that
// does not end with the request's: a session that is given up is ended properly and cancelled, for registries keep what
// has arrived of one that breaks off.
type stream struct {
	ctx   context.Context
	stop  context.CancelFunc
	to    repository
	begun bool // the sender, with the first that there is to send: a part may turn out to be none

	free chan []byte // buffers to fill
	full chan []byte // to be sent; closed at the end

	memory *memory // for all buffers but one, which is the caller's to see to
	mu     sync.Mutex
	made   int64 // buffers
	ended  bool  // and no more are made

	part ocispec.Descriptor // what has been sent, when full is closed; zero: given up
	sent atomic.Int64       // bytes
	read atomic.Bool        // all of full

	over chan struct{} // closed when there is a result
	err  error
}

// newStream is for a blob in r.
func newStream(ctx context.Context, r repository, m *memory) *stream {
	s := &stream{
		free: make(chan []byte, ringBuffers), full: make(chan []byte, ringBuffers), over: make(chan struct{}), memory: m, to: r,
	}
	s.ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	return s
}

// buffer gives one to fill, which goes to send. An error: the stream has failed, or ctx has ended.
func (s *stream) buffer(ctx context.Context) ([]byte, error) {
	select {
	case <-s.over:
		return nil, s.err
	default:
	}
	select {
	case b := <-s.free:
		return b[:ringBytes], nil
	default:
	}
	if s.more() {
		return make([]byte, ringBytes), nil
	}
	select {
	case b := <-s.free:
		return b[:ringBytes], nil
	case <-s.over:
		return nil, s.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// more says whether one more buffer may be made.
func (s *stream) more() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.made == ringBuffers || s.made > 0 && !s.memory.try(ringBytes) {
		return false
	}
	s.made++
	return true
}

// giveBack gives the memory back when the stream is over.
func (s *stream) giveBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.memory.give(ringBytes * max(s.made-1, 0))
}

// send takes a buffer, filled.
func (s *stream) send(b []byte) {
	if !s.begun {
		s.begun = true
		go s.run()
	}
	s.full <- b
}

// end says what has been sent.
func (s *stream) end(part ocispec.Descriptor) {
	s.part = part
	close(s.full)
}

// giveUp ends the stream without a blob.
func (s *stream) giveUp() {
	if !s.begun {
		s.stop()
		return
	}
	timer := time.AfterFunc(giveUpTime, s.stop)
	go func() {
		<-s.over
		timer.Stop()
	}()
	close(s.full)
}

// wait gives the result, after end.
func (s *stream) wait(ctx context.Context) error {
	select {
	case <-s.over:
		return s.err
	case <-ctx.Done():
		s.stop()
		return ctx.Err()
	}
}

func (s *stream) run() {
	defer s.stop()
	u, err := s.to.startUpload(s.ctx)
	if err == nil {
		err = u.append(s.ctx, &feed{stream: s, closed: make(chan struct{})}, s.sent.Load)
	}
	switch {
	case err != nil:
	case !s.read.Load():
		err = noStreams{errors.New("the registry has answered before the content was over")}
	case s.part.Digest == "":
		err = errGivenUp
	default:
		err = u.finish(s.ctx, s.part.Digest, nil, 0)
		if hasCode(err, errcode.ErrorCodeDigestInvalid, errcode.ErrorCodeSizeInvalid) {
			err = noStreams{err} // it has lost what it was sent
		}
	}
	s.err = err
	close(s.over)
	s.giveBack()
	if err != nil && u != nil {
		_ = u.cancel(s.ctx)
	}
}

var errGivenUp = errors.New("the upload was given up")

// feed is the body of a stream's request. A clean end of it is the end of the stream; whether that was the end of the
// content, end or giveUp has said.
type feed struct {
	stream *stream
	held   []byte // the buffer that is being sent
	rest   []byte // what of it is left
	once   sync.Once
	closed chan struct{}
}

var errFeedClosed = errors.New("the registry takes no more of the upload")

// next waits for a buffer and gives the last one back.
func (f *feed) next() error {
	if f.held != nil {
		f.stream.free <- f.held // there is room for all
		f.held = nil
	}
	select {
	case <-f.closed:
		return errFeedClosed
	default:
	}
	select {
	case b, ok := <-f.stream.full:
		if !ok {
			f.stream.read.Store(true)
			return io.EOF
		}
		f.held, f.rest = b, b
		return nil
	case <-f.closed:
		return errFeedClosed
	case <-f.stream.ctx.Done():
		return f.stream.ctx.Err()
	}
}

func (f *feed) Read(p []byte) (int, error) {
	for len(f.rest) == 0 {
		if err := f.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	f.stream.sent.Add(int64(n))
	return n, nil
}

func (f *feed) WriteTo(w io.Writer) (n int64, err error) {
	for {
		if len(f.rest) > 0 {
			m, err := w.Write(f.rest)
			n += int64(m)
			f.stream.sent.Add(int64(m))
			f.rest = f.rest[m:]
			if err != nil {
				return n, err
			}
		}
		if err := f.next(); err == io.EOF {
			return n, nil
		} else if err != nil {
			return n, err
		}
	}
}

func (f *feed) Close() error {
	f.once.Do(func() { close(f.closed) })
	return nil
}

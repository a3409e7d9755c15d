package davfs

import (
	"io"
	"net/http"
)

// A body is the request's body with an account of it: whoever reads it, the request knows afterwards whether all of it
// arrived. It has no WriteTo, so that io.Copy gives it to putFile.ReadFrom whatever its length.
type body struct {
	r     io.ReadCloser
	want  int64 // announced length, negative for none
	n     int64
	err   error // what ended it, other than its proper end
	ended bool  // properly

	checksum *checksum // nil: the client has sent none
}

func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.r.Read(p)
	b.n += int64(n)
	b.checksum.write(p[:n])
	if err == io.EOF && b.want >= 0 && b.n < b.want {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && err != io.EOF {
		b.err = &bodyError{err}
		err = b.err
	}
	if err == io.EOF && !b.checksum.holds() {
		b.err = refuse(http.StatusBadRequest, "The body does not have the checksum in OC-Checksum; nothing was changed.")
		err = b.err
	}
	b.ended = b.ended || err == io.EOF
	return n, err
}

func (b *body) Close() error { return b.r.Close() }

// A bodyError is the client's: the connection broke or the body is shorter than it was announced.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return "read request body: " + e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

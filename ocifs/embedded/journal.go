//go:build !noembed

package embedded

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sirupsen/logrus"
)

// A journal takes what the registry's library logs to the log of the registry that it is about. The library has one
// logger for all; but it puts the context's value of "instance.id" into every entry, so a journal goes along as that.
type journal struct {
	log *slog.Logger
}

// instanceKey is a string because the library asks for one.
const instanceKey = "instance.id"

var (
	journalHook   sync.Once
	latestJournal atomic.Pointer[journal] // for the few entries that have no context
)

// takeJournal makes the library's logger silent and sends its entries to log.
func takeJournal(log *slog.Logger) *journal {
	j := &journal{log}
	latestJournal.Store(j)
	journalHook.Do(func() {
		logrus.SetOutput(io.Discard)
		logrus.SetFormatter(unformatted{})
		logrus.SetLevel(logrus.ErrorLevel)
		logrus.AddHook(journalHookFunc{})
	})
	if log.Enabled(context.Background(), slog.LevelDebug) {
		logrus.SetLevel(logrus.DebugLevel)
	}
	return j
}

// context is ctx with the mark of this journal.
func (j *journal) context(ctx context.Context) context.Context { return journalContext{ctx, j} }

type journalContext struct {
	context.Context
	journal *journal
}

func (c journalContext) Value(key any) any {
	if key == instanceKey {
		return c.journal
	}
	return c.Context.Value(key)
}

// entry logs one entry of the library. A refusal in the API's own words ("manifest unknown") is an answer to the
// client and no failure, though the library calls it an error.
func (j *journal) entry(e *logrus.Entry) {
	level := slog.LevelDebug
	if e.Level <= logrus.ErrorLevel {
		level = slog.LevelWarn
		if code, ok := e.Data["err.code"]; ok && fmt.Sprint(code) != "unknown" {
			level = slog.LevelDebug
		}
	}
	if !j.log.Enabled(context.Background(), level) {
		return
	}
	attrs := make([]slog.Attr, 0, 8)
	for _, key := range [...]string{"http.request.method", "http.request.uri", "http.response.status",
		"http.response.duration", "err.code", "err.message", "err.detail", "error", "path"} {
		v, ok := e.Data[key]
		if !ok || v == nil {
			continue
		}
		text := fmt.Sprint(v)
		if key == "http.request.uri" { // without the signed state of an upload
			text, _, _ = strings.Cut(text, "?")
		}
		attrs = append(attrs, slog.String(key[strings.LastIndexByte(key, '.')+1:], text))
	}
	j.log.LogAttrs(context.Background(), level, "embedded registry: "+e.Message, attrs...)
}

type journalHookFunc struct{}

func (journalHookFunc) Levels() []logrus.Level { return logrus.AllLevels }

func (journalHookFunc) Fire(e *logrus.Entry) error {
	j, ok := e.Data[instanceKey].(*journal)
	if !ok {
		j = latestJournal.Load()
	}
	j.entry(e)
	return nil
}

// unformatted saves the work of a text that nobody reads.
type unformatted struct{}

func (unformatted) Format(*logrus.Entry) ([]byte, error) { return nil, nil }

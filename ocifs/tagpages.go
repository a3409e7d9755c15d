package ocifs

import (
	"context"
	"errors"
	"net/http"
	"slices"
)

// A list of tags begins with a page of tagPageSize names, which every registry gives. What follows is asked for in pages of
// longTagPage, so that 10,000 names are three round trips and not ten. A registry that bears less gives less, and a Link to what
// is next, as the specification wants; one that refuses such a page, or fails with it, has all asked for in short ones, now and
// from then on. A number that a Profile says is neither left nor exceeded.
//
// A page that a registry has cut without such a Link would hide files. So a page without one is the end if it is shorter than
// any registry's bound, or longer than was asked for, which gives whatever there is; behind the last name of any other it is
// asked for more.
const (
	tagPageSize = 1000
	longTagPage = 10_000
)

// allTags gives all tags of a repository, sorted, each once. A repository that does not exist has none.
func (f *FS) allTags(ctx context.Context, repo string) ([]string, error) {
	long := f.local == nil && f.profile.Page == 0 && !f.shortPages.Load()
	tags, err := f.tagsInPages(ctx, repo, long)
	if refused := new(refusedPage); errors.As(err, refused) {
		f.log.InfoContext(ctx, "the registry gives no long pages of tags", "repository", repo, "error", err)
		if tags, err = f.tagsInPages(ctx, repo, false); err == nil {
			f.shortPages.Store(true)
		}
	}
	return tags, err
}

// refusedPage is a registry's answer to who asks for a long page.
type refusedPage struct{ error }

func (r refusedPage) Unwrap() error { return r.error }

func (f *FS) tagsInPages(ctx context.Context, repo string, long bool) ([]string, error) {
	tags, cut, err := f.tagsBehind(ctx, repo, "", long)
	for err == nil && cut != "" {
		known := len(tags)
		var more []string
		more, cut, err = f.tagsBehind(ctx, repo, cut, long)
		tags = sorted(append(tags, more...))
		if len(tags) == known { // that was all, or it does not know what "behind" means
			cut = ""
		}
	}
	if err != nil {
		return nil, err
	}
	return tags, nil
}

// tagsBehind asks for the tags behind after, as far as the registry leads on, and gives them sorted. cut is the last name of a
// page that may not be the end.
func (f *FS) tagsBehind(ctx context.Context, repo, after string, long bool) (tags []string, cut string, err error) {
	if _, err = f.repository(repo); err != nil { // which is to be told of what others change there: drive.go
		return nil, "", err
	}
	r, err := f.openRepository(repo) // for this list alone, since its page size changes
	if err != nil {
		return nil, "", err
	}
	var last []string
	pages, asked := 0, 0
	err = absentOr(r.Tags(r.scope(ctx), after, func(page []string) error {
		tags, last, asked = append(tags, page...), page, r.TagListPageSize
		if pages++; long {
			r.TagListPageSize = longTagPage
		}
		return nil
	}))
	switch {
	case err == nil:
	case pages == 0 && errors.Is(err, errAbsent), pages == 0 && after != "" && isRefused(err): // it has no "last"
		return []string{}, "", nil
	case pages > 0 && long && (isRefused(err) || status(err) >= http.StatusInternalServerError):
		return nil, "", refusedPage{err}
	default:
		return nil, "", err
	}
	if asked > 0 && len(last) >= min(asked, tagPageSize) && len(last) <= asked {
		cut = last[len(last)-1]
	}
	return sorted(tags), cut, nil
}

// isRefused says whether the registry does not take the question for one.
func isRefused(err error) bool {
	code := status(err)
	return code == http.StatusBadRequest || code == http.StatusUnprocessableEntity
}

// sorted sorts names in place; a page may repeat one where others write meanwhile.
func sorted(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

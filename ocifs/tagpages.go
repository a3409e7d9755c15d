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
	tags := []string{}
	err := f.eachPage(ctx, repo, "", long, func(page []string) error {
		tags = append(tags, page...)
		return nil
	})
	if err != nil && !(errors.Is(err, errAbsent) && len(tags) == 0) {
		return nil, err
	}
	return sorted(tags), nil
}

// eachPage gives the pages of the list of repo behind a tag; some names may come again. errAbsent: there is no such repository.
// refusedPage: of long ones the registry gives none.
func (f *FS) eachPage(ctx context.Context, repo, after string, long bool, each func(page []string) error) error {
	r, err := f.repository(repo)
	if err != nil {
		return err
	}
	for again := false; ; again = true {
		if long {
			if r, err = f.openRepository(repo); err != nil { // one for this list alone, since its page size changes
				return err
			}
		}
		pages, cut := 0, ""
		err := absentOr(r.Tags(r.scope(ctx), after, func(page []string) error {
			asked := r.TagListPageSize
			if pages, cut = pages+1, ""; asked > 0 && len(page) >= min(asked, tagPageSize) && len(page) <= asked {
				cut = page[len(page)-1]
			}
			if long {
				r.TagListPageSize = longTagPage
			}
			return each(page)
		}))
		switch {
		case again && pages == 0 && (errors.Is(err, errAbsent) || isRefused(err)): // it has no "last"
			return nil
		case long && pages > 0 && (isRefused(err) || status(err) >= http.StatusInternalServerError):
			return refusedPage{err}
		case err != nil, cut == "", cut == after:
			return err
		}
		after = cut
	}
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

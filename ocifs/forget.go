package ocifs

import "strings"

// Changed tells that ref, a tag or a digest, has changed in repo, so that the next answer is asked for again. A registry
// whose answers are kept without limit of time (Told) calls it for every change.
func (f *FS) Changed(repo, ref string) {
	f.catalog.changed(repo)
	if strings.Contains(ref, ":") { // a digest: any tag may have pointed to it
		f.tags.forgetAll()
		f.lists.doubt(repo)
		return
	}
	f.tags.forget(reference{repo, ref})
	f.alsoListed(reference{repo, ref})
}

// Forget tells that something has changed in a repository, named as the registry names it, prefix included, and what: a
// tag, or "" or a digest if that is all that is known. It is Changed for registries that tell of some changes, by a
// notification that may be late, come twice or be made up: it sends nothing, and whatever it says costs no more than
// requests. Repositories that are not of this tree are ignored.
//
// What is known of the tag, and which tags there are, is asked for by whoever wants to know it next. Without a tag all tags
// of the repository are in doubt: whoever looks at one has it asked for, and so has the listing of a small directory. That of
// a large one (revalidate.go) has them asked for behind, for it must not cost 10,000 questions that somebody has deleted one
// digest.
func (f *FS) Forget(repo, tag string) {
	if !f.layout.holds(repo) || len(tag) > maxTagBytes {
		return
	}
	f.catalog.changed(repo)
	if tag == "" || strings.Contains(tag, ":") {
		f.tags.doubt(repo)
		f.lists.doubt(repo)
		return
	}
	f.tags.forget(reference{repo, tag})
	f.lists.forget(f.listOf(reference{repo, tag})) // with alsoListed each name that is made up would cost a question
}

package davfs

import (
	"fmt"
	"html"
	"net/http"
	"path"
	"strings"
)

// serveListing answers GET and HEAD of a directory by a plain page. Links are absolute, so that it needs no redirect to
// a name with a slash, which some WebDAV clients do not follow.
func (h *Handler) serveListing(w http.ResponseWriter, r *http.Request, rq *request) error {
	hd := w.Header()
	hd.Set("Content-Type", "text/html; charset=utf-8")
	hd.Set("X-Content-Type-Options", "nosniff")
	hd.Set("Content-Security-Policy", "default-src 'none'")
	hd.Set("Cache-Control", "no-cache")
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	members, err := rq.tree.ReadDir(rq.ctx, rq.name)
	if err != nil {
		return err
	}
	var b strings.Builder
	title := html.EscapeString(rq.name)
	fmt.Fprintf(&b, "<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<title>%s</title>\n<h1>%s</h1>\n<ul>\n", title, title)
	line := func(text, name string, dir bool) {
		link := rq.href(name)
		if dir && name != "/" {
			text, link = text+"/", link+"/"
		} else if dir {
			link = rq.href("/")
		}
		fmt.Fprintf(&b, "<li><a href=\"%s\">%s</a>\n", html.EscapeString(link), html.EscapeString(text))
	}
	if rq.name != "/" {
		line("..", path.Dir(rq.name), true)
	}
	for _, fi := range members {
		line(fi.Name(), path.Join(rq.name, fi.Name()), fi.IsDir())
	}
	b.WriteString("</ul>\n")
	_, err = w.Write([]byte(b.String()))
	if err != nil {
		return fmt.Errorf("write listing: %w", err)
	}
	return nil
}

package foreign

import (
	"fmt"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// annotationUnpack marks a directory that oras has packed into a layer.
const annotationUnpack = "io.deis.oras.content.unpack"

// layers are the files of the layers; whole says that they are all there is to see: some, and all by names that they were
// given. named may give a layer a name. Left out are fillers, layers that no registry can hold, and those that lie
// elsewhere ("urls"): many registries do not have them, and nothing is fetched from where a manifest says.
func (a *artifact) layers(named func(descriptor) string) (files []placed, whole bool) {
	whole = true
	digits := len(strconv.Itoa(len(a.doc.Layers)))
	for n, d := range a.doc.Layers {
		title := d.Annotations[ocispec.AnnotationTitle]
		switch {
		case d.isEmpty() && title == "":
			continue
		case !d.valid() || len(d.URLs) > 0:
			whole = false
			continue
		}
		i := a.item()
		path := segments(title)
		if name := named(d); name != "" {
			path = []string{safeName(name)}
		} else if d.Annotations[annotationUnpack] == "true" && len(path) > 0 {
			path[len(path)-1] = packed(path[len(path)-1])
		}
		if len(path) > 0 {
			i.holds(d, fileType(path[len(path)-1], d.MediaType))
		} else {
			whole = false
			path = []string{fmt.Sprintf("layer-%0*d.%s", digits, n+1, extension(d.MediaType))}
			i.holds(d, safeType(d.MediaType))
		}
		files = append(files, placed{path, i})
	}
	return files, whole && len(files) > 0
}

// packed is the name of the archive that a directory was packed into.
func packed(name string) string {
	for _, ext := range []string{".tar.gz", ".tgz"} {
		if strings.HasSuffix(strings.ToLower(name), ext) {
			return name
		}
	}
	return safeName(name + ".tar.gz")
}

// Package tree runs the suite that every davfs.Tree passes (davfs/treetest) on the tree of ocifs with the cache before it,
// over real registries, each in a process of its own: the embedded one as ocidav shows it, Debian's docker-registry 2.8 with
// deletion enabled and disabled, and CNCF distribution 3 as the module of go.mod has it. Those are the ways to remove a tag,
// and both servers that most private registries are made of; what hosted registries do otherwise is played by
// ocifs/registrytest, over which the package of ocifs runs the same suite.
//
// Distribution 3 is this test program once more, told by a variable of its environment to be one: it has the handlers
// compiled in, and their command line needs modules that ocidav does not.
package tree

// Package bench compares the built ocidav with its peers, in one run on one machine:
//
//	go test -run '^$' -bench . -timeout 1h ./integration/bench
//
// Each benchmark is a row: some work that is done by each server in turns (A B C, A B C, ...), with the median of each
// server, and of ours to theirs the median of the ratios within a turn. A ratio above 1 is better than theirs, for rates
// and for times.
//
//	embedded   ocidav on its embedded registry
//	over28     ocidav over docker-registry 2.8
//	cold28     the same, begun with an empty cache in each turn
//	stock      golang.org/x/net/webdav on a webdav.Dir
//	apache     mod_dav
//	rclone     rclone serve webdav on a directory
//	registry   that docker-registry, its blobs asked for by digest: the limit of over28
//
// What is not installed is left out. Every byte is compared with what was written. BenchmarkMemory and BenchmarkFar stand
// beside the rows, because they are no comparison of servers: the one is a bound, the other takes a registry 40 ms away.
//
// Under plain go test every row runs once with a little work, to see that it still does what it says.
//
// A row of writing is added to rows as one of reading is: it prepares a target, and gives the work of one turn.
package bench

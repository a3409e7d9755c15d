// Package integration tests the built ocidav: the binary runs as a user runs it, real registries stand behind it and
// real clients before it. It imports nothing of ocidav, so it knows only what a user knows: flags, files, the wire.
//
// # What is covered
//
//   - Clients: litmus, cadaver, rclone, GNOME's gio, and davfs2 and rclone mounted, with cp, rsync, git and the ways in
//     which editors save in them, as programs; what they do not send is sent by net/http and, where a request is broken
//     on purpose, by plain TCP.
//   - Registries: the embedded one, and Debian's docker-registry 2.8 with deletion enabled and disabled, which are the
//     three ways to remove a tag. Most tests run on each of them; see eachBackend.
//   - Faults: uploads that break off, kill -9 of the server at random moments, a proxy before the registry that answers
//     errors, cuts, damages, resets and stalls (faults_test.go), full disks, an emptied cache.
//   - The format: what other OCI clients find in the registry, and what they put there; oras, crane and skopeo pull files
//     and copy drives from one registry to another.
//   - The command line: every way to start wrongly ends in one line, and SIGTERM lets requests finish.
//   - First figures: go test -run '^$' -bench . -benchtime 1x ./integration; the comparison with others is package bench.
//
// # Tools
//
// litmus, cadaver, rclone, docker-registry, skopeo, davfs2's mount.davfs, mount, git, rsync, fuse3's fusermount3, and for gio
// libglib2.0-bin, gvfs-backends and dbus are Debian packages; .ci/run installs them, and builds oras and crane. A test whose tool is missing is
// skipped, so that go test ./... passes on any machine with Go; what needs no tool always runs, and -short keeps it
// brief. With
//
//	OCIDAV_INTEGRATION=required
//
// in the environment a missing tool is an error; .ci/run sets it, so that nothing is skipped in silence there. Only a
// machine that lacks the right to mount, or /dev/fuse, may skip the tests that need them: no package brings those.
//
// If the tests run with the race detector, so does the binary under test; a race that it reports fails the test whose
// server it was.
package integration

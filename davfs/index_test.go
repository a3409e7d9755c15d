package davfs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// An indexed is a fact about WebDAV that is cured or required here, and the tests that fail without it.
type indexed struct {
	what  string
	tests []func(*testing.T)
}

func runIndex(t *testing.T, format string, want int, index []indexed) {
	if len(index) != want {
		t.Errorf("the index has %d entries, want %d", len(index), want)
	}
	for i, x := range index {
		t.Run(fmt.Sprintf(format, i+1, x.what), func(t *testing.T) {
			for _, test := range x.tests {
				test(t)
			}
		})
	}
}

type tests = []func(*testing.T)

// TestShortcomings runs what proves each cure of golang.org/x/net/webdav's handler, as numbered in the project's study
// of its version 0.62.
func TestShortcomings(t *testing.T) {
	runIndex(t, "%02d %s", 39, []indexed{
		{"truncated PUT is committed", tests{TestTornPut, TestResetPut, TestShortBodyIsTheReason}},
		{"COPY of a broken source is committed", tests{TestFailedCopyLeavesTheTarget}},
		{"LOCK truncates", tests{TestLockNeverTruncates, TestLockOfUnmappedName}},
		{"broken listing looks whole", tests{TestFailingListingIsWholeFailure, TestFailingMember}},
		{"Depth", tests{TestPropfindDepth}},
		{"include, empty prop, encodings", tests{TestPropfindForms, TestEncodings}},
		{"MOVE without Overwrite", tests{TestOverwrite}},
		{"MOVE of a missing source removes the target", tests{TestMoveOfMissingSource, TestFailedCopyLeavesTheTarget}},
		{"COPY and MOVE onto ancestors and descendants", tests{TestCopyOntoAncestor}},
		{"the destination is the source in another spelling", tests{TestDestination}},
		{"conditions of writes", tests{TestConditions, TestConditionsOfNothing, TestParallelPutsWithOneETag}},
		{"PUT with Content-Range", tests{TestPutContentRange}},
		{"Not and entity-tags in If", tests{TestConditions}},
		{"MOVE of what is locked to what is not", tests{TestLocked, TestIfHeader}},
		{"a token for one name opens another", tests{TestLocked}},
		{"several If headers", tests{TestIfHeader}},
		{"a tag of If with another host", tests{TestIfHeader, TestPublicURL}},
		{"requests that overlap are refused", tests{TestParallelPuts, TestLockInUse}},
		{"members and parents under locks", tests{TestLocked, TestLockedChangesNothing}},
		{"locks outlive what they are on", tests{TestLocksEndWithTheirResource, TestLocksOfReplacedMembers}},
		{"tokens can be guessed", tests{TestTokens}},
		{"timeouts without end", tests{TestLockTimeout}},
		{"locks end with the process", tests{TestLocksSurviveARestart}},
		{"lockroot and owner", tests{TestLockDiscovery, TestLockOwner}},
		{"refresh, shared locks, 423 without a reason", tests{TestRefresh, TestSharedLocks, TestLocked}},
		{"UNLOCK of what is not locked", tests{TestUnlock, TestUnlockTokenWithoutBrackets}},
		{"PROPPATCH of live properties", tests{TestProppatchTimes, TestProppatchIsAtomic}},
		{"PROPPATCH opens for writing", tests{TestProppatchIsOneCall, TestProppatchOrder}},
		{"MKCOL with a body, PUT of a directory", tests{TestMkcolWithBody, TestPutTrailingSlash}},
		{"GET of a directory", tests{TestListingPage, TestOptions}},
		{"the prefix has no boundary", tests{TestPrefixEndsAtSlash}},
		{"Destination behind a proxy", tests{TestDestinationOnAnotherHost, TestPublicURL, TestTrustedProxies}},
		{"OPTIONS", tests{TestOptions}},
		{"XML without limits", tests{TestXMLBodies}},
		{"control characters and invalid UTF-8", tests{TestNamesAreRefused}},
		{"half a COPY, MOVE or DELETE", tests{TestFailedCopyLeavesTheTarget, TestCopyIsOneCall, TestFailureIsNeverAbsence}},
		{"the log has no status", tests{TestOneLogLinePerRequest}},
		{"bodies where none belong", tests{TestHeadIsGet, TestPutStatus}},
		{"an empty namespace", tests{TestXMLBodies}},
	})
}

// TestRequirements runs what proves each requirement that the project has drawn from the servers and clients there are.
// Some are kept elsewhere: streaming and large uploads in ocifs, authentication and deadlines in front of the handler.
func TestRequirements(t *testing.T) {
	runIndex(t, "R%d %s", 32, []indexed{
		{"PUT commits after a clean end", tests{TestTornPut, TestResetPut, TestShortBodyIsTheReason}},
		{"PUT is seen at once and whole", tests{TestRoundTrip, TestParallelPuts}},
		{"no error after a commit", tests{TestPutStatus, TestRequestEndsWithItsClient}},
		{"LOCK of what is not there", tests{TestLockOfUnmappedName, TestLockNeverTruncates}},
		{"PROPFIND from one listing", tests{TestPropfindBudget, TestFailingListingIsWholeFailure}},
		{"Depth", tests{TestPropfindDepth}},
		{"Overwrite", tests{TestOverwrite, TestOverwriteRace}},
		{"COPY and MOVE", tests{TestCopyOntoAncestor, TestMoveOfMissingSource, TestDestination, TestCopyIsOneCall}},
		{"conditions", tests{TestConditions, TestParallelPutsWithOneETag, TestConditionalGet, TestConditionsOfReads}},
		{"PUT with Content-Range", tests{TestPutContentRange}},
		{"locks", tests{TestLocked, TestSharedLocks, TestRefresh, TestUnlock, TestTokens, TestLockTimeout, TestLockInUse,
			TestLocksSurviveARestart, TestLocksOfSpellings}},
		{"headers", tests{TestIfHeader, TestLockTokenAlone, TestUnlockTokenWithoutBrackets, TestTrustedProxies}},
		{"dead properties and times", tests{TestPropertyValues, TestProppatchTimes, TestProppatchWin32, TestProppatchIsAtomic}},
		{"live properties", tests{TestPropfindForms, TestQuota, TestLockDiscovery, TestChecksum, TestCreationDate}},
		{"ETag and Last-Modified are the same everywhere", tests{TestValidatorsAgree, TestMtime}},
		{"PUT 201 and 204", tests{TestPutStatus}},
		{"classes of failure", tests{TestFailureIsNeverAbsence, TestFailureHeaders, TestAnswersOfTheTree}},
		{"XML", tests{TestXMLBodies, TestEncodings}},
		{"no redirects", tests{TestNoRedirects}},
		{"OPTIONS", tests{TestOptions, TestReadOnly}},
		{"GET of a directory", tests{TestListingPage}},
		{"ranges and media types", tests{TestRanges, TestConditionalGet, TestContentHeaders, TestHeadOpensNothing}},
		{"chunked uploads", tests{TestParallelPuts, TestChecksum}},
		{"writers wait for each other", tests{TestParallelPuts}},
		{"compact allprop", tests{TestEntriesForWindows}},
		{"names", tests{TestNamesAreRefused, TestHrefs}},
		{"spellings of a name", tests{TestLocksOfSpellings}},
		{"junk", tests{TestJunkPolicies, TestWhatIsJunk, TestRejectedJunk, TestFinder, TestNeverIndex, TestJunkBounds}},
		{"one log line", tests{TestOneLogLinePerRequest}},
		{"prefix and public URL", tests{TestPrefixEndsAtSlash, TestPublicURL}},
		{"rules on clean names", tests{TestNamesAreRefused, TestLocked, TestDestination}},
		{"nothing secret in the log", tests{TestOneLogLinePerRequest}},
	})
}

// The tests that the package documentation names for the clients exist, and it names all of them.
func TestClientsTable(t *testing.T) {
	doc, err := os.ReadFile("davfs.go")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(doc), "// # Clients")
	table, _, _ = strings.Cut(table, "\npackage")
	named := map[string]bool{}
	for line := range strings.Lines(table) {
		if f := strings.Fields(line); strings.HasPrefix(line, "//\t") && f[len(f)-1] != "test" {
			named["Test"+f[len(f)-1]] = true
		}
	}
	files, err := filepath.Glob("client_*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("client tests: %q, %v", files, err)
	}
	for _, name := range files {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)`).FindAllStringSubmatch(string(source), -1) {
			if !named[m[1]] {
				t.Errorf("%s of %s is not in the table of clients", m[1], name)
			}
			delete(named, m[1])
		}
	}
	for name := range named {
		t.Errorf("the table of clients names %s, which does not exist", name)
	}
}

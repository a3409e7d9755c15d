package ocifs_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// TestCheckReport: the names of a report's fields are for programs, and stay.
func TestCheckReport(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.small()
		f.DropBlob("d", digestOf("content of /d/b"))
		f.must(put(f.Context(), f.tree(), "/g", "content of /d/b")) // where it is whole
		f.Fail(registrytest.Match{Method: "GET", Path: digestOf("content of /f").String()}, registrytest.Status(503), 0)
		f.change = func(o *ocifs.Options) { o.Parallel = 1 }
		f.pushForeign("d", "theirs", "one")
		f.remove("x.root", "_d.e")
		f.must(put(f.Context(), f.tree(), "/h", "h"))
		f.remove("e", "b") // and so the orphan is one tag, and there is one place to bring the blob from
		r := f.check(ocifs.CheckOptions{})
		r.Finished = r.Started
		if r.OmittedFindings != 0 {
			f.Error("omitted:", r.OmittedFindings)
		}
		r.OmittedFindings = 7
		got, err := json.MarshalIndent(r, "", "  ")
		f.must(err)
		got = append(got, '\n')
		const golden = "testdata/check.json"
		want, err := os.ReadFile(golden)
		if flag.Lookup("update").Value.String() == "true" {
			want, err = got, os.WriteFile(golden, got, 0o600)
		}
		f.must(err)
		if !bytes.Equal(got, want) {
			f.Errorf("the report is\n%s", got)
		}
	})
}

package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestHelmAndCosign has the two tools themselves where they are there. They take minutes to build each, so .ci/run brings
// them with OCIDAV_CI_TOOLS=all only, and has what they push pushed by oras otherwise (TestForeignArtifacts, TestSigned).
func TestHelmAndCosign(t *testing.T) {
	for _, tool := range []string{"helm", "cosign"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	eachRegistry(t, func(t *testing.T, b backend) {
		x := newOCITools(t, "helm", "cosign", "oras", "env")
		d := b.startShown(t)
		host, repository := b.host(t, d)
		charts := host + "/" + repository("charts")

		x.run("helm", "create", "app")
		x.run("helm", "package", "app")
		x.run("helm", "push", "app-0.1.0.tgz", "oci://"+charts, "--plain-http")
		chart, err := os.ReadFile(filepath.Join(x.dir, "app-0.1.0.tgz"))
		if err != nil {
			t.Fatal(err)
		}
		d.want("/charts/app/0.1.0/app-0.1.0.tgz", chart)

		digest := strings.TrimSpace(x.oras("resolve", charts+"/app:0.1.0"))
		cosign := func(args ...string) {
			x.run("env", append([]string{"COSIGN_PASSWORD=x", need(t, "cosign")}, args...)...)
		}
		cosign("generate-key-pair")
		sign := []string{"sign", "--key", "cosign.key", "--tlog-upload=false", "--use-signing-config=false", "--allow-http-registry", "-y"}
		cosign(append(sign, charts+"/app@"+digest)...)
		cosign(append(sign, "--new-bundle-format=false", charts+"/app@"+digest)...)
		var kinds []string
		for _, name := range d.names("/charts/app/0.1.0/.referrers/") {
			kind := name[:strings.LastIndexByte(name, '-')]
			kinds = append(kinds, kind)
			if len(d.names("/charts/app/0.1.0/.referrers/"+name+"/")) == 0 {
				t.Errorf("there is nothing in %s", name)
			}
		}
		slices.Sort(kinds)
		if want := []string{"cosign-signature", "sigstore-bundle"}; !slices.Equal(kinds, want) {
			t.Errorf("what refers to the chart is %q, want %q", kinds, want)
		}
		if got := d.names("/charts/app/"); !slices.Equal(got, []string{"0.1.0"}) {
			t.Errorf("beside the chart is %q", got)
		}
		d.put("/charts/app/notes.txt", []byte("ours"))
		cosign("verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", "--allow-http-registry", charts+"/app@"+digest)
		x.run("helm", "pull", "oci://"+charts+"/app", "--version", "0.1.0", "--plain-http", "--destination", x.t.TempDir())
	})
}

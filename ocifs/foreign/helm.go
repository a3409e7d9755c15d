package foreign

import (
	"context"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Media types of Helm charts (helm.sh/helm/v3/pkg/registry).
const (
	typeChartConfig     = "application/vnd.cncf.helm.config.v1+json"
	typeChart           = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
	typeChartLegacy     = "application/tar+gzip"
	typeChartProvenance = "application/vnd.cncf.helm.chart.provenance.v1.prov"
)

func (a *artifact) isChart() bool {
	return a.doc.Config != nil && a.doc.Config.MediaType == typeChartConfig
}

// A chart is the name and version that helm package makes a file's name of.
type chart struct{ name, version string }

// chart takes them from the config, which is the Chart.yaml, or from the annotations that helm push makes of it.
func (a *artifact) chart(ctx context.Context) (chart, error) {
	c, err := a.lookInto(ctx)
	if err != nil || c.Name != "" && c.Version != "" {
		return chart{c.Name, c.Version}, err
	}
	return chart{a.doc.Annotations[ocispec.AnnotationTitle], a.doc.Annotations[ocispec.AnnotationVersion]}, nil
}

// file is the name of a chart's layer as helm pull would write it; none for others, and where nobody says it.
func (c chart) file(layer descriptor) string {
	if c.name == "" || c.version == "" {
		return ""
	}
	switch layer.MediaType {
	case typeChart, typeChartLegacy:
		return c.name + "-" + c.version + ".tgz"
	case typeChartProvenance:
		return c.name + "-" + c.version + ".tgz.prov"
	}
	return ""
}

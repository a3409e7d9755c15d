package ocifs

import (
	"bytes"
	"cmp"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxPropertiesBytes bounds the properties blob of one file or directory.
const maxPropertiesBytes = 64 << 10

var errTooManyProperties = fmt.Errorf("there are more than %d bytes of them", maxPropertiesBytes)

// property is davfs.Property: both name the same unnamed type.
type property = struct {
	XMLName  xml.Name
	Lang     string
	InnerXML []byte
}

// storedProperty is the JSON form of a property.
type storedProperty struct {
	Space string `json:"space"`
	Local string `json:"name"`
	Lang  string `json:"lang,omitempty"`
	XML   string `json:"xml"`
}

// encodeProperties gives the blob for props, sorted, so that the same properties are the same blob.
func encodeProperties(props []property) (ocispec.Descriptor, []byte, error) {
	stored := make([]storedProperty, 0, len(props))
	for _, p := range props {
		stored = append(stored, storedProperty{p.XMLName.Space, p.XMLName.Local, p.Lang, string(p.InnerXML)})
	}
	slices.SortFunc(stored, func(a, b storedProperty) int {
		return cmp.Or(cmp.Compare(a.Space, b.Space), cmp.Compare(a.Local, b.Local))
	})
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // XML would grow threefold
	if err := enc.Encode(stored); err != nil {
		return ocispec.Descriptor{}, nil, fmt.Errorf("encode properties: %w", err)
	}
	data := buf.Bytes()
	if len(data) > maxPropertiesBytes {
		return ocispec.Descriptor{}, nil, &Error{Class: classQuota,
			Err: fmt.Errorf("the properties take %d bytes, the limit is %d", len(data), maxPropertiesBytes)}
	}
	return ocispec.Descriptor{MediaType: typeProperties, Digest: sumOf(data), Size: int64(len(data))}, data, nil
}

func decodeProperties(data []byte) ([]property, error) {
	var stored []storedProperty
	if err := json.Unmarshal(data, &stored); err != nil {
		return nil, fmt.Errorf("decode properties: %w", err)
	}
	props := make([]property, 0, len(stored))
	for _, s := range stored {
		props = append(props, property{xml.Name{Space: s.Space, Local: s.Local}, s.Lang, []byte(s.XML)})
	}
	return props, nil
}

// patch applies set and remove to props; what is in both is set.
func patch(props, set []property, remove []xml.Name) []property {
	gone := func(p property) bool {
		return slices.Contains(remove, p.XMLName) ||
			slices.ContainsFunc(set, func(s property) bool { return s.XMLName == p.XMLName })
	}
	return append(slices.DeleteFunc(slices.Clone(props), gone), set...)
}

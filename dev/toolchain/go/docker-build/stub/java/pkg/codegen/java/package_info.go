// Package java stands in for the module of the same path, which no Go module proxy can serve: the provider names just
// this one struct, in schema metadata that only a Java SDK generator would read.
package java

// PackageInfo holds the fields the provider sets.
type PackageInfo struct {
	BuildFiles                      string            `json:"buildFiles,omitempty"`
	GradleNexusPublishPluginVersion string            `json:"gradleNexusPublishPluginVersion,omitempty"`
	Dependencies                    map[string]string `json:"dependencies,omitempty"`
}

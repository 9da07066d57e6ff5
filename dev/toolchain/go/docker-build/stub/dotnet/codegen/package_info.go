// Package codegen stands in for the module of the same path, which no Go module proxy can serve: the provider names
// just this one struct, in schema metadata that only a .NET SDK generator would read.
package codegen

// CSharpPackageInfo holds the fields the provider sets.
type CSharpPackageInfo struct {
	PackageReferences    map[string]string `json:"packageReferences,omitempty"`
	RespectSchemaVersion bool              `json:"respectSchemaVersion,omitempty"`
}

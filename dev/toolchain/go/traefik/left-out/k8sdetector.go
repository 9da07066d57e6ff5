package types

import (
	"context"

	"go.opentelemetry.io/otel/sdk/resource"
)

// K8sAttributesDetector detects nothing.
type K8sAttributesDetector struct{}

// Detect finds that this is not Kubernetes.
func (K8sAttributesDetector) Detect(context.Context) (*resource.Resource, error) {
	return resource.Empty(), nil
}

// Package kubernetes holds the chart, the plain manifests and the examples against the types of the Kubernetes API, the
// admission of pods and the binary.
package kubernetes

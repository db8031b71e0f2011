// Package kubernetes holds the chart, the plain manifests and the examples against the types of the Kubernetes API, the
// admission of pods and the binary.
//
// What it reads is outside of its module, so Go does not notice when that changes: run it with -count=1.
package kubernetes

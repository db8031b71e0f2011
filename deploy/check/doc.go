// Package check holds what is deployed beside the binary against the real things: the alerting rules and the dashboard against
// Prometheus's own parser and the metrics that the binary exports, the chart against the types of the Kubernetes API.
//
// It is a module of its own, so that none of what it needs becomes a dependency of pgwitness:
//
//	cd deploy/check && go test -count=1 ./...
package check

// Package monitoring holds the alerting rules and the dashboard against Prometheus's own parser, the metrics that the binary
// exports, and the runbooks.
package monitoring

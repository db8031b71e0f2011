package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protodelim"
)

const latencyMetric = "pgwitness_commit_to_durable_seconds"

func get(ctx context.Context, address, path, accept string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return nil, err
	}
	if accept != "" {
		request.Header.Set("Accept", accept)
	}
	return http.DefaultClient.Do(request)
}

// scrape returns the latency's histogram. The native one, whose buckets are 9 % wide, comes in the protobuf format only.
func scrape(ctx context.Context, address string) (*dto.Histogram, error) {
	response, err := get(ctx, address, "/metrics",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body := bufio.NewReader(response.Body)
	for {
		var family dto.MetricFamily
		err := protodelim.UnmarshalFrom(body, &family)
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("/metrics has no %s", latencyMetric)
		}
		if err != nil {
			return nil, fmt.Errorf("/metrics: %w", err)
		}
		if family.GetName() == latencyMetric && len(family.GetMetric()) == 1 {
			return family.GetMetric()[0].GetHistogram(), nil
		}
	}
}

// latencies returns the quantiles of a native histogram of seconds.
func latencies(h *dto.Histogram) (quantiles, error) {
	if h.Schema == nil || h.GetSampleCount() == 0 {
		return quantiles{}, errors.New("the native histogram is empty")
	}
	return quantiles{p50: quantile(h, 0.5), p99: quantile(h, 0.99)}, nil
}

// quantile follows the definition of native histograms: bucket i is of the values up to base to the power of i, where the
// base is 2^(2^-schema), and holds as many as the one before it and its delta together. Inside a bucket it interpolates
// exponentially, as Prometheus does.
func quantile(h *dto.Histogram, q float64) time.Duration {
	rank := q * float64(h.GetSampleCount())
	seen := float64(h.GetZeroCount())
	if rank <= seen {
		return 0
	}
	width := math.Exp2(-float64(h.GetSchema())) // of a bucket, as a logarithm to base 2
	deltas := h.GetPositiveDelta()
	var index, count int64
	var upper float64
	for _, span := range h.GetPositiveSpan() {
		index += int64(span.GetOffset())
		for range span.GetLength() {
			count += deltas[0]
			deltas = deltas[1:]
			upper = float64(index)
			index++
			if count > 0 && seen+float64(count) >= rank {
				share := (rank - seen) / float64(count)
				return time.Duration(math.Exp2((upper-1+share)*width) * float64(time.Second))
			}
			seen += float64(count)
		}
	}
	return time.Duration(math.Exp2(upper*width) * float64(time.Second))
}

package metrics

import (
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"

	"pgwitness/decoder"
	"pgwitness/internal/pgoutputtest"
)

func TestDurableCountsOperations(t *testing.T) {
	const audit = pgoutputtest.RelationOID
	m := New(Config{})
	m.Durable(decode(t, 0x1000,
		pgoutputtest.Insert(audit, auditRow("INSERT")...),
		pgoutputtest.Insert(audit, auditRow("UPDATE")...),
		pgoutputtest.Insert(audit, auditRow("DELETE")...),
		pgoutputtest.Insert(audit, auditRow("DELETE")...),
		pgoutputtest.Insert(audit, auditRow("LOGIN")...),
		pgoutputtest.Update(audit, 'O', auditRow("INSERT"), auditRow("DELETE")),
		pgoutputtest.Delete(audit, 'K', "1", nil, nil, nil, nil, nil),
		pgoutputtest.Truncate(audit),
		pgoutputtest.Insert(audit, "2", "DELETE", nil, nil, nil, `{"id": null, "event_type": "DELETE"}`),
		pgoutputtest.Message(true, 1, decoder.RetentionPrefix, `{"table": "public.custom_audit_log"}`),
		pgoutputtest.Delete(audit, 'K', "1", nil, nil, nil, nil, nil),
		pgoutputtest.Delete(audit, 'K', "2", nil, nil, nil, nil, nil),
	), 0x1030)
	expect(t, m, `
pgwitness_audited_operations_total{operation="delete"} 3
pgwitness_audited_operations_total{operation="insert"} 1
pgwitness_audited_operations_total{operation="other"} 1
pgwitness_audited_operations_total{operation="truncate"} 0
pgwitness_audited_operations_total{operation="update"} 1
pgwitness_events_total{op="delete"} 3
pgwitness_events_total{op="insert"} 6
pgwitness_events_total{op="truncate"} 1
pgwitness_events_total{op="update"} 1
pgwitness_incomplete_events_total 1
pgwitness_retention_events_total 2
pgwitness_tamper_events_total{op="delete"} 1
pgwitness_tamper_events_total{op="truncate"} 1
pgwitness_tamper_events_total{op="update"} 1
pgwitness_transactions_total 1
`)
	if s := m.Snapshot(); s.Events != 11 || s.TamperEvents != 3 || s.RetentionEvents != 2 || s.IncompleteEvents != 1 || s.Transactions != 1 {
		t.Errorf("the snapshot is %+v; want 11 events, 3 of them of tampering, 2 of retention and 1 incomplete, of 1 transaction", s)
	}
}

func TestDurableCountsTransactionsOnce(t *testing.T) {
	one := pgoutputtest.Events(0x1000, 1, 4)           // ends at 0x1030
	three := pgoutputtest.Events(0x1000, 3, 2)         // 0x1000, 0x1100, 0x1200
	adjacent := pgoutputtest.Events(0x1000+0x30, 1, 1) // commits where the first of the others ends
	type call struct {
		events []decoder.Event
		end    decoder.LSN
		want   uint64 // transactions so far
	}
	tests := []struct {
		name  string
		calls []call
	}{
		{"whole in one call", []call{{one, 0x1030, 1}}},
		{"several in one call", []call{{three, 0x1230, 3}}},
		{"end in a later call without events", []call{{one, 0, 0}, {nil, 0x1030, 1}, {nil, 0x2000, 1}}},
		{"split over calls", []call{{one[:1], 0, 0}, {one[1:2], 0, 0}, {one[2:], 0x1030, 1}}},
		{"the last is incomplete", []call{{three[:5], 0x1130, 2}, {three[5:], 0x1230, 3}}},
		{"only the end of the one before", []call{{three[:2], 0, 0}, {three[2:4], 0x1030, 1}, {nil, 0x1130, 2}}},
		{"an end that is not past the commit", []call{{one, 0x1000, 0}, {nil, 0x1000, 0}, {nil, 0x1001, 1}}},
		{"a commit at the end of the one before", []call{{one, 0, 0}, {adjacent, 0x1030, 1}, {nil, 0x1060, 2}}},
		{"positions without events", []call{{nil, 0x500, 0}, {nil, 0x600, 0}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := New(Config{})
			events := uint64(0)
			for i, c := range tt.calls {
				m.Durable(c.events, c.end)
				events += uint64(len(c.events))
				s := m.Snapshot()
				if s.Transactions != c.want || s.Events != events {
					t.Fatalf("after call %d there are %d transactions and %d events, want %d and %d",
						i, s.Transactions, s.Events, c.want, events)
				}
				if got := latency(t, m).GetSampleCount(); got != c.want {
					t.Fatalf("after call %d the histogram has %d observations, want %d", i, got, c.want)
				}
			}
		})
	}
}

func TestDurableObservesLatency(t *testing.T) {
	tests := []struct {
		name         string
		first, later time.Duration // from the commit to each call; the second one completes the transaction
		want         float64
	}{
		{"at once", 0, 1500 * time.Microsecond, .0015},
		{"the last part counts", time.Second, time.Minute, 60},
		{"the server's clock is ahead", -time.Hour, -time.Minute, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := New(Config{})
				events := pgoutputtest.Events(0x1000, 1, 2)
				time.Sleep(time.Until(pgoutputtest.Epoch.Add(tt.first)))
				m.Durable(events[:1], 0)
				time.Sleep(time.Until(pgoutputtest.Epoch.Add(tt.later)))
				m.Durable(events[1:], 0x1030)
				h := latency(t, m)
				if got := h.GetSampleSum(); got != tt.want {
					t.Errorf("%v s were observed, want %v", got, tt.want)
				}
				for _, bucket := range h.GetBucket() {
					holds := bucket.GetUpperBound() >= tt.want
					if got := bucket.GetCumulativeCount() == 1; got != holds {
						t.Errorf("the bucket up to %v holds it: %t", bucket.GetUpperBound(), got)
					}
				}
				if h.GetZeroCount() == 0 && len(h.GetPositiveSpan()) == 0 {
					t.Error("the native histogram is empty")
				}
			})
		})
	}
}

func TestDurableObservesLatencyOfAnEndWithoutEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Config{})
		time.Sleep(time.Until(pgoutputtest.Epoch))
		m.Durable(pgoutputtest.Events(0x1000, 1, 2), 0)
		time.Sleep(time.Second)
		m.Durable(nil, 0x1030)
		if got := latency(t, m).GetSampleSum(); got != 1 {
			t.Errorf("%v s were observed, want 1", got)
		}
	})
}

func latency(t *testing.T, m *Metrics) *dto.Histogram {
	t.Helper()
	var metric dto.Metric
	if err := m.commitToDurable.Write(&metric); err != nil {
		t.Fatal(err)
	}
	return metric.GetHistogram()
}

// BenchmarkDurable is what counting costs an event. Every transaction costs an observation besides.
func BenchmarkDurable(b *testing.B) {
	for _, bench := range []struct {
		name                   string
		transactions, rowsEach int
	}{
		{"1x1", 1, 1}, {"50000x1", 50_000, 1}, {"50x1000", 50, 1000}, {"1x50000", 1, 50_000},
	} {
		b.Run(bench.name, func(b *testing.B) {
			events := pgoutputtest.Events(0x1000, bench.transactions, bench.rowsEach)
			end := events[len(events)-1].LSN + 0x30
			m := New(Config{})
			b.ReportAllocs()
			for b.Loop() {
				m.Durable(events, end)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(events)), "ns/event")
		})
	}
}

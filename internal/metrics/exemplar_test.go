package metrics

import (
	"math"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"pgwitness/decoder"
	"pgwitness/internal/pgoutputtest"
)

func labels(e *dto.Exemplar) map[string]string {
	found := map[string]string{}
	for _, pair := range e.GetLabel() {
		found[pair.GetName()] = pair.GetValue()
	}
	return found
}

// The slowest transaction of a call has the exemplar, wherever in the call it is.
func TestExemplarOfLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Config{})
		time.Sleep(time.Until(pgoutputtest.Epoch.Add(time.Minute)))
		d := decoder.New(decoder.Config{Source: "shop", Schema: "public", Table: "custom_audit_log"})
		var batch decoder.Batch
		messages := [][]byte{pgoutputtest.AuditRelation()}
		for i, age := range []time.Duration{3 * time.Second, 40 * time.Second, 2 * time.Second} {
			lsn := decoder.LSN(0x1_0000_1000 + i*0x100)
			messages = append(messages, pgoutputtest.Begin(lsn, time.Now().Add(-age), uint32(742+i)), row("INSERT", "app", "orders"),
				pgoutputtest.Commit(lsn, lsn+0x30, pgoutputtest.Epoch))
		}
		for _, message := range messages {
			if _, err := d.Decode(message, &batch); err != nil {
				t.Fatal(err)
			}
		}
		m.Durable(batch.Events, 0x1_0000_1230)
		h := latency(t, m)
		if h.GetSampleCount() != 3 || h.GetSampleSum() != 45 {
			t.Errorf("%d observations of %v s, want 3 of 45", h.GetSampleCount(), h.GetSampleSum())
		}
		var found []map[string]string
		for _, bucket := range h.GetBucket() {
			if e := bucket.GetExemplar(); e != nil {
				found = append(found, labels(e))
				if e.GetValue() != 40 {
					t.Errorf("the exemplar took %v s, want 40", e.GetValue())
				}
			}
		}
		if diff := cmp.Diff([]map[string]string{{"lsn": "1/1100", "xid": "743"}}, found); diff != "" {
			t.Errorf("the exemplars are not those that are wanted (-want +got):\n%s", diff)
		}
	})
}

// An exemplar stays for a second, unless something much slower comes.
func TestExemplarsAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Config{})
		time.Sleep(time.Until(pgoutputtest.Epoch))
		exemplars := func() (found string) {
			for _, bucket := range latency(t, m).GetBucket() {
				if e := bucket.GetExemplar(); e != nil {
					found += " " + labels(e)["lsn"]
				}
			}
			return found
		}
		for i, step := range []struct {
			wait time.Duration // the latency is how long it has been since Epoch
			want string
		}{
			{100 * time.Millisecond, " 0/1000"},
			{50 * time.Millisecond, " 0/1000"},
			{60 * time.Millisecond, " 0/1000 0/1200"}, // 210 ms
			{100 * time.Millisecond, " 0/1000 0/1200"},
			{time.Second, " 0/1000 0/1200 0/1400"}, // 1.31 s
			{900 * time.Millisecond, " 0/1000 0/1200 0/1400"},
			{110 * time.Millisecond, " 0/1000 0/1200 0/1400 0/1600"}, // 2.32 s, and more than one second later
		} {
			time.Sleep(step.wait)
			lsn := decoder.LSN(0x1000 + i*0x100)
			m.Durable(pgoutputtest.Events(lsn, 1, 1), lsn+0x30)
			if got := exemplars(); got != step.want {
				t.Errorf("after transaction %d the exemplars are%s, want%s", i, got, step.want)
			}
		}
	})
}

func TestExemplarOfTampering(t *testing.T) {
	const audit = pgoutputtest.RelationOID
	m := New(Config{})
	m.Durable(decode(t, 0x1000, pgoutputtest.Delete(audit, 'K', "1", nil, nil, nil, nil, nil), pgoutputtest.Delete(audit, 'K', "2", nil, nil, nil, nil, nil)), 0)
	var metric dto.Metric
	if err := m.tamperEvents.WithLabelValues("delete").Write(&metric); err != nil {
		t.Fatal(err)
	}
	if got := metric.GetCounter(); got.GetValue() != 2 || got.GetExemplar().GetValue() != 2 {
		t.Errorf("%v", got)
	}
	if diff := cmp.Diff(map[string]string{"lsn": "0/1000", "xid": "742"}, labels(metric.GetCounter().GetExemplar())); diff != "" {
		t.Errorf("the exemplar is not what is wanted (-want +got):\n%s", diff)
	}
}

// OpenMetrics allows an exemplar's labels 128 characters, and client_golang panics beyond.
func TestExemplarFits(t *testing.T) {
	length := 0
	for name, value := range exemplar(math.MaxUint64, math.MaxUint32) {
		length += utf8.RuneCountInString(name) + utf8.RuneCountInString(value)
	}
	if length > prometheus.ExemplarMaxRunes {
		t.Errorf("an exemplar's labels take up to %d characters, %d are allowed", length, prometheus.ExemplarMaxRunes)
	}
}

package watch

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Meter keeps the figures of a watch for Prometheus. A nil Meter keeps none.
type Meter struct {
	events, alerts, delivered, undelivered, failures *prometheus.CounterVec
	delays, runs                                     *prometheus.HistogramVec
	window, rows                                     *prometheus.GaugeVec
}

// NewMeter registers the figures.
func NewMeter(r prometheus.Registerer) *Meter {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "midwatch", Name: name, Help: help}, append([]string{"tenant"}, labels...))
		r.MustRegister(c)
		return c
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "midwatch", Name: name, Help: help}, []string{"tenant"})
		r.MustRegister(g)
		return g
	}
	histogram := func(name, help string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "midwatch", Name: name, Help: help, Buckets: []float64{0.1, 0.5, 1, 2, 5, 10, 15, 20, 30, 40, 50, 60, 90, 120, 300, 600}}, []string{"tenant"})
		r.MustRegister(h)
		return h
	}
	return &Meter{
		events:      counter("events_total", "Events that are new in the store."),
		alerts:      counter("alerts_total", "Findings that were put into the outbox.", "severity"),
		delivered:   counter("alerts_delivered_total", "Alerts that a receiver has.", "sink"),
		undelivered: counter("alert_failures_total", "Tries to deliver an alert that failed.", "sink"),
		failures:    counter("run_failures_total", "Runs of the detectors that failed."),
		delays:      histogram("finding_delay_seconds", "From the arrival of records until the findings on them were in the outbox."),
		runs:        histogram("run_seconds", "A run of the detectors."),
		window:      gauge("window_seconds", "How far back the last run looked."),
		rows:        gauge("window_events", "Events that the last run looked at."),
	}
}

func (m *Meter) added(tenant string, n int64) {
	if m != nil {
		m.events.WithLabelValues(tenant).Add(float64(n))
	}
}

func (m *Meter) found(tenant, severity string) {
	if m != nil {
		m.alerts.WithLabelValues(tenant, severity).Inc()
	}
}

func (m *Meter) sent(tenant, sink string, err error) {
	if m == nil {
		return
	}
	if err != nil {
		m.undelivered.WithLabelValues(tenant, sink).Inc()
		return
	}
	m.delivered.WithLabelValues(tenant, sink).Inc()
}

func (m *Meter) failed(tenant string) {
	if m != nil {
		m.failures.WithLabelValues(tenant).Inc()
	}
}

func (m *Meter) delay(tenant string, d time.Duration) {
	if m != nil {
		m.delays.WithLabelValues(tenant).Observe(d.Seconds())
	}
}

func (m *Meter) ran(tenant string, took, back time.Duration, rows int64) {
	if m == nil {
		return
	}
	m.runs.WithLabelValues(tenant).Observe(took.Seconds())
	m.window.WithLabelValues(tenant).Set(back.Seconds())
	m.rows.WithLabelValues(tenant).Set(float64(rows))
}

// Whose definitions of ServiceMonitor and PrometheusRule the chart is held against; nothing of it is built.
module npu-ipc.io/tests/go/prometheus-operator

go 1.26.0

require github.com/prometheus-operator/prometheus-operator v0.85.0

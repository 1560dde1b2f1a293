{{- define "npu-ipc.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "npu-ipc.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "npu-ipc.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "npu-ipc.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "npu-ipc.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "npu-ipc.selectorLabels" -}}
app.kubernetes.io/name: {{ include "npu-ipc.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "npu-ipc.commonLabels" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: npu-ipc
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "npu-ipc.labels" -}}
app.kubernetes.io/name: {{ include "npu-ipc.name" . }}
{{ include "npu-ipc.commonLabels" . }}
{{- end }}

{{- define "npu-ipc.simulatorSelectorLabels" -}}
app.kubernetes.io/name: {{ include "npu-ipc.name" . }}-simulator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "npu-ipc.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "npu-ipc.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- /* An image of the values, by its digest or its tag: (dict "image" .Values.image "context" $) */}}
{{- define "npu-ipc.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ default .context.Chart.AppVersion .image.tag }}
{{- end }}
{{- end }}

{{- define "npu-ipc.driverDirectory" -}}
{{- .Values.simulator.enabled | ternary .Values.simulator.directory .Values.driver.directory }}
{{- end }}

{{- /* What the device plugin is told, JSON. */}}
{{- define "npu-ipc.devicesConfig" -}}
{{- $driver := include "npu-ipc.driverDirectory" . }}
{{- $config := dict
      "driver" (dict "directory" $driver "hostRoot" "/host")
      "log" (dict "format" "json") }}
{{- if .Values.simulator.enabled }}
{{- $_ := set $config "dcmi" (dict "library" (printf "%s/lib64/libdcmi.so" $driver)) }}
{{- end }}
{{- mustMergeOverwrite $config (deepCopy .Values.devices.config) | mustToPrettyJson }}
{{- end }}

{{- /* What the broker is told, JSON. */}}
{{- define "npu-ipc.brokerConfig" -}}
{{- $config := dict
      "cluster" (dict "enabled" "true")
      "http" (dict "listenAddress" (printf ":%d" (int .Values.metrics.port)))
      "log" (dict "format" "json") }}
{{- if not .Values.devices.enabled }}
{{- $_ := set $config "deviceView" (dict "socket" "off") }}
{{- end }}
{{- mustMergeOverwrite $config (deepCopy .Values.broker.config) | mustToPrettyJson }}
{{- end }}

{{- define "npu-ipc.shareResource" -}}
{{- dig "share" "resourceName" "npu-ipc.io/share" .Values.broker.config }}
{{- end }}

{{- /* The names of the NPUs that our device plugin offers, a JSON list. */}}
{{- define "npu-ipc.npuResources" -}}
{{- if .Values.devices.enabled }}
{{- $names := dig "resources" dict .Values.devices.config }}
{{- list (default "huawei.com/Ascend910B" $names.ascend910b)
         (default "huawei.com/Ascend910C" $names.ascend910c) | mustToJson }}
{{- else }}
{{- list | mustToJson }}
{{- end }}
{{- end }}

{{- /* Of MutatingAdmissionPolicy, as the cluster has it; empty where it has none. */}}
{{- define "npu-ipc.mutatingPolicyVersion" -}}
{{- if semverCompare ">=1.36-0" .Capabilities.KubeVersion.Version -}}
v1
{{- else if .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicy" -}}
v1beta1
{{- end }}
{{- end }}

{{- define "pgwitness.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- /* Shorter than a label's 63 characters by what names are made of: the longest is "-retention" with eleven more of a CronJob's. */ -}}
{{- define "pgwitness.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "pgwitness.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "pgwitness.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* The labels by which pods are selected: of (list $ "component"). */ -}}
{{- define "pgwitness.selector" -}}
app.kubernetes.io/name: {{ include "pgwitness.name" (first .) }}
app.kubernetes.io/instance: {{ (first .).Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end }}

{{- /* Those of pods, without the chart's version: a chart that changed nothing of the pods shall not replace them. */ -}}
{{- define "pgwitness.podLabels" -}}
{{ include "pgwitness.selector" . }}
{{- with (first .).Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- with (first .).Values.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "pgwitness.labels" -}}
{{ include "pgwitness.selector" . }}
app.kubernetes.io/version: {{ (first .).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (first .).Release.Service }}
helm.sh/chart: {{ (first .).Chart.Name }}-{{ (first .).Chart.Version | replace "+" "_" }}
{{- with (first .).Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "pgwitness.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "pgwitness.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "pgwitness.claimName" -}}
{{- default (include "pgwitness.fullname" .) .Values.state.existingClaim }}
{{- end }}

{{- define "pgwitness.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}
{{- end }}

{{- /* Whether only one node at a time can have the state. */ -}}
{{- define "pgwitness.exclusive" -}}
{{- if and .Values.state.persistent (ne .Values.state.accessMode "ReadWriteMany") }}true{{ end }}
{{- end }}

{{- define "pgwitness.stateDir" -}}/var/lib/pgwitness{{- end }}
{{- define "pgwitness.credentialsDir" -}}/etc/pgwitness/credentials{{- end }}

{{- /* pgwitness.yaml: the configured keys and those that the chart sees to. */ -}}
{{- define "pgwitness.config" -}}
{{- include "pgwitness.check" . }}
{{- $config := deepCopy .Values.config }}
{{- $source := default dict $config.source }}
{{- with .Values.credentials.dsnKey }}
{{- $_ := set $source "dsn_file" (printf "%s/%s" (include "pgwitness.credentialsDir" $) .) }}
{{- end }}
{{- with .Values.credentials.passwordKey }}
{{- $_ := set $source "password_file" (printf "%s/%s" (include "pgwitness.credentialsDir" $) .) }}
{{- end }}
{{- if .Values.standbys.secretName }}
{{- $_ := set $source "standby_dsn_file" (printf "/etc/pgwitness/standbys/%s" .Values.standbys.key) }}
{{- end }}
{{- $http := default dict $config.http }}
{{- $_ := set $http "listen" ":9717" }}
{{- if .Values.webConfig.secretName }}
{{- $_ := set $http "web_config" (printf "/etc/pgwitness/web/%s" .Values.webConfig.key) }}
{{- end }}
{{- $_ := set $config "source" $source }}
{{- $_ := set $config "http" $http }}
{{- $_ := set $config "state_dir" (include "pgwitness.stateDir" .) }}
{{- $_ := set $config "shutdown_grace" (printf "%ds" (sub (int .Values.terminationGracePeriodSeconds) 10)) }}
{{- toYaml $config }}
{{- end }}

{{- /* What the schema cannot see. */ -}}
{{- define "pgwitness.check" -}}
{{- if and (gt (int .Values.replicas) 1) (include "pgwitness.exclusive" .) }}
{{- fail (printf "replicas: 2 with a %s volume: the second could not start on another node. Set state.accessMode to ReadWriteMany, or state.persistent to false if every sink is elsewhere" .Values.state.accessMode) }}
{{- end }}
{{- if and .Values.credentials.dsnKey .Values.config.source.dsn }}
{{- fail "config.source.dsn: credentials.dsnKey is set as well: keep one, by setting the other to \"\"" }}
{{- end }}
{{- include "pgwitness.checkDSN" (list "config.source.dsn" .Values.config.source.dsn .Values.credentials) }}
{{- if .Values.init.enabled }}
{{- include "pgwitness.checkDSN" (list "init.dsn" .Values.init.dsn .Values.init.credentials) }}
{{- end }}
{{- if .Values.retention.enabled }}
{{- include "pgwitness.checkDSN" (list "retention.dsn" .Values.retention.dsn .Values.retention.credentials) }}
{{- if not .Values.retention.keep }}
{{- fail "retention.keep: say how long audit rows are kept, such as 12mo; it has no default" }}
{{- end }}
{{- end }}
{{- if and .Values.podMonitor.enabled .Values.serviceMonitor.enabled }}
{{- fail "podMonitor and serviceMonitor are both enabled: each pod would be counted twice" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled (not .Values.service.enabled) }}
{{- fail "serviceMonitor.enabled takes service.enabled; podMonitor does without" }}
{{- end }}
{{- range $i, $sink := .Values.config.sinks }}
{{- if eq $sink.type "file" }}
{{- include "pgwitness.checkFile" (list $ (printf "config.sinks[%d].path" $i) $sink.path) }}
{{- end }}
{{- with $sink.dead_letter }}
{{- include "pgwitness.checkFile" (list $ (printf "config.sinks[%d].dead_letter" $i) .) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "pgwitness.checkDSN" -}}
{{- $what := index . 0 }}{{ $dsn := index . 1 }}{{ $credentials := index . 2 }}
{{- if not (or $dsn $credentials.dsnKey) }}
{{- fail (printf "%s: neither it nor dsnKey says how to connect" $what) }}
{{- end }}
{{- if regexMatch "(?i)(//[^/@]*:[^/@]+@|password\\s*=)" (default "" $dsn) }}
{{- fail (printf "%s holds a password, which everybody who may read the ConfigMap or the release would see: put it into the Secret and name its key in passwordKey" $what) }}
{{- end }}
{{- end }}

{{- /* A file must lie on a volume that outlives the pod: (list $ "what" "path"). */ -}}
{{- define "pgwitness.checkFile" -}}
{{- $root := index . 0 }}{{ $what := index . 1 }}{{ $path := clean (index . 2) }}
{{- $found := "" }}
{{- range $root.Values.extraVolumeMounts }}
{{- if hasPrefix (printf "%s/" (trimSuffix "/" .mountPath)) $path }}{{ $found = "extra" }}{{ end }}
{{- end }}
{{- if hasPrefix (printf "%s/" (include "pgwitness.stateDir" $root)) $path }}
{{- if not $root.Values.state.persistent }}
{{- fail (printf "%s: %s would lie in an emptyDir and go with its pod, though the database was told that it is safe. Set state.persistent to true, or use another sink" $what $path) }}
{{- end }}
{{- else if not $found }}
{{- fail (printf "%s: %s lies on no volume, and the root file system is read-only. Put it below %s, or mount a volume with extraVolumes and extraVolumeMounts" $what $path (include "pgwitness.stateDir" $root)) }}
{{- end }}
{{- end }}

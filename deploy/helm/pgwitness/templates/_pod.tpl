{{- /* What all pods have in common. */ -}}
{{- define "pgwitness.podSecurity" -}}
runAsNonRoot: true
{{- range $key := list "runAsUser" "runAsGroup" "fsGroup" }}
{{- with index $.Values $key }}
{{ $key }}: {{ int . }}
{{- end }}
{{- end }}
{{- if .Values.fsGroup }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "pgwitness.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
{{- with .Values.runAsUser }}
runAsUser: {{ int . }}
{{- end }}
{{- with .Values.runAsGroup }}
runAsGroup: {{ int . }}
{{- end }}
capabilities:
  drop: [ALL]
{{- end }}

{{- define "pgwitness.scheduling" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* The pod of a Job that runs one command: (dict "root" $ "component" "init" "serviceAccount" "" "args" list "job" .Values.init). */ -}}
{{- define "pgwitness.jobPod" -}}
metadata:
  labels:
    {{- include "pgwitness.podLabels" (list .root .component) | nindent 4 }}
  annotations:
    # With an immutable tag the registry need not be asked again, nor be there.
    kube-score/ignore: container-image-pull-policy
    {{- with .root.Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  restartPolicy: Never
  {{- with .serviceAccount }}
  serviceAccountName: {{ . }}
  {{- end }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- include "pgwitness.podSecurity" .root | nindent 4 }}
  containers:
    - name: {{ .component }}
      image: {{ include "pgwitness.image" .root }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      args:
        {{- toYaml .args | nindent 8 }}
      env:
        {{- if .job.credentials.dsnKey }}
        - name: PGWITNESS_SOURCE_DSN_FILE
          value: {{ include "pgwitness.credentialsDir" .root }}/{{ .job.credentials.dsnKey }}
        {{- else }}
        - name: PGWITNESS_SOURCE_DSN
          value: {{ .job.dsn | quote }}
        {{- end }}
        {{- with .job.credentials.passwordKey }}
        - name: PGWITNESS_SOURCE_PASSWORD_FILE
          value: {{ include "pgwitness.credentialsDir" $.root }}/{{ . }}
        {{- end }}
        {{- with .root.Values.config.source }}
        {{- range $key := list "table" "slot" "publication" }}
        {{- with index $.root.Values.config.source $key }}
        - name: PGWITNESS_SOURCE_{{ upper $key }}
          value: {{ . | quote }}
        {{- end }}
        {{- end }}
        {{- end }}
      resources:
        {{- toYaml .root.Values.resources | nindent 8 }}
      securityContext:
        {{- include "pgwitness.containerSecurity" .root | nindent 8 }}
      volumeMounts:
        - name: credentials
          mountPath: {{ include "pgwitness.credentialsDir" .root }}
          readOnly: true
        {{- with .root.Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: credentials
      secret:
        secretName: {{ .job.credentials.secretName }}
        defaultMode: 0440
    {{- with .root.Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- include "pgwitness.scheduling" .root | nindent 2 }}
{{- end }}

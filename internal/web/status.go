package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"

	"pgwitness/internal/status"
)

func writeStatus(w http.ResponseWriter, now status.Status) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(now); err != nil {
		writeText(w, http.StatusInternalServerError, fmt.Sprintf("encoding the status: %v\n", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = body.WriteTo(w) // a client that has left needs no answer
}

package webclient

import (
	"fmt"
	"net"
	"os"

	"go.yaml.in/yaml/v3"

	"pgwitness/internal/config"
)

// ListenerURL is where a pgwitness of this configuration answers, as seen from its own machine. Its errors are ErrConfigs.
func ListenerURL(http config.HTTP) (string, error) {
	if http.Listen == "" {
		return "", failf(ErrConfig, "http.listen is off: there is nobody to ask")
	}
	host, port, err := net.SplitHostPort(http.Listen)
	if err != nil {
		return "", failf(ErrConfig, "http.listen: %w", err)
	}
	if port == "0" {
		return "", failf(ErrConfig, "http.listen takes a free port: the log of pgwitness has it; give --url")
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	scheme := "http"
	if http.WebConfig != "" {
		secured, err := hasTLS(http.WebConfig)
		if err != nil {
			return "", failf(ErrConfig, "http.web_config, which says whether to speak TLS: %w; give --url", err)
		}
		if secured {
			scheme = "https"
		}
	}
	return scheme + "://" + net.JoinHostPort(host, port), nil
}

// hasTLS says whether a web configuration file turns on TLS.
func hasTLS(path string) (bool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	var web struct {
		TLS map[string]any `yaml:"tls_server_config"`
	}
	if err := yaml.Unmarshal(text, &web); err != nil {
		return false, fmt.Errorf("%s is not YAML, or not of that kind", path) // the parser's text may quote a password's hash
	}
	return len(web.TLS) > 0, nil
}

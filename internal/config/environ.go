package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// EnvPrefix begins every environment variable of pgwitness's.
const EnvPrefix = "PGWITNESS_"

// EnvFile names the configuration file where no flag does.
const EnvFile = EnvPrefix + "CONFIG"

// otherVariables begin with EnvPrefix and are no keys.
var otherVariables = []string{
	EnvFile,
	"PGWITNESS_POSTGRES_REPOSITORY", // where the demo fetches PostgreSQL from
	"PGWITNESS_FAILPOINT",           // read by builds for crash tests
	// How status and tail reach a running pgwitness.
	"PGWITNESS_CLIENT_URL", "PGWITNESS_CLIENT_CA_FILE", "PGWITNESS_CLIENT_USER", "PGWITNESS_CLIENT_PASSWORD_FILE",
}

const envSinks = EnvPrefix + "SINKS"

var sinkVariable = regexp.MustCompile(`^` + envSinks + `_(0|[1-9][0-9]{0,2})_([A-Z0-9_]+)$`)

// envName returns the variable that sets key: "source.slot" is PGWITNESS_SOURCE_SLOT.
func envName(key string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// readEnvironment returns what the PGWITNESS_… variables of environ set. An empty variable is as good as none, which is
// libpq's rule too; a setting whose empty value means something has a word for it ("off").
func readEnvironment(environ []string) (layer, Mistakes) {
	l := newLayer()
	var mistakes Mistakes
	keyOf := map[string]string{}
	for _, key := range keys {
		keyOf[envName(key)] = key
	}
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, EnvPrefix) || value == "" || slices.Contains(otherVariables, name) {
			continue
		}
		if key, ok := keyOf[name]; ok {
			l.set(key, value, name)
		} else if name == envSinks {
			mistakes = append(mistakes, readSinks(&l, value)...)
		} else if !sinkVariable.MatchString(name) && !isServiceLink(name, value) {
			nearest := Nearest(name, variables())
			mistakes = append(mistakes, fmt.Errorf("%s: unknown variable: did you mean %s?", name, nearest))
		}
	}
	// After the list, whichever came first in environ: the single keys are set on top of it.
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if match := sinkVariable.FindStringSubmatch(name); match != nil && value != "" {
			l.set("sinks."+match[1]+"."+strings.ToLower(match[2]), value, name)
		}
	}
	return l, mistakes
}

func variables() []string {
	names := []string{EnvFile, envSinks}
	for _, key := range keys {
		names = append(names, envName(key))
	}
	return names
}

// readSinks reads the list of sinks in YAML, of which JSON is a part.
func readSinks(l *layer, text string) Mistakes {
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		return Mistakes{fmt.Errorf("%s: %w", envSinks, yamlProblem(err))}
	}
	w := yamlWalker{layer: l, place: func(*yaml.Node) string { return envSinks }}
	if len(document.Content) > 0 {
		w.sinks(document.Content[0])
	}
	return w.mistakes
}

var (
	serviceLinkPort = regexp.MustCompile(`_PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$`)
	serviceLinkHost = regexp.MustCompile(`_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$`)
	linkAddress     = regexp.MustCompile(`^(tcp|udp|sctp)://`)
)

// isServiceLink recognises the variables that Kubernetes gives every container for each Service in its namespace: with
// one named pgwitness, PGWITNESS_SERVICE_HOST, PGWITNESS_PORT_9717_TCP and their like.
func isServiceLink(name, value string) bool {
	if serviceLinkHost.MatchString(name) {
		return true
	}
	match := serviceLinkPort.FindStringSubmatch(name)
	return match != nil && (match[1] != "" || linkAddress.MatchString(value))
}

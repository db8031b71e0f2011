package kubernetes

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pgwitness/internal/config"
)

func readSchema(t *testing.T) map[string]any {
	t.Helper()
	var schema map[string]any
	if err := json.Unmarshal(readFile(t, filepath.Join(chartDir, "values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	return schema
}

// open are the objects whose keys are Kubernetes's or the Prometheus operator's to check, not the schema's.
var open = []string{
	"/definitions/peers/items/properties/namespaceSelector", "/definitions/peers/items/properties/podSelector",
	"/properties/affinity/properties/nodeAffinity", "/properties/affinity/properties/podAffinity",
	"/properties/affinity/properties/podAntiAffinity",
	"/properties/extraVolumes/items/properties/configMap", "/properties/extraVolumes/items/properties/csi",
	"/properties/extraVolumes/items/properties/persistentVolumeClaim", "/properties/extraVolumes/items/properties/projected",
	"/properties/extraVolumes/items/properties/secret",
	"/properties/global",
	"/properties/monitorAuth/properties/basicAuth/properties/password", "/properties/monitorAuth/properties/basicAuth/properties/username",
	"/properties/monitorAuth/properties/tlsConfig/properties/ca", "/properties/monitorAuth/properties/tlsConfig/properties/cert",
	"/properties/monitorAuth/properties/tlsConfig/properties/keySecret",
	"/properties/topologySpreadConstraints/items/properties/labelSelector",
}

// TestSchemaIsClosed sees that every object refuses keys that it does not know.
func TestSchemaIsClosed(t *testing.T) {
	var found []string
	var walk func(path string, node any)
	walk = func(path string, node any) {
		switch n := node.(type) {
		case map[string]any:
			_, closed := n["additionalProperties"]
			_, variants := n["allOf"] // each closes itself
			if n["type"] == "object" && !closed && !variants {
				found = append(found, path)
			}
			for _, key := range slices.Sorted(maps.Keys(n)) {
				walk(path+"/"+key, n[key])
			}
		case []any:
			for _, element := range n {
				walk(path, element)
			}
		}
	}
	walk("", readSchema(t))
	if diff := cmp.Diff(open, found); diff != "" {
		t.Errorf("objects that accept any key (-want +got):\n%s", diff)
	}
}

// TestSchemaKnowsTheConfiguration sees that the schema lets through the keys of pgwitness.yaml that are not the chart's, and no others.
func TestSchemaKnowsTheConfiguration(t *testing.T) {
	ours := map[string]string{
		"source.dsn_file":         "credentials.dsnKey",
		"source.password":         "a secret is not a value",
		"source.password_file":    "credentials.passwordKey",
		"source.standby_dsn_file": "standbys",
		"http.listen":             "the port that probes and Service know",
		"http.web_config":         "webConfig",
		"state_dir":               "state",
		"shutdown_grace":          "terminationGracePeriodSeconds",
	}
	var want []string
	for _, key := range configKeys(reflect.TypeFor[config.Config](), "") {
		if ours[key] == "" {
			want = append(want, key)
		}
	}
	want = append(want, "sinks")
	slices.Sort(want)

	schema := readSchema(t)
	var got []string
	configured := at(t, schema, "properties", "config", "properties")
	for key, node := range configured {
		if nested, ok := node.(map[string]any)["properties"].(map[string]any); ok {
			for inner := range nested {
				got = append(got, key+"."+inner)
			}
		} else {
			got = append(got, key)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the keys of the configuration (-config +schema):\n%s", diff)
	}

	sinks := map[string][]string{
		config.SinkStdout: configKeys(reflect.TypeFor[config.Sink](), ""),
		config.SinkFile:   append(configKeys(reflect.TypeFor[config.Sink](), ""), configKeys(reflect.TypeFor[config.FileSink](), "")...),
	}
	variants := map[string][]string{}
	for _, variant := range schema["definitions"].(map[string]any)["sink"].(map[string]any)["allOf"].([]any) {
		v := variant.(map[string]any)
		kind := at(t, v, "if", "properties", "type")["const"].(string)
		variants[kind] = slices.Sorted(maps.Keys(at(t, v, "then", "properties")))
	}
	for kind := range sinks {
		slices.Sort(sinks[kind])
	}
	if diff := cmp.Diff(sinks, variants); diff != "" {
		t.Errorf("the keys of the sinks (-config +schema):\n%s", diff)
	}
}

func at(t *testing.T, node map[string]any, path ...string) map[string]any {
	t.Helper()
	for _, key := range path {
		next, ok := node[key].(map[string]any)
		if !ok {
			t.Fatalf("the schema has no %s", strings.Join(path, "/"))
		}
		node = next
	}
	return node
}

// configKeys are the keys of a struct of package config, a section's as "section.key".
func configKeys(of reflect.Type, prefix string) []string {
	var keys []string
	for field := range of.Fields() {
		name := field.Tag.Get("koanf")
		section := field.Type.Kind() == reflect.Struct && field.Type != reflect.TypeFor[config.Table]()
		switch {
		case name == "-":
		case section:
			keys = append(keys, configKeys(field.Type, prefix+name+".")...)
		default:
			keys = append(keys, prefix+name)
		}
	}
	return keys
}

package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFileBytes bounds the configuration file, so that naming a device or a log by mistake ends in an error.
const maxFileBytes = 1 << 20

// readFile returns what the file sets, and a warning when it shows a secret to others.
func readFile(path string) (layer, []string, Mistakes) {
	l := newLayer()
	file, err := os.Open(path)
	if err != nil {
		return l, nil, Mistakes{fmt.Errorf("configuration file: %w", err)}
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err != nil {
		return l, nil, Mistakes{fmt.Errorf("configuration file: %w", err)}
	}
	if len(text) > maxFileBytes {
		return l, nil, Mistakes{fmt.Errorf("configuration file: %s is larger than 1MiB: is it the right one?", path)}
	}

	var document yaml.Node
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return l, nil, nil
	} else if err != nil {
		return l, nil, Mistakes{fmt.Errorf("%s: %w", path, yamlProblem(err))}
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return l, nil, Mistakes{fmt.Errorf("%s: want a single YAML document: remove what follows the second ---", path)}
	}

	w := yamlWalker{layer: &l, place: func(n *yaml.Node) string { return path + ":" + strconv.Itoa(n.Line) }}
	w.section(document.Content[0], "")
	return l, exposure(file, path, l), w.mistakes
}

// exposure warns of a file that holds a secret and that everybody may read.
func exposure(file *os.File, path string, l layer) []string {
	if runtime.GOOS == "windows" {
		return nil // its permission bits say nothing about who may read
	}
	dsn, _ := l.values["source.dsn"].(string)
	if password, _ := l.values["source.password"].(string); password == "" && !HasPassword(dsn) {
		return nil
	}
	if info, err := file.Stat(); err != nil || info.Mode().Perm()&0o004 == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s holds a password and everybody may read it: chmod 0640, or use source.password_file", path)}
}

// yamlProblem is a syntax error without the parser's name. One of the parser's texts quotes the file, and what it quotes
// may be a password that begins with an asterisk.
func yamlProblem(err error) error {
	if strings.Contains(err.Error(), "anchor") {
		return errAlias
	}
	return errors.New("not YAML: " + strings.TrimPrefix(err.Error(), "yaml: "))
}

var (
	errAlias    = errors.New("anchors and aliases are not used here: quote a value that begins with & or *")
	errPlainKey = errors.New("want a plain word as the key")
	errScalar   = errors.New("want one value, not a list or a mapping")
)

// yamlWalker turns nodes into a layer. It reads nodes instead of decoding into a map for the line numbers and for the
// values as they were written.
type yamlWalker struct {
	layer    *layer
	place    func(*yaml.Node) string
	mistakes Mistakes
}

func (w *yamlWalker) mistake(n *yaml.Node, key string, problem error) {
	w.mistakes = append(w.mistakes, mistakeAt(w.place(n), key, problem))
}

// section reads the mapping n, whose keys are below prefix.
func (w *yamlWalker) section(n *yaml.Node, prefix string) {
	w.mapping(n, prefix, func(key string, keyNode, value *yaml.Node) {
		isSection, dotted := slices.Contains(sections, key), strings.Contains(keyNode.Value, ".")
		switch {
		case key == "sinks":
			w.sinks(value)
		case isSection && isNull(value):
		case isSection:
			w.section(value, key)
		case slices.Contains(keys, key) && !dotted:
			w.value(key, keyNode, value)
		default:
			known := slices.Concat(keys, sections, []string{"sinks"})
			w.mistakes = append(w.mistakes, unknownKey(w.place(keyNode), key, nearestKey(key, known)))
		}
	})
}

// sinks reads the list n. Which keys a sink may have is known only once its type is, after the merge.
func (w *yamlWalker) sinks(n *yaml.Node) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		w.mistake(n, "sinks", errors.New("want a list, such as [{type: stdout}]"))
		return
	}
	w.layer.replacesSinks = true
	w.layer.places["sinks"] = w.place(n)
	for i, element := range n.Content {
		sink := "sinks." + strconv.Itoa(i)
		w.layer.places[sink] = w.place(element)
		w.mapping(element, sink, func(key string, keyNode, value *yaml.Node) {
			if strings.Contains(keyNode.Value, ".") {
				w.mistake(keyNode, key, errPlainKey)
				return
			}
			w.value(key, keyNode, value)
		})
	}
}

// mapping calls each for every key of the mapping n, prefix and a dot before it.
func (w *yamlWalker) mapping(n *yaml.Node, prefix string, each func(key string, keyNode, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		problem := errors.New("want keys and values, not a list or a single value")
		if n.Kind == yaml.AliasNode {
			problem = errAlias
		}
		w.mistake(n, cmp.Or(prefix, "configuration"), problem)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		keyNode, value := n.Content[i], n.Content[i+1]
		key := keyNode.Value
		if prefix != "" {
			key = prefix + "." + key
		}
		switch {
		case keyNode.Kind != yaml.ScalarNode:
			w.mistake(keyNode, cmp.Or(prefix, "configuration"), errPlainKey)
		case seen[key]:
			w.mistake(keyNode, key, errors.New("given twice: keep one"))
		default:
			each(key, keyNode, value)
		}
		seen[key] = true
	}
}

// value sets key; a null leaves it to the layers below.
func (w *yamlWalker) value(key string, keyNode, value *yaml.Node) {
	switch {
	case value.Kind == yaml.AliasNode:
		w.mistake(value, key, errAlias)
	case isNull(value):
	case value.Kind == yaml.SequenceNode && len(value.Content) > 0 && !slices.ContainsFunc(value.Content, noWord):
		words := make([]string, len(value.Content))
		for i, n := range value.Content {
			words[i] = n.Value
		}
		w.layer.set(key, words, w.place(keyNode))
	case value.Kind != yaml.ScalarNode:
		w.layer.set(key, notScalar, w.place(keyNode))
	default:
		w.layer.set(key, value.Value, w.place(keyNode))
	}
}

func noWord(n *yaml.Node) bool { return n.Kind != yaml.ScalarNode || isNull(n) }

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

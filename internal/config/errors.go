package config

import (
	"errors"
	"fmt"
	"strings"
)

// ErrInvalid is in the chain of every error Load returns: a person must change the configuration.
var ErrInvalid = errors.New("invalid configuration")

// Mistakes are all that is wrong with a configuration, each with the place where it was written.
type Mistakes []error

// Error returns the mistakes in one line, joined by "; ".
func (m Mistakes) Error() string {
	texts := make([]string, len(m))
	for i, mistake := range m {
		texts[i] = mistake.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap gives errors.Is and errors.As the single mistakes.
func (m Mistakes) Unwrap() []error { return m }

// Is makes Mistakes an ErrInvalid.
func (m Mistakes) Is(target error) bool { return target == ErrInvalid }

// mistakeAt builds a mistake from the place it was written at, which is empty for a default, the key, and what is wrong.
func mistakeAt(place, key string, problem error) error {
	if place == "" {
		return fmt.Errorf("%s: %w", key, problem)
	}
	return fmt.Errorf("%s: %s: %w", place, key, problem)
}

func unknownKey(place, key, nearest string) error {
	if key == nearest {
		section, name, _ := strings.Cut(key, ".")
		return fmt.Errorf("%s: unknown key %q: nest it, %s: {%s: …}", place, key, section, name)
	}
	return fmt.Errorf("%s: unknown key %q: did you mean %q?", place, key, nearest)
}

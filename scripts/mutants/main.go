// Command mutants plants known faults in the code, one at a time, and checks that the simulation notices each of them: a
// test that passes with a wrong acknowledgement proves nothing. It changes no file: the compiler is given the mutated
// text by an overlay.
//
//	go run ./scripts/mutants
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// Tests that fail anyhow would catch everything.
	sound := mutants[0]
	sound.to = sound.from
	if verdict, err := sound.try(ctx, dir); err != nil || verdict != survived {
		return errors.Join(errors.New("the tests fail without any mutant"), err)
	}
	alive := 0
	for i, m := range mutants {
		begun := time.Now()
		verdict, err := m.try(ctx, dir)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		fmt.Printf("%2d/%d  %-8s  %5.1fs  %s\n", i+1, len(mutants), verdict, time.Since(begun).Seconds(), m.name)
		if verdict != caught {
			alive++
		}
	}
	if alive > 0 {
		return fmt.Errorf("%d of %d mutants survived: a test is missing", alive, len(mutants))
	}
	fmt.Printf("all %d mutants were caught\n", len(mutants))
	return nil
}

type verdict string

const (
	caught   verdict = "caught"
	survived verdict = "SURVIVED"
)

// apply returns the file's text with the fault in it. root is that of the repository.
func (m mutant) apply(root string) (string, error) {
	source, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(source), m.from); n != 1 {
		return "", fmt.Errorf("%s holds the text to replace %d times, want once: the code has moved on, and so must the mutant", m.file, n)
	}
	return strings.Replace(string(source), m.from, m.to, 1), nil
}

// try runs the tests of the mutated code.
func (m mutant) try(ctx context.Context, dir string) (verdict, error) {
	text, err := m.apply(".")
	if err != nil {
		return "", err
	}
	original, err := filepath.Abs(m.file)
	if err != nil {
		return "", err
	}
	mutated, overlay := filepath.Join(dir, "mutated.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{original: mutated}})
	if err != nil {
		return "", err
	}
	err = errors.Join(
		os.WriteFile(mutated, []byte(text), 0o600),
		os.WriteFile(overlay, replace, 0o600),
	)
	if err != nil {
		return "", err
	}
	if out, err := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "./internal/pipeline").CombinedOutput(); err != nil {
		return "", fmt.Errorf("the mutant does not compile: %w\n%s", err, out)
	}
	args := append([]string{"test", "-overlay", overlay, "-count=1", "-failfast", "-short", "-vet=off", "-timeout=20s"}, m.packages...)
	err = exec.CommandContext(ctx, "go", args...).Run()
	var failed *exec.ExitError
	switch {
	case err == nil:
		return survived, nil
	case errors.As(err, &failed) && ctx.Err() == nil:
		return caught, nil
	}
	return "", err
}

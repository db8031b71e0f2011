package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version and commit are set with -ldflags "-X main.version=v1.2.3 -X main.commit=…" where a build has no VCS to ask.
var version, commit string

// buildInfo says which build this is.
type buildInfo struct {
	Version string `json:"version"`
	// Commit is the revision built, followed by "+dirty" if the work tree had changes.
	Commit string `json:"commit"`
	// Time is the commit's time in RFC 3339, or empty.
	Time     string `json:"time"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// readBuildInfo prefers what the linker was told to what the toolchain recorded.
func readBuildInfo() buildInfo {
	info := buildInfo{
		Version:  "unknown",
		Commit:   "unknown",
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if recorded, ok := debug.ReadBuildInfo(); ok {
		if recorded.Main.Version != "" {
			info.Version = recorded.Main.Version
		}
		dirty := false
		for _, setting := range recorded.Settings {
			switch setting.Key {
			case "vcs.revision":
				info.Commit = setting.Value
			case "vcs.time":
				info.Time = setting.Value
			case "vcs.modified":
				dirty = setting.Value == "true"
			}
		}
		if dirty {
			info.Commit += "+dirty"
		}
	}
	if version != "" {
		info.Version = version
	}
	if commit != "" {
		info.Commit = commit
	}
	return info
}

// String returns one line for people and bug reports.
func (b buildInfo) String() string {
	return fmt.Sprintf("pgwitness %s (commit %s, %s, %s)", b.Version, b.Commit, b.Go, b.Platform)
}

func newVersionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Say which version this is",
		Example: `  # For a script
  pgwitness version --json | jq -r .commit`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info := readBuildInfo()
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(info)
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), info)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

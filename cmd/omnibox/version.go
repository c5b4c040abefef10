package main

import (
	"cmp"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// version is set by the linker for releases.
var version = ""

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show which omnibox this is", Args: cobra.NoArgs,
		Example: "  omnibox version --output json",
		RunE: func(*cobra.Command, []string) error {
			v := thisVersion(debug.ReadBuildInfo())
			if a.output == "json" {
				return a.json(v)
			}
			a.printf("%s\n", v)
			return nil
		},
	}
}

// versionView is a version as JSON.
type versionView struct {
	Version string `json:"version"`
	// Revision of the sources; empty if the build did not record it.
	Revision string `json:"revision"`
	Go       string `json:"go"`
}

func (v versionView) String() string {
	out := "omnibox " + v.Version
	if v.Revision != "" {
		out += " " + v.Revision
	}
	return out + ", " + v.Go
}

func thisVersion(info *debug.BuildInfo, ok bool) versionView {
	v := versionView{Version: version, Go: runtime.Version()}
	if ok {
		v.Version = cmp.Or(v.Version, strings.Trim(info.Main.Version, "()")) // "(devel)" where nobody knows
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v.Revision = s.Value
			}
		}
	}
	v.Version = cmp.Or(v.Version, "devel")
	return v
}

package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// omniBoxVersion is that of the Python library whose tables and messages are ours,
// too.
const omniBoxVersion = "0.3.1"

// ErrNoPython means that there is no Python that omni-box runs on.
var ErrNoPython = errors.New("no Python 3.12 or newer is on PATH or among those of pyenv: install one, or name it in OMNIBOX_TEST_PYTHON")

// OmniBox returns a Python interpreter that can import the library omni-box, with
// what it needs for Postgres and Kafka. The first time, pip downloads it. The error
// is ErrNoPython where there is no interpreter for it.
func OmniBox(ctx context.Context, progress io.Writer) (string, error) {
	python, version, err := findPython(ctx)
	if err != nil {
		return "", err
	}
	base, err := CacheDir()
	if err != nil {
		return "", err
	}
	// An environment can be moved as long as none of its scripts is run.
	dir, err := cached(base, "omni-box-"+omniBoxVersion+"-python"+version, progress, func(dir string) error {
		if err := runTool(ctx, dir, python, "-m", "venv", dir); err != nil {
			return err
		}
		return runTool(ctx, dir, filepath.Join(dir, "bin", "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
			"omni-box[postgres,kafka]=="+omniBoxVersion)
	})
	return filepath.Join(dir, "bin", "python"), err
}

// findPython finds an interpreter that is new enough, and its version, such as 3.12.
func findPython(ctx context.Context) (path, version string, err error) {
	const ask = `import sys; print("%d.%d" % sys.version_info[:2]); sys.exit(sys.version_info < (3, 12))`
	candidates := []string{"python3.12", "python3.13", "python3"}
	if own := os.Getenv("OMNIBOX_TEST_PYTHON"); own != "" {
		candidates = []string{own}
	} else {
		candidates = append(candidates, pyenv()...)
	}
	for _, c := range candidates {
		out, err := exec.CommandContext(ctx, c, "-c", ask).Output()
		if err == nil {
			return c, strings.TrimSpace(string(out)), nil
		}
	}
	if err := ctx.Err(); err != nil {
		return "", "", fmt.Errorf("look for Python: %w", err)
	}
	return "", "", ErrNoPython
}

// pyenv gives the interpreters that pyenv has installed.
func pyenv() []string {
	root := os.Getenv("PYENV_ROOT")
	if root == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil
		}
		root = filepath.Join(home, ".pyenv")
	}
	found, _ := filepath.Glob(filepath.Join(root, "versions", "3.1[2-9]*", "bin", "python3")) // the pattern is sound
	return found
}

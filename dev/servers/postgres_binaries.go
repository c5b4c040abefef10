package servers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	embedded "github.com/fergusstrange/embedded-postgres"
)

// embeddedVersion is downloaded where the machine has no Postgres.
const embeddedVersion = string(embedded.V18)

// postgresBinaries returns the directory of initdb and postgres.
func postgresBinaries(ctx context.Context, o PostgresOptions, as credential) (string, error) {
	if o.Version == "" {
		if dir := debianBinaries("/usr/lib/postgresql"); dir != "" {
			return dir, nil
		}
		if dir := pathBinaries(); dir != "" {
			return dir, nil
		}
	}
	return fetchPostgres(ctx, cmp.Or(o.Version, embeddedVersion), as, o.Progress)
}

// debianBinaries finds the newest version under root, where Debian keeps each
// major version in a directory of its own.
func debianBinaries(root string) string {
	found, _ := filepath.Glob(filepath.Join(root, "*", "bin", "postgres")) // the pattern is well formed
	major := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // anything else counts as oldest
		return n
	}
	if len(found) == 0 {
		return ""
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return major(a) - major(b) }))
}

func pathBinaries() string {
	postgres, err := exec.LookPath("postgres")
	if err != nil {
		return ""
	}
	// initdb looks for its files beside itself, so a link must be followed.
	if real, err := filepath.EvalSymlinks(postgres); err == nil {
		postgres = real
	}
	dir := filepath.Dir(postgres)
	if !exists(filepath.Join(dir, "initdb")) {
		return ""
	}
	return dir
}

// fetchPostgres downloads the binaries of a version, once. The library knows how
// to find, check and unpack them, but would run them as the current user, which
// may be root. So it is stopped after unpacking: no server has this locale, and
// initdb refuses it.
func fetchPostgres(ctx context.Context, version string, as credential, progress io.Writer) (string, error) {
	base, err := as.cacheDir()
	if err != nil {
		return "", err
	}
	dir, err := cached(base, "postgres-"+version, progress, func(dir string) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		port, err := FreePort()
		if err != nil {
			return err
		}
		defer http.DefaultClient.CloseIdleConnections() // the library's; for programs that look for leaks
		scratch := filepath.Join(dir, ".scratch")
		err = embedded.NewDatabase(embedded.DefaultConfig().
			Version(embedded.PostgresVersion(version)).
			Port(uint32(port)).
			CachePath(filepath.Join(scratch, "archive")).
			RuntimePath(filepath.Join(scratch, "runtime")).
			DataPath(filepath.Join(scratch, "data")).
			BinariesPath(dir).
			Locale("no-such-locale").
			StartTimeout(time.Second).
			Logger(io.Discard)).Start()
		if err == nil {
			return errors.New("a server started that should not have")
		}
		// The password file is written between unpacking and initdb.
		if !exists(filepath.Join(scratch, "runtime", "pwfile")) {
			return err
		}
		return removeAll(scratch)
	})
	if err != nil {
		return "", fmt.Errorf("no Postgres on this machine, and %w", err)
	}
	return filepath.Join(dir, "bin"), nil
}

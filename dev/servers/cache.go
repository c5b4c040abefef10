package servers

import (
	"archive/tar"
	"archive/zip"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// CacheDir is where downloaded servers are kept: $OMNIBOX_CACHE, or "omnibox" in
// the user's cache directory.
func CacheDir() (string, error) {
	if dir := os.Getenv("OMNIBOX_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a cache directory (set OMNIBOX_CACHE): %w", err)
	}
	return filepath.Join(dir, "omnibox"), nil
}

// cached returns the directory base/name and lets fill make it first if it is
// missing. Filling happens beside it and ends with a rename, so that a directory
// which exists is complete. Of two processes that fill at once, one wins and both
// use its result.
func cached(base, name string, progress io.Writer, fill func(dir string) error) (string, error) {
	final := filepath.Join(base, name)
	if exists(final) {
		return final, nil
	}
	if err := os.MkdirAll(base, 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(base, ".new-"+name+"-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil {
		return "", err
	}
	say(progress, "downloading %s to %s", name, base)
	if err := fill(tmp); err != nil {
		return "", fmt.Errorf("get %s: %w", name, err)
	}
	if err := os.Rename(tmp, final); err != nil && !exists(final) {
		return "", err
	}
	return final, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func say(w io.Writer, format string, args ...any) {
	if w != nil {
		fmt.Fprintf(w, format+"\n", args...)
	}
}

// runTool runs a tool to its end and returns an error with what it said.
func runTool(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// unzipFile copies the first file of a zip archive whose base name is name.
func unzipFile(archive, name, dest string) error {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer z.Close()
	for _, f := range z.File {
		if filepath.Base(f.Name) != name || f.FileInfo().IsDir() {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return err
		}
		defer r.Close()
		return writeFile(dest, r)
	}
	return fmt.Errorf("no %s in %s", name, archive)
}

// untarURL downloads a tar.gz archive and copies its first file called name.
func untarURL(ctx context.Context, url, name, dest string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer http.DefaultClient.CloseIdleConnections() // for programs that look for leaks
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	gz, err := gzip.NewReader(resp.Body)
	if err != nil {
		return err
	}
	for t := tar.NewReader(gz); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("no %s in %s", name, url)
		}
		if err != nil {
			return err
		}
		if h.Typeflag == tar.TypeReg && filepath.Base(h.Name) == name {
			return writeFile(dest, t)
		}
	}
}

func writeFile(dest string, r io.Reader) error {
	f, err := os.OpenFile(dest, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return cmp.Or(err, f.Close())
}

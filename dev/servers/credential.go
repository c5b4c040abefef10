package servers

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// credential is the user that a server runs as: nil is the current one.
type credential struct{ *syscall.Credential }

// serverUser picks a user for servers that refuse to run as root.
func serverUser() (credential, error) {
	if os.Geteuid() != 0 {
		return credential{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return credential{}, err
		}
		return credential{&syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return credential{}, errors.New("postgres does not run as root, and there is neither a user postgres nor nobody")
}

// run makes cmd run as the user, in dir.
func (c credential) run(cmd *exec.Cmd, dir string) {
	cmd.Dir = dir
	// LC_ALL: the locale of whoever runs the tests may not exist here.
	cmd.Env = append(os.Environ(), "LC_ALL=C", "HOME="+dir)
	if c.Credential != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.Credential}
	}
}

// own gives dir to the user and makes sure that it can be reached.
func (c credential) own(dir string) error {
	if c.Credential == nil {
		return nil
	}
	if err := os.Chown(dir, int(c.Uid), int(c.Gid)); err != nil {
		return err
	}
	return reachable(filepath.Dir(dir))
}

// reachable lets every user pass through dir and its parents. Only directories
// for temporary files are changed (the testing package makes its own for their
// owner alone); any other closed directory is an error.
func reachable(dir string) error {
	tmp := filepath.Clean(os.TempDir()) + string(filepath.Separator)
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o001 != 0 {
			continue
		}
		if !strings.HasPrefix(dir, tmp) {
			return fmt.Errorf("%s is closed to other users, so Postgres, which does not run as root, cannot be in it", dir)
		}
		if err := os.Chmod(dir, info.Mode().Perm()|0o011); err != nil {
			return err
		}
	}
	return nil
}

// cacheDir is [CacheDir], unless another user must reach it: root's own cache
// directory is closed, so the system's is used.
func (c credential) cacheDir() (string, error) {
	if c.Credential != nil && os.Getenv("OMNIBOX_CACHE") == "" {
		return "/var/cache/omnibox", nil
	}
	return CacheDir()
}

// removeAll removes a tree whose directories may be write-protected.
func removeAll(dir string) error {
	_ = os.Chmod(dir, 0o755) // RemoveAll says what is wrong
	return os.RemoveAll(dir)
}

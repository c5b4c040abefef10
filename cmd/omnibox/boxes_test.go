package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/worker/config"
)

// However two pipelines spell their table, it is one: each has letters of its own
// there.
func TestPipelinesOnOneTableAreKnown(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse("f", []byte(`
databases: { main: { url: "postgres://h/d" }, again: { url: "postgres://me@h/d" }, other: { url: "postgres://h/e" } }
brokers: { kafka: { addresses: ["h:1"] } }
outboxes:
  a: { claim: row, filter: { topics: [x] } }
  b: { claim: row, filter: { topics: [y] }, table: public.outbox_events }
  c: { claim: row, filter: { topics: [z] }, database: again }
  d: { database: other }
  e: { table: sales.outbox_events }
`), nil)
	require.NoError(t, err)
	for name, want := range map[string]bool{"a": true, "b": true, "c": true, "d": false, "e": false} {
		b, _ := cfg.Box(name)
		require.Equal(t, want, cfg.Shares(b), name)
	}
	d, _ := cfg.Box("d")
	e, _ := cfg.Box("e")
	boxes := []box{{name: "d", table: cfg.TableOf(d)}, {name: "again", table: cfg.TableOf(d)}, {name: "e", table: cfg.TableOf(e)}}
	require.Len(t, tables(boxes), 2)
}

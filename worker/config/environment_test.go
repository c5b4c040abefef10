package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A variable that has no effect is a mistake, and so is one that would bring in an
// entry next to those of the file.
func TestVariablesThatMeanNothing(t *testing.T) {
	t.Parallel()
	base := []string{"OMNIBOX_DATABASE_URL=postgres://localhost/app", "OMNIBOX_KAFKA_BROKERS=a:9092"}
	for variable, want := range map[string]string{
		"OMNIBOX_SHARDS=8":                            "no such key; did you mean OMNIBOX_OUTBOXES_OUTBOX_SHARDS?",
		"OMNIBOX_LEASE=1s":                            "no such key; did you mean OMNIBOX_OUTBOXES_OUTBOX_LEASE?",
		"OMNIBOX_TABLE=x":                             "no such key; did you mean OMNIBOX_OUTBOXES_OUTBOX_TABLE?",
		"OMNIBOX_OUTBOX_BATCH=7":                      "no such key; did you mean OMNIBOX_OUTBOXES_OUTBOX_BATCH?",
		"OMNIBOX_OUTBOX_RETRY_BASE=7":                 "no such key; did you mean OMNIBOX_OUTBOXES_OUTBOX_RETRY_BASE?",
		"OMNIBOX_BROKER_KAFKA_SASL_USERNAME=u":        "no such key; did you mean OMNIBOX_BROKERS_KAFKA_SASL_USERNAME?",
		"OMNIBOX_LOG=debug":                           "is a section, not a key; one of its keys is OMNIBOX_LOG_LEVEL",
		"OMNIBOX_HTTP=off":                            "is a section, not a key; one of its keys is OMNIBOX_HTTP_LISTEN",
		"OMNIBOX_OUTBOXES=orders":                     "is a section, not a key; one of its keys is OMNIBOX_OUTBOXES_OUTBOX_LANE",
		"OMNIBOX_LOGLEVEL=debug":                      "no such key; did you mean OMNIBOX_LOG_LEVEL?",
		"OMNIBOX_TEMPORAL_NAMESPCE=x":                 "no such key; did you mean OMNIBOX_TEMPORAL_NAMESPACE?",
		"OMNIBOX_INBOXES=x":                           "is a section, not a key; one of its keys is OMNIBOX_INBOXES_INBOX_ACK",
		"OMNIBOX_ABSOLUTELY_NOT_OURS_AND_VERY_LONG=":  "",
		"OMNIBOX_ABSOLUTELY_NOT_OURS_AND_VERY_LONG=1": "no such key; see docs/configuration.md",
	} {
		_, err := Parse("", nil, append([]string{variable}, base...))
		if want == "" {
			require.NoError(t, err)
			continue
		}
		name, _, _ := strings.Cut(variable, "=")
		require.EqualError(t, err, name+": "+want)
	}

	for variable, want := range map[string]string{
		"OMNIBOX_OUTBOXES_ORDER_BATCH=7":    `outboxes in the file has no "order"; did you mean orders?`,
		"OMNIBOX_OUTBOXES_X_EU_BATCH=7":     `outboxes in the file has no "x-eu"; valid are orders, orders-eu`,
		"OMNIBOX_DATABASES_MIAN_URL=x":      `databases in the file has no "mian"; did you mean main?`,
		"OMNIBOX_BROKERS_RABBIT_VERSION=3":  `brokers in the file has no "rabbit"; valid are kafka`,
		"OMNIBOX_OUTBOXES_ORDERS_BATCH=7":   "",
		"OMNIBOX_OUTBOXES_ORDERS_EU_BATCH=": "",
		"OMNIBOX_SHARDS=8":                  "no such key; did you mean OMNIBOX_OUTBOXES_ORDERS_SHARDS?",
	} {
		_, err := Parse("omnibox.yaml", []byte(two), append([]string{variable}, databaseURL...))
		if want == "" {
			require.NoError(t, err)
			continue
		}
		name, _, _ := strings.Cut(variable, "=")
		require.EqualError(t, err, name+": "+want)
	}
	c, err := Parse("", nil, append([]string{"OMNIBOX_OUTBOXES_A_BATCH=7", "OMNIBOX_OUTBOXES_B_TABLE=b"}, base...))
	require.NoError(t, err, "without a file variables may bring in any")
	require.Len(t, c.Outboxes, 2)
}

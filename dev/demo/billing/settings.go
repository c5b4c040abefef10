package billing

import (
	"time"

	"github.com/goccy/go-yaml"

	"github.com/omnibox-go/omnibox/worker/config"
)

// Pipelines of the service, and how many pollers each has.
const (
	Inbox  = "billing"
	Outbox = "invoices"
	Shards = 2
)

// lease is short, for people who wait for another process to take over.
const lease = 5 * time.Second

// Settings say where the service runs.
type Settings struct {
	DatabaseURL     string
	Brokers         []string
	TemporalAddress string
	Prefix          string // of workflow ids
	Orders          string // the topic that is consumed
	Listen          string // for health and metrics
}

// File is the configuration as a file.
func (s Settings) File() ([]byte, error) {
	type section = map[string]any
	return yaml.Marshal(section{
		"databases": section{"billing": section{"url": s.DatabaseURL}},
		"brokers":   section{"kafka": section{"addresses": s.Brokers}},
		"inboxes": section{Inbox: section{
			"database": "billing", "topics": []string{s.Orders}, "group": Inbox, "shards": Shards, "lease": lease.String(),
			// what was consumed and is not done yet when the process is killed
			// comes again
			"ack": config.AckExactlyOnce, "commit_on_failed": true,
		}},
		"outboxes": section{Outbox: section{"database": "billing", "shards": Shards, "lease": lease.String(), "lane": config.LaneBatch}},
		"temporal": section{"address": s.TemporalAddress, "id_prefix": s.Prefix},
		"http":     section{"listen": s.Listen},
	})
}

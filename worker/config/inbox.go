package config

import (
	"slices"
	"strings"
	"time"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/broker/kafka"
	"github.com/omnibox-go/omnibox/inbox"
)

// Values of Inbox.Ack.
const (
	AckAtMostOnce  = "at-most-once"
	AckOnPersist   = "on-persist"
	AckOnSuccess   = "on-success"
	AckExactlyOnce = "exactly-once-inbox"
)

// Inbox is a pipeline from topics of one broker, through one table, to handlers.
type Inbox struct {
	// Table of messages, optionally with its schema.
	Table    string `yaml:"table" default:"inbox_events" pattern:"[^.]{1,63}(\\.[^.]{1,63})?" example:"inbox_events or billing.inbox_events"`
	Pipeline `yaml:",inline"`
	// Topics to consume. Required.
	Topics []string `yaml:"topics"`
	// Group of consumers whose offsets are committed. A message is applied once a
	// group. Required.
	Group string `yaml:"group" pattern:"([^ ].{0,253}[^ ]|[^ ])?" example:"billing"`
	// From is where a group without offsets begins, and one whose offsets are not
	// there any more.
	From string `yaml:"from" default:"earliest" enum:"earliest,latest"`
	// Consumers is how many members of the group there are, over all workers; 0
	// for none, where others land the messages.
	Consumers int `yaml:"consumers" default:"1" min:"0" max:"64"`
	// Poll is how many messages are landed together at most. A consumer holds up to six polls and 255 messages in memory.
	Poll int `yaml:"poll" default:"1000" min:"1" max:"10000"`
	// MaxPending is how many messages may wait in the table; with more, consuming
	// is paused.
	MaxPending int `yaml:"max_pending" default:"100000" min:"100" max:"10000000"`
	// Ack says when an offset is committed: before its message is in the table
	// (at-most-once), once it is (on-persist), or once it is completed
	// (on-success, exactly-once-inbox; the latter takes only handlers that run in
	// the completing transaction).
	Ack string `yaml:"ack" default:"on-persist" enum:"at-most-once,on-persist,on-success,exactly-once-inbox"`
	// CommitOnFailed also commits an offset once its message is dead, with ack
	// on-success and exactly-once-inbox.
	CommitOnFailed bool `yaml:"commit_on_failed" default:"false"`
	// Message is how messages are read.
	Message Message `yaml:"message"`
	// Handler that needs no code. Empty where a program brings a router.
	Handler Handler `yaml:"handler"`
	// Concurrency is how many handlers run at once in a worker.
	Concurrency int `yaml:"concurrency" default:"8" min:"1" max:"1000"`
	// HandlerTimeout bounds one run of a handler.
	HandlerTimeout time.Duration `yaml:"handler_timeout" default:"30s" min:"10ms" max:"1h"`
	// DedupWindow is how long the id of a message is remembered where that takes
	// keys of its own: on partitioned tables, and with on_complete: delete. It must
	// be longer than the topics keep messages.
	DedupWindow time.Duration `yaml:"dedup_window" default:"336h" min:"1h" max:"87600h"`
}

// Message is how messages of the broker become events.
type Message struct {
	// IDHeader is a header with the id of messages that have neither message_id
	// nor event_id.
	IDHeader string `yaml:"id_header" example:"x-id"`
	// IDPath leads to that id in the JSON body, such as meta.id. Without either, the
	// id is topic:partition:offset.
	IDPath string `yaml:"id_path" example:"meta.id"`
	// Envelope says whether the payload is a field of the body: where the body
	// looks like what omnibox or omni-box send (auto), in every one, or in none.
	Envelope string `yaml:"envelope" default:"auto" enum:"auto,always,never"`
	// Strict makes a message without an id or a type unreadable.
	Strict bool `yaml:"strict" default:"false"`
}

// Handler is a handler of messages that needs no code.
type Handler struct {
	// SQL is a statement that is run in the completing transaction, with the
	// message as jsonb in $1.
	SQL string `yaml:"sql" example:"select billing.apply($1)"`
	// Permanent lists SQLSTATE codes, or classes of two characters, of errors that
	// no other attempt can cure.
	Permanent []string `yaml:"permanent"`
	// Transient lists those that another attempt may.
	Transient []string `yaml:"transient"`
}

// inbox finds what is wrong between the keys of an inbox.
func (v *validator) inbox(path string, i Inbox) {
	v.judged(path, kafka.CheckSubscription(new(i.Subscription())))
	v.judged(path+".message", new(i.Message.Reader()).Validate())
	v.handler(path+".handler", i.Handler)
	if i.CommitOnFailed && i.Ack != AckOnSuccess && i.Ack != AckExactlyOnce {
		v.problem(path+".commit_on_failed", "has a meaning only with ack: on-success or exactly-once-inbox; with %s the offset is committed anyway", i.Ack)
	}
	if i.Message.IDHeader != "" && i.Message.IDPath != "" {
		v.problem(path+".message", "id_header and id_path exclude each other")
	}
}

func (v *validator) handler(path string, h Handler) {
	switch {
	case h.SQL == "" && len(h.Permanent)+len(h.Transient) > 0:
		v.problem(path, "lists SQLSTATE codes, but has no sql")
	case h.SQL != "" && !strings.Contains(h.SQL, "$1"):
		v.problem(path+".sql", "has no $1, which is the message: write it as in select billing.apply($1)")
	}
	v.codes(path+".permanent", h.Permanent)
	v.codes(path+".transient", h.Transient)
	for _, code := range h.Permanent {
		if slices.Contains(h.Transient, code) {
			v.problem(path, "SQLSTATE %s is among permanent and transient: leave one of them out", code)
		}
	}
}

func (v *validator) codes(path string, codes []string) {
	for _, code := range codes {
		if err := inbox.CheckSQLState(code); err != nil {
			v.problem(path, "%s", err)
		}
	}
}

// Subscription is what a consumer of the inbox asks for.
func (i Inbox) Subscription() broker.Subscription {
	return broker.Subscription{Group: i.Group, Topics: i.Topics, From: broker.Start(i.From), MaxPoll: i.Poll}
}

// Reader is how events are made of messages.
func (m Message) Reader() broker.ReaderConfig {
	return broker.ReaderConfig{Envelope: broker.EnvelopeMode(m.Envelope), IDHeader: m.IDHeader, IDPath: m.IDPath, Strict: m.Strict}
}

// Classes of SQLSTATE codes.
func (h Handler) Classes() map[string]omnibox.Class {
	all := make(map[string]omnibox.Class, len(h.Permanent)+len(h.Transient))
	for _, code := range h.Permanent {
		all[code] = omnibox.ClassPermanent
	}
	for _, code := range h.Transient {
		all[code] = omnibox.ClassTransient
	}
	return all
}

package broker

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/omnibox-go/omnibox"
)

// Message is one record as a consumer gets it.
type Message struct {
	Topic     string
	Partition int32
	Offset    int64
	// Key and Value are nil if the record has none, which is not the same as
	// empty.
	Key   []byte
	Value []byte
	// Headers in their order. The value of one is nil if it has none.
	Headers []Header
	// Time that the broker has for the record: when it was made or appended, as
	// its topic is configured.
	Time time.Time
}

// Partition of a topic.
type Partition struct {
	Topic string
	ID    int32
}

// Consumer is one member of a consumer group, for one run. Its other methods
// are safe for concurrent use, before, during and after the run.
type Consumer interface {
	// Run joins the group, calls handle with polls until ctx ends or handle fails,
	// and leaves the group. There may be several calls at a time, but not with messages
	// of the same partition. It returns nil once ctx has ended, else the error of
	// handle. Calls under way at its end are waited for and can still commit, with a
	// context that has not ended.
	//
	// A poll has at least one message and at most Subscription.MaxPoll, of one or
	// more partitions: what has arrived by the time that the last call returned,
	// without waiting for more, and where another call is under way, as many as it
	// may have. The messages of a partition come in order of offset, and none is
	// left out: the first one is that behind what the group has committed, or,
	// where that is nothing or no longer there, the one that Subscription.From says.
	//
	// Nothing is committed unless Commit is called, but for where a group begins
	// with the Latest. What is not committed comes again, perhaps to another
	// member, when its partition changes hands or the consumer is started again.
	// Before a partition is given up, the call of handle that has messages of it is
	// waited for, so that it can still commit; afterwards no message of the
	// partition is handed out. A call that takes longer than the broker waits for a
	// member cannot: then others get its messages as well.
	//
	// An outage, a topic that does not exist and whatever else a person can mend
	// is no reason to return: it shows in Status and in the log, and is tried
	// again until ctx ends. A topic that is missing does not hold up others, and
	// is not created.
	Run(ctx context.Context, handle func(ctx context.Context, poll []Message) error) error
	// Commit makes durable that the group is done with the given partitions up
	// to and including these offsets, and blocks until that is so. What belongs
	// to a partition that is not, or no longer, this member's is left out
	// silently, and an offset below one that was committed since the partition
	// was assigned changes nothing. What the broker forbids, or has no topic for any
	// more, is left out as well, and shows in Status and in the log. It retries until
	// ctx ends; the error then is of omnibox.ClassUnreachable, and the offsets may or
	// may not be committed.
	Commit(ctx context.Context, done map[Partition]int64) error
	// Pause stops handing out messages, after the calls of handle under way. The
	// member stays in the group, keeps its partitions, and can commit.
	Pause()
	// Resume ends a pause.
	Resume()
	// Status says how it stands, without asking the broker.
	Status() ConsumerStatus
}

// ConsumerStatus is how it stands with a consumer.
type ConsumerStatus struct {
	// Assigned partitions, by topic and number.
	Assigned []Assignment
	// Paused by Pause.
	Paused bool
	// Err is what keeps all or some of the messages away, nil if nothing is known
	// to. It names the topics that do not exist.
	Err error
}

// Assignment is how it stands with a partition.
type Assignment struct {
	Partition
	// Position is the offset of the message that is handed out next; -1 if it is
	// not known yet.
	Position int64
	// Committed is the offset of the first message that the group is not done
	// with; -1 if nothing has been committed, or it is not known yet.
	Committed int64
	// HighWater is the offset that the next message to be published will get, as
	// far as known; -1 if it is not known yet. It is kept up during a pause.
	HighWater int64
}

// Lag is how many messages, at most, have not been handed out; 0 if that is not
// known yet.
func (a Assignment) Lag() int64 {
	if a.Position < 0 || a.HighWater < a.Position {
		return 0
	}
	return a.HighWater - a.Position
}

// Start says where a group begins that has committed nothing.
type Start string

// The beginnings.
const (
	// Earliest: with the oldest message that there is.
	Earliest Start = "earliest"
	// Latest: with the first message that is published after joining. That
	// beginning is committed, so that a group which ends before it has committed
	// anything else loses nothing.
	Latest Start = "latest"
)

// DefaultMaxPoll is how many messages a poll has at most, unless told.
const DefaultMaxPoll = 1000

// Subscription is what a consumer asks for.
type Subscription struct {
	// Group shares the partitions of the topics among its members. Required.
	Group string
	// Topics to consume. Required.
	Topics []string
	// From is where a partition begins of which the group has committed nothing,
	// or whose committed offset is no longer there. Defaults to Earliest.
	From Start
	// MaxPoll is how many messages one call gets at most. Defaults to
	// DefaultMaxPoll.
	MaxPoll int
}

// Validate reports every mistake at once: the error joins a *FieldError for each.
func (s *Subscription) Validate() error {
	var errs []error
	wrong := func(field, format string, args ...any) { errs = append(errs, Mistake(field, format, args...)) }
	switch n := utf8.RuneCountInString(s.Group); {
	case strings.TrimSpace(s.Group) == "":
		wrong("group", "is required: a name that all members share, such as billing")
	case n > omnibox.MaxGroup:
		wrong("group", "has %d characters, at most %d are allowed", n, omnibox.MaxGroup)
	}
	if len(s.Topics) == 0 {
		wrong("topics", "is required: name one or more, such as [orders]")
	}
	for i, t := range s.Topics {
		switch n := utf8.RuneCountInString(t); {
		case strings.TrimSpace(t) == "":
			wrong("topics", "number %d is blank", i+1)
		case n > omnibox.MaxTopic:
			wrong("topics", "number %d has %d characters, at most %d are allowed", i+1, n, omnibox.MaxTopic)
		case slices.Contains(s.Topics[:i], t):
			wrong("topics", "%q is there twice", t)
		}
	}
	if s.From != "" && s.From != Earliest && s.From != Latest {
		wrong("from", "%q is not one of earliest, latest", s.From)
	}
	if s.MaxPoll < 0 {
		wrong("max_poll", "%d is negative", s.MaxPoll)
	}
	return errors.Join(errs...)
}

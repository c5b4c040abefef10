package worker

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/omnibox-go/omnibox/broker/kafka"
	"github.com/omnibox-go/omnibox/worker/config"
)

// forgetEvery is how often the ids of old messages are forgotten.
const forgetEvery = time.Minute

// forget forgets the ids of messages that are older than the inbox's window, where
// they are remembered by keys of their own, until ctx ends.
func (b *box) forget(ctx context.Context) {
	if keyed, err := b.store.RemembersByKeys(ctx); err != nil || !keyed {
		return // what is not forgotten today is tomorrow
	}
	b.warnOfWindow(ctx)
	tick := time.NewTicker(forgetEvery)
	defer tick.Stop()
	for {
		n, err := b.store.ForgetKeys(ctx, b.cfg.Inbox.DedupWindow)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			b.log.WarnContext(ctx, "forget old messages", slog.Any("error", err))
		case n > 0:
			b.log.InfoContext(ctx, "forgot old messages", slog.Int("messages", n), slog.Duration("older_than", b.cfg.Inbox.DedupWindow))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// topicChecker is a publisher that can look topics up.
type topicChecker interface {
	CheckTopics(ctx context.Context, names ...string) ([]kafka.TopicInfo, error)
}

// warnOfWindow says which topics keep messages for longer than their ids are
// remembered.
func (b *box) warnOfWindow(ctx context.Context) {
	p, can := b.worker.brokers[b.cfg.Broker].publisher.(topicChecker)
	if !can {
		return
	}
	infos, err := p.CheckTopics(ctx, b.cfg.Inbox.Topics...)
	if err != nil {
		return // doctor says why
	}
	for _, info := range infos {
		if problem := WindowProblem(b.cfg, info); problem != "" {
			b.log.WarnContext(ctx, problem, slog.String("topic", info.Name)) //nolint:sloglint // the same words as doctor's
		}
	}
}

// WindowProblem says, where an inbox remembers messages by keys of their own, that a
// topic keeps them for longer; it is empty if it does not.
func WindowProblem(b config.Box, topic kafka.TopicInfo) string {
	window := b.Inbox.DedupWindow
	if topic.Err != nil || topic.Retention == 0 || topic.Retention > 0 && topic.Retention <= window {
		return ""
	}
	keeps, cure := "for ever", "give the topic a retention, or the inbox a table that is not partitioned and keeps its rows"
	if topic.Retention > 0 {
		keeps, cure = "for "+topic.Retention.String(), "make the window longer than the retention"
	}
	return fmt.Sprintf("topic %s keeps messages %s, and %s.dedup_window is %s: what is consumed again after that is applied again; %s",
		topic.Name, keeps, b.Path(), window, cure)
}

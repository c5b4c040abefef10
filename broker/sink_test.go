package broker_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/broker/membroker"
)

func event(key, payload string) *omnibox.Event {
	return &omnibox.Event{Topic: "t", Key: key, Payload: json.RawMessage(payload)}
}

func values(records []broker.Record) []string {
	var out []string
	for _, r := range records {
		out = append(out, string(r.Value))
	}
	return out
}

func TestSinkPublishesInOrder(t *testing.T) {
	t.Parallel()
	b := membroker.New()
	errs := broker.NewSink(b, broker.Raw{}).Handle(t.Context(), []*omnibox.Event{event("a", "1"), event("b", "2"), event("a", "3")})
	require.Equal(t, []error{nil, nil, nil}, errs)
	require.Equal(t, []string{"1", "2", "3"}, values(b.Records("t")))
}

func TestSinkFailsWhatCannotBeConvertedAndSparesItsFollowers(t *testing.T) {
	t.Parallel()
	b := membroker.New()
	errs := broker.NewSink(b, broker.Raw{}).Handle(t.Context(), []*omnibox.Event{
		event("a", "1"), event("a", ""), event("b", "2"), event("a", "3"), event("a", ""),
	})
	require.NoError(t, errs[0])
	require.Equal(t, omnibox.ClassPermanent, omnibox.ClassOf(errs[1]))
	require.NoError(t, errs[2])
	require.ErrorIs(t, errs[3], omnibox.ErrNotSent)
	require.ErrorIs(t, errs[4], omnibox.ErrNotSent)
	require.Equal(t, []string{"1", "2"}, values(b.Records("t")))
}

func TestSinkDoesNotFailAnEventBehindOneThatWasNotSent(t *testing.T) {
	t.Parallel()
	b := membroker.New()
	b.SetRefuse(func(broker.Record) error { return omnibox.Transient(errors.New("try later")) })
	errs := broker.NewSink(b, broker.Raw{}).Handle(t.Context(), []*omnibox.Event{event("a", "1"), event("a", "")})
	require.Equal(t, omnibox.ClassTransient, omnibox.ClassOf(errs[0]))
	require.ErrorIs(t, errs[1], omnibox.ErrNotSent)
}

func TestSinkProbesItsPublisher(t *testing.T) {
	t.Parallel()
	b := membroker.New()
	s := broker.NewSink(b, broker.Raw{})
	require.NoError(t, s.Probe(t.Context()))
	b.SetDown(true)
	require.Equal(t, omnibox.ClassUnreachable, omnibox.ClassOf(s.Probe(t.Context())))
}

package broker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// converterFunc is a converter made of a function.
type converterFunc func(e *omnibox.Event) (broker.Record, error)

func (f converterFunc) Convert(e *omnibox.Event) (broker.Record, error) { return f(e) }

// A panic over one event is that event's failure, and what was thrown is not
// told.
func TestSinkSurvivesItsConverter(t *testing.T) {
	t.Parallel()
	b := membroker.New()
	c := converterFunc(func(e *omnibox.Event) (broker.Record, error) {
		if string(e.Payload.(json.RawMessage)) == "2" {
			panic(errors.New("4929-1234-5678-9012"))
		}
		return broker.Raw{}.Convert(e)
	})
	errs := broker.NewSink(b, c).Handle(t.Context(), []*omnibox.Event{event("a", "1"), event("a", "2"), event("b", "3"), event("a", "4")})
	require.NoError(t, errs[0])
	require.EqualError(t, errs[1], "converter panicked with a *errors.errorString")
	require.Equal(t, omnibox.ClassTransient, omnibox.ClassOf(errs[1]))
	require.NoError(t, errs[2])
	require.ErrorIs(t, errs[3], omnibox.ErrNotSent)
	require.Equal(t, []string{"1", "3"}, values(b.Records("t")))
}

// publisherFunc is a publisher made of a function.
type publisherFunc func(records []broker.Record) []error

func (f publisherFunc) Publish(_ context.Context, records []broker.Record) []error { return f(records) }
func (publisherFunc) Probe(context.Context) error                                  { return nil }
func (publisherFunc) Close() error                                                 { return nil }

// A record of which the publisher says nothing was not sent.
func TestSinkTakesNoWordForNoAcknowledgement(t *testing.T) {
	t.Parallel()
	for n, sent := range []int{0, 1, 2, 3, 3} {
		p := publisherFunc(func([]broker.Record) []error { return make([]error, n) })
		errs := broker.NewSink(p, broker.Raw{}).Handle(t.Context(), []*omnibox.Event{event("a", "1"), event("b", "2"), event("a", "3")})
		require.Len(t, errs, 3)
		for i, err := range errs {
			switch {
			case i < sent:
				require.NoError(t, err)
			case n == 0 && i == 2:
				require.ErrorIs(t, err, omnibox.ErrNotSent, "behind one of its key")
			default:
				require.EqualError(t, err, fmt.Sprintf("publisher returned %d errors for 3 records", n))
			}
		}
	}
}

func TestSinkProbesItsPublisher(t *testing.T) {
	t.Parallel()
	b := membroker.New()
	s := broker.NewSink(b, broker.Raw{})
	require.NoError(t, s.Probe(t.Context()))
	b.SetDown(true)
	require.Equal(t, omnibox.ClassUnreachable, omnibox.ClassOf(s.Probe(t.Context())))
}

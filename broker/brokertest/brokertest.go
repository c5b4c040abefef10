// Package brokertest says what broker.Publisher and broker.Consumer promise, as
// tests: an adapter that passes them all may carry events.
package brokertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
)

// Features is a publisher to test and what can be done to its broker. Tests
// that need what is nil are skipped.
type Features struct {
	// Publisher is fresh; the suite closes it.
	Publisher broker.Publisher
	// Topic exists and is empty.
	Topic string
	// Read gives every record of the topic; those of a key in the order in
	// which they were appended.
	Read func(t *testing.T) []broker.Record
	// Refused makes a record with that key that the broker, or the publisher
	// itself, refuses for good.
	Refused func(key string) broker.Record
	// SetDown makes the broker unreachable, and reachable again.
	SetDown func(t *testing.T, down bool)
	// SetLoseAnswers makes the broker append what it gets, but lets no answer
	// through; when it ends, connections may break.
	SetLoseAnswers func(t *testing.T, lose bool)
}

// patience bounds what should succeed, also on a busy machine. short is the
// deadline of what cannot succeed.
const (
	patience = 30 * time.Second
	short    = 300 * time.Millisecond
)

// Run runs the suite, with features of its own for each test.
func Run(t *testing.T, features func(t *testing.T) Features) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*testing.T, Features)
	}{
		{"SendsRecordsAsTheyAre", sendsRecordsAsTheyAre},
		{"NoRecordsNoErrors", noRecordsNoErrors},
		{"KeepsTheOrderOfAKey", keepsTheOrderOfAKey},
		{"TakesCallsAtTheSameTime", takesCallsAtTheSameTime},
		{"RefusesOneRecordAlone", refusesOneRecordAlone},
		{"SendsNothingBehindAFailure", sendsNothingBehindAFailure},
		{"BlamesNoRecordForAnOutage", blamesNoRecordForAnOutage},
		{"WaitsForTheBroker", waitsForTheBroker},
		{"SendsNothingAfterTheDeadline", sendsNothingAfterTheDeadline},
		{"SaysSentOfWhatIsThereOnly", saysSentOfWhatIsThereOnly},
		{"CallsWhatIsUnknownUnknown", callsWhatIsUnknownUnknown},
		{"ProbesTheBroker", probesTheBroker},
		{"CloseWaitsForCalls", closeWaitsForCalls},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := features(t)
			t.Cleanup(func() { require.NoError(t, f.Publisher.Close()) })
			test.run(t, f)
		})
	}
}

func sendsRecordsAsTheyAre(t *testing.T, f Features) {
	want := []broker.Record{
		{Topic: f.Topic, Key: []byte("k"), Value: []byte("plain")},
		{Topic: f.Topic, Key: []byte("k"), Value: []byte{0, 0xff, 10}, Headers: []broker.Header{{Key: "b", Value: []byte("2")}, {Key: "a", Value: []byte{0xfe}}, {Key: "b", Value: []byte("3")}}},
		{Topic: f.Topic, Key: []byte("k"), Value: []byte("last"), Headers: []broker.Header{{Key: "empty", Value: []byte{}}}},
	}
	require.Equal(t, make([]error, 3), publish(t, f, want))
	got := f.Read(t)
	require.Len(t, got, len(want))
	for i := range want {
		require.Equal(t, want[i].Key, got[i].Key)
		require.Equal(t, want[i].Value, got[i].Value)
		require.Len(t, got[i].Headers, len(want[i].Headers))
		for j, h := range want[i].Headers {
			require.Equal(t, h.Key, got[i].Headers[j].Key)
			require.Equal(t, string(h.Value), string(got[i].Headers[j].Value))
		}
	}
}

func noRecordsNoErrors(t *testing.T, f Features) {
	require.Empty(t, publish(t, f, nil))
}

func keepsTheOrderOfAKey(t *testing.T, f Features) {
	var want []broker.Record
	for n := range 5 {
		var call []broker.Record
		for i := range 200 {
			call = append(call, record(f.Topic, fmt.Sprint("k", i%7), n*1000+i))
		}
		require.Equal(t, make([]error, len(call)), publish(t, f, call))
		want = append(want, call...)
	}
	require.Equal(t, byKey(want), byKey(f.Read(t)))
}

func takesCallsAtTheSameTime(t *testing.T, f Features) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var want []broker.Record
	for caller := range 8 {
		wg.Go(func() {
			for n := range 5 {
				var call []broker.Record
				for i := range 40 {
					call = append(call, record(f.Topic, fmt.Sprint("caller", caller, "key", i%3), n*100+i))
				}
				errs := try(t.Context(), f, call)
				mu.Lock()
				for i, err := range errs {
					if err == nil {
						want = append(want, call[i])
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.Len(t, want, 8*5*40, "all were acknowledged")
	require.Equal(t, byKey(want), byKey(f.Read(t)))
}

// trap: 4
func refusesOneRecordAlone(t *testing.T, f Features) {
	if f.Refused == nil {
		t.Skip("the broker refuses nothing")
	}
	call := []broker.Record{
		record(f.Topic, "a", 1), record(f.Topic, "b", 1), f.Refused("a"), record(f.Topic, "b", 2),
		record(f.Topic, "a", 2), record(f.Topic, "c", 1), record(f.Topic, "a", 3),
	}
	errs := publish(t, f, call)
	require.Equal(t, omnibox.ClassPermanent, omnibox.ClassOf(errs[2]), "%v", errs[2])
	for _, i := range []int{4, 6} {
		require.ErrorIs(t, errs[i], omnibox.ErrNotSent)
	}
	for _, i := range []int{0, 1, 3, 5} {
		require.NoError(t, errs[i])
	}
	require.Equal(t, map[string][]string{"a": {"1"}, "b": {"1", "2"}, "c": {"1"}}, byKey(f.Read(t)))
}

func sendsNothingBehindAFailure(t *testing.T, f Features) {
	if f.Refused == nil {
		t.Skip("the broker refuses nothing")
	}
	var call []broker.Record
	for i := range 300 {
		key := fmt.Sprint("k", i%10)
		if i == 150 { // of key k0
			call = append(call, f.Refused(key))
			continue
		}
		call = append(call, record(f.Topic, key, i))
	}
	var want []broker.Record
	for i, err := range publish(t, f, call) {
		switch {
		case i == 150:
			require.Equal(t, omnibox.ClassPermanent, omnibox.ClassOf(err), "%v", err)
		case i > 150 && i%10 == 0:
			require.ErrorIs(t, err, omnibox.ErrNotSent)
		default:
			require.NoError(t, err)
			want = append(want, call[i])
		}
	}
	// What comes behind in a later call goes again.
	again := []broker.Record{record(f.Topic, "k0", 1000), record(f.Topic, "k0", 1001)}
	require.Equal(t, make([]error, 2), publish(t, f, again))
	require.Equal(t, byKey(append(want, again...)), byKey(f.Read(t)))
}

// trap: 37
func blamesNoRecordForAnOutage(t *testing.T, f Features) {
	if f.SetDown == nil {
		t.Skip("the broker cannot be stopped")
	}
	f.SetDown(t, true)
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	errs := f.Publisher.Publish(ctx, []broker.Record{record(f.Topic, "a", 1), record(f.Topic, "b", 1), record(f.Topic, "a", 2)})
	require.Equal(t, omnibox.ClassUnreachable, omnibox.ClassOf(errs[0]), "%v", errs[0])
	require.Equal(t, omnibox.ClassUnreachable, omnibox.ClassOf(errs[1]), "%v", errs[1])
	require.Contains(t, []omnibox.Class{omnibox.ClassUnreachable, omnibox.ClassCancelled}, omnibox.ClassOf(errs[2]), "%v", errs[2])
	f.SetDown(t, false)
	require.Equal(t, make([]error, 1), publish(t, f, []broker.Record{record(f.Topic, "c", 1)}))
	require.Equal(t, map[string][]string{"c": {"1"}}, byKey(f.Read(t)))
}

func waitsForTheBroker(t *testing.T, f Features) {
	if f.SetDown == nil {
		t.Skip("the broker cannot be stopped")
	}
	call := []broker.Record{record(f.Topic, "a", 1), record(f.Topic, "b", 1), record(f.Topic, "a", 2)}
	require.NoError(t, f.Publisher.Probe(t.Context()))
	f.SetDown(t, true)
	result := make(chan []error, 1)
	go func() { result <- try(t.Context(), f, call) }()
	select {
	case errs := <-result:
		require.Fail(t, "did not wait", "%v", errs)
	case <-time.After(short):
	}
	f.SetDown(t, false)
	require.Equal(t, make([]error, 3), <-result)
	require.Equal(t, byKey(call), byKey(f.Read(t)))
}

func sendsNothingAfterTheDeadline(t *testing.T, f Features) {
	late, cancel := context.WithTimeout(t.Context(), -1)
	defer cancel()
	ended, end := context.WithCancel(t.Context())
	end()
	for _, ctx := range []context.Context{late, ended} {
		errs := f.Publisher.Publish(ctx, []broker.Record{record(f.Topic, "a", 1), record(f.Topic, "a", 2)})
		require.Len(t, errs, 2)
		require.Error(t, errs[0])
		require.ErrorIs(t, errs[1], omnibox.ErrNotSent)
	}
	require.Equal(t, make([]error, 1), publish(t, f, []broker.Record{record(f.Topic, "a", 3)}))
	require.Equal(t, map[string][]string{"a": {"3"}}, byKey(f.Read(t)))
}

// trap: 36
func saysSentOfWhatIsThereOnly(t *testing.T, f Features) {
	sent := make(map[string][]string)
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 60 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(3000))*time.Microsecond)
		var call []broker.Record
		for i := range 30 {
			call = append(call, record(f.Topic, fmt.Sprint("k", i%4), n*100+i))
		}
		failed := make(map[string]bool)
		for i, err := range f.Publisher.Publish(ctx, call) {
			key := string(call[i].Key)
			require.False(t, err == nil && failed[key], "what is sent of a key is a prefix")
			if err == nil {
				sent[key] = append(sent[key], string(call[i].Value))
				continue
			}
			failed[key] = true
			require.Contains(t, []omnibox.Class{omnibox.ClassUnreachable, omnibox.ClassCancelled}, omnibox.ClassOf(err), "%v", err)
		}
		cancel()
	}
	require.Equal(t, make([]error, 1), publish(t, f, []broker.Record{record(f.Topic, "end", 0)}))
	there := byKey(f.Read(t))
	for key, values := range sent {
		requireSubsequence(t, values, there[key])
	}
}

// trap: 36
func callsWhatIsUnknownUnknown(t *testing.T, f Features) {
	if f.SetLoseAnswers == nil {
		t.Skip("the broker always answers")
	}
	require.Equal(t, make([]error, 1), publish(t, f, []broker.Record{record(f.Topic, "a", 0)}))
	f.SetLoseAnswers(t, true)
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	for i, err := range f.Publisher.Publish(ctx, []broker.Record{record(f.Topic, "a", 1), record(f.Topic, "b", 1)}) {
		require.Equal(t, omnibox.ClassUnreachable, omnibox.ClassOf(err), "record %d: %v", i, err)
	}
	f.SetLoseAnswers(t, false)
	// What is sent next must not be taken for a repetition of what is unknown.
	next := []broker.Record{record(f.Topic, "a", 2), record(f.Topic, "b", 2)}
	require.Equal(t, make([]error, 2), publish(t, f, next))
	there := byKey(f.Read(t))
	requireSubsequence(t, []string{"0", "2"}, there["a"])
	requireSubsequence(t, []string{"2"}, there["b"])
}

func probesTheBroker(t *testing.T, f Features) {
	require.NoError(t, f.Publisher.Probe(t.Context()))
	if f.SetDown != nil {
		f.SetDown(t, true)
		require.Equal(t, omnibox.ClassUnreachable, omnibox.ClassOf(f.Publisher.Probe(t.Context())))
		f.SetDown(t, false)
		require.NoError(t, f.Publisher.Probe(t.Context()))
	}
	require.Empty(t, f.Read(t))
}

func closeWaitsForCalls(t *testing.T, f Features) {
	var callers sync.WaitGroup
	var mu sync.Mutex
	var want []broker.Record
	running := make(chan struct{}, 1)
	for caller := range 4 {
		callers.Go(func() {
			for n := 0; ; n++ {
				call := []broker.Record{record(f.Topic, fmt.Sprint("k", caller), 2*n), record(f.Topic, fmt.Sprint("k", caller), 2*n+1)}
				errs := try(t.Context(), f, call)
				if errs[0] != nil {
					// A call is either waited for or does not begin.
					for _, err := range errs {
						if !errors.Is(err, omnibox.ErrNotSent) {
							t.Errorf("call was broken off: %v", err)
						}
					}
					return
				}
				mu.Lock()
				want = append(want, call...)
				mu.Unlock()
				select {
				case running <- struct{}{}:
				default:
				}
			}
		})
	}
	<-running
	require.NoError(t, f.Publisher.Close())
	callers.Wait()
	require.Equal(t, byKey(want), byKey(f.Read(t)))
}

func publish(t *testing.T, f Features, records []broker.Record) []error {
	t.Helper()
	errs := try(t.Context(), f, records)
	require.Len(t, errs, len(records))
	return errs
}

// try is publish for goroutines.
func try(ctx context.Context, f Features, records []broker.Record) []error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return f.Publisher.Publish(ctx, records)
}

func record(topic, key string, n int) broker.Record {
	return broker.Record{Topic: topic, Key: []byte(key), Value: fmt.Append(nil, n)}
}

func byKey(records []broker.Record) map[string][]string {
	out := make(map[string][]string)
	for _, r := range records {
		out[string(r.Key)] = append(out[string(r.Key)], string(r.Value))
	}
	return out
}

// requireSubsequence asks for want within got, in that order: between them
// there may be records of an unknown outcome.
func requireSubsequence(t *testing.T, want, got []string) {
	t.Helper()
	rest := got
	for _, w := range want {
		i := slices.Index(rest, w)
		require.GreaterOrEqual(t, i, 0, "%s is missing or out of order in %v", w, got)
		rest = rest[i+1:]
	}
}
